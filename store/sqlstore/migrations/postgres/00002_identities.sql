-- +goose Up

-- Users get tags and a boundary; groups, roles and policies are new. What a
-- policy hangs on is a user, a group or a role, so holder is no foreign key:
-- whoever deletes a holder takes its attachments along.

ALTER TABLE users ADD COLUMN tags JSONB;
ALTER TABLE users ADD COLUMN boundary TEXT NOT NULL DEFAULT '';
CREATE INDEX users_name     ON users (account, name COLLATE "C");
CREATE INDEX users_boundary ON users (boundary) WHERE boundary <> '';

CREATE TABLE user_groups (
    arn     TEXT   PRIMARY KEY,
    account TEXT   NOT NULL,
    name    TEXT   COLLATE "C" NOT NULL,
    created BIGINT NOT NULL
);
CREATE INDEX user_groups_name ON user_groups (account, name);

CREATE TABLE members (
    group_arn TEXT NOT NULL REFERENCES user_groups (arn) ON DELETE CASCADE,
    user_arn  TEXT NOT NULL REFERENCES users (arn) ON DELETE CASCADE,
    PRIMARY KEY (group_arn, user_arn)
);
CREATE INDEX members_user ON members (user_arn);

CREATE TABLE roles (
    arn         TEXT   PRIMARY KEY,
    account     TEXT   NOT NULL,
    name        TEXT   COLLATE "C" NOT NULL,
    description TEXT   NOT NULL,
    trust       TEXT   NOT NULL,
    tags        JSONB,
    boundary    TEXT   NOT NULL DEFAULT '',
    created     BIGINT NOT NULL
);
CREATE INDEX roles_name     ON roles (account, name);
CREATE INDEX roles_boundary ON roles (boundary) WHERE boundary <> '';

CREATE TABLE policies (
    arn         TEXT   PRIMARY KEY,
    account     TEXT   NOT NULL,
    name        TEXT   COLLATE "C" NOT NULL,
    description TEXT   NOT NULL,
    document    TEXT   NOT NULL,
    created     BIGINT NOT NULL,
    changed     BIGINT NOT NULL
);
CREATE INDEX policies_name ON policies (account, name);

CREATE TABLE attachments (
    holder TEXT NOT NULL,
    policy TEXT NOT NULL REFERENCES policies (arn) ON DELETE CASCADE,
    PRIMARY KEY (holder, policy)
);
CREATE INDEX attachments_policy ON attachments (policy);
