-- +goose Up

-- A batch rotates many secrets as one thing. It is made into items a page at a
-- time (after_* is how far), and the items into runs; is_active means that the
-- scheduler still has to do something about it.
CREATE TABLE batches (
    id            TEXT    PRIMARY KEY,
    account       TEXT    NOT NULL,
    region        TEXT    NOT NULL,
    match         TEXT    NOT NULL DEFAULT '',
    tag_key       TEXT    NOT NULL DEFAULT '',
    tag_value     TEXT    NOT NULL DEFAULT '',
    triggered_by  TEXT    NOT NULL,
    state         TEXT    NOT NULL,
    is_active     BOOLEAN NOT NULL,
    expanded      BOOLEAN NOT NULL DEFAULT FALSE,
    after_created BIGINT  NOT NULL DEFAULT 0,
    after_secret  BIGINT  NOT NULL DEFAULT 0,
    made_by       TEXT    NOT NULL DEFAULT '',
    created       BIGINT  NOT NULL
);
CREATE INDEX batches_owner  ON batches (account, region, created, id);
CREATE INDEX batches_active ON batches (created, id) WHERE is_active;

CREATE TABLE batch_items (
    batch  TEXT   NOT NULL REFERENCES batches (id) ON DELETE CASCADE,
    secret BIGINT NOT NULL REFERENCES secrets (id) ON DELETE CASCADE,
    run    TEXT   NOT NULL DEFAULT '',
    state  TEXT   NOT NULL,
    reason TEXT   NOT NULL DEFAULT '',
    PRIMARY KEY (batch, secret)
) WITHOUT ROWID;
CREATE INDEX batch_items_secret  ON batch_items (secret);
CREATE INDEX batch_items_pending ON batch_items (batch, secret) WHERE state = 'pending';

-- The admin secret whose credential a run at its target uses.
ALTER TABLE places ADD COLUMN admin BIGINT NOT NULL DEFAULT 0;
CREATE INDEX places_admin ON places (admin) WHERE admin > 0;
