-- +goose Up
-- A question to a worker is a dry run, or who uses the old credential.

ALTER TABLE plans ADD COLUMN kind TEXT NOT NULL DEFAULT 'plan';
