-- +goose Up

-- Rotators of somebody's own, and which secrets use them.

CREATE TABLE rotators (
    name        TEXT    PRIMARY KEY,
    account     TEXT    NOT NULL,
    kind        TEXT    NOT NULL,
    target      TEXT    NOT NULL DEFAULT '',
    ca          TEXT    NOT NULL DEFAULT '',
    addresses   TEXT,
    timeout     INTEGER NOT NULL,
    key_id      TEXT    NOT NULL DEFAULT '',
    key_version INTEGER NOT NULL DEFAULT 0,
    wrapped_key BLOB,
    ciphertext  BLOB,
    is_binary   BOOLEAN NOT NULL DEFAULT FALSE,
    digest      BLOB,
    created_by  TEXT    NOT NULL,
    created     INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX rotators_account ON rotators (account, name);

CREATE INDEX secrets_custom ON secrets (account, json_extract(rotation, '$.rotator'))
    WHERE json_extract(rotation, '$.custom') AND NOT gone;
