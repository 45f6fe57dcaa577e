-- +goose Up

-- Which secrets use a recipe that was registered.

CREATE INDEX secrets_recipe ON secrets (account, json_extract(rotation, '$.rotator'))
    WHERE json_extract(rotation, '$.recipe') AND NOT gone;
