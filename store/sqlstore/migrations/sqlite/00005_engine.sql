-- +goose Up

-- Runs that failed are listed by themselves: few among many.
CREATE INDEX runs_failed ON runs (account, region, num) WHERE state IN ('failed', 'lost') AND stop <> 'discarded';

-- What the scheduler and the governor look at. rotates and verify_due are derived
-- as the other *_due columns; max_age is NULL where a schedule has none.
ALTER TABLE secrets ADD COLUMN next_verify BIGINT NOT NULL DEFAULT 0;
ALTER TABLE secrets ADD COLUMN target_key TEXT NOT NULL DEFAULT '';
ALTER TABLE secrets ADD COLUMN verify_due BIGINT;
ALTER TABLE secrets ADD COLUMN rotates BOOLEAN NOT NULL DEFAULT FALSE;
ALTER TABLE secrets ADD COLUMN max_age BIGINT;
UPDATE secrets SET rotates = TRUE, next_verify = CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER) + abs(random()) % 86400000000
    WHERE NOT gone AND delete_at = 0 AND json_extract(rotation, '$.enabled') = 1;
UPDATE secrets SET verify_due = next_verify WHERE rotates;

CREATE INDEX secrets_drift   ON secrets (verify_due, id) WHERE verify_due IS NOT NULL;
CREATE INDEX secrets_max_age ON secrets (account, region, id) WHERE max_age IS NOT NULL;

-- Freezes and pauses.
CREATE TABLE holds (
    account    TEXT   NOT NULL,
    region     TEXT   NOT NULL,
    name       TEXT   NOT NULL,
    kind       TEXT   NOT NULL,
    match      TEXT   NOT NULL DEFAULT '',
    tag_key    TEXT   NOT NULL DEFAULT '',
    tag_value  TEXT   NOT NULL DEFAULT '',
    begins     BIGINT NOT NULL DEFAULT 0,
    ends       BIGINT NOT NULL DEFAULT 0,
    expression TEXT   NOT NULL DEFAULT '',
    time_zone  TEXT   NOT NULL DEFAULT '',
    lasts      BIGINT NOT NULL DEFAULT 0,
    reason     TEXT   NOT NULL DEFAULT '',
    made_by    TEXT   NOT NULL DEFAULT '',
    created    BIGINT NOT NULL,
    PRIMARY KEY (account, region, name)
);

-- Admission: one row, locked by whoever gives Places away; generation grows with
-- each change of a hold.
CREATE TABLE admission (
    id         INTEGER PRIMARY KEY,
    generation BIGINT  NOT NULL
);
INSERT INTO admission (id, generation) VALUES (1, 1);

-- places has a row for each Run that may be under way, never more than the
-- governor's limit; waits one for each that may not yet.
CREATE TABLE places (
    run        TEXT   PRIMARY KEY,
    secret     BIGINT NOT NULL REFERENCES secrets (id) ON DELETE CASCADE,
    rotator    TEXT   NOT NULL,
    target_key TEXT   NOT NULL
) WITHOUT ROWID;
CREATE INDEX places_secret ON places (secret);

CREATE TABLE waits (
    num        INTEGER PRIMARY KEY AUTOINCREMENT,
    run        TEXT   NOT NULL UNIQUE,
    secret     BIGINT NOT NULL REFERENCES secrets (id) ON DELETE CASCADE,
    rotator    TEXT   NOT NULL,
    target_key TEXT   NOT NULL,
    rank       BIGINT NOT NULL,
    due        BIGINT NOT NULL,
    held       BIGINT NOT NULL DEFAULT 0,
    until      BIGINT NOT NULL DEFAULT 0
);
CREATE INDEX waits_secret ON waits (secret);
CREATE INDEX waits_order  ON waits (rank, due, num) WHERE held = 0;
CREATE INDEX waits_held   ON waits (held, num) WHERE held > 0;
CREATE INDEX waits_until  ON waits (until, num) WHERE until > 0;
