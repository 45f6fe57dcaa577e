package postgres_test

import (
	"context"
	"errors"
	"testing"

	"github.com/jackc/pgx/v5"

	"lockstep"
	"lockstep/internal/pgtest"
	"lockstep/rotators"
	"lockstep/rotators/postgres"
	"lockstep/rotators/rotatortest"
)

// world is a server on which each test makes roles of its own.
type world struct {
	*pgtest.Server
	database string
	admin    lockstep.Value
}

// secret is what the tests read of a value.
type secret = rotatortest.Secret

// newWorld starts a server that writes down every statement and has a password
// policy, with an admin that has CREATEROLE and nothing else.
func newWorld(t *testing.T) *world {
	s := pgtest.Start(t, pgtest.Setting("log_statement", "all"), pgtest.Setting("shared_preload_libraries", "passwordcheck"),
		pgtest.Setting("listen_addresses", "127.0.0.1,::1"),
		pgtest.HBA("host all trusted 127.0.0.1/32 trust", "host all banned 127.0.0.1/32 reject",
			"host all clear 127.0.0.1/32 password", "hostssl all tlsonly 127.0.0.1/32 scram-sha-256",
			"host all tlsonly 127.0.0.1/32 reject"))
	w := &world{Server: s, database: s.Database(t)}
	s.Must(t, "CREATE ROLE lockadmin LOGIN CREATEROLE PASSWORD '"+rotatortest.PasswordOfAdmin+"'",
		"CREATE ROLE weak LOGIN PASSWORD 'feeble-secret-77'")
	w.admin = w.value(t, "lockadmin", rotatortest.PasswordOfAdmin)
	return w
}

func (w *world) secret(user, password string) secret {
	return secret{
		Engine: "postgres", Host: "127.0.0.1", Port: w.Port(), Database: w.database,
		User: user, Password: password, MasterARN: rotatortest.AdminARN, SSLMode: "disable",
	}
}

func (w *world) value(t testing.TB, user, password string) lockstep.Value {
	return w.secret(user, password).Value(t)
}

// connect logs in by the driver alone.
func (w *world) connect(ctx context.Context, s secret) (*pgx.Conn, error) {
	return pgx.Connect(ctx, w.DSN(s.User, s.Password, s.Database))
}

func (w *world) accepts(t *testing.T, v lockstep.Value) bool {
	t.Helper()
	conn, err := w.connect(t.Context(), rotatortest.Read[secret](t, v))
	if err != nil {
		return false
	}
	return errors.Join(conn.Ping(t.Context()), conn.Close(t.Context())) == nil
}

func (w *world) session(t *testing.T, v lockstep.Value) <-chan struct{} {
	t.Helper()
	conn, err := w.connect(t.Context(), rotatortest.Read[secret](t, v))
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	t.Cleanup(func() { cancel(); <-done; _ = conn.Close(context.WithoutCancel(ctx)) })
	go func() {
		defer close(done)
		// It waits for a notification that never comes.
		if _, err := conn.WaitForNotification(ctx); ctx.Err() == nil && err != nil {
			close(ended)
		}
	}()
	return ended
}

// target makes a role with a password and everything that the suite needs.
func (w *world) target(t *testing.T) rotatortest.Target {
	user := "app_" + rotatortest.RandomName()
	current := w.secret(user, "first-secret-1x")
	w.Must(t, "CREATE ROLE "+user+" LOGIN PASSWORD 'first-secret-1x'")
	target := rotatortest.At(t, current, w.LogPath())
	target.Admin, target.WrongAdmin, target.NoRight = w.admin, w.value(t, "lockadmin", "wrong"), w.value(t, "weak", "feeble-secret-77")
	target.Refused = func(t *testing.T, v lockstep.Value) lockstep.Value {
		s := rotatortest.Read[secret](t, v)
		s.Password = s.User // the one thing that passwordcheck sees in a verifier
		return s.Value(t)
	}
	target.Accepts, target.Session = w.accepts, w.session
	target.Away = func(t *testing.T) { rotatortest.Check(t, w.Pause(t.Context())) }
	target.Back = func(t *testing.T) { rotatortest.Check(t, w.Resume(t.Context())) }
	return target
}

func single(t testing.TB) *postgres.Single {
	r, err := postgres.NewSingle(postgres.Config{})
	rotatortest.Check(t, err)
	t.Cleanup(r.Close)
	return r
}

func alternating(t testing.TB) *postgres.Alternating {
	r, err := postgres.NewAlternating(postgres.Config{})
	rotatortest.Check(t, err)
	t.Cleanup(r.Close)
	return r
}

// Both rotators can do all that their kind can.
var (
	_ rotators.Identifier    = (*postgres.Single)(nil)
	_ rotators.Fencer        = (*postgres.Single)(nil)
	_ rotators.Planner       = (*postgres.Single)(nil)
	_ rotators.Identifier    = (*postgres.Alternating)(nil)
	_ rotators.Fencer        = (*postgres.Alternating)(nil)
	_ rotators.Retirer       = (*postgres.Alternating)(nil)
	_ rotators.Planner       = (*postgres.Alternating)(nil)
	_ rotators.Witness       = (*postgres.Single)(nil)
	_ rotators.Witness       = (*postgres.Alternating)(nil)
	_ rotators.SessionKiller = (*postgres.Alternating)(nil)
	_ rotators.SessionKiller = (*postgres.Single)(nil)
)

func TestConformance(t *testing.T) {
	w := newWorld(t)
	t.Run(postgres.NameSingle, func(t *testing.T) {
		rotatortest.Run(t, rotatortest.Fixture{Rotator: single(t), New: w.target})
	})
	t.Run(postgres.NameSingle+" without an admin", func(t *testing.T) {
		rotatortest.Run(t, rotatortest.Fixture{Rotator: single(t), New: func(t *testing.T) rotatortest.Target {
			return w.target(t).WithoutAdmin()
		}})
	})
	t.Run(postgres.NameAlternating, func(t *testing.T) {
		rotatortest.Run(t, rotatortest.Fixture{Rotator: alternating(t), New: w.target})
	})
}
