package storetest

import (
	"testing"
	"time"

	"lockstep"
	"lockstep/store"
)

var intentTests = map[string]func(*testing.T, *fixture){
	"rows":         intentRows,
	"sweeps due":   intentSweeps,
	"a purge":      intentPurge,
	"invariants":   intentViolations,
	"is forgotten": intentForgotten,
}

// intent stores one of a Run that need not be there.
func (f *fixture) intent(t *testing.T, secret lockstep.SecretID, marker lockstep.Marker, change ...func(*store.Intent)) *store.Intent {
	t.Helper()
	i := &store.Intent{Marker: marker, Secret: secret, Run: "run-x", Version: "v1", State: store.IntentOpen, Created: f.now(t)}
	for _, fn := range change {
		fn(i)
	}
	f.update(t, func(tx store.Tx) error { return tx.InsertIntent(i) })
	return i
}

func intentRows(t *testing.T, f *fixture) {
	s := f.secret(t, "name")
	i := f.intent(t, s.ID, "lockstep-a", func(i *store.Intent) { i.SweepDue, i.Attempts = i.Created.Add(time.Hour), 3 })
	noZeroField(t, *i)
	get := func(tx store.ReadTx) (*store.Intent, error) { return tx.Intent("lockstep-a") }
	same(t, read(t, f, get), i)
	f.refuse(t, lockstep.ErrExists, func(tx store.Tx) error { return tx.InsertIntent(i) })
	i.Version, i.State, i.SweepDue, i.Attempts = "v2", store.IntentSwept, time.Time{}, 4
	changed := *i
	changed.Run = "run-y" // is not saved
	f.update(t, func(tx store.Tx) error { return tx.SaveIntent(&changed) })
	same(t, read(t, f, get), i)
	other := f.intent(t, f.secret(t, "other").ID, "lockstep-c")
	same(t, read(t, f, func(tx store.ReadTx) ([]*store.Intent, error) { return tx.Intents(other.Secret) }), []*store.Intent{other})
	missing(t, f, func(tx store.ReadTx) (*store.Intent, error) { return tx.Intent("lockstep-b") })
	f.refuse(t, lockstep.ErrNotFound, func(tx store.Tx) error { return tx.SaveIntent(&store.Intent{Marker: "lockstep-b"}) })
}

func intentSweeps(t *testing.T, f *fixture) {
	due := func(i *store.Intent) { i.State, i.SweepDue = store.IntentSwept, i.Created.Add(-time.Second) }
	later := func(i *store.Intent) { i.State, i.SweepDue = store.IntentSwept, i.Created.Add(time.Hour) }
	want := f.secret(t, "due")
	f.intent(t, want.ID, "m1", due)
	f.intent(t, want.ID, "m2", due)
	gone := f.secret(t, "gone", func(s *lockstep.Secret) { s.Gone = true })
	f.intent(t, gone.ID, "m3", due)
	f.intent(t, f.secret(t, "later").ID, "m4", later)
	f.intent(t, f.secret(t, "settled").ID, "m5")
	queued := f.secret(t, "queued")
	f.intent(t, queued.ID, "m6", due)
	f.update(t, func(tx store.Tx) error { return tx.AddJob(&store.Job{Kind: store.JobSweep, Secret: queued.ID}) })
	leased := f.secret(t, "leased")
	f.intent(t, leased.ID, "m7", due)
	f.claim(t, leased.ID, "a", time.Hour)
	running := f.secret(t, "running")
	f.intent(t, running.ID, "m8", due)
	f.run(t, running.ID, "run-open")
	same(t, read(t, f, func(tx store.ReadTx) ([]lockstep.SecretID, error) { return tx.SweepsDue(10) }), []lockstep.SecretID{want.ID, gone.ID})
	same(t, read(t, f, func(tx store.ReadTx) ([]lockstep.SecretID, error) { return tx.SweepsDue(1) }), []lockstep.SecretID{want.ID})
}

// intentPurge: the rows of a Secret stay until nothing of it is left to be found at
// its target, and then go with it.
func intentPurge(t *testing.T, f *fixture) {
	s := f.secret(t, "gone", func(s *lockstep.Secret) { s.Gone = true })
	i := f.intent(t, s.ID, "m1", func(i *store.Intent) { i.State, i.SweepDue = store.IntentSwept, i.Created.Add(time.Hour) })
	list := func(tx store.ReadTx) ([]lockstep.SecretID, error) { return tx.PurgeDue(10) }
	same(t, len(read(t, f, list)), 0)
	i.SweepDue = time.Time{}
	f.update(t, func(tx store.Tx) error { return tx.SaveIntent(i) })
	same(t, read(t, f, list), []lockstep.SecretID{s.ID})
	f.update(t, func(tx store.Tx) error { return tx.PurgeSecret(s.ID) })
	missing(t, f, func(tx store.ReadTx) (*store.Intent, error) { return tx.Intent("m1") })
}

// intentForgotten: what is settled goes when its Version has gone and another one
// comes.
func intentForgotten(t *testing.T, f *fixture) {
	s := f.secret(t, "name")
	f.version(t, s.ID, "v1")
	settled := func(v lockstep.VersionID) func(*store.Intent) {
		return func(i *store.Intent) { i.State, i.Version = store.IntentDeposited, v }
	}
	kept := f.intent(t, s.ID, "m1", settled("v1"))
	f.intent(t, s.ID, "m2", settled("v0"))
	open := f.intent(t, s.ID, "m3", func(i *store.Intent) { i.Version = "v0" })
	lost := f.intent(t, s.ID, "m4", func(i *store.Intent) { i.Version, i.State = "v0", store.IntentLost })
	last := f.intent(t, s.ID, "m5")
	same(t, read(t, f, func(tx store.ReadTx) ([]*store.Intent, error) { return tx.Intents(s.ID) }), []*store.Intent{kept, open, lost, last})
}

func intentViolations(t *testing.T, f *fixture) {
	s := f.secret(t, "name")
	f.version(t, s.ID, "empty", func(v *lockstep.Version) { v.Sealed = nil })
	f.intent(t, s.ID, "m1", func(i *store.Intent) { i.State = store.IntentSwept })
	broken := map[lockstep.Marker]store.IntentState{
		"m2": store.IntentOpen, "m3": store.IntentLost, "m4": store.IntentDeposited,
	}
	for m, state := range broken {
		f.intent(t, s.ID, m, func(i *store.Intent) { i.State, i.Version = state, "empty" })
	}
	found := read(t, f, func(tx store.ReadTx) ([]store.Violation, error) {
		list, _, err := tx.Violations(0, 100)
		return list, err
	})
	n := 0
	for _, v := range found {
		if v.Rule == "intent-settled" {
			n++
		}
	}
	same(t, n, len(broken))
}
