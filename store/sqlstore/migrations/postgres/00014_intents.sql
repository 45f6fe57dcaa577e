-- +goose Up

-- An intent is written before a target is asked to issue a value, so that one
-- whose answer was lost is found again by its marker. sweep_due is NULL where
-- nothing is left to be looked for.
CREATE TABLE intents (
    marker    TEXT   COLLATE "C" PRIMARY KEY,
    secret    BIGINT NOT NULL REFERENCES secrets (id) ON DELETE CASCADE,
    run       TEXT   NOT NULL,
    version   TEXT   NOT NULL,
    state     TEXT   NOT NULL,
    created   BIGINT NOT NULL,
    sweep_due BIGINT,
    attempts  BIGINT NOT NULL DEFAULT 0
);
CREATE INDEX intents_secret ON intents (secret, created);
CREATE INDEX intents_sweep  ON intents (sweep_due, secret) WHERE sweep_due IS NOT NULL;

-- When a value dies by itself, by the target's word.
ALTER TABLE versions ADD COLUMN expires BIGINT NOT NULL DEFAULT 0;
