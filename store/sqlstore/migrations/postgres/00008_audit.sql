-- +goose Up

-- What audit logs are held against: the newest signed head of each node's log,
-- and the public keys that sign.

CREATE TABLE audit_heads (
    node      TEXT   PRIMARY KEY,
    seq       BIGINT NOT NULL,
    hash      BYTEA  NOT NULL,
    at        BIGINT NOT NULL,
    root_id   TEXT   NOT NULL,
    signature BYTEA  NOT NULL
);

CREATE TABLE audit_keys (
    root_id TEXT   PRIMARY KEY,
    public  BYTEA  NOT NULL,
    since   BIGINT NOT NULL
);
