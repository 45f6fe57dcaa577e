package workers_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"lockstep"
	"lockstep/bus"
	"lockstep/events"
	"lockstep/hsm/file"
	"lockstep/internal/migratedtest"
	"lockstep/internal/pgtest"
	"lockstep/keeper"
	"lockstep/keys"
	"lockstep/rotators"
	"lockstep/rotators/postgres"
	"lockstep/runs"
	"lockstep/store"
	"lockstep/store/sqlstore"
	"lockstep/workers"
)

var owner = store.Owner{Account: "123456789012", Region: "us-east-1"}

// lease is short, so that a test that lets one run out is, too.
const lease = 3 * time.Second

const patience = 60 * time.Second

// world is all that carries a Run: a store, NATS with its relay, the engine,
// pools, and a PostgreSQL as the target.
type world struct {
	pg       *pgtest.Server
	database string
	store    store.Store
	bus      *bus.Bus
	keys     *keys.Service
	keeper   *keeper.Keeper
	engine   *runs.Service
	registry *rotators.Registry
	hooks    *hooks
	audit    *recorder
	observer workers.Observer
	log      *testLog
}

type testLog struct {
	mu sync.Mutex
	t  testing.TB
}

func (l *testLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.t != nil {
		l.t.Log(strings.TrimSpace(string(p)))
	}
	return len(p), nil
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func newWorld(t *testing.T, pg *pgtest.Server) *world {
	t.Helper()
	return newWorldOn(t, pg, migratedtest.SQLite(t))
}

// newWorldOn is newWorld with a migrated store of the test's own.
func newWorldOn(t *testing.T, pg *pgtest.Server, dsn string) *world {
	t.Helper()
	w := &world{pg: pg, database: pg.Database(t), registry: &rotators.Registry{}, hooks: &hooks{}, audit: newRecorder(), log: &testLog{t: t}}
	t.Cleanup(func() {
		w.log.mu.Lock()
		defer w.log.mu.Unlock()
		w.log.t = nil
	})
	var err error
	w.store, err = sqlstore.Open(t.Context(), sqlstore.Config{DSN: dsn})
	must(t, err)
	t.Cleanup(func() { _ = w.store.Close() })
	root, err := file.Create(file.Config{Path: filepath.Join(t.TempDir(), "root.key")})
	must(t, err)
	ks, err := keys.New(t.Context(), keys.Config{Store: w.store, Root: root})
	must(t, err)
	single, err := postgres.NewSingle(postgres.Config{})
	must(t, err)
	pair, err := postgres.NewAlternating(postgres.Config{})
	must(t, err)
	must(t, w.registry.Register(postgres.NameSingle, hooked[*postgres.Single]{single, w.hooks}))
	must(t, w.registry.Register(postgres.NameAlternating, retiring{hooked[*postgres.Alternating]{pair, w.hooks}}))
	w.keys = ks
	w.keeper = keeper.New(w.store, ks, w.registry)
	w.engine = runs.New(runs.Config{
		Store: w.store, Vault: w.keeper, Rotators: w.registry, MinInterval: time.Second, Lease: lease,
	})
	w.bus, err = bus.Start(t.Context(), bus.Config{Dir: t.TempDir(), MaxStore: 256 << 20, AckWait: lease})
	must(t, err)
	t.Cleanup(func() { _ = w.bus.Close() })
	relay, err := events.New(events.Config{Store: w.store, Publisher: w.bus, Streams: w.bus, Reconcile: time.Second})
	must(t, err)
	must(t, relay.Start(t.Context()))
	t.Cleanup(relay.Stop)
	return w
}

// pool starts a pool; it stops with the test.
func (w *world) pool(ctx context.Context, t *testing.T) *workers.Pool {
	t.Helper()
	queue, err := w.bus.Jobs(t.Context(), bus.DefaultPool, 4)
	must(t, err)
	p, err := workers.New(workers.Config{
		Queue: queue, Engine: w.engine, Vault: w.keeper, Rotators: w.registry, Workers: 4, AckWait: lease, Audit: w.audit,
		Observer: w.observer,
		Logger:   slog.New(slog.NewTextHandler(w.log, nil)),
	})
	must(t, err)
	p.Start(ctx)
	t.Cleanup(func() { p.Stop(); queue.Stop() })
	return p
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

func (w *world) value(t testing.TB, user, password, master string) secret {
	t.Helper()
	return secret{
		Engine: "postgres", Host: "127.0.0.1", Port: w.pg.Port(), Database: w.database,
		User: user, Password: password, MasterARN: master, SSLMode: "disable",
	}
}

func (s secret) value(t testing.TB) lockstep.Value {
	t.Helper()
	b, err := json.Marshal(s)
	must(t, err)
	return lockstep.StringValue(string(b))
}

func ref(name string) keeper.Ref { return keeper.Ref{Owner: owner, ID: name} }

func token(t testing.TB) lockstep.VersionID {
	t.Helper()
	id, err := lockstep.NewVersionID()
	must(t, err)
	return id
}

func (w *world) create(t testing.TB, name string, s secret) *lockstep.Secret {
	t.Helper()
	out, err := w.keeper.Create(t.Context(), keeper.CreateInput{Owner: owner, Name: name, Token: token(t), Value: s.value(t)})
	must(t, err)
	return out.Secret
}

// app makes an admin and an application's role at the target, and their two
// Secrets, with rotation on for the application's.
func (w *world) app(t testing.TB, rotator string, change ...func(*runs.RotateInput)) *lockstep.Secret {
	t.Helper()
	user, boss := w.names()
	w.pg.Must(t, "CREATE ROLE "+boss+" LOGIN CREATEROLE PASSWORD 'boss-secret-1'",
		"CREATE ROLE "+user+" LOGIN PASSWORD 'app-secret-1'", "GRANT "+user+" TO "+boss+" WITH ADMIN OPTION",
		"GRANT pg_signal_backend TO "+boss)
	admin := w.create(t, "admin", w.value(t, boss, "boss-secret-1", ""))
	s := w.create(t, "app", w.value(t, user, "app-secret-1", string(admin.ARN)))
	in := runs.RotateInput{RotatorARN: &rotator}
	for _, f := range change {
		f(&in)
	}
	_, err := w.engine.Configure(t.Context(), ref("app"), in)
	must(t, err)
	return s
}

// names are the roles of this world: a server is shared.
func (w *world) names() (user, boss string) {
	return "u" + w.database[5:], "boss" + w.database[5:]
}

func (w *world) rotate(t testing.TB, name string) runs.RotateOutput {
	t.Helper()
	out, err := w.engine.Rotate(t.Context(), ref(name), runs.RotateInput{Token: token(t)})
	must(t, err)
	return out
}

// until waits for something that the store will show.
func (w *world) until(t testing.TB, what string, seen func(tx store.ReadTx) (bool, error)) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	changed, release := w.store.Subscribe(store.TopicRuns)
	defer release()
	outbox, releaseOutbox := w.store.Subscribe(store.TopicOutbox)
	defer releaseOutbox()
	for {
		var ok bool
		must(t, w.store.View(t.Context(), func(tx store.ReadTx) (err error) { ok, err = seen(tx); return err }))
		if ok {
			return
		}
		select {
		case <-changed:
		case <-outbox:
		case <-ctx.Done():
			t.Fatalf("never: %s", what)
		}
	}
}

// ended waits for the end of a Run.
func (w *world) ended(t testing.TB, id lockstep.RunID) *lockstep.Run {
	t.Helper()
	var run *lockstep.Run
	w.until(t, "the run's end", func(tx store.ReadTx) (ok bool, err error) {
		if run, err = tx.Run(id); err != nil {
			return false, err
		}
		return run.State.Final(), nil
	})
	return run
}

func (w *world) succeeded(t testing.TB, id lockstep.RunID) *lockstep.Run {
	t.Helper()
	run := w.ended(t, id)
	if run.State != lockstep.RunSucceeded {
		t.Fatalf("run %s is %s: %s", id, run.State, run.Reason)
	}
	return run
}

// current is AWSCURRENT.
func (w *world) current(t testing.TB, name string) secret {
	t.Helper()
	out, err := w.keeper.Get(t.Context(), ref(name), keeper.GetInput{})
	must(t, err)
	var s secret
	must(t, json.Unmarshal(out.Value.Bytes(), &s))
	return s
}

// accepts logs in.
func (w *world) accepts(t testing.TB, s secret) bool {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), w.pg.DSN(s.User, s.Password, s.Database))
	if err != nil {
		return false
	}
	_ = conn.Close(t.Context())
	return true
}

// sound asserts that AWSCURRENT logs in and that the rows hold together.
func (w *world) sound(t testing.TB) {
	t.Helper()
	if !w.accepts(t, w.current(t, "app")) {
		t.Error("the target refuses AWSCURRENT")
	}
	broken, err := w.engine.Check(t.Context(), 0)
	must(t, err)
	for _, v := range broken.Violations {
		t.Errorf("%s: %s: %s", v.Rule, v.ARN, v.Detail)
	}
}

func (w *world) history(t testing.TB, id lockstep.RunID) runs.History {
	t.Helper()
	h, err := w.engine.Run(t.Context(), owner, id)
	must(t, err)
	return h
}

// hooks is what happens around a call to the target, once each.
type hooks struct {
	mu     sync.Mutex
	before map[string]func(ctx context.Context) error
	after  map[string]func(ctx context.Context, err error) error
	calls  map[string]int
}

func (h *hooks) onceBefore(call string, fn func(ctx context.Context) error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.before == nil {
		h.before = make(map[string]func(context.Context) error)
	}
	h.before[call] = fn
}

func (h *hooks) onceAfter(call string, fn func(ctx context.Context, err error) error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.after == nil {
		h.after = make(map[string]func(context.Context, error) error)
	}
	h.after[call] = fn
}

func (h *hooks) count(call string) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.calls[call]
}

func (h *hooks) around(ctx context.Context, call string, do func() error) error {
	h.mu.Lock()
	before, after := h.before[call], h.after[call]
	delete(h.before, call)
	delete(h.after, call)
	if h.calls == nil {
		h.calls = make(map[string]int)
	}
	h.calls[call]++
	h.mu.Unlock()
	if before != nil {
		if err := before(ctx); err != nil {
			return err
		}
	}
	err := do()
	if after != nil {
		return after(ctx, err)
	}
	return err
}

// whole is what the PostgreSQL rotators can do.
type whole interface {
	rotators.Chooser
	rotators.Identifier
	rotators.Fencer
	rotators.Planner
}

// hooked is a real rotator with hooks around its changes.
type hooked[R whole] struct {
	real  R
	hooks *hooks
}

func (h hooked[R]) Traits() lockstep.Traits { return h.real.Traits() }
func (h hooked[R]) Create(ctx context.Context, r *rotators.Request) (v lockstep.Value, err error) {
	err = h.hooks.around(ctx, "create", func() error { v, err = h.real.Create(ctx, r); return err })
	return v, err
}

func (h hooked[R]) Set(ctx context.Context, r *rotators.Request) error {
	return h.hooks.around(ctx, "set", func() error { return h.real.Set(ctx, r) })
}

func (h hooked[R]) Test(ctx context.Context, r *rotators.Request, v lockstep.Value) error {
	return h.hooks.around(ctx, "test", func() error { return h.real.Test(ctx, r, v) })
}

func (h hooked[R]) Raise(ctx context.Context, r *rotators.Request) (f uint64, err error) {
	err = h.hooks.around(ctx, "raise", func() error { f, err = h.real.Raise(ctx, r); return err })
	return f, err
}

func (h hooked[R]) Account(v lockstep.Value) (rotators.Account, error) { return h.real.Account(v) }
func (h hooked[R]) Accounts(v lockstep.Value) ([]rotators.Account, error) {
	return h.real.Accounts(v)
}

func (h hooked[R]) Plan(ctx context.Context, r *rotators.Request) (rotators.Plan, error) {
	return h.real.Plan(ctx, r)
}

// retiring is hooked for a rotator that retires.
type retiring struct{ hooked[*postgres.Alternating] }

func (h retiring) Retire(ctx context.Context, r *rotators.Request, old lockstep.Value) error {
	return h.hooks.around(ctx, "retire", func() error { return h.real.Retire(ctx, r, old) })
}

func (h retiring) KillSessions(ctx context.Context, r *rotators.Request, old lockstep.Value) error {
	return h.hooks.around(ctx, "kill", func() error { return h.real.KillSessions(ctx, r, old) })
}

func (h retiring) Sessions(ctx context.Context, r *rotators.Request, v lockstep.Value) ([]rotators.Session, error) {
	return h.real.Sessions(ctx, r, v)
}
