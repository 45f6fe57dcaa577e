-- +goose Up

-- What AWSCURRENT (secrets) or a value (versions) names as its masterarn, so that
-- who is managed by whom is known without opening a value.
ALTER TABLE versions ADD COLUMN admin_ref TEXT NOT NULL DEFAULT '';
ALTER TABLE secrets ADD COLUMN admin_ref TEXT NOT NULL DEFAULT '';
CREATE INDEX secrets_admin_ref ON secrets (account, admin_ref, id) WHERE admin_ref <> '' AND rotates;

-- An item of a batch that awaits the end of another's run (that of its admin
-- secret), and one that is awaited.
ALTER TABLE batch_items ADD COLUMN awaits BIGINT NOT NULL DEFAULT 0;
ALTER TABLE batch_items ADD COLUMN is_awaited BOOLEAN NOT NULL DEFAULT FALSE;
CREATE INDEX batch_items_awaits  ON batch_items (awaits, batch) WHERE awaits > 0;
CREATE INDEX batch_items_awaited ON batch_items (batch, secret) WHERE is_awaited;
