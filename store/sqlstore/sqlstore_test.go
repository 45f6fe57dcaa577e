package sqlstore_test

import (
	"context"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"lockstep/internal/pgserver"
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

// migrated is the name of a database with all migrations, which those of the
// tests are copies of: to migrate takes longer than most tests here.
var migrated = sync.OnceValues(func() (string, error) {
	s, err := pgtest.SharedServer()
	if err != nil {
		return "", err
	}
	const name = "migrated"
	if err := s.CreateDatabase(context.Background(), name); err != nil {
		return "", err
	}
	st, err := sqlstore.Open(context.Background(), sqlstore.Config{DSN: s.DSN(pgserver.Superuser, s.Password(), name)})
	if err != nil {
		return "", err
	}
	return name, st.Close()
})

// migratedDSN is postgresDSN with nothing left to migrate.
func migratedDSN(t testing.TB) string {
	t.Helper()
	name, err := migrated()
	if err != nil {
		t.Fatal(err)
	}
	return pgtest.Shared(t).CopyDSN(t, name)
}

func TestSQLite(t *testing.T) {
	storetest.Run(t, func(t *testing.T, now func() time.Time) store.Store {
		return opened(t, sqlstore.Config{DSN: sqliteDSN(t), Now: now})
	})
}

func TestPostgres(t *testing.T) {
	storetest.Run(t, func(t *testing.T, now func() time.Time) store.Store {
		return opened(t, sqlstore.Config{DSN: migratedDSN(t), Connections: 8})
	})
}
