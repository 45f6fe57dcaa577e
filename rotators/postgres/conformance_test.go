package postgres_test

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"os"
	"strconv"
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
type secret struct {
	Engine    string   `json:"engine"`
	Host      string   `json:"host"`
	Port      int      `json:"port"`
	Database  string   `json:"dbname"`
	User      string   `json:"username"`
	Password  string   `json:"password"`
	MasterARN string   `json:"masterarn,omitempty"`
	SSLMode   string   `json:"sslmode,omitempty"`
	Probes    []string `json:"probes,omitempty"`
}

func (s secret) value(t testing.TB) lockstep.Value {
	t.Helper()
	b, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	return lockstep.StringValue(string(b))
}

func read(t testing.TB, v lockstep.Value) secret {
	t.Helper()
	var s secret
	if err := json.Unmarshal(v.Bytes(), &s); err != nil {
		t.Fatal(err)
	}
	return s
}

const adminARN = "arn:aws:secretsmanager:us-east-1:000000000000:secret:admin-AbCdEf"

const passwordOfAdmin = "boss-secret-7Hq2"

// newWorld starts a server that writes down every statement and has a password
// policy, with an admin that has CREATEROLE and nothing else.
func newWorld(t *testing.T) *world {
	s := pgtest.Start(t, pgtest.Setting("log_statement", "all"), pgtest.Setting("shared_preload_libraries", "passwordcheck"),
		pgtest.Setting("listen_addresses", "127.0.0.1,::1"),
		pgtest.HBA("host all trusted 127.0.0.1/32 trust", "host all banned 127.0.0.1/32 reject",
			"host all clear 127.0.0.1/32 password", "hostssl all tlsonly 127.0.0.1/32 scram-sha-256",
			"host all tlsonly 127.0.0.1/32 reject"))
	w := &world{Server: s, database: s.Database(t)}
	s.Must(t, "CREATE ROLE lockadmin LOGIN CREATEROLE PASSWORD '"+passwordOfAdmin+"'",
		"CREATE ROLE weak LOGIN PASSWORD 'feeble-secret-77'")
	w.admin = w.value(t, "lockadmin", passwordOfAdmin)
	return w
}

func (w *world) secret(user, password string) secret {
	return secret{
		Engine: "postgres", Host: "127.0.0.1", Port: w.Port(), Database: w.database,
		User: user, Password: password, MasterARN: adminARN, SSLMode: "disable",
	}
}

func (w *world) value(t testing.TB, user, password string) lockstep.Value {
	return w.secret(user, password).value(t)
}

// connect logs in by the driver alone.
func (w *world) connect(ctx context.Context, s secret) (*pgx.Conn, error) {
	return pgx.Connect(ctx, w.DSN(s.User, s.Password, s.Database))
}

func (w *world) accepts(t *testing.T, v lockstep.Value) bool {
	t.Helper()
	conn, err := w.connect(t.Context(), read(t, v))
	if err != nil {
		return false
	}
	return errors.Join(conn.Ping(t.Context()), conn.Close(t.Context())) == nil
}

func (w *world) session(t *testing.T, v lockstep.Value) <-chan struct{} {
	t.Helper()
	conn, err := w.connect(t.Context(), read(t, v))
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
	user := "app_" + randomName()
	current := w.secret(user, "first-secret-1x")
	w.Must(t, "CREATE ROLE "+user+" LOGIN PASSWORD 'first-secret-1x'")
	from := w.logSize(t) // what stands before is the test's own doing
	return rotatortest.Target{
		ARN:     lockstep.ARN("arn:aws:secretsmanager:us-east-1:000000000000:secret:" + user + "-AbCdEf"),
		Current: current.value(t), Admin: w.admin, Marks: true,
		WrongAdmin: w.value(t, "lockadmin", "wrong"),
		NoRight:    w.value(t, "weak", "feeble-secret-77"),
		Refused: func(t *testing.T, v lockstep.Value) lockstep.Value {
			s := read(t, v)
			s.Password = s.User // the one thing that passwordcheck sees in a verifier
			return s.value(t)
		},
		Wrong: func(t *testing.T, v lockstep.Value) lockstep.Value {
			s := read(t, v)
			s.Password = "nobody-knows-this-1"
			return s.value(t)
		},
		Accepts: w.accepts,
		Session: w.session,
		Away:    func(t *testing.T) { check(t, w.Pause(t.Context())) },
		Back:    func(t *testing.T) { check(t, w.Resume(t.Context())) },
		Address: net.JoinHostPort("127.0.0.1", strconv.Itoa(w.Port())),
		Through: func(t *testing.T, v lockstep.Value, address string) lockstep.Value {
			s := read(t, v)
			_, port, err := net.SplitHostPort(address)
			check(t, err)
			s.Port, err = strconv.Atoi(port)
			check(t, err)
			return s.value(t)
		},
		Clear: func(t *testing.T, v lockstep.Value) string { return read(t, v).Password },
		Log:   func(t *testing.T) string { return w.logFrom(t, from) },
	}
}

func (w *world) logSize(t *testing.T) int64 {
	info, err := os.Stat(w.LogPath())
	check(t, err)
	return info.Size()
}

func (w *world) logFrom(t *testing.T, from int64) string {
	t.Helper()
	b, err := os.ReadFile(w.LogPath())
	check(t, err)
	return string(b[from:])
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func single(t testing.TB) *postgres.Single {
	r, err := postgres.NewSingle(postgres.Config{})
	check(t, err)
	t.Cleanup(r.Close)
	return r
}

func alternating(t testing.TB) *postgres.Alternating {
	r, err := postgres.NewAlternating(postgres.Config{})
	check(t, err)
	t.Cleanup(r.Close)
	return r
}

// Both rotators can do all that their kind can.
var (
	_ rotators.Identifier = (*postgres.Single)(nil)
	_ rotators.Fencer     = (*postgres.Single)(nil)
	_ rotators.Planner    = (*postgres.Single)(nil)
	_ rotators.Identifier = (*postgres.Alternating)(nil)
	_ rotators.Fencer     = (*postgres.Alternating)(nil)
	_ rotators.Retirer    = (*postgres.Alternating)(nil)
	_ rotators.Planner    = (*postgres.Alternating)(nil)
)

func TestConformance(t *testing.T) {
	w := newWorld(t)
	t.Run(postgres.NameSingle, func(t *testing.T) {
		rotatortest.Run(t, rotatortest.Fixture{Rotator: single(t), New: w.target})
	})
	t.Run(postgres.NameSingle+" without an admin", func(t *testing.T) {
		rotatortest.Run(t, rotatortest.Fixture{Rotator: single(t), New: func(t *testing.T) rotatortest.Target {
			target := w.target(t)
			target.Admin, target.WrongAdmin, target.NoRight = lockstep.Value{}, lockstep.Value{}, lockstep.Value{}
			target.Marks = false
			return target
		}})
	})
	t.Run(postgres.NameAlternating, func(t *testing.T) {
		rotatortest.Run(t, rotatortest.Fixture{Rotator: alternating(t), New: w.target})
	})
}
