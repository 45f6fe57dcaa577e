-- +goose Up

-- What audit logs are held against: the newest signed head of each node's log,
-- and the public keys that sign.

CREATE TABLE audit_heads (
    node      TEXT   PRIMARY KEY,
    seq       INTEGER NOT NULL,
    hash      BLOB  NOT NULL,
    at        INTEGER NOT NULL,
    root_id   TEXT   NOT NULL,
    signature BLOB  NOT NULL
) WITHOUT ROWID;

CREATE TABLE audit_keys (
    root_id TEXT   PRIMARY KEY,
    public  BLOB  NOT NULL,
    since   INTEGER NOT NULL
) WITHOUT ROWID;
