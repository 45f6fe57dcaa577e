-- +goose Up

-- Runs that failed are listed by themselves: few among many.
CREATE INDEX runs_failed ON runs (account, region, num) WHERE state IN ('failed', 'lost') AND stop <> 'discarded';
