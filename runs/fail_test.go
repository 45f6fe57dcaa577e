package runs_test

import (
	"testing"
	"time"

	"lockstep"
	"lockstep/keeper"
	"lockstep/runs"
)

// at brings a new Run of a Secret of its own to a state, in the hands of a
// claim that has told the target itself.
func at(t *testing.T, r *rig, state lockstep.RunState, trigger lockstep.Trigger) *runs.Claim {
	t.Helper()
	r.rotating(t, "db", "single", every("10s"))
	var id lockstep.RunID
	if trigger == lockstep.TriggerManual {
		id = r.rotate(t, "db").Run
	} else {
		r.clock.pass(10 * time.Second)
		_, err := r.AdmitDue(t.Context(), 1)
		must(t, err)
		id = r.jobs(t)[0].Run
	}
	c := r.claim(t, id, "worker")
	if state == lockstep.RunQueued {
		return c
	}
	r.created(t, c)
	if state == lockstep.RunSetting {
		return c
	}
	must(t, c.Applied(t.Context()))
	if state == lockstep.RunSet {
		return c
	}
	_, err := c.Stop(t.Context(), lockstep.StopFailed, "turned back")
	must(t, err)
	return c
}

func TestWhatFollowsFromAFailure(t *testing.T) {
	const (
		na, unk                  = lockstep.NotApplied, lockstep.Unknown
		tra, per, login, refused = lockstep.FaultTransient, lockstep.FaultPermanent, lockstep.FaultRefusedLogin, lockstep.FaultRefusedValue
	)
	for _, c := range []struct {
		state   lockstep.RunState
		outcome lockstep.Outcome
		fault   lockstep.Fault

		decision runs.Decision
		next     lockstep.RunState
		// held: the lease is left to run out. doubt: the target may know the
		// pending value.
		held, doubt bool
	}{
		{lockstep.RunQueued, na, tra, runs.Later, lockstep.RunQueued, false, false},
		{lockstep.RunQueued, na, per, runs.Ended, lockstep.RunFailed, false, false},
		{lockstep.RunSetting, na, tra, runs.Later, lockstep.RunSetting, false, false},
		{lockstep.RunSetting, unk, tra, runs.Later, lockstep.RunSetting, true, true},
		{lockstep.RunSetting, na, per, runs.Undo, lockstep.RunUndo, true, false},
		{lockstep.RunSetting, na, login, runs.Undo, lockstep.RunUndo, true, false},
		{lockstep.RunSetting, unk, per, runs.Later, lockstep.RunSetting, true, true},
		{lockstep.RunSetting, unk, refused, runs.Later, lockstep.RunSetting, true, true},
		{lockstep.RunSet, na, tra, runs.Later, lockstep.RunSet, false, true},
		{lockstep.RunSet, na, login, runs.Later, lockstep.RunSetting, false, true},
		{lockstep.RunSet, na, per, runs.Undo, lockstep.RunUndo, true, true},
	} {
		name := string(c.state) + " " + c.outcome.String() + " " + []string{"transient", "permanent", "refused value", "refused login"}[c.fault]
		t.Run(name, func(t *testing.T) {
			r := onSQLite(t)
			claim := at(t, r, c.state, lockstep.TriggerSchedule)
			id := claim.Run.ID
			decision, err := claim.Failed(t.Context(), fault(c.outcome, c.fault))
			must(t, err)
			run, slot := r.run(t, id), r.slot(t, claim.Secret.ID)
			if decision != c.decision || run.State != c.next || run.Doubt != c.doubt {
				t.Errorf("decision %d, state %s, doubt %t", decision, run.State, run.Doubt)
			}
			if held := slot.Holder != "" && slot.Expires.After(r.clock.read()); held != c.held {
				t.Errorf("held %t", held)
			}
			if c.decision == runs.Later {
				jobs := r.jobs(t)
				if !run.RetryAt.After(r.clock.read()) || len(jobs) != 1 || !jobs[0].DueAt.Equal(run.RetryAt) {
					t.Errorf("retry at %s, jobs %+v", run.RetryAt, jobs)
				}
				if c.outcome == unk && run.RetryAt.Before(slot.Expires) {
					t.Errorf("the next try at %s is before the lease ends at %s", run.RetryAt, slot.Expires)
				}
			}
			if run.Reason != "the target said so" || run.Hint != "do this" {
				t.Errorf("reason %q, hint %q", run.Reason, run.Hint)
			}
			h, err := r.Run(t.Context(), owner, id)
			must(t, err)
			var told bool
			for _, s := range h.Steps {
				told = told || (s.Error == "the target said so" && !s.OK && s.Outcome == c.outcome && !s.Ended.IsZero())
			}
			if !told {
				t.Errorf("the history does not tell it: %+v", h.Steps)
			}
			r.sound(t)
		})
	}
}

// fails lets a Run fail the same way until it is no longer tried, and returns
// after how many tries and how long that was.
func fails(t *testing.T, r *rig, claim *runs.Claim, f lockstep.Fault) (tries int, after time.Duration) {
	t.Helper()
	start, id := r.clock.read(), claim.Run.ID
	for tries = 1; ; tries++ {
		if tries > 1000 {
			t.Fatal("it is tried for ever")
		}
		if claim.Run.State == lockstep.RunSetting && claim.Resumed {
			claim.Resumed = false
			must(t, claim.SetAgain(t.Context()))
			if f == lockstep.FaultRefusedLogin {
				must(t, claim.Applied(t.Context()))
			}
		}
		d, err := claim.Failed(t.Context(), fault(lockstep.NotApplied, f))
		must(t, err)
		if d != runs.Later {
			return tries, r.clock.read().Sub(start)
		}
		r.clock.pass(max(r.run(t, id).RetryAt.Sub(r.clock.read()), 0))
		claim = r.claim(t, id, "worker")
	}
}

func TestHowLongATargetMayBeAway(t *testing.T) {
	for _, c := range []struct {
		what    string
		trigger lockstep.Trigger
		state   lockstep.RunState
		fault   lockstep.Fault
		tries   int
		least   time.Duration
		most    time.Duration
	}{
		{"scheduled, away", lockstep.TriggerSchedule, lockstep.RunSetting, lockstep.FaultTransient, 0, 40 * time.Minute, 62 * time.Minute},
		{"scheduled, away at test", lockstep.TriggerSchedule, lockstep.RunSet, lockstep.FaultTransient, 0, 40 * time.Minute, 62 * time.Minute},
		{"by hand, away", lockstep.TriggerManual, lockstep.RunSetting, lockstep.FaultTransient, 4, 5 * time.Second, 8 * time.Second},
		{"scheduled, login refused", lockstep.TriggerSchedule, lockstep.RunSet, lockstep.FaultRefusedLogin, 4, 5 * time.Second, 8 * time.Second},
	} {
		t.Run(c.what, func(t *testing.T) {
			r := onSQLite(t)
			claim := at(t, r, c.state, c.trigger)
			tries, after := fails(t, r, claim, c.fault)
			if after < c.least || after > c.most || (c.tries != 0 && tries != c.tries) {
				t.Errorf("%d tries in %s", tries, after)
			}
			if n := r.events(t, claim.Secret.ID)[lockstep.EventRunRetrying]; n > 8 {
				t.Errorf("%d events of retries", n)
			}
		})
	}
}

func TestARollBackEndsAfterItsDay(t *testing.T) {
	r := onSQLite(t)
	claim := at(t, r, lockstep.RunUndo, lockstep.TriggerSchedule)
	id, s := claim.Run.ID, claim.Secret.ID
	tries := 0
	for !r.run(t, id).State.Final() {
		if tries++; tries > 1000 {
			t.Fatal("it is tried for ever")
		}
		must(t, claim.UndoFailed(t.Context(), fault(lockstep.NotApplied, lockstep.FaultTransient)))
		if run := r.run(t, id); !run.State.Final() {
			r.clock.pass(run.RetryAt.Sub(r.clock.read()))
			claim = r.claim(t, id, "worker")
		}
	}
	run := r.run(t, id)
	secret, stages := r.read(t, s)
	v := r.version(t, s, run.Version)
	if run.State != lockstep.RunFailed || !secret.Unverified || !v.MaybeLive || stages[lockstep.Pending] != "" {
		t.Errorf("run %+v, unverified %t, version %+v", run, secret.Unverified, v)
	}
	if e := r.events(t, s); e[lockstep.EventRunRetrying] > 12 || e[lockstep.EventRunFailed] != 1 {
		t.Errorf("events %v after %d tries", e, tries)
	}
	r.sound(t)
	r.rotate(t, "db") // a failed Run never blocks the next
}

func TestUndone(t *testing.T) {
	for _, kind := range []lockstep.StopKind{lockstep.StopCancelled, lockstep.StopSuperseded, lockstep.StopFailed} {
		t.Run(string(kind), func(t *testing.T) {
			r := onSQLite(t)
			c := at(t, r, lockstep.RunSet, lockstep.TriggerManual)
			d, err := c.Stop(t.Context(), kind, "because")
			must(t, err)
			if d != runs.Undo {
				t.Fatalf("decision %d", d)
			}
			wants(t, c.Undone(t.Context(), token(t)), lockstep.ErrConflict) // AWSCURRENT is another than was tested
			_, stages := r.read(t, c.Secret.ID)
			must(t, c.Undone(t.Context(), stages[lockstep.Current]))
			want := lockstep.RunCancelled
			if kind == lockstep.StopFailed {
				want = lockstep.RunFailed
			}
			run, v := r.run(t, c.Run.ID), r.version(t, c.Secret.ID, c.Run.Version)
			if run.State != want || run.Reason != "because" || v.MaybeLive || v.Retirement != lockstep.RetirementRetired {
				t.Errorf("run %+v, version %+v", run, v)
			}
			if slot := r.slot(t, c.Secret.ID); slot.Holder != "" {
				t.Error("the slot is held")
			}
			r.sound(t)
		})
	}
}

func TestARefusedValueIsReplaced(t *testing.T) {
	r := onSQLite(t)
	c := at(t, r, lockstep.RunSetting, lockstep.TriggerManual)
	next := r.pending(t, c)
	wants(t, c.RefusedValue(t.Context(), fault(lockstep.Unknown, lockstep.FaultRefusedValue), next.Sealed), lockstep.ErrInvalid)
	must(t, c.RefusedValue(t.Context(), fault(lockstep.NotApplied, lockstep.FaultRefusedValue), next.Sealed))
	if run := r.run(t, c.Run.ID); run.State != lockstep.RunSetting || run.Attempts != 1 || !run.Doubt {
		t.Errorf("run %+v", run)
	}
	must(t, c.Applied(t.Context()))
	must(t, c.Finish(t.Context()))
	r.sound(t)
}

func TestATestOnlyRunEnds(t *testing.T) {
	for name, c := range map[string]struct {
		fault *lockstep.TargetError
		state lockstep.RunState
	}{
		"accepted": {nil, lockstep.RunSucceeded},
		"refused":  {fault(lockstep.NotApplied, lockstep.FaultRefusedLogin), lockstep.RunFailed},
		"no right": {fault(lockstep.NotApplied, lockstep.FaultPermanent), lockstep.RunFailed},
	} {
		t.Run(name, func(t *testing.T) {
			r := onSQLite(t)
			s := r.rotating(t, "db", "single")
			_, before := r.read(t, s.ID)
			out, err := r.Rotate(t.Context(), ref("db"), runs.RotateInput{Token: token(t), TestOnly: true})
			must(t, err)
			claim := r.claim(t, out.Run, "worker")
			must(t, claim.Begin(t.Context(), lockstep.StepTest))
			if c.fault == nil {
				must(t, claim.TestDone(t.Context()))
			} else {
				d, err := claim.Failed(t.Context(), c.fault)
				must(t, err)
				if d != runs.Ended {
					t.Errorf("decision %d", d)
				}
			}
			_, after := r.read(t, s.ID)
			if run := r.run(t, out.Run); run.State != c.state || after[lockstep.Current] != before[lockstep.Current] || after[lockstep.Pending] != "" {
				t.Errorf("run %+v, labels %v", run, after)
			}
			r.sound(t)
		})
	}
}

// What a hand does while a worker holds the slot.
func TestHandsWhileARunIsHeld(t *testing.T) {
	for name, c := range map[string]struct {
		hand func(t *testing.T, r *rig, s *lockstep.Secret)
		stop lockstep.StopKind
	}{
		"cancelled": {func(t *testing.T, r *rig, _ *lockstep.Secret) {
			_, err := r.CancelRotation(t.Context(), ref("db"))
			must(t, err)
		}, lockstep.StopCancelled},
		"another value put": {func(t *testing.T, r *rig, _ *lockstep.Secret) {
			put(t, r, "db", credential{Host: "db", User: "db", Password: "hand"}.value())
		}, lockstep.StopSuperseded},
		"deleted": {func(t *testing.T, r *rig, _ *lockstep.Secret) {
			_, err := r.keeper.Delete(t.Context(), ref("db"), keeper.DeleteInput{})
			must(t, err)
		}, lockstep.StopCancelled},
		"deleted by force": {func(t *testing.T, r *rig, _ *lockstep.Secret) {
			_, err := r.keeper.Delete(t.Context(), ref("db"), keeper.DeleteInput{Force: true})
			must(t, err)
		}, lockstep.StopCancelled},
	} {
		for _, state := range []lockstep.RunState{lockstep.RunQueued, lockstep.RunSetting, lockstep.RunSet} {
			t.Run(name+" "+string(state), func(t *testing.T) {
				r := onSQLite(t)
				claim := at(t, r, state, lockstep.TriggerManual)
				c.hand(t, r, claim.Secret)
				if got := r.run(t, claim.Run.ID); got.Stop != c.stop || got.State.Final() {
					t.Fatalf("the run after the hand: %+v", got)
				}
				switch state {
				case lockstep.RunQueued:
					wants(t, claim.Created(t.Context(), r.pending(t, claim)), lockstep.ErrConflict)
				case lockstep.RunSetting:
					wants(t, claim.SetAgain(t.Context()), lockstep.ErrConflict)
				case lockstep.RunSet:
					wants(t, claim.Finish(t.Context()), lockstep.ErrConflict)
				}
				n, err := r.Purge(t.Context(), 10)
				must(t, err)
				if n != 0 {
					t.Error("purged under a run that is at the target")
				}
				d, err := claim.Stop(t.Context(), lockstep.StopSuperseded, "ignored")
				must(t, err)
				if (d == runs.Undo) != state.TargetTouched() {
					t.Errorf("decision %d", d)
				}
				if d == runs.Undo {
					_, stages := r.read(t, claim.Secret.ID)
					must(t, claim.Undone(t.Context(), stages[lockstep.Current]))
				}
				if got := r.run(t, claim.Run.ID); got.State != lockstep.RunCancelled || got.Stop != c.stop {
					t.Errorf("the run: %+v", got)
				}
				r.sound(t)
			})
		}
	}
}

// A hand puts AWSCURRENT onto the Run's own Version: that is its finish, and
// the worker leaves without a word.
func TestAHandFinishesTheRun(t *testing.T) {
	for _, state := range []lockstep.RunState{lockstep.RunSetting, lockstep.RunSet} {
		t.Run(string(state), func(t *testing.T) {
			r := onSQLite(t)
			claim := at(t, r, state, lockstep.TriggerManual)
			_, stages := r.read(t, claim.Secret.ID)
			old := stages[lockstep.Current]
			_, err := r.keeper.MoveStage(t.Context(), ref("db"), keeper.MoveStageInput{
				Stage: lockstep.Current, From: old, To: claim.Run.Version,
			})
			must(t, err)
			wants(t, claim.Applied(t.Context()), runs.ErrEnded)
			if slot := r.slot(t, claim.Secret.ID); slot.Holder != "" {
				t.Error("the slot is held by nobody's run")
			}
			// Before the target was seen to accept the new value, the old one may
			// be the only one that works: it stays.
			if v := r.version(t, claim.Secret.ID, old); v.MaybeLive != (state == lockstep.RunSetting) {
				t.Errorf("the old version may be live: %t", v.MaybeLive)
			}
			s, _ := r.read(t, claim.Secret.ID)
			if run := r.run(t, claim.Run.ID); run.State != lockstep.RunSucceeded || !s.Unverified {
				t.Errorf("run %s, unverified %t", run.State, s.Unverified)
			}
			r.sound(t)
		})
	}
}
