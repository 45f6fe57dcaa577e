-- +goose Up

-- The index of ListSecrets' filters: what a Secret can be found by (store.Terms),
-- in the default order of a list. The store writes a Secret's terms with it, and
-- those of Secrets from before when it is opened first; owner is
-- "account/region".

CREATE TABLE secret_terms (
    owner   TEXT   NOT NULL,
    term    TEXT   NOT NULL,
    created BIGINT NOT NULL,
    secret  BIGINT NOT NULL REFERENCES secrets (id) ON DELETE CASCADE,
    PRIMARY KEY (owner, term, created, secret)
) WITHOUT ROWID;
CREATE INDEX secret_terms_secret ON secret_terms (secret, term);
