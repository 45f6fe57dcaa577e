// Package migratedtest gives tests a store of their own with nothing left to migrate.
// The first one that asks in a test binary migrates; the others get a copy, since
// migrating takes longer than most tests do.
package migratedtest

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"lockstep/internal/pgserver"
	"lockstep/internal/pgtest"
	"lockstep/store/sqlstore"
)

// SQLite is the DSN of a new database in the test's own directory.
func SQLite(t testing.TB) string {
	t.Helper()
	file, err := sqliteFile()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "lockstep.db")
	if err := os.WriteFile(path, file, 0o600); err != nil {
		t.Fatal(err)
	}
	return "sqlite:" + path
}

var sqliteFile = sync.OnceValues(func() (file []byte, err error) {
	dir, err := os.MkdirTemp("", "lockstep-migrated-")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }() // the tests do not look there
	path := filepath.Join(dir, "lockstep.db")
	if err := migrate("sqlite:" + path); err != nil {
		return nil, err
	}
	return os.ReadFile(path) // #nosec G304 -- made above
})

// Postgres is the DSN of a new database on the test binary's own server.
func Postgres(t testing.TB) string {
	t.Helper()
	name, err := postgresName()
	if err != nil {
		t.Fatal(err)
	}
	return pgtest.Shared(t).CopyDSN(t, name)
}

var postgresName = sync.OnceValues(func() (string, error) {
	s, err := pgtest.SharedServer()
	if err != nil {
		return "", err
	}
	const name = "migrated"
	if err := s.CreateDatabase(context.Background(), name); err != nil {
		return "", err
	}
	return name, migrate(s.DSN(pgserver.Superuser, s.Password(), name))
})

// migrate leaves a database with every migration and nobody connected.
func migrate(dsn string) error {
	s, err := sqlstore.Open(context.Background(), sqlstore.Config{DSN: dsn})
	if err != nil {
		return fmt.Errorf("migrate a store for tests: %w", err)
	}
	return s.Close()
}
