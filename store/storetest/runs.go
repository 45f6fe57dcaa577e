package storetest

import (
	"fmt"
	"testing"
	"time"

	"lockstep"
	"lockstep/store"
)

var runTests = map[string]func(*testing.T, *fixture){
	"every field comes back": runFields,
	"one open run":           runOneOpen,
	"pages, newest first":    runPages,
	"history":                runSteps,
	"stranded":               runStranded,
	"plans":                  runPlans,
}

func runFields(t *testing.T, f *fixture) {
	s := f.secret(t, "name")
	at := f.now(t)
	r := f.run(t, s.ID, "run-1", func(r *lockstep.Run) {
		r.Base, r.State, r.Trigger, r.TestOnly = "v0", lockstep.RunSetting, lockstep.TriggerEmergency, true
		r.Attempts, r.RetryAt, r.Deadline = 3, at.Add(time.Second), at.Add(time.Minute)
		r.Stop, r.StopReason, r.UndoUntil = lockstep.StopCancelled, "by hand", at.Add(time.Hour)
		r.Doubt, r.JobSeq, r.Reason, r.Hint = true, 4, "reason", "hint"
		r.Started, r.Finished = at.Add(time.Millisecond), at.Add(2*time.Millisecond)
	})
	noZeroField(t, *r)
	get := func(tx store.ReadTx) (*lockstep.Run, error) { return tx.Run("run-1") }
	same(t, read(t, f, get), r)
	r.State, r.Doubt, r.RetryAt, r.Version = lockstep.RunSet, false, time.Time{}, "v9"
	f.update(t, func(tx store.Tx) error { return tx.SaveRun(r, nil) })
	same(t, read(t, f, get), r)
	missing(t, f, func(tx store.ReadTx) (*lockstep.Run, error) { return tx.Run("run-2") })
	absent := *r
	absent.ID = "run-2"
	f.refuse(t, lockstep.ErrNotFound, func(tx store.Tx) error { return tx.SaveRun(&absent, nil) })
	lease := f.claim(t, s.ID, "w1", time.Hour)
	f.refuse(t, lockstep.ErrNotFound, func(tx store.Tx) error { return tx.SaveRun(&absent, &lease) })
}

func runOneOpen(t *testing.T, f *fixture) {
	s, other := f.secret(t, "name"), f.secret(t, "other")
	open := func(tx store.ReadTx) (*lockstep.Run, error) { return tx.OpenRun(s.ID) }
	last := func(tx store.ReadTx) (*lockstep.Run, error) { return tx.LastRun(s.ID) }
	missing(t, f, open)
	missing(t, f, last)
	first := f.run(t, s.ID, "run-1")
	f.run(t, other.ID, "run-o")
	second := &lockstep.Run{ID: "run-2", Secret: s.ID, State: lockstep.RunQueued, Created: f.now(t)}
	insert := func(tx store.Tx) error { return tx.InsertRun(second) }
	f.refuse(t, lockstep.ErrConflict, insert)
	for _, final := range []lockstep.RunState{lockstep.RunSucceeded, lockstep.RunFailed, lockstep.RunCancelled, lockstep.RunLost} {
		first.State, first.Finished = final, f.now(t)
		f.update(t, func(tx store.Tx) error { return tx.SaveRun(first, nil) })
		missing(t, f, open)
	}
	same(t, read(t, f, last).ID, "run-1")
	f.update(t, insert)
	same(t, read(t, f, open).ID, "run-2")
	same(t, read(t, f, last).ID, "run-2")
	f.refuse(t, lockstep.ErrExists, func(tx store.Tx) error {
		return tx.InsertRun(&lockstep.Run{ID: "run-1", Secret: s.ID, State: lockstep.RunFailed, Created: f.now(t)})
	})
	f.refuse(t, lockstep.ErrNotFound, func(tx store.Tx) error {
		return tx.InsertRun(&lockstep.Run{ID: "run-3", Secret: 999, State: lockstep.RunQueued, Created: f.now(t)})
	})
	first.State = lockstep.RunSet
	f.refuse(t, lockstep.ErrConflict, func(tx store.Tx) error { return tx.SaveRun(first, nil) })
}

func runPages(t *testing.T, f *fixture) {
	a, b := f.secret(t, "a"), f.secret(t, "b")
	final := func(r *lockstep.Run) { r.State, r.Finished = lockstep.RunFailed, r.Created }
	for i := range 3 {
		f.run(t, a.ID, lockstep.RunID(fmt.Sprint("a", i)), final)
		f.run(t, b.ID, lockstep.RunID(fmt.Sprint("b", i)), final)
	}
	f.run(t, a.ID, "a3")
	for _, c := range []struct {
		name string
		q    store.RunQuery
		want string
	}{
		{"all", store.RunQuery{Owner: owner}, "[a3 b2 a2 b1 a1 b0 a0]"},
		{"of a secret", store.RunQuery{Owner: owner, Secret: b.ID}, "[b2 b1 b0]"},
		{"open", store.RunQuery{Owner: owner, Open: true}, "[a3]"},
		{"first page", store.RunQuery{Owner: owner, Limit: 2}, "[a3 b2]"},
		{"next page", store.RunQuery{Owner: owner, Before: "b2", Limit: 2}, "[a2 b1]"},
		{"next page of a secret", store.RunQuery{Owner: owner, Secret: a.ID, Before: "a2"}, "[a1 a0]"},
		{"another owner", store.RunQuery{Owner: store.Owner{Account: account, Region: "x"}}, "[]"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var ids []lockstep.RunID
			for _, r := range read(t, f, func(tx store.ReadTx) ([]*lockstep.Run, error) { return tx.Runs(c.q) }) {
				ids = append(ids, r.ID)
			}
			same(t, fmt.Sprint(ids), c.want)
		})
	}
}

func runSteps(t *testing.T, f *fixture) {
	s := f.secret(t, "name")
	r := f.run(t, s.ID, "run-1")
	want := []lockstep.StepRecord{
		{Run: r.ID, Step: lockstep.StepCreate, Attempt: 1, Holder: "w1", Started: r.Created},
		{Run: r.ID, Step: lockstep.StepSet, Attempt: 1, Holder: "w2", Started: r.Created.Add(time.Second)},
	}
	for i := range want {
		f.update(t, func(tx store.Tx) (err error) {
			want[i].Seq, err = tx.BeginStep(want[i])
			return err
		})
		same(t, want[i].Seq, i+1)
	}
	want[0].Ended, want[0].OK, want[0].Outcome = r.Created.Add(time.Second), true, lockstep.Applied
	want[1].Ended, want[1].Error, want[1].Hint, want[1].Outcome = r.Created.Add(time.Minute), "no", "do", lockstep.NotApplied
	for _, rec := range want {
		f.update(t, func(tx store.Tx) error { return tx.EndStep(rec) })
	}
	over := lockstep.StepRecord{
		Run: r.ID, Seq: 3, Step: lockstep.StepFinish, Attempt: 2, Holder: "w2", Started: r.Created, Ended: r.Created,
		OK: true, Outcome: lockstep.Applied, Error: "none", Hint: "none",
	}
	f.update(t, func(tx store.Tx) error { _, err := tx.BeginStep(over); return err })
	want = append(want, over)
	same(t, read(t, f, func(tx store.ReadTx) ([]lockstep.StepRecord, error) { return tx.Steps(r.ID) }), want)
	f.refuse(t, lockstep.ErrNotFound, func(tx store.Tx) error { return tx.EndStep(lockstep.StepRecord{Run: r.ID, Seq: 9}) })
	f.refuse(t, lockstep.ErrNotFound, func(tx store.Tx) error {
		_, err := tx.BeginStep(lockstep.StepRecord{Run: "absent", Step: lockstep.StepSet, Started: r.Created})
		return err
	})
}

func runStranded(t *testing.T, f *fixture) {
	at := f.now(t)
	for name, edit := range map[string]func(*lockstep.Run){
		"now":   func(*lockstep.Run) {},
		"past":  func(r *lockstep.Run) { r.RetryAt = at.Add(-time.Second) },
		"later": func(r *lockstep.Run) { r.RetryAt = at.Add(time.Hour) },
		"final": func(r *lockstep.Run) { r.State, r.Finished = lockstep.RunFailed, at },
	} {
		f.run(t, f.secret(t, name).ID, lockstep.RunID(name), edit)
	}
	queued := f.run(t, f.secret(t, "queued").ID, "queued")
	f.update(t, func(tx store.Tx) error {
		return tx.AddJob(&store.Job{Kind: store.JobRun, Secret: queued.Secret, Run: queued.ID, DueAt: at.Add(time.Hour)})
	})
	verify := f.run(t, f.secret(t, "verify job").ID, "verify job")
	f.update(t, func(tx store.Tx) error { return tx.AddJob(&store.Job{Kind: store.JobVerify, Secret: verify.Secret}) })
	leased := f.run(t, f.secret(t, "leased").ID, "leased")
	lease := f.claim(t, leased.Secret, "w1", time.Hour)
	ids := func() map[lockstep.RunID]bool {
		out := map[lockstep.RunID]bool{}
		for _, r := range read(t, f, func(tx store.ReadTx) ([]*lockstep.Run, error) { return tx.StrandedRuns(10) }) {
			out[r.ID] = true
		}
		return out
	}
	same(t, ids(), map[lockstep.RunID]bool{"now": true, "past": true, "verify job": true})
	f.update(t, func(tx store.Tx) error { return tx.ReleaseSlot(lease) })
	same(t, ids(), map[lockstep.RunID]bool{"now": true, "past": true, "verify job": true, "leased": true})
}

func runPlans(t *testing.T, f *fixture) {
	s := f.secret(t, "name")
	p := &store.Plan{ID: "plan-1", Secret: s.ID, Created: f.now(t), Kind: store.JobSessions}
	get := func(tx store.ReadTx) (*store.Plan, error) { return tx.Plan("plan-1") }
	save := func(tx store.Tx) error { return tx.SavePlan(p) }
	missing(t, f, get)
	f.update(t, save)
	same(t, read(t, f, get), p)
	open := func(kind store.JobKind) func(store.ReadTx) (*store.Plan, error) {
		return func(tx store.ReadTx) (*store.Plan, error) { return tx.OpenPlan(s.ID, kind, p.Created) }
	}
	same(t, read(t, f, open(store.JobSessions)), p)
	missing(t, f, open(store.JobPlan))
	p.Done, p.Actions, p.Error = true, []string{"ALTER ROLE app"}, "none"
	p.Problems = []store.PlanProblem{{Step: lockstep.StepSet, Problem: "no CREATEROLE", Hint: "grant it"}}
	since := p.Created.Add(-time.Hour)
	p.Sessions = []store.PlanSession{{Old: true, User: "app", Address: "10.0.0.1", Application: "shop", Since: &since, Count: 3, Certain: true}}
	noZeroField(t, *p)
	f.update(t, save)
	same(t, read(t, f, get), p)
	f.update(t, func(tx store.Tx) error { return tx.DeletePlansBefore(p.Created) })
	same(t, read(t, f, get), p)
	f.update(t, func(tx store.Tx) error { return tx.DeletePlansBefore(p.Created.Add(time.Second)) })
	missing(t, f, get)
}
