package keeper_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"lockstep"
	"lockstep/hsm/file"
	"lockstep/internal/migratedtest"
	"lockstep/keeper"
	"lockstep/keys"
	"lockstep/store"
	"lockstep/store/sqlstore"
)

var home = store.Owner{Account: "000000000000", Region: "us-east-1"}

// world is a Keeper on a real store.
type world struct {
	*keeper.Keeper
	t     *testing.T
	store store.Store
	keys  *keys.Service
	// name is the Secret that the present case is about.
	name  string
	cases int
	// ahead moves the clock of a SQLite store; PostgreSQL has its own.
	ahead atomic.Int64
}

// onBoth runs a test on SQLite and on PostgreSQL.
func onBoth(t *testing.T, test func(*testing.T, *world)) {
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		test(t, onSQLite(t))
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		test(t, newWorld(t, sqlstore.Config{DSN: migratedtest.Postgres(t)}))
	})
}

func onSQLite(t *testing.T) *world {
	return newWorld(t, sqlstore.Config{DSN: migratedtest.SQLite(t)})
}

func newWorld(t *testing.T, cfg sqlstore.Config) *world {
	t.Helper()
	w := &world{t: t, name: "a"}
	cfg.Now = func() time.Time { return time.Now().Add(time.Duration(w.ahead.Load())) }
	s, err := sqlstore.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	root, err := file.Create(file.Config{Path: filepath.Join(t.TempDir(), "root.key")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = root.Close() })
	if w.keys, err = keys.New(t.Context(), keys.Config{Store: s, Root: root}); err != nil {
		t.Fatal(err)
	}
	w.store = s
	w.Keeper = keeper.New(s, w.keys, targets{})
	return w
}

// fresh begins a case with a Secret of its own: a database each would take
// too long.
func (w *world) fresh(t *testing.T) *world {
	t.Helper()
	w.t = t
	// The cases before are about the same account at the target.
	w.update(func(tx store.Tx) error {
		for id := range lockstep.SecretID(2*w.cases + 1) {
			if err := tx.ReleaseAccounts(id + 1); err != nil {
				return err
			}
		}
		return nil
	})
	w.t, w.name = t, fmt.Sprintf("case/%d", w.cases)
	w.cases++
	return w
}

// targets knows three rotators by name. A value for them is JSON with a
// username.
type targets struct{}

func (targets) Traits(rotator string) (lockstep.Traits, error) {
	switch rotator {
	case "single":
		return lockstep.Traits{Chooser: lockstep.Chosen, Overlap: lockstep.OneValue}, nil
	case "pair":
		return lockstep.Traits{Chooser: lockstep.Chosen, Overlap: lockstep.TwoAccounts}, nil
	case "values":
		return lockstep.Traits{Chooser: lockstep.ValueOnly}, nil
	}
	return lockstep.Traits{}, lockstep.ErrUnknownRotator
}

func (targets) AccountNames(rotator string, v lockstep.Value) ([]string, error) {
	if rotator == "values" {
		return nil, nil
	}
	var login struct{ Username string }
	if json.Unmarshal(v.Bytes(), &login) != nil || login.Username == "" {
		return nil, fmt.Errorf("no username: %w", lockstep.ErrInvalid)
	}
	return []string{login.Username, login.Username}, nil
}

// login is a value of that user.
func login(user, password string) lockstep.Value {
	return lockstep.StringValue(fmt.Sprintf(`{"username":%q,"password":%q}`, user, password))
}

func ref(name string) keeper.Ref { return keeper.Ref{Owner: home, ID: name} }

// must fails the test on an error.
func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) update(fn func(store.Tx) error) {
	w.t.Helper()
	w.must(w.store.Update(w.t.Context(), fn))
}

func (w *world) view(fn func(store.ReadTx) error) {
	w.t.Helper()
	w.must(w.store.View(w.t.Context(), fn))
}

// put is a PutSecretValue.
func (w *world) put(name, token, value string, stages ...lockstep.Stage) (keeper.WriteOutput, error) {
	return w.Put(w.t.Context(), ref(name), keeper.PutInput{
		Token: lockstep.VersionID(token), Value: lockstep.StringValue(value), Stages: stages,
	})
}

// create is a CreateSecret; without a token, one without a value.
func (w *world) create(name, token, value string) (keeper.WriteOutput, error) {
	return w.Create(w.t.Context(), keeper.CreateInput{
		Owner: home, Name: name, Token: lockstep.VersionID(token), Value: lockstep.StringValue(value),
	})
}

// made creates a Secret and fails the test if it can't.
func (w *world) made(name, token, value string) *lockstep.Secret {
	w.t.Helper()
	out, err := w.create(name, token, value)
	w.must(err)
	return out.Secret
}

func (w *world) secret(name string) *lockstep.Secret {
	w.t.Helper()
	d, err := w.Describe(w.t.Context(), ref(name))
	w.must(err)
	return d.Secret
}

// labels writes where the labels stand: "AWSCURRENT=b AWSPREVIOUS=a".
func (w *world) labels(name string) string {
	w.t.Helper()
	d, err := w.Describe(w.t.Context(), ref(name))
	w.must(err)
	var out []string
	for _, st := range slices.Sorted(maps.Keys(d.Stages)) {
		out = append(out, string(st)+"="+string(d.Stages[st]))
	}
	return strings.Join(out, " ")
}

// versions lists the ids of all Versions, oldest first.
func (w *world) versions(name string) []string {
	w.t.Helper()
	l, err := w.ListVersions(w.t.Context(), ref(name))
	w.must(err)
	var out []string
	for _, v := range l.Versions {
		out = append(out, string(v.ID))
	}
	return out
}

func (w *world) version(name, id string) *lockstep.Version {
	w.t.Helper()
	l, err := w.ListVersions(w.t.Context(), ref(name))
	w.must(err)
	for _, v := range l.Versions {
		if string(v.ID) == id {
			return v
		}
	}
	return nil
}

// events lists the Events of a Secret, and checks their sequence.
func (w *world) events(id lockstep.SecretID) []lockstep.Event {
	w.t.Helper()
	var out []lockstep.Event
	w.view(func(tx store.ReadTx) error {
		var err error
		out, err = tx.Events(id, 0, 1000)
		return err
	})
	for i, e := range out {
		if e.Seq != uint64(i+1) {
			w.t.Errorf("event %d has sequence %d", i+1, e.Seq)
		}
	}
	return out
}

func eventTypes(events []lockstep.Event) string {
	var out []string
	for _, e := range events {
		out = append(out, string(e.Type))
	}
	return strings.Join(out, " ")
}

// healthy runs the store's invariants.
func (w *world) healthy() {
	w.t.Helper()
	w.view(func(tx store.ReadTx) error {
		broken, _, err := tx.Violations(0, 1000)
		for _, v := range broken {
			w.t.Errorf("invariant %s: %s", v.Rule, v.Detail)
		}
		return err
	})
}

// rotate turns rotation on.
func (w *world) rotate(name, rotator string, edit ...func(*lockstep.Rotation)) {
	w.t.Helper()
	id := w.secret(name).ID
	w.update(func(tx store.Tx) error {
		s, err := tx.LockSecret(id)
		if err != nil {
			return err
		}
		s.Rotation = &lockstep.Rotation{Enabled: true, Rotator: rotator}
		for _, e := range edit {
			e(s.Rotation)
		}
		return tx.SaveSecret(s)
	})
}

// openRun is a Run in some state, as the engine would have left it.
type openRun struct {
	state lockstep.RunState
	// sealed tells whether its Version has its value.
	sealed bool
	// held tells whether a worker has the lease.
	held bool
}

const pendingToken = "pending"

// start writes an open Run of a Secret whose AWSCURRENT is base.
func (w *world) start(name string, base lockstep.VersionID, r openRun) lockstep.RunID {
	w.t.Helper()
	s := w.secret(name)
	v := &lockstep.Version{Secret: s.ID, ID: pendingToken, MaybeLive: r.state.TargetTouched()}
	if r.sealed {
		var err error
		v.Sealed, v.Account, err = w.SealPending(w.t.Context(), s, pendingToken, login("app", "new"))
		w.must(err)
	}
	run := &lockstep.Run{ID: lockstep.RunID("run-" + name), Secret: s.ID, Version: pendingToken, State: r.state, Trigger: lockstep.TriggerSchedule}
	if r.state != lockstep.RunQueued {
		run.Base = base
	}
	w.update(func(tx store.Tx) error {
		stages, err := tx.Stages(s.ID)
		if err != nil {
			return err
		}
		stages[lockstep.Pending] = pendingToken
		v.Created, run.Created = tx.Now(), tx.Now()
		steps := []error{tx.InsertVersion(v), tx.SaveStages(s.ID, stages), tx.InsertRun(run)}
		if r.held {
			_, err = tx.ClaimSlot(s.ID, "worker", time.Minute)
		}
		return errors.Join(append(steps, err)...)
	})
	return run.ID
}

func (w *world) run(id lockstep.RunID) *lockstep.Run {
	w.t.Helper()
	var out *lockstep.Run
	w.view(func(tx store.ReadTx) error {
		var err error
		out, err = tx.Run(id)
		return err
	})
	return out
}

// jobs lists the kinds of Jobs that wait for the case's Secret.
func (w *world) jobs() string {
	w.t.Helper()
	var kinds []string
	w.view(func(tx store.ReadTx) error {
		list, err := tx.Jobs(1000)
		for _, j := range list {
			if j.Name == w.name {
				kinds = append(kinds, string(j.Kind))
			}
		}
		return err
	})
	slices.Sort(kinds)
	return strings.Join(kinds, " ")
}
