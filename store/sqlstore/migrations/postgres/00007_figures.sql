-- +goose Up

-- The oldest credential among the secrets with a schedule, for /metrics.
CREATE INDEX secrets_oldest ON secrets ((CASE WHEN last_rotated > 0 THEN last_rotated ELSE created END))
    WHERE rotation_due IS NOT NULL;
