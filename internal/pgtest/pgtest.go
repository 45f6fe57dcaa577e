// Package pgtest gives tests a real PostgreSQL: Start one of its own for the
// test, Shared the one of the test binary, on which each test makes its own
// databases and roles. A missing PostgreSQL fails the test: nothing is skipped.
package pgtest

import (
	"context"
	"crypto/rand"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"lockstep/internal/pgserver"
)

// Server is a pgserver.Server for tests.
type Server struct{ *pgserver.Server }

// Option changes how a server is made.
type Option func(*pgserver.Config)

// Setting sets a server parameter, for example log_statement to all.
func Setting(name, value string) Option {
	return func(c *pgserver.Config) {
		if c.Settings == nil {
			c.Settings = make(map[string]string)
		}
		c.Settings[name] = value
	}
}

// HBA puts lines of pg_hba.conf before the server's own.
func HBA(lines ...string) Option {
	return func(c *pgserver.Config) { c.HBA = append(c.HBA, lines...) }
}

// startTime bounds the start of a server on a machine that is busy with many
// tests.
const startTime = 2 * time.Minute

// Start starts a server of the test's own; it ends with the test.
func Start(t testing.TB, opts ...Option) *Server {
	t.Helper()
	s, err := start(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		// t.Context is over by now.
		if err := s.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return &Server{s}
}

// Replica starts a hot standby of s; it ends with the test.
func (s *Server) Replica(t testing.TB) *Server {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), startTime)
	defer cancel()
	r, err := s.Server.Replica(ctx)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return &Server{r}
}

func start(ctx context.Context, opts []Option) (*pgserver.Server, error) {
	var cfg pgserver.Config
	for _, o := range opts {
		o(&cfg)
	}
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	return pgserver.Start(ctx, cfg)
}

// shared is started by the first test that asks. It ends with the process, by
// the guard that pgserver keeps.
var shared = sync.OnceValues(func() (*pgserver.Server, error) {
	return start(context.Background(), nil)
})

// SharedServer is the server of Shared for what is made once for all tests.
func SharedServer() (*pgserver.Server, error) { return shared() }

// Shared returns the test binary's own server, the same for all its tests.
// Make databases and roles of your own on it, and do not restart it.
func Shared(t testing.TB) *Server {
	t.Helper()
	s, err := shared()
	if err != nil {
		t.Fatal(err)
	}
	return &Server{s}
}

// Database makes a database with a random name and drops it, with whatever is
// still connected, when the test ends. It returns the name.
func (s *Server) Database(t testing.TB) string {
	t.Helper()
	name := "test_" + strings.ToLower(rand.Text()[:12])
	if err := s.CreateDatabase(t.Context(), name); err != nil {
		t.Fatal(err)
	}
	s.dropAfter(t, name)
	return name
}

func (s *Server) dropAfter(t testing.TB, name string) {
	t.Cleanup(func() {
		if err := s.Exec(context.Background(), "DROP DATABASE "+name+" WITH (FORCE)"); err != nil {
			t.Error(err)
		}
	})
}

// CopyDSN is DatabaseDSN of a copy of another database, to which nobody is
// connected.
func (s *Server) CopyDSN(t testing.TB, of string) string {
	t.Helper()
	name := "test_" + strings.ToLower(rand.Text()[:12])
	s.Must(t, "CREATE DATABASE "+name+" TEMPLATE "+of)
	s.dropAfter(t, name)
	return s.DSN(pgserver.Superuser, s.Password(), name)
}

// DatabaseDSN makes a database as Database does and returns the superuser's
// connection string for it.
func (s *Server) DatabaseDSN(t testing.TB) string {
	t.Helper()
	return s.DSN(pgserver.Superuser, s.Password(), s.Database(t))
}

// Must runs SQL as the superuser in the database "postgres".
func (s *Server) Must(t testing.TB, statements ...string) {
	t.Helper()
	if err := s.Exec(t.Context(), statements...); err != nil {
		t.Fatal(err)
	}
}

// Connect logs in as user; the connection is closed when the test ends.
func (s *Server) Connect(t testing.TB, user, password, database string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), s.DSN(user, password, database))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

// Admin logs in as the superuser to the database named.
func (s *Server) Admin(t testing.TB, database string) *pgx.Conn {
	t.Helper()
	return s.Connect(t, pgserver.Superuser, s.Password(), database)
}
