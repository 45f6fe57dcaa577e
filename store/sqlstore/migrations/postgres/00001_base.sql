-- +goose Up

-- Times are integer microseconds since 1970 in UTC; 0 means "not set".
-- The columns named *_due are derived by the code from the columns they sum up
-- and are NULL where nothing is due, so that each partial index holds exactly
-- what somebody waits for. name_key is "account/region/name", NULL once the
-- Secret is gone: names are unique among those that are not, and a planner
-- without statistics has no other index to look a name up in.

CREATE TABLE secrets (
    id              BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    account         TEXT    NOT NULL,
    region          TEXT    NOT NULL,
    name            TEXT    COLLATE "C" NOT NULL,
    arn             TEXT    NOT NULL,
    description     TEXT    NOT NULL DEFAULT '',
    type            TEXT    NOT NULL DEFAULT '',
    kms_key_id      TEXT    NOT NULL DEFAULT '',
    tags            JSONB,
    resource_policy TEXT    NOT NULL DEFAULT '',
    created         BIGINT  NOT NULL,
    changed         BIGINT  NOT NULL,
    accessed        BIGINT  NOT NULL DEFAULT 0,
    delete_at       BIGINT  NOT NULL DEFAULT 0,
    gone            BOOLEAN NOT NULL DEFAULT FALSE,
    primary_region  TEXT    NOT NULL DEFAULT '',
    replicas        JSONB,
    rotation        JSONB,
    last_rotated    BIGINT  NOT NULL DEFAULT 0,
    next_rotation   BIGINT  NOT NULL DEFAULT 0,
    unverified      BOOLEAN NOT NULL DEFAULT FALSE,
    event_seq       BIGINT  NOT NULL DEFAULT 0,
    name_key        TEXT    COLLATE "C" UNIQUE,
    rotation_due    BIGINT,
    purge_due       BIGINT
);
CREATE INDEX        secrets_name     ON secrets (account, region, name, id) WHERE NOT gone;
CREATE INDEX        secrets_created  ON secrets (account, region, created, id) WHERE NOT gone;
CREATE INDEX        secrets_changed  ON secrets (account, region, changed, id) WHERE NOT gone;
CREATE INDEX        secrets_accessed ON secrets (account, region, accessed, id) WHERE NOT gone;
CREATE INDEX        secrets_rotation ON secrets (rotation_due, id) WHERE rotation_due IS NOT NULL;
CREATE INDEX        secrets_purge    ON secrets (purge_due, id) WHERE purge_due IS NOT NULL;
CREATE INDEX        secrets_verify   ON secrets (id) WHERE unverified;

CREATE TABLE slots (
    secret  BIGINT PRIMARY KEY REFERENCES secrets (id) ON DELETE CASCADE,
    fence   BIGINT NOT NULL DEFAULT 0,
    holder  TEXT   NOT NULL DEFAULT '',
    expires BIGINT NOT NULL DEFAULT 0,
    beat    BIGINT NOT NULL DEFAULT 0
);

CREATE TABLE versions (
    num             BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    secret          BIGINT  NOT NULL REFERENCES secrets (id) ON DELETE CASCADE,
    id              TEXT    NOT NULL,
    created         BIGINT  NOT NULL,
    accessed        BIGINT  NOT NULL DEFAULT 0,
    key_id          TEXT    NOT NULL DEFAULT '',
    key_version     BIGINT  NOT NULL DEFAULT 0,
    wrapped_key     BYTEA,
    ciphertext      BYTEA,
    is_binary       BOOLEAN NOT NULL DEFAULT FALSE,
    digest          BYTEA,
    account_key     TEXT    NOT NULL DEFAULT '',
    maybe_live      BOOLEAN NOT NULL DEFAULT FALSE,
    retirement      TEXT    NOT NULL DEFAULT '',
    retire_at       BIGINT  NOT NULL DEFAULT 0,
    retire_retry_at BIGINT  NOT NULL DEFAULT 0,
    retire_attempts BIGINT  NOT NULL DEFAULT 0,
    retire_reason   TEXT    NOT NULL DEFAULT '',
    retire_due      BIGINT,
    UNIQUE (secret, id)
);
CREATE INDEX versions_retire   ON versions (retire_due, num) WHERE retire_due IS NOT NULL;
CREATE INDEX versions_retiring ON versions (secret) WHERE retire_due IS NOT NULL;
CREATE INDEX versions_live     ON versions (secret) WHERE maybe_live;

CREATE TABLE stages (
    secret  BIGINT NOT NULL REFERENCES secrets (id) ON DELETE CASCADE,
    stage   TEXT   NOT NULL,
    version TEXT   NOT NULL,
    PRIMARY KEY (secret, stage),
    FOREIGN KEY (secret, version) REFERENCES versions (secret, id)
);
CREATE INDEX stages_version ON stages (secret, version);
CREATE INDEX stages_pending ON stages (secret) WHERE stage = 'AWSPENDING';

CREATE TABLE refused (
    num         BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    secret      BIGINT  NOT NULL REFERENCES secrets (id) ON DELETE CASCADE,
    version     TEXT    NOT NULL,
    key_id      TEXT    NOT NULL,
    key_version BIGINT  NOT NULL,
    wrapped_key BYTEA,
    ciphertext  BYTEA,
    is_binary   BOOLEAN NOT NULL,
    digest      BYTEA
);
CREATE INDEX refused_version ON refused (secret, version);

CREATE TABLE account_holds (
    account_key TEXT   PRIMARY KEY,
    secret      BIGINT NOT NULL REFERENCES secrets (id) ON DELETE CASCADE
);
CREATE INDEX account_holds_secret ON account_holds (secret);

CREATE TABLE runs (
    num          BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id           TEXT    NOT NULL UNIQUE,
    secret       BIGINT  NOT NULL REFERENCES secrets (id) ON DELETE CASCADE,
    account      TEXT    NOT NULL,
    region       TEXT    NOT NULL,
    version      TEXT    NOT NULL,
    base         TEXT    NOT NULL DEFAULT '',
    state        TEXT    NOT NULL,
    is_open      BOOLEAN NOT NULL,
    triggered_by TEXT    NOT NULL,
    test_only    BOOLEAN NOT NULL DEFAULT FALSE,
    attempts     BIGINT  NOT NULL DEFAULT 0,
    retry_at     BIGINT  NOT NULL DEFAULT 0,
    deadline     BIGINT  NOT NULL DEFAULT 0,
    stop         TEXT    NOT NULL DEFAULT '',
    stop_reason  TEXT    NOT NULL DEFAULT '',
    undo_until   BIGINT  NOT NULL DEFAULT 0,
    doubt        BOOLEAN NOT NULL DEFAULT FALSE,
    job_seq      BIGINT  NOT NULL DEFAULT 0,
    reason       TEXT    NOT NULL DEFAULT '',
    hint         TEXT    NOT NULL DEFAULT '',
    created      BIGINT  NOT NULL,
    started      BIGINT  NOT NULL DEFAULT 0,
    finished     BIGINT  NOT NULL DEFAULT 0
);
CREATE UNIQUE INDEX runs_one_open ON runs (secret) WHERE is_open;
CREATE INDEX runs_retry       ON runs (retry_at, num) WHERE is_open;
CREATE INDEX runs_owner       ON runs (account, region, num);
CREATE INDEX runs_owner_open  ON runs (account, region, num) WHERE is_open;
CREATE INDEX runs_secret      ON runs (secret, num);
CREATE INDEX runs_version     ON runs (secret, version);
CREATE INDEX runs_unfinished  ON runs (num) WHERE NOT is_open AND finished = 0;

CREATE TABLE steps (
    run     TEXT    NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    seq     BIGINT  NOT NULL,
    step    TEXT    NOT NULL,
    attempt BIGINT  NOT NULL DEFAULT 0,
    holder  TEXT    NOT NULL DEFAULT '',
    started BIGINT  NOT NULL,
    ended   BIGINT  NOT NULL DEFAULT 0,
    ok      BOOLEAN NOT NULL DEFAULT FALSE,
    outcome BIGINT  NOT NULL DEFAULT 0,
    error   TEXT    NOT NULL DEFAULT '',
    hint    TEXT    NOT NULL DEFAULT '',
    PRIMARY KEY (run, seq)
);

CREATE TABLE plans (
    id      TEXT    PRIMARY KEY,
    secret  BIGINT  NOT NULL REFERENCES secrets (id) ON DELETE CASCADE,
    created BIGINT  NOT NULL,
    done    BOOLEAN NOT NULL DEFAULT FALSE,
    body    JSONB   NOT NULL,
    error   TEXT    NOT NULL DEFAULT ''
);
CREATE INDEX plans_created ON plans (created);
CREATE INDEX plans_secret  ON plans (secret);

CREATE TABLE jobs (
    num     BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind    TEXT    NOT NULL,
    secret  BIGINT  NOT NULL REFERENCES secrets (id) ON DELETE CASCADE,
    account TEXT    NOT NULL,
    region  TEXT    NOT NULL,
    name    TEXT    NOT NULL,
    run     TEXT    NOT NULL DEFAULT '',
    version TEXT    NOT NULL DEFAULT '',
    plan    TEXT    NOT NULL DEFAULT '',
    seq     BIGINT  NOT NULL DEFAULT 0,
    due_at  BIGINT  NOT NULL DEFAULT 0,
    UNIQUE (secret, kind)
);
CREATE INDEX jobs_due ON jobs (due_at, num);

-- Events outlive their Secret, so there is no foreign key. is_last marks the
-- newest of each Secret that exists; it is never forgotten.
CREATE TABLE events (
    num     BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id      TEXT    NOT NULL UNIQUE,
    type    TEXT    NOT NULL,
    secret  BIGINT  NOT NULL,
    account TEXT    NOT NULL,
    region  TEXT    NOT NULL,
    name    TEXT    NOT NULL,
    arn     TEXT    NOT NULL,
    seq     BIGINT  NOT NULL,
    at      BIGINT  NOT NULL,
    run     TEXT    NOT NULL DEFAULT '',
    data    JSONB   NOT NULL,
    sent    BOOLEAN NOT NULL DEFAULT FALSE,
    is_last BOOLEAN NOT NULL DEFAULT TRUE,
    UNIQUE (secret, seq)
);
CREATE INDEX events_unsent  ON events (num) WHERE NOT sent;
CREATE INDEX events_old     ON events (at, num) WHERE sent AND NOT is_last;
CREATE INDEX events_current ON events (run) WHERE type = 'version.current';

CREATE TABLE master_keys (
    id      TEXT   PRIMARY KEY,
    account TEXT   NOT NULL,
    region  TEXT   NOT NULL,
    purpose TEXT   NOT NULL DEFAULT '',
    state   TEXT   NOT NULL,
    created BIGINT NOT NULL
);
CREATE UNIQUE INDEX master_keys_purpose ON master_keys (account, region, purpose) WHERE purpose <> '';

CREATE TABLE key_versions (
    master_key TEXT   NOT NULL REFERENCES master_keys (id) ON DELETE CASCADE,
    number     BIGINT NOT NULL,
    root_id    TEXT   NOT NULL,
    wrapped    BYTEA   NOT NULL,
    created    BIGINT NOT NULL,
    PRIMARY KEY (master_key, number)
);

CREATE TABLE settings (
    name  TEXT PRIMARY KEY,
    value BYTEA NOT NULL
);

CREATE TABLE users (
    arn     TEXT   PRIMARY KEY,
    account TEXT   NOT NULL,
    name    TEXT   NOT NULL,
    created BIGINT NOT NULL
);

CREATE TABLE access_keys (
    id          TEXT    PRIMARY KEY,
    user_arn    TEXT    NOT NULL REFERENCES users (arn) ON DELETE CASCADE,
    key_id      TEXT    NOT NULL DEFAULT '',
    key_version BIGINT  NOT NULL DEFAULT 0,
    wrapped_key BYTEA,
    ciphertext  BYTEA,
    is_binary   BOOLEAN NOT NULL DEFAULT FALSE,
    digest      BYTEA,
    active      BOOLEAN NOT NULL,
    created     BIGINT  NOT NULL
);
CREATE INDEX access_keys_user ON access_keys (user_arn);
