-- +goose Up
-- The pause that a restore leaves is looked for every few seconds; there is
-- hardly ever one.

CREATE INDEX holds_restored ON holds (account, region) WHERE name = 'restored';
