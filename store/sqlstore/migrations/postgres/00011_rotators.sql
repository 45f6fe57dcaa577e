-- +goose Up

-- Rotators of somebody's own, and which secrets use them.

CREATE TABLE rotators (
    name        TEXT    COLLATE "C" PRIMARY KEY,
    account     TEXT    NOT NULL,
    kind        TEXT    NOT NULL,
    target      TEXT    NOT NULL DEFAULT '',
    ca          TEXT    NOT NULL DEFAULT '',
    addresses   TEXT,
    timeout     BIGINT  NOT NULL,
    key_id      TEXT    NOT NULL DEFAULT '',
    key_version BIGINT  NOT NULL DEFAULT 0,
    wrapped_key BYTEA,
    ciphertext  BYTEA,
    is_binary   BOOLEAN NOT NULL DEFAULT FALSE,
    digest      BYTEA,
    created_by  TEXT    NOT NULL,
    created     BIGINT  NOT NULL
);
CREATE INDEX rotators_account ON rotators (account, name);

CREATE INDEX secrets_custom ON secrets (account, (rotation ->> 'rotator'))
    WHERE (rotation ->> 'custom') = 'true' AND NOT gone;
