package sqlstore_test

import (
	"path/filepath"
	"testing"
	"time"

	"lockstep/internal/migratedtest"
	"lockstep/internal/pgtest"
	"lockstep/store"
	"lockstep/store/sqlstore"
	"lockstep/store/storetest"
)

// opened opens a store that closes with the test.
func opened(t testing.TB, cfg sqlstore.Config) *sqlstore.Store {
	t.Helper()
	s, err := sqlstore.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func sqliteDSN(t testing.TB) string {
	return "sqlite:" + filepath.Join(t.TempDir(), "lockstep.db")
}

func postgresDSN(t testing.TB) string {
	return pgtest.Shared(t).DatabaseDSN(t)
}

func TestSQLite(t *testing.T) {
	storetest.Run(t, func(t *testing.T, now func() time.Time) store.Store {
		return opened(t, sqlstore.Config{DSN: migratedtest.SQLite(t), Now: now})
	})
}

func TestPostgres(t *testing.T) {
	storetest.Run(t, func(t *testing.T, now func() time.Time) store.Store {
		return opened(t, sqlstore.Config{DSN: migratedtest.Postgres(t), Connections: 8})
	})
}
