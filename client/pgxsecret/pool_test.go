package pgxsecret_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgconn/ctxwatch"
	"github.com/jackc/pgx/v5/pgxpool"

	"lockstep"
	"lockstep/client"
	"lockstep/client/internal/clienttest"
	"lockstep/client/pgxsecret"
	"lockstep/internal/pgtest"
)

const patience = 30 * time.Second

func testContext(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

// world is a Lockstep server, a PostgreSQL, and a secret that is turned by
// hand.
type world struct {
	srv      *clienttest.Server
	pg       *pgtest.Server
	database string
	secret   *client.Secret
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{srv: clienttest.Start(t), pg: pgtest.Shared(t)}
	w.database = w.pg.Database(t)
	for i := range 2 {
		w.pg.Must(t, fmt.Sprintf("CREATE ROLE %s LOGIN", w.role(i)))
		t.Cleanup(func() {
			if err := w.pg.Exec(context.WithoutCancel(t.Context()), "DROP ROLE "+w.role(i)); err != nil {
				t.Error(err)
			}
		})
	}
	w.password(t, 0, "first")
	w.srv.Create(t, "app", w.value(t, 0, "first"))
	var err error
	if w.secret, err = w.srv.Client(t).Open(testContext(t), "app"); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *world) role(i int) string { return fmt.Sprintf("%s_%d", w.database, i) }

func (w *world) password(t *testing.T, i int, password string) {
	t.Helper()
	w.pg.Must(t, fmt.Sprintf("ALTER ROLE %s PASSWORD '%s'", w.role(i), password))
}

func (w *world) value(t *testing.T, i int, password string) string {
	t.Helper()
	b, err := json.Marshal(map[string]string{
		"engine": "postgres", "host": "127.0.0.1", "port": fmt.Sprint(w.pg.Port()), "dbname": w.database,
		"username": w.role(i), "password": password, "sslmode": "disable",
	})
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// rotate does what the alternating rotator does: set at the target, then
// finish.
func (w *world) rotate(t *testing.T, i int, password string) {
	t.Helper()
	w.password(t, i, password)
	w.srv.Put(t, "app", w.value(t, i, password))
}

func (w *world) pool(t *testing.T, o pgxsecret.Options) (*pgxpool.Pool, *pgxsecret.Binding) {
	t.Helper()
	pool, b, err := pgxsecret.NewPool(t.Context(), w.secret, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return pool, b
}

// load queries from many goroutines until stop is called, which returns how
// many queries there were, and what failed.
type load struct {
	queries, failures atomic.Int64
	first             atomic.Pointer[error]
	stop              func()
}

func startLoad(t *testing.T, pool *pgxpool.Pool, n int) *load {
	l, ctx := &load{}, t.Context()
	done := make(chan struct{})
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				if err := one(ctx, pool, i); err != nil {
					l.failures.Add(1)
					l.first.CompareAndSwap(nil, &err)
				}
				l.queries.Add(1)
			}
		})
	}
	l.stop = sync.OnceFunc(func() { close(done); wg.Wait() })
	t.Cleanup(l.stop) // before the pool is closed
	return l
}

// one is a query, or for some a transaction that holds its connection longer.
func one(ctx context.Context, pool *pgxpool.Pool, i int) error {
	var got int
	if i%4 != 0 {
		return pool.QueryRow(ctx, "SELECT 1").Scan(&got)
	}
	return pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, "SELECT pg_sleep(0.02)")
		return err
	})
}

func (l *load) report(t *testing.T) {
	t.Helper()
	l.stop()
	t.Logf("%d queries, %d failures", l.queries.Load(), l.failures.Load())
	if l.failures.Load() > 0 {
		t.Errorf("first failure: %v", *l.first.Load())
	}
}

func TestNoQueryFailsWhileAccountsAlternate(t *testing.T) {
	w := newWorld(t)
	pool, b := w.pool(t, pgxsecret.Options{Customize: func(c *pgxpool.Config) { c.MaxConns = 12 }})
	l := startLoad(t, pool, 16)
	for i := 1; i <= 50; i++ {
		w.rotate(t, i%2, fmt.Sprint("password", i))
		id, err := b.Moved(testContext(t))
		if err != nil || id != w.secret.VersionID() {
			t.Fatalf("not moved: %v", err)
		}
		if i%10 == 0 { // the other account is retired at once
			if _, err := waitVersion(t, w.secret, fmt.Sprint("password", i)); err != nil {
				t.Fatal(err)
			}
			if _, err := b.Moved(testContext(t)); err != nil {
				t.Fatal(err)
			}
			w.pg.Must(t, fmt.Sprintf("ALTER ROLE %s NOLOGIN", w.role((i+1)%2)), fmt.Sprintf("ALTER ROLE %s LOGIN", w.role((i+1)%2)))
			w.usersAre(t, w.role(i%2))
		}
	}
	l.report(t)
}

// waitVersion waits until the secret holds a value with the password.
func waitVersion(t *testing.T, s *client.Secret, password string) (*client.Version, error) {
	t.Helper()
	ctx := testContext(t)
	for {
		v := s.Current()
		var got struct{ Password string }
		if err := json.Unmarshal(v.Value.Bytes(), &got); err != nil || got.Password == password {
			return v, err
		}
		select {
		case <-v.Replaced():
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// usersAre checks who is connected to the database. A backend needs a moment to
// end after its connection was closed, so only a lasting one is an error.
func (w *world) usersAre(t *testing.T, want string) {
	t.Helper()
	admin := w.pg.Admin(t, "postgres")
	ctx := testContext(t)
	for {
		var others int
		row := admin.QueryRow(ctx, "SELECT count(*) FROM pg_stat_activity WHERE datname = $1 AND usename <> $2", w.database, want)
		if err := row.Scan(&others); err != nil {
			t.Fatalf("%d sessions of another account: %v", others, err)
		}
		if others == 0 {
			return
		}
	}
}

// TestNoQueryFailsWithOnePassword: between set and finish even the current
// value is refused; logins wait for the new one.
func TestNoQueryFailsWithOnePassword(t *testing.T) {
	w := newWorld(t)
	pool, _ := w.pool(t, pgxsecret.Options{Customize: func(c *pgxpool.Config) {
		c.MaxConns, c.MaxConnLifetime = 8, 30*time.Millisecond // new logins all the time
	}})
	l := startLoad(t, pool, 12)
	for i := range 20 {
		w.password(t, 0, fmt.Sprint("only", i))
		w.srv.Put(t, "app", w.value(t, 0, fmt.Sprint("only", i)))
		if _, err := waitVersion(t, w.secret, fmt.Sprint("only", i)); err != nil {
			t.Fatal(err)
		}
	}
	l.report(t)
}

// TestALateEventIsNoFailure: the secret is not told of the change, and the old
// credential is dead.
func TestALateEventIsNoFailure(t *testing.T) {
	w := newWorld(t)
	cfg := w.srv.Config()
	cfg.NATSURL, cfg.PollInterval = "tls://127.0.0.1:1", time.Hour
	deaf, err := client.New(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(deaf.Close)
	if w.secret, err = deaf.Open(testContext(t), "app"); err != nil {
		t.Fatal(err)
	}
	pool, _ := w.pool(t, pgxsecret.Options{})
	for i := 1; i <= 4; i++ {
		w.rotate(t, i%2, fmt.Sprint("late", i))
		w.pg.Must(t, fmt.Sprintf("ALTER ROLE %s PASSWORD NULL", w.role((i+1)%2)))
		pool.Reset()
		var user string
		if err := pool.QueryRow(testContext(t), "SELECT current_user").Scan(&user); err != nil || user != w.role(i%2) {
			t.Fatalf("as %s: %v", user, err)
		}
	}
}

func TestAWrongPasswordFailsWithTheServersWords(t *testing.T) {
	w := newWorld(t)
	pool, _ := w.pool(t, pgxsecret.Options{})
	w.password(t, 0, "changed by hand")
	_, err := pool.Exec(testContext(t), "SELECT 1")
	var refused *pgconn.PgError
	if !errors.As(err, &refused) || refused.Code != "28P01" {
		t.Errorf("got %v", err)
	}
}

func TestBusyConnectionsAreDrainedWhenReleased(t *testing.T) {
	w := newWorld(t)
	pool, b := w.pool(t, pgxsecret.Options{})
	busy, err := pool.Acquire(testContext(t))
	if err != nil {
		t.Fatal(err)
	}
	w.rotate(t, 1, "second")
	if _, err := waitVersion(t, w.secret, "second"); err != nil {
		t.Fatal(err)
	}
	short, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := b.Moved(short); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("moved with a busy connection: %v", err)
	}
	var user string
	if err := busy.QueryRow(testContext(t), "SELECT current_user").Scan(&user); err != nil || user != w.role(0) {
		t.Errorf("the busy connection was cut: %s, %v", user, err)
	}
	busy.Release()
	if _, err := b.Moved(testContext(t)); err != nil {
		t.Error(err)
	}
	if err := pool.QueryRow(testContext(t), "SELECT current_user").Scan(&user); err != nil || user != w.role(1) {
		t.Errorf("now %s, %v", user, err)
	}
}

// TestTheHandedConnectionIsWhole: parameters, cancelling and hooks work as on
// any other.
func TestTheHandedConnectionIsWhole(t *testing.T) {
	w := newWorld(t)
	var hooks atomic.Int64
	pool, _ := w.pool(t, pgxsecret.Options{ConnString: "host=192.0.2.1 sslmode=disable application_name=whole", Customize: func(c *pgxpool.Config) {
		c.BeforeConnect = func(context.Context, *pgx.ConnConfig) error { hooks.Add(1); return nil }
		c.PrepareConn = func(context.Context, *pgx.Conn) (bool, error) { hooks.Add(1); return true, nil }
		c.ConnConfig.BuildContextWatcherHandler = func(pc *pgconn.PgConn) ctxwatch.Handler {
			return &pgconn.CancelRequestContextWatcherHandler{Conn: pc, DeadlineDelay: 10 * time.Second}
		}
	}})
	var app string
	if err := pool.QueryRow(testContext(t), "SHOW application_name").Scan(&app); err != nil || app != "whole" {
		t.Errorf("%q, %v", app, err)
	}
	conn, err := pool.Acquire(testContext(t))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Release()
	pc := conn.Conn().PgConn()
	if pc.ParameterStatus("server_version") == "" || pc.PID() == 0 || hooks.Load() < 3 {
		t.Errorf("version %q, pid %d, %d hooks", pc.ParameterStatus("server_version"), pc.PID(), hooks.Load())
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	begin := time.Now()
	_, err = conn.Exec(ctx, "SELECT pg_sleep(20)")
	var cancelled *pgconn.PgError
	if !errors.As(err, &cancelled) || cancelled.Code != "57014" || time.Since(begin) > 5*time.Second {
		t.Errorf("cancelled after %v: %v", time.Since(begin), err)
	}
	if err := conn.Conn().Ping(testContext(t)); err != nil {
		t.Errorf("after a cancelled query: %v", err)
	}
}

// restless has another Version each time that it is asked, with the same
// credential, as if it changed during every login.
type restless struct {
	*client.Secret
	asked atomic.Int64
}

func (r *restless) Current() *client.Version {
	v := *r.Secret.Current()
	v.ID = lockstep.VersionID(fmt.Sprintf("%s-%d", v.ID, r.asked.Add(1)))
	return &v
}

// TestAChangeDuringEachLogin: pgxpool gives a query up after one attempt more
// than it has connections; a login that was overtaken must not use them up.
func TestAChangeDuringEachLogin(t *testing.T) {
	w := newWorld(t)
	cfg, err := pgxpool.ParseConfig("")
	if err != nil {
		t.Fatal(err)
	}
	cfg.MaxConns = 2
	pgxsecret.Configure(cfg, &restless{Secret: w.secret})
	pool, err := pgxpool.NewWithConfig(testContext(t), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	for range 5 {
		if _, err := pool.Exec(testContext(t), "SELECT 1"); err != nil {
			t.Fatal(err)
		}
	}
}
