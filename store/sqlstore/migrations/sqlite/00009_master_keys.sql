-- +goose Up

-- Master keys get what users may give them; aliases are new. due is the earlier
-- of delete_at and next_rotation, NULL where neither is set. rotated says that
-- there is more than one version, so that there may be data keys to re-wrap.

ALTER TABLE master_keys ADD COLUMN description   TEXT    NOT NULL DEFAULT '';
ALTER TABLE master_keys ADD COLUMN policy        TEXT    NOT NULL DEFAULT '';
ALTER TABLE master_keys ADD COLUMN tags          TEXT;
ALTER TABLE master_keys ADD COLUMN delete_at     BIGINT  NOT NULL DEFAULT 0;
ALTER TABLE master_keys ADD COLUMN rotation_days BIGINT  NOT NULL DEFAULT 0;
ALTER TABLE master_keys ADD COLUMN next_rotation BIGINT  NOT NULL DEFAULT 0;
ALTER TABLE master_keys ADD COLUMN rotated       BOOLEAN NOT NULL DEFAULT FALSE;
ALTER TABLE master_keys ADD COLUMN due           BIGINT;
CREATE INDEX master_keys_owner   ON master_keys (account, region, id);
CREATE INDEX master_keys_due     ON master_keys (due, id) WHERE due IS NOT NULL;
CREATE INDEX master_keys_rotated ON master_keys (id) WHERE rotated;
CREATE INDEX key_versions_root   ON key_versions (root_id, master_key);

CREATE TABLE key_aliases (
    account    TEXT   NOT NULL,
    region     TEXT   NOT NULL,
    name       TEXT   NOT NULL,
    master_key TEXT   NOT NULL REFERENCES master_keys (id) ON DELETE CASCADE,
    created    BIGINT NOT NULL,
    changed    BIGINT NOT NULL,
    PRIMARY KEY (account, region, name)
) WITHOUT ROWID;
CREATE INDEX key_aliases_key ON key_aliases (master_key, name);

-- What a master key wraps, by version: re-wrapping walks these from the front.
CREATE INDEX versions_key    ON versions (key_id, key_version, num) WHERE key_id <> '';
CREATE INDEX refused_key     ON refused (key_id, key_version, num);
CREATE INDEX access_keys_key ON access_keys (key_id, key_version, id) WHERE key_id <> '';
CREATE INDEX secrets_key     ON secrets (kms_key_id) WHERE kms_key_id <> '';
