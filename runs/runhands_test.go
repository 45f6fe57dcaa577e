package runs_test

import (
	"strings"
	"testing"
	"time"

	"lockstep"
	"lockstep/runs"
	"lockstep/store"
)

var anna = runs.Hand{Owner: owner, By: "anna"}

// stopped is a Run of the Secret in the given state, by hand.
func (r *rig) stopped(t *testing.T, name string, state lockstep.RunState) lockstep.RunID {
	t.Helper()
	out := r.rotate(t, name)
	switch state {
	case lockstep.RunFailed:
		c := r.claim(t, out.Run, "worker")
		_, err := c.Failed(t.Context(), fault(lockstep.NotApplied, lockstep.FaultPermanent))
		must(t, err)
	case lockstep.RunSucceeded:
		r.finished(t, out.Run)
	case lockstep.RunCancelled:
		_, err := r.Discard(t.Context(), anna, out.Run)
		must(t, err)
	case lockstep.RunSetting:
		r.created(t, r.claim(t, out.Run, "worker"))
	}
	if got := r.run(t, out.Run).State; got != state {
		t.Fatalf("the run is %s, want %s", got, state)
	}
	return out.Run
}

func TestHandsOnARun(t *testing.T) {
	hands := map[string]func(*rig, lockstep.RunID) (runs.History, error){
		"retry":   func(r *rig, id lockstep.RunID) (runs.History, error) { return r.Retry(t.Context(), anna, id) },
		"discard": func(r *rig, id lockstep.RunID) (runs.History, error) { return r.Discard(t.Context(), anna, id) },
		"cancel":  func(r *rig, id lockstep.RunID) (runs.History, error) { return r.Cancel(t.Context(), anna, id) },
	}
	for _, c := range []struct {
		hand  string
		from  lockstep.RunState
		state lockstep.RunState // of the Run that is answered
		stop  lockstep.StopKind
		other bool // it is another Run
		off   bool
		err   error
	}{
		{hand: "retry", from: lockstep.RunQueued, state: lockstep.RunQueued},
		{hand: "retry", from: lockstep.RunSetting, state: lockstep.RunSetting},
		{hand: "retry", from: lockstep.RunFailed, state: lockstep.RunQueued, other: true},
		{hand: "retry", from: lockstep.RunCancelled, state: lockstep.RunQueued, other: true},
		{hand: "retry", from: lockstep.RunSucceeded, err: lockstep.ErrState},
		{hand: "discard", from: lockstep.RunQueued, state: lockstep.RunCancelled, stop: lockstep.StopCancelled},
		{hand: "discard", from: lockstep.RunSetting, state: lockstep.RunSetting, stop: lockstep.StopCancelled},
		{hand: "discard", from: lockstep.RunFailed, state: lockstep.RunFailed, stop: lockstep.StopDiscarded},
		{hand: "discard", from: lockstep.RunSucceeded, err: lockstep.ErrState},
		{hand: "cancel", from: lockstep.RunQueued, state: lockstep.RunCancelled, stop: lockstep.StopCancelled, off: true},
		{hand: "cancel", from: lockstep.RunSetting, state: lockstep.RunSetting, stop: lockstep.StopCancelled, off: true},
		{hand: "cancel", from: lockstep.RunFailed, err: lockstep.ErrState},
	} {
		t.Run(c.hand+" "+string(c.from), func(t *testing.T) {
			r := onSQLite(t)
			s := r.rotating(t, "db", "single", every("1h"))
			id := r.stopped(t, "db", c.from)
			h, err := hands[c.hand](r, id)
			if c.err != nil {
				wants(t, err, c.err)
				return
			}
			must(t, err)
			got := r.run(t, h.Run.ID)
			if got.State != c.state || got.Stop != c.stop || (h.Run.ID != id) != c.other {
				t.Errorf("run %s: %s, stop %q", h.Run.ID, got.State, got.Stop)
			}
			if c.stop != "" && !strings.Contains(got.StopReason, "anna") {
				t.Errorf("the reason %q does not say who", got.StopReason)
			}
			if after, _ := r.read(t, s.ID); after.RotationEnabled() == c.off || after.NextRotation.IsZero() != c.off {
				t.Errorf("rotation is on: %t, next %s", after.RotationEnabled(), after.NextRotation)
			}
			r.sound(t)
		})
	}
}

func TestHandsAreRefused(t *testing.T) {
	r := onSQLite(t)
	r.rotating(t, "db", "single", every("1h"))
	failed := r.stopped(t, "db", lockstep.RunFailed)
	stranger := runs.Hand{Owner: store.Owner{Account: "210987654321", Region: "us-east-1"}, By: "eve"}
	for name, do := range map[string]func() error{
		"another's run":  func() error { _, err := r.Retry(t.Context(), stranger, failed); return err },
		"no such run":    func() error { _, err := r.Cancel(t.Context(), anna, "run-nosuch"); return err },
		"another's, too": func() error { _, err := r.Discard(t.Context(), stranger, failed); return err },
	} {
		if err := do(); err == nil || !strings.Contains(err.Error(), "There is no run") {
			t.Errorf("%s: %v", name, err)
		}
	}
	denied := anna
	denied.Allow = func(*lockstep.Secret) error { return lockstep.ErrDenied }
	_, err := r.Retry(t.Context(), denied, failed)
	wants(t, err, lockstep.ErrDenied)

	again, err := r.Retry(t.Context(), anna, failed)
	must(t, err)
	_, err = r.Retry(t.Context(), anna, failed)
	wants(t, err, lockstep.ErrState) // another is under way
	_, err = r.Cancel(t.Context(), anna, again.Run.ID)
	must(t, err)
	_, err = r.Retry(t.Context(), anna, failed)
	wants(t, err, lockstep.ErrState) // rotation is off
	if err == nil || !strings.Contains(err.Error(), "schedule set") {
		t.Errorf("%v: it does not say how to go on", err)
	}
}

func TestRetryOfAWaitingRunMakesItDue(t *testing.T) {
	r := onSQLite(t)
	r.rotating(t, "db", "single", every("1h"))
	out := r.rotate(t, "db")
	c := r.claim(t, out.Run, "worker")
	_, err := c.Failed(t.Context(), fault(lockstep.NotApplied, lockstep.FaultTransient))
	must(t, err)
	if !r.run(t, out.Run).RetryAt.After(began) {
		t.Fatal("the run does not wait")
	}
	h, err := r.Retry(t.Context(), anna, out.Run)
	must(t, err)
	if !h.Run.RetryAt.IsZero() || len(h.Steps) == 0 || h.FailedStep() != lockstep.StepCreate {
		t.Errorf("retry at %s, steps %v", h.Run.RetryAt, h.Steps)
	}
	r.view(t, func(tx store.ReadTx) error {
		jobs, err := tx.Jobs(10)
		if len(jobs) != 1 || jobs[0].Run != out.Run {
			t.Errorf("jobs due now: %v", jobs)
		}
		return err
	})
	list, err := r.Runs(t.Context(), store.RunQuery{Owner: owner})
	must(t, err)
	if len(list) != 1 || list[0].FailedStep() != lockstep.StepCreate {
		t.Errorf("the list does not name the step that failed: %v", list)
	}
}

func TestFailedRunsAreListedUntilDiscarded(t *testing.T) {
	onBoth(t, func(t *testing.T, r *rig) {
		r.rotating(t, "db", "single", every("1h"))
		failed := r.stopped(t, "db", lockstep.RunFailed)
		r.stopped(t, "db", lockstep.RunSucceeded)
		list := func(q store.RunQuery) (ids []lockstep.RunID) {
			q.Owner = owner
			found, err := r.Runs(t.Context(), q)
			must(t, err)
			for _, h := range found {
				ids = append(ids, h.Run.ID)
			}
			return ids
		}
		if got := list(store.RunQuery{Failed: true}); len(got) != 1 || got[0] != failed {
			t.Errorf("failed: %v", got)
		}
		if got := list(store.RunQuery{States: []lockstep.RunState{lockstep.RunSucceeded, lockstep.RunFailed}}); len(got) != 2 {
			t.Errorf("by state: %v", got)
		}
		_, err := r.Discard(t.Context(), anna, failed)
		must(t, err)
		if got := list(store.RunQuery{Failed: true}); len(got) != 0 {
			t.Errorf("discarded, and yet listed: %v", got)
		}
	})
}

func TestReleaseOfARetirement(t *testing.T) {
	for _, c := range []struct {
		name     string
		policy   lockstep.Retirement
		override bool
		err      error
	}{
		{name: "manual", policy: lockstep.Retirement{After: lockstep.RetireManual}},
		{name: "delay", policy: lockstep.Retirement{After: lockstep.RetireDelay, Delay: time.Hour}, err: lockstep.ErrState},
		{name: "delay, overridden", policy: lockstep.Retirement{After: lockstep.RetireDelay, Delay: time.Hour}, override: true},
		{name: "next-run", policy: lockstep.Retirement{After: lockstep.RetireNextRun}, err: lockstep.ErrState},
		{name: "next-run, overridden", policy: lockstep.Retirement{After: lockstep.RetireNextRun}, override: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := onSQLite(t)
			s := r.rotating(t, "db", "pair", retired(c.policy))
			_, stages := r.read(t, s.ID)
			old := stages[lockstep.Current]
			r.finished(t, r.rotate(t, "db").Run)
			out, err := r.ReleaseRetirement(t.Context(), ref("db"), runs.Release{Override: c.override, By: "anna"})
			if c.err != nil {
				wants(t, err, c.err)
				return
			}
			must(t, err)
			if len(out.Versions) != 1 || out.Versions[0] != old {
				t.Errorf("released %v, want %s", out.Versions, old)
			}
			if n := r.events(t, s.ID)[lockstep.EventRetireReleased]; n != 1 {
				t.Errorf("%d events tell of it", n)
			}
			claim, err := r.ClaimRetire(t.Context(), s.ID, old, "worker")
			must(t, err)
			must(t, claim.Retired(t.Context()))
			_, err = r.ReleaseRetirement(t.Context(), ref("db"), runs.Release{Override: true, By: "anna"})
			wants(t, err, lockstep.ErrState)
			r.sound(t)
		})
	}
}

// A Run that waits for a manual retirement goes on when a person releases it.
func TestReleaseLetsTheNextRunGoOn(t *testing.T) {
	r := onSQLite(t)
	s := r.rotating(t, "db", "pair", retired(lockstep.Retirement{After: lockstep.RetireManual}))
	_, stages := r.read(t, s.ID)
	r.finished(t, r.rotate(t, "db").Run)
	next := r.rotate(t, "db")
	_, err := r.Claim(t.Context(), next.Run, "worker")
	if err == nil || !strings.Contains(err.Error(), "blocked by retirement") {
		t.Fatalf("claim: %v", err)
	}
	_, err = r.ReleaseRetirement(t.Context(), ref("db"), runs.Release{By: "anna"})
	must(t, err)
	claim, err := r.ClaimRetire(t.Context(), s.ID, stages[lockstep.Current], "worker")
	must(t, err)
	must(t, claim.Retired(t.Context()))
	r.finished(t, next.Run)
}

// Two retirements of one Secret share a Job: the end of one asks for the other.
func TestRetirementsFollowEachOther(t *testing.T) {
	r := onSQLite(t)
	s := r.rotating(t, "db", "pair", retired(lockstep.Retirement{After: lockstep.RetireNextRun}))
	_, stages := r.read(t, s.ID)
	first := stages[lockstep.Current]
	out := r.rotate(t, "db")
	r.finished(t, out.Run)
	// Both Versions wait: one was left by the Run, the other is made to.
	must(t, r.store.Update(t.Context(), func(tx store.Tx) error {
		if _, err := tx.LockSecret(s.ID); err != nil {
			return err
		}
		return tx.InsertVersion(&lockstep.Version{
			Secret: s.ID, ID: "another-version-of-the-old-account", Created: tx.Now(), MaybeLive: true,
			Account: "another", Sealed: r.version(t, s.ID, first).Sealed,
			Retirement: lockstep.RetirementDue, RetireAt: began.Add(time.Minute),
		})
	}))
	_, err := r.ReleaseRetirement(t.Context(), ref("db"), runs.Release{Version: first, Override: true, By: "anna"})
	must(t, err)
	job := func() store.Job {
		t.Helper()
		for _, j := range r.jobs(t) {
			if j.Kind == store.JobRetire {
				return j
			}
		}
		t.Fatal("no retire job")
		return store.Job{}
	}
	if j := job(); j.Version != first {
		t.Fatalf("the job is about %s, due %s", j.Version, j.DueAt)
	}
	claim, err := r.ClaimRetire(t.Context(), s.ID, first, "worker")
	must(t, err)
	must(t, claim.Retired(t.Context()))
	if j := job(); j.Version != "another-version-of-the-old-account" || !j.DueAt.Equal(began.Add(time.Minute)) {
		t.Errorf("the next job is about %s, due %s", j.Version, j.DueAt)
	}
}
