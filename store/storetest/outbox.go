package storetest

import (
	"testing"
	"time"

	"lockstep"
	"lockstep/store"
)

var outboxTests = map[string]func(*testing.T, *fixture){
	"jobs":                    outboxJobs,
	"a job replaces its kind": outboxReplace,
	"events":                  outboxEvents,
	"forgetting events":       outboxForget,
}

func (f *fixture) jobs(t *testing.T) []store.Job {
	t.Helper()
	return read(t, f, func(tx store.ReadTx) ([]store.Job, error) { return tx.Jobs(10) })
}

func outboxJobs(t *testing.T, f *fixture) {
	s := f.secret(t, "name")
	at := f.now(t)
	next := func(tx store.ReadTx) (time.Time, error) { return tx.NextJob() }
	full := store.Job{
		Kind: store.JobRun, Secret: s.ID, Account: account, Region: region, Name: "name",
		Run: "run-1", Version: "v1", Plan: "plan-1", Seq: 3, DueAt: at.Add(-time.Second), AwaitsSlot: true,
	}
	now := store.Job{Kind: store.JobVerify, Secret: s.ID}
	later := store.Job{Kind: store.JobRetire, Secret: s.ID, DueAt: at.Add(time.Hour)}
	f.update(t, func(tx store.Tx) error { return firstError(tx.AddJob(&full), tx.AddJob(&now), tx.AddJob(&later)) })
	noZeroField(t, full)
	same(t, f.jobs(t), []store.Job{now, full})
	same(t, read(t, f, next), later.DueAt)

	f.update(t, func(tx store.Tx) error {
		return firstError(tx.JobsSent([]int64{now.Row, 999}), tx.JobsSent([]int64{now.Row}), tx.JobsSent(nil), tx.DelayJob(full.Row, at.Add(time.Minute)), tx.DelayJob(999, at))
	})
	same(t, len(f.jobs(t)), 0)
	same(t, read(t, f, next), at.Add(time.Minute))
	f.update(t, func(tx store.Tx) error {
		return firstError(tx.DropJobs(s.ID, store.JobRun), tx.DropJobs(s.ID, store.JobRetire))
	})
	same(t, read(t, f, next), time.Time{})
}

func outboxReplace(t *testing.T, f *fixture) {
	s, other := f.secret(t, "name"), f.secret(t, "other")
	old := store.Job{Kind: store.JobRun, Secret: s.ID, Run: "run-1", Seq: 1}
	young := store.Job{Kind: store.JobRun, Secret: s.ID, Run: "run-1", Seq: 2}
	foreign := store.Job{Kind: store.JobRun, Secret: other.ID, Run: "run-2", Seq: 1}
	f.update(t, func(tx store.Tx) error { return tx.AddJob(&old) })
	f.update(t, func(tx store.Tx) error { return firstError(tx.AddJob(&young), tx.AddJob(&foreign)) })
	// The relay published the old one meanwhile: that must not take the new one.
	f.update(t, func(tx store.Tx) error { return tx.JobsSent([]int64{old.Row}) })
	same(t, f.jobs(t), []store.Job{young, foreign})
}

func outboxEvents(t *testing.T, f *fixture) {
	a, b := f.secret(t, "a"), f.secret(t, "b")
	at := f.now(t).Add(-time.Minute)
	full := event(t, a, lockstep.EventVersionCurrent)
	full.Time = at
	full.Data = lockstep.EventData{VersionID: "v2", Previous: "v1", Run: "run-1", Stages: map[string]lockstep.VersionID{"AWSCURRENT": "v2"}}
	var all []lockstep.Event
	for _, e := range []*lockstep.Event{full, event(t, b, lockstep.EventSecretCreated), event(t, a, lockstep.EventRunSucceeded)} {
		f.update(t, func(tx store.Tx) error { return tx.AddEvent(e) })
		all = append(all, *e)
	}
	same(t, []uint64{all[0].Seq, all[1].Seq, all[2].Seq}, []uint64{1, 1, 2})
	same(t, all[0].Time, at)
	if all[1].Time.Before(at) {
		t.Errorf("an event without a time got %s", all[1].Time)
	}
	unsent := func(tx store.ReadTx) ([]lockstep.Event, error) { return tx.UnsentEvents(10) }
	same(t, read(t, f, unsent), all)
	same(t, read(t, f, func(tx store.ReadTx) ([]lockstep.Event, error) { return tx.UnsentEvents(2) }), all[:2])
	same(t, read(t, f, func(tx store.ReadTx) ([]lockstep.Event, error) { return tx.EventTail(2) }), all[1:])
	same(t, read(t, f, func(tx store.ReadTx) ([]lockstep.Event, error) { return tx.Events(a.ID, 1, 10) }), all[2:])

	f.update(t, func(tx store.Tx) error { return tx.EventsSent([]string{all[0].ID, all[1].ID, "absent"}) })
	same(t, read(t, f, unsent), all[2:])
	same(t, len(read(t, f, func(tx store.ReadTx) ([]lockstep.Event, error) { return tx.Events(a.ID, 0, 10) })), 2)
	f.update(t, func(tx store.Tx) error { return tx.EventsUnsent([]string{all[0].ID}) })
	same(t, read(t, f, unsent), []lockstep.Event{all[0], all[2]})

	f.refuse(t, lockstep.ErrExists, func(tx store.Tx) error { return tx.AddEvent(full) })
	f.refuse(t, lockstep.ErrNotFound, func(tx store.Tx) error { return tx.AddEvent(&lockstep.Event{ID: "x", Secret: 999}) })
}

func outboxForget(t *testing.T, f *fixture) {
	a, b := f.secret(t, "a"), f.secret(t, "b")
	at := f.now(t)
	var ids []string
	for i, s := range []*lockstep.Secret{a, a, a, b} {
		e := event(t, s, lockstep.EventVersionCurrent)
		e.Time = at.Add(time.Duration(i-10) * time.Hour)
		f.update(t, func(tx store.Tx) error { return tx.AddEvent(e) })
		ids = append(ids, e.ID)
	}
	forget := func(limit int) (n int) {
		f.update(t, func(tx store.Tx) (err error) {
			n, err = tx.DeleteEventsBefore(at, limit)
			return err
		})
		return n
	}
	same(t, forget(10), 0) // none is sent
	f.update(t, func(tx store.Tx) error { return tx.EventsSent(ids) })
	same(t, forget(1), 1)
	same(t, forget(10), 1)
	same(t, forget(10), 0)
	left := read(t, f, func(tx store.ReadTx) ([]lockstep.Event, error) { return tx.EventTail(10) })
	same(t, []string{left[0].ID, left[1].ID}, ids[2:])
	f.update(t, func(tx store.Tx) error { return tx.PurgeSecret(b.ID) })
	same(t, forget(10), 1)
	same(t, read(t, f, violationsOf), nil)
}
