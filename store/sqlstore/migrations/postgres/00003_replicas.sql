-- +goose Up

-- A row says that a primary was changed and its replicas were not told yet.
-- seq grows with each change, so that a copy that was overtaken is noticed.

CREATE TABLE replications (
    secret BIGINT PRIMARY KEY REFERENCES secrets (id) ON DELETE CASCADE,
    seq    BIGINT NOT NULL,
    due    BIGINT NOT NULL
);
CREATE INDEX replications_due ON replications (due, secret);
