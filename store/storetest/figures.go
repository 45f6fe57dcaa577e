package storetest

import (
	"testing"
	"time"

	"lockstep"
	"lockstep/store"
)

var figureTests = map[string]func(*testing.T, *fixture){
	"nothing waits": figuresOfNothing,
	"what waits":    figuresOfSomething,
}

func (f *fixture) figures(t *testing.T) store.Figures {
	t.Helper()
	return read(t, f, func(tx store.ReadTx) (store.Figures, error) { return tx.Figures() })
}

func figuresOfNothing(t *testing.T, f *fixture) {
	s := f.secret(t, "name")
	f.version(t, s.ID, "v1")
	got := f.figures(t)
	if got.At.IsZero() {
		t.Error("the store's clock is missing")
	}
	got.At = time.Time{}
	same(t, got, store.Figures{})
}

func figuresOfSomething(t *testing.T, f *fixture) {
	at := f.now(t)
	late := f.secret(t, "late", due(at.Add(-time.Hour)), func(s *lockstep.Secret) { s.LastRotated = at.Add(-48 * time.Hour) })
	later := f.secret(t, "later", due(at.Add(time.Hour)), func(s *lockstep.Secret) { s.Created = at.Add(-72 * time.Hour) })
	f.secret(t, "unscheduled", func(s *lockstep.Secret) { s.Created = at.Add(-96 * time.Hour) })
	f.run(t, late.ID, "run-1")
	f.run(t, later.ID, "run-2", func(r *lockstep.Run) { r.State, r.Finished = lockstep.RunSucceeded, at })
	f.version(t, late.ID, "old", func(v *lockstep.Version) { v.Retirement, v.RetireAt = lockstep.RetirementDue, at })
	f.update(t, func(tx store.Tx) error {
		if _, err := tx.LockSecret(late.ID); err != nil {
			return err
		}
		e := event(t, late, lockstep.EventRunFailed)
		e.Time = at.Add(-time.Minute)
		return firstError(tx.AddEvent(e),
			tx.AddJob(&store.Job{Kind: store.JobRun, Secret: late.ID, DueAt: at.Add(-time.Second)}),
			tx.AddJob(&store.Job{Kind: store.JobVerify, Secret: late.ID}),
			tx.AddJob(&store.Job{Kind: store.JobRetire, Secret: late.ID, DueAt: at.Add(time.Hour)}))
	})
	got := f.figures(t)
	got.At = time.Time{}
	same(t, got, store.Figures{
		OpenRuns: 1, DueSecrets: 1, OldestDue: at.Add(-time.Hour), WaitingJobs: 2, OldestJob: at.Add(-time.Second),
		UnsentEvents: 1, OldestEvent: at.Add(-time.Minute), Retirements: 1, OldestRotated: at.Add(-72 * time.Hour),
	})
}
