-- +goose Up

-- An inspection looks at the target of every secret that rotates. It is made into
-- looks a page at a time (after_secret is how far); is_active means that one is
-- still to be answered.
CREATE TABLE inspections (
    id           TEXT    PRIMARY KEY,
    account      TEXT    NOT NULL,
    region       TEXT    NOT NULL,
    expanded     BOOLEAN NOT NULL DEFAULT FALSE,
    is_active    BOOLEAN NOT NULL,
    after_secret BIGINT  NOT NULL DEFAULT 0,
    total        BIGINT  NOT NULL DEFAULT 0,
    answered     BIGINT  NOT NULL DEFAULT 0,
    excused      BIGINT  NOT NULL DEFAULT 0,
    broken       BIGINT  NOT NULL DEFAULT 0,
    unseen       BIGINT  NOT NULL DEFAULT 0,
    made_by      TEXT    NOT NULL DEFAULT '',
    created      BIGINT  NOT NULL
);
CREATE INDEX inspections_active  ON inspections (created, id) WHERE is_active;
CREATE INDEX inspections_created ON inspections (created);

CREATE TABLE looks (
    inspection TEXT   NOT NULL REFERENCES inspections (id) ON DELETE CASCADE,
    secret     BIGINT NOT NULL REFERENCES secrets (id) ON DELETE CASCADE,
    rotator    TEXT   NOT NULL,
    target_key TEXT   NOT NULL,
    state      TEXT   NOT NULL,
    asked      BIGINT NOT NULL DEFAULT 0,
    tries      BIGINT NOT NULL DEFAULT 0,
    verdict    TEXT   NOT NULL DEFAULT '',
    found      JSONB,
    PRIMARY KEY (inspection, secret)
);
CREATE INDEX looks_secret  ON looks (secret);
CREATE INDEX looks_waiting ON looks (inspection, secret) WHERE state = 'waiting';
CREATE INDEX looks_asked   ON looks (asked, inspection, secret) WHERE state = 'asked';
CREATE INDEX looks_found   ON looks (inspection, secret) WHERE verdict IN ('broken', 'unseen');

-- A job that is due when the slot of its secret is released, if that is before
-- due_at.
ALTER TABLE jobs ADD COLUMN awaits_slot BOOLEAN NOT NULL DEFAULT FALSE;
