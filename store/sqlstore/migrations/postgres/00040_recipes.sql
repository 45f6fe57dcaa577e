-- +goose Up

-- Which secrets use a recipe that was registered.

CREATE INDEX secrets_recipe ON secrets (account, (rotation ->> 'rotator'))
    WHERE (rotation ->> 'recipe') = 'true' AND NOT gone;
