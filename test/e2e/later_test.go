package e2e

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5"

	"lockstep/internal/pgtest"
)

// laterMigration is what a version to come may do to the store, by the rule that
// migrations only expand: more tables, more columns in each table, and a number
// that this version does not know.
const laterMigration = `DO $$ DECLARE t text; BEGIN
	FOR t IN SELECT tablename FROM pg_tables WHERE schemaname = 'public' LOOP
		EXECUTE format('ALTER TABLE %I ADD COLUMN of_a_later_version text, ADD COLUMN counted_later bigint NOT NULL DEFAULT 7', t);
	END LOOP;
	CREATE TABLE of_a_later_version (id bigint PRIMARY KEY, secret bigint NOT NULL REFERENCES secrets (id) ON DELETE CASCADE);
	INSERT INTO goose_db_version (version_id, is_applied) VALUES (99999, TRUE);
END $$`

// TestServerBesideALaterVersion: while nodes are replaced one by one, those of the
// earlier version work, and start again, on a store that the later one has migrated.
func TestServerBesideALaterVersion(t *testing.T) {
	t.Parallel()
	dsn := pgtest.Shared(t).DatabaseDSN(t)
	s := newStage(t, "--store", dsn)
	s.cli(t, 0, "", "rotate", s.name, "--rotator", "postgres", "--wait")
	migrateLater(t.Context(), t, dsn)
	s.rotatesAndReads(t)
	s.server.Kill()
	if err := s.server.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.rotatesAndReads(t)
	s.create(t, "made/later", "a value")
	s.cli(t, 0, "", "check", "--targets")
}

func migrateLater(ctx context.Context, t *testing.T, dsn string) {
	t.Helper()
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(ctx) }()
	if _, err := conn.Exec(ctx, laterMigration); err != nil {
		t.Fatal(err)
	}
}

// rotatesAndReads makes one rotation and logs in with what is current.
func (s *stage) rotatesAndReads(t *testing.T) {
	t.Helper()
	before, _ := s.get(t)
	s.cli(t, 0, "", "rotate", s.name, "--wait")
	now, _ := s.get(t)
	if now.Password == before.Password {
		t.Error("the password is the same")
	}
	if err := s.login(t, now); err != nil {
		t.Error(err)
	}
}
