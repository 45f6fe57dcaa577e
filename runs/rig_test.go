package runs_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"lockstep"
	"lockstep/hsm/file"
	"lockstep/internal/migratedtest"
	"lockstep/keeper"
	"lockstep/keys"
	"lockstep/rotators"
	"lockstep/runs"
	"lockstep/store"
	"lockstep/store/sqlstore"
)

var owner = store.Owner{Account: "123456789012", Region: "us-east-1"}

const lease = 15 * time.Second

// rig is a real store, real keys and the engine; only the targets are missing.
type rig struct {
	*runs.Service
	store  store.Store
	keeper *keeper.Keeper
	clock  *clock
	config runs.Config
}

// clock is the store's; it stands still until somebody moves it.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) read() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

var began = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func onSQLite(t testing.TB) *rig {
	t.Helper()
	c := &clock{now: began}
	return newRig(t, sqlstore.Config{DSN: migratedtest.SQLite(t), Now: c.read}, c)
}

// onBoth runs a test that needs no clock of its own on both stores.
func onBoth(t *testing.T, test func(t *testing.T, r *rig)) {
	t.Run("sqlite", func(t *testing.T) { test(t, onSQLite(t)) })
	t.Run("postgres", func(t *testing.T) {
		test(t, newRig(t, sqlstore.Config{DSN: migratedtest.Postgres(t), Connections: 6}, nil))
	})
}

func newRig(t testing.TB, cfg sqlstore.Config, c *clock) *rig {
	t.Helper()
	st, err := sqlstore.Open(t.Context(), cfg)
	must(t, err)
	t.Cleanup(func() { _ = st.Close() })
	root, err := file.Create(file.Config{Path: filepath.Join(t.TempDir(), "root.key")})
	must(t, err)
	ks, err := keys.New(t.Context(), keys.Config{Store: st, Root: root})
	must(t, err)
	reg := &rotators.Registry{}
	must(t, reg.Register("single", account{overlap: lockstep.OneValue}))
	must(t, reg.Register("pair", account{overlap: lockstep.TwoAccounts}))
	must(t, reg.Register("several", issuer{overlap: lockstep.TwoValues}))
	must(t, reg.Register("one", issuer{overlap: lockstep.OneValue}))
	kp := keeper.New(st, ks, reg)
	r := &rig{store: st, keeper: kp, clock: c}
	cfgRuns := runs.Config{Store: st, Vault: kp, Rotators: reg, MinInterval: time.Second, Lease: lease}
	if c != nil {
		cfgRuns.Now = c.read
	}
	r.config = cfgRuns
	r.Service = runs.New(cfgRuns)
	return r
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wants(t testing.TB, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("got %v, want %v", err, want)
	}
}

// credential is the value of the Secrets here.
type credential struct {
	Host     string `json:"host"`
	User     string `json:"user"`
	Password string `json:"password"`
	Master   string `json:"masterarn,omitempty"`
}

func (c credential) value() lockstep.Value {
	b, err := json.Marshal(c)
	if err != nil {
		return lockstep.Value{}
	}
	return lockstep.StringValue(string(b))
}

// account is a rotator that knows its values; nobody calls its target here.
type account struct{ overlap lockstep.Overlap }

func (a account) Traits() lockstep.Traits {
	return lockstep.Traits{Chooser: lockstep.Chosen, Overlap: a.overlap}
}

func (account) Create(context.Context, *rotators.Request) (lockstep.Value, error) {
	return lockstep.Value{}, errors.New("not here")
}
func (account) Set(context.Context, *rotators.Request) error { return errors.New("not here") }
func (account) Test(context.Context, *rotators.Request, lockstep.Value) error {
	return errors.New("not here")
}

func (account) Account(v lockstep.Value) (rotators.Account, error) {
	var c credential
	if err := json.Unmarshal(v.Bytes(), &c); err != nil || c.User == "" {
		return rotators.Account{}, fmt.Errorf(`the field "user" is missing: %w`, lockstep.ErrInvalid)
	}
	return rotators.Account{Engine: "test", Host: c.Host, Port: 1, User: c.User}, nil
}

func (a account) Accounts(v lockstep.Value) ([]rotators.Account, error) {
	one, err := a.Account(v)
	if err != nil || a.overlap == lockstep.OneValue {
		return []rotators.Account{one}, err
	}
	two := one
	two.User = other(one.User)
	return []rotators.Account{one, two}, nil
}

func other(user string) string {
	if n := len(user) - 2; n > 0 && user[n:] == "_2" {
		return user[:n]
	}
	return user + "_2"
}

func ref(name string) keeper.Ref { return keeper.Ref{Owner: owner, ID: name} }

func token(t testing.TB) lockstep.VersionID {
	t.Helper()
	id, err := lockstep.NewVersionID()
	must(t, err)
	return id
}

// secret stores a Secret whose account is its name.
func (r *rig) secret(t testing.TB, name string) *lockstep.Secret {
	t.Helper()
	out, err := r.keeper.Create(t.Context(), keeper.CreateInput{
		Owner: owner, Name: name, Token: token(t), Value: credential{Host: "db", User: name, Password: "first"}.value(),
	})
	must(t, err)
	return out.Secret
}

// rotating stores a Secret and turns rotation on; nothing runs yet.
func (r *rig) rotating(t testing.TB, name, rotator string, change ...func(*runs.RotateInput)) *lockstep.Secret {
	t.Helper()
	r.secret(t, name)
	in := runs.RotateInput{Token: token(t), RotatorARN: &rotator}
	for _, f := range change {
		f(&in)
	}
	s, err := r.Configure(t.Context(), ref(name), in)
	must(t, err)
	return s
}

func every(d string) func(*runs.RotateInput) {
	return func(in *runs.RotateInput) { in.Schedule = &lockstep.Schedule{Expression: "@every " + d} }
}

func retired(p lockstep.Retirement) func(*runs.RotateInput) {
	return func(in *runs.RotateInput) { in.Retirement = &p }
}

// rotate starts a Run by hand.
func (r *rig) rotate(t testing.TB, name string) runs.RotateOutput {
	t.Helper()
	out, err := r.Rotate(t.Context(), ref(name), runs.RotateInput{Token: token(t)})
	must(t, err)
	return out
}

func (r *rig) claim(t testing.TB, id lockstep.RunID, holder string) *runs.Claim {
	t.Helper()
	c, err := r.Claim(t.Context(), id, holder)
	must(t, err)
	return c
}

// created carries a claim to the point where the target may have been told.
func (r *rig) created(t testing.TB, c *runs.Claim) {
	t.Helper()
	must(t, c.Created(t.Context(), r.pending(t, c)))
}

func (r *rig) pending(t testing.TB, c *runs.Claim) runs.Pending {
	t.Helper()
	return r.made(t, c.Secret.ID, c.Run.Version, c.Traits.Overlap)
}

// ahead makes the value of a Run before it is claimed.
func (r *rig) ahead(t testing.TB, out runs.RotateOutput) runs.Pending {
	t.Helper()
	overlap := lockstep.OneValue
	if out.Secret.Rotation.Rotator == "pair" {
		overlap = lockstep.TwoAccounts
	}
	return r.made(t, out.Secret.ID, out.Version, overlap)
}

func (r *rig) made(t testing.TB, id lockstep.SecretID, version lockstep.VersionID, overlap lockstep.Overlap) runs.Pending {
	t.Helper()
	values, err := r.keeper.EngineValues(t.Context(), id, version)
	must(t, err)
	var cred credential
	must(t, json.Unmarshal(values.Current.Bytes(), &cred))
	if overlap == lockstep.TwoAccounts {
		cred.User = other(cred.User)
	}
	cred.Password = string(version)
	sealed, key, err := r.keeper.SealPending(t.Context(), values.Secret, version, cred.value())
	must(t, err)
	return runs.Pending{Base: values.CurrentID, Sealed: sealed, Account: key, AdminRef: keeper.NamedAdmin(cred.value()), Admin: values.AdminID}
}

// finished carries a Run by hand from its claim to its end.
func (r *rig) finished(t testing.TB, id lockstep.RunID) {
	t.Helper()
	c := r.claim(t, id, "worker")
	r.created(t, c)
	must(t, c.Applied(t.Context()))
	must(t, c.Finish(t.Context()))
}

func (r *rig) view(t testing.TB, fn func(tx store.ReadTx) error) {
	t.Helper()
	must(t, r.store.View(t.Context(), fn))
}

func (r *rig) run(t testing.TB, id lockstep.RunID) (run *lockstep.Run) {
	t.Helper()
	r.view(t, func(tx store.ReadTx) (err error) { run, err = tx.Run(id); return err })
	return run
}

func (r *rig) version(t testing.TB, s lockstep.SecretID, id lockstep.VersionID) (v *lockstep.Version) {
	t.Helper()
	r.view(t, func(tx store.ReadTx) (err error) { v, err = tx.Version(s, id); return err })
	return v
}

func (r *rig) read(t testing.TB, id lockstep.SecretID) (s *lockstep.Secret, stages lockstep.Stages) {
	t.Helper()
	r.view(t, func(tx store.ReadTx) (err error) {
		if s, err = tx.Secret(id); err != nil {
			return err
		}
		stages, err = tx.Stages(id)
		return err
	})
	return s, stages
}

func (r *rig) slot(t testing.TB, id lockstep.SecretID) (slot lockstep.Slot) {
	t.Helper()
	r.view(t, func(tx store.ReadTx) (err error) { slot, err = tx.Slot(id); return err })
	return slot
}

// jobs are those of the outbox, due or not.
func (r *rig) jobs(t testing.TB) []store.Job {
	t.Helper()
	var list []store.Job
	r.clockAt(t, 24*time.Hour, func() {
		r.view(t, func(tx store.ReadTx) (err error) { list, err = tx.Jobs(1000); return err })
	})
	return list
}

// clockAt looks from the future.
func (r *rig) clockAt(t testing.TB, ahead time.Duration, look func()) {
	t.Helper()
	if r.clock == nil {
		t.Fatal("this store has no clock of its own")
	}
	r.clock.pass(ahead)
	defer r.clock.pass(-ahead)
	look()
}

// events counts a Secret's Events by type.
func (r *rig) events(t testing.TB, id lockstep.SecretID) map[lockstep.EventType]int {
	t.Helper()
	out := make(map[lockstep.EventType]int)
	r.view(t, func(tx store.ReadTx) error {
		list, err := tx.Events(id, 0, 10_000)
		for _, e := range list {
			out[e.Type]++
		}
		return err
	})
	return out
}

// sound fails the test if the rows break an invariant.
func (r *rig) sound(t testing.TB) {
	t.Helper()
	broken, err := r.Check(t.Context(), 0)
	must(t, err)
	for _, v := range broken.Violations {
		t.Errorf("%s: %s: %s", v.Rule, v.ARN, v.Detail)
	}
}

func fault(o lockstep.Outcome, f lockstep.Fault) *lockstep.TargetError {
	return &lockstep.TargetError{Outcome: o, Fault: f, Hint: "do this", Err: errors.New("the target said so")}
}
