package ledger_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"lockstep"
	"lockstep/internal/migratedtest"
	"lockstep/ledger"
	"lockstep/store"
	"lockstep/store/sqlstore"
)

var (
	pair   = lockstep.Traits{Chooser: lockstep.Chosen, Overlap: lockstep.TwoAccounts}
	single = lockstep.Traits{Chooser: lockstep.Chosen, Overlap: lockstep.OneValue}
)

// onBoth runs a test on SQLite and on PostgreSQL.
func onBoth(t *testing.T, test func(*testing.T, store.Store)) {
	for name, dsn := range map[string]func(*testing.T) string{
		"sqlite":   func(t *testing.T) string { return migratedtest.SQLite(t) },
		"postgres": func(t *testing.T) string { return migratedtest.Postgres(t) },
	} {
		t.Run(name, func(t *testing.T) {
			s, err := sqlstore.Open(t.Context(), sqlstore.Config{DSN: dsn(t)})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = s.Close() })
			test(t, s)
		})
	}
}

// scene is a Secret with three Versions: old (AWSPREVIOUS, of the same Account
// as pending), base (AWSCURRENT), and pending, that of a tested Run which a
// worker holds.
type scene struct {
	t      *testing.T
	store  store.Store
	traits lockstep.Traits
	id     lockstep.SecretID
	lease  lockstep.Lease
}

func newScene(t *testing.T, s store.Store, traits lockstep.Traits) *scene {
	t.Helper()
	c := &scene{t: t, store: s, traits: traits}
	baseAccount := lockstep.AccountKey("app_clone")
	if traits == single {
		baseAccount = "app"
	}
	c.must(s.Update(t.Context(), func(tx store.Tx) error {
		secret := &lockstep.Secret{
			Account: "000000000000", Region: "us-east-1", Name: "a", Created: tx.Now(), Changed: tx.Now(),
			ARN:      "arn:aws:secretsmanager:us-east-1:000000000000:secret:a-AbCdEf",
			Rotation: &lockstep.Rotation{Enabled: true, Rotator: "x"},
		}
		err := tx.InsertSecret(secret)
		c.id = secret.ID
		for _, v := range []*lockstep.Version{
			{ID: "old", Account: "app", MaybeLive: true, Retirement: lockstep.RetirementIdle},
			{ID: "base", Account: baseAccount, MaybeLive: true},
			{ID: "pending", Account: "app", MaybeLive: true},
		} {
			v.Secret, v.Created = secret.ID, tx.Now()
			v.Sealed = &lockstep.Sealed{KeyID: "k", WrappedKey: []byte{1}, Ciphertext: []byte{2}, Digest: []byte{3}}
			err = errors.Join(err, tx.InsertVersion(v))
		}
		err = errors.Join(err,
			tx.SaveStages(secret.ID, lockstep.Stages{lockstep.Current: "base", lockstep.Pending: "pending", lockstep.Previous: "old"}),
			tx.InsertRun(&lockstep.Run{
				ID: "run-1", Secret: secret.ID, Version: "pending", Base: "base", State: lockstep.RunTested,
				Trigger: lockstep.TriggerSchedule, Reason: "retried", Created: tx.Now(),
			}))
		if err == nil {
			c.lease, err = tx.ClaimSlot(secret.ID, "worker", time.Minute)
		}
		return err
	}))
	return c
}

func (c *scene) must(err error) {
	c.t.Helper()
	if err != nil {
		c.t.Fatal(err)
	}
}

// change runs fn on the Secret's Book and its open Run, and closes the Book.
func (c *scene) change(fn func(*ledger.Book, *lockstep.Run) error) error {
	return c.store.Update(c.t.Context(), func(tx store.Tx) error {
		s, err := tx.LockSecret(c.id)
		if err != nil {
			return err
		}
		b, err := ledger.Open(tx, s, c.traits)
		if err != nil {
			return err
		}
		run, err := b.OpenRun()
		if err != nil {
			return err
		}
		if err := fn(b, run); err != nil {
			return err
		}
		return b.Close()
	})
}

func (c *scene) view(fn func(store.ReadTx) error) {
	c.t.Helper()
	c.must(c.store.View(c.t.Context(), fn))
}

func (c *scene) version(id lockstep.VersionID) (v *lockstep.Version) {
	c.t.Helper()
	c.view(func(tx store.ReadTx) (err error) { v, err = tx.Version(c.id, id); return err })
	return v
}

func (c *scene) run() (r *lockstep.Run) {
	c.t.Helper()
	c.view(func(tx store.ReadTx) (err error) { r, err = tx.Run("run-1"); return err })
	return r
}

func (c *scene) events() (out []lockstep.Event) {
	c.t.Helper()
	c.view(func(tx store.ReadTx) (err error) { out, err = tx.Events(c.id, 0, 100); return err })
	return out
}

func TestFinishWritesEverything(t *testing.T) {
	onBoth(t, func(t *testing.T, s store.Store) {
		c := newScene(t, s, pair)
		c.must(c.change(func(b *ledger.Book, run *lockstep.Run) error { return b.Finish(run, c.lease) }))
		c.view(func(tx store.ReadTx) error {
			stages, err := tx.Stages(c.id)
			if stages[lockstep.Current] != "pending" || stages[lockstep.Previous] != "base" || len(stages) != 2 {
				t.Errorf("labels %v", stages)
			}
			secret, secretErr := tx.Secret(c.id)
			if secret.LastRotated.IsZero() || secret.Unverified {
				t.Errorf("last rotated %v, unverified %v", secret.LastRotated, secret.Unverified)
			}
			broken, _, violationErr := tx.Violations(0, 1000)
			for _, v := range broken {
				t.Errorf("invariant %s: %s", v.Rule, v.Detail)
			}
			return errors.Join(err, secretErr, violationErr)
		})
		run := c.run()
		if run.State != lockstep.RunSucceeded || run.Finished.IsZero() || run.Reason != "" {
			t.Errorf("run is %s, finished %v, reason %q", run.State, run.Finished, run.Reason)
		}
		events := c.events()
		if len(events) != 2 || events[0].Type != lockstep.EventVersionCurrent || events[1].Type != lockstep.EventRunSucceeded {
			t.Fatalf("events %+v", events)
		}
		moved := events[0].Data
		if moved.VersionID != "pending" || moved.Previous != "base" || moved.Run != "run-1" || len(moved.Stages) != 2 {
			t.Errorf("the event says %+v; AWSPENDING has gone by then", moved)
		}
		// base is the other account's and lives on; old was overwritten.
		if base := c.version("base"); !base.MaybeLive || base.Retirement != lockstep.RetirementIdle {
			t.Errorf("base: maybe live %v, %q", base.MaybeLive, base.Retirement)
		}
		if old := c.version("old"); old.MaybeLive || old.Retirement != lockstep.RetirementNone {
			t.Errorf("old: maybe live %v, %q", old.MaybeLive, old.Retirement)
		}
		if now := c.version("pending"); !now.MaybeLive || now.Retirement != lockstep.RetirementNone {
			t.Errorf("pending: maybe live %v, %q", now.MaybeLive, now.Retirement)
		}
	})
}

func TestFinishOfOneValueLeavesNothingToRetire(t *testing.T) {
	onBoth(t, func(t *testing.T, s store.Store) {
		c := newScene(t, s, single)
		c.must(c.change(func(b *ledger.Book, run *lockstep.Run) error { return b.Finish(run, c.lease) }))
		for _, id := range []lockstep.VersionID{"base", "old"} {
			if v := c.version(id); v.MaybeLive || v.Retirement != lockstep.RetirementNone {
				t.Errorf("%s: maybe live %v, %q", id, v.MaybeLive, v.Retirement)
			}
		}
	})
}

// TestFinishRefused: nothing is written unless every guard holds.
func TestFinishRefused(t *testing.T) {
	for rule, c := range map[string]struct {
		before func(*scene) error
		want   error
	}{
		"AWSCURRENT moved": {func(c *scene) error {
			return c.change(func(b *ledger.Book, _ *lockstep.Run) error { b.Stages.Place(lockstep.Current, "old"); return nil })
		}, lockstep.ErrConflict},
		"the Run was stopped": {func(c *scene) error {
			return c.change(func(b *ledger.Book, run *lockstep.Run) error {
				return b.Stop(run, lockstep.StopCancelled, "by hand")
			})
		}, lockstep.ErrConflict},
		"the lease is another's": {func(c *scene) error { c.lease.Holder = "another"; return nil }, lockstep.ErrFenced},
		"the fence is an older":  {func(c *scene) error { c.lease.Fence--; return nil }, lockstep.ErrFenced},
	} {
		t.Run(rule, func(t *testing.T) {
			onBoth(t, func(t *testing.T, s store.Store) {
				scene := newScene(t, s, pair)
				scene.must(c.before(scene))
				events := len(scene.events())
				err := scene.change(func(b *ledger.Book, run *lockstep.Run) error { return b.Finish(run, scene.lease) })
				if !errors.Is(err, c.want) {
					t.Errorf("got %v, want %v", err, c.want)
				}
				if run := scene.run(); run.State != lockstep.RunTested || len(scene.events()) != events {
					t.Errorf("something was written: run %s", run.State)
				}
			})
		})
	}
}

func TestEnd(t *testing.T) {
	for state, event := range map[lockstep.RunState]lockstep.EventType{
		lockstep.RunFailed: lockstep.EventRunFailed, lockstep.RunCancelled: lockstep.EventRunCancelled, lockstep.RunLost: lockstep.EventRunLost,
	} {
		t.Run(string(state), func(t *testing.T) {
			onBoth(t, func(t *testing.T, s store.Store) {
				c := newScene(t, s, pair)
				c.must(c.change(func(b *ledger.Book, run *lockstep.Run) error { return b.End(run, c.lease, state) }))
				events := c.events()
				if len(events) != 1 || events[0].Type != event || events[0].Data.State != state || events[0].Data.Reason != "retried" {
					t.Errorf("events %+v", events)
				}
				if v := c.version("pending"); !v.MaybeLive || v.Sealed == nil {
					t.Error("what the target may know must stay")
				}
				if run := c.run(); run.State != state || run.Finished.IsZero() {
					t.Errorf("run %s, finished %v", run.State, run.Finished)
				}
			})
		})
	}
}

func TestWithoutCloseNothingIsSaved(t *testing.T) {
	onBoth(t, func(t *testing.T, s store.Store) {
		c := newScene(t, s, pair)
		c.must(s.Update(t.Context(), func(tx store.Tx) error {
			secret, err := tx.LockSecret(c.id)
			if err != nil {
				return err
			}
			b, err := ledger.Open(tx, secret, pair)
			if err != nil {
				return err
			}
			b.Stages.Place("mine", "old")
			b.Secret.Description = "changed"
			return nil
		}))
		c.view(func(tx store.ReadTx) error {
			stages, err := tx.Stages(c.id)
			secret, secretErr := tx.Secret(c.id)
			if stages["mine"] != "" || secret.Description != "" {
				t.Error("saved without Close")
			}
			return errors.Join(err, secretErr)
		})
	})
}

func TestSchedules(t *testing.T) {
	const arn = "arn:aws:secretsmanager:us-east-1:000000000000:secret:a-AbCdEf"
	for text, c := range map[string]struct {
		schedule lockstep.Schedule
		ok       bool
	}{
		"rate":                    {lockstep.Schedule{Expression: "rate(4 hours)"}, true},
		"days":                    {lockstep.Schedule{AfterDays: 30}, true},
		"both":                    {lockstep.Schedule{Expression: "rate(4 hours)", AfterDays: 30}, false},
		"neither":                 {lockstep.Schedule{}, false},
		"more often than allowed": {lockstep.Schedule{Expression: "@every 5s"}, false},
		"no such zone":            {lockstep.Schedule{Expression: "rate(4 hours)", TimeZone: "Mars/Base"}, false},
		"a malformed window":      {lockstep.Schedule{Expression: "rate(4 hours)", Duration: "long"}, false},
	} {
		_, err := ledger.ParseSchedule(c.schedule, arn, time.Minute)
		if c.ok != (err == nil) || (err != nil && !errors.Is(err, lockstep.ErrInvalid)) {
			t.Errorf("%s: %v", text, err)
		}
	}
	stored := &lockstep.Secret{Name: "a", ARN: arn, Rotation: &lockstep.Rotation{Schedule: lockstep.Schedule{Expression: "@every 5s"}}}
	if _, err := ledger.ParseStored(stored); err != nil {
		t.Errorf("what was accepted once must stay readable on a stricter server: %v", err)
	}
	stored.Rotation.Schedule.Expression = "nonsense"
	if _, err := ledger.ParseStored(stored); err == nil || !strings.Contains(err.Error(), "of a:") {
		t.Errorf("got %v, want the secret's name", err)
	}
}
