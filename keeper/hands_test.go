package keeper_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"lockstep"
	"lockstep/keeper"
	"lockstep/store"
)

// hand is a call that somebody makes while a Run is open.
type hand func(w *world) error

func putHand(w *world) error {
	_, err := w.Put(w.t.Context(), ref(w.name), keeper.PutInput{Token: "hand", Value: login("app", "by hand")})
	return err
}

func putPendingHand(w *world) error {
	_, err := w.Put(w.t.Context(), ref(w.name), keeper.PutInput{
		Token: "hand", Value: login("app", "by hand"), Stages: []lockstep.Stage{lockstep.Pending},
	})
	return err
}

func updateHand(w *world) error {
	_, err := w.Update(w.t.Context(), ref(w.name), keeper.UpdateInput{Token: "hand", Value: login("app", "by hand")})
	return err
}

func move(stage lockstep.Stage, to, from lockstep.VersionID) hand {
	return func(w *world) error {
		_, err := w.MoveStage(w.t.Context(), ref(w.name), keeper.MoveStageInput{Stage: stage, To: to, From: from})
		return err
	}
}

func deleteHand(w *world) error {
	_, err := w.Delete(w.t.Context(), ref(w.name), keeper.DeleteInput{})
	return err
}

func forceHand(w *world) error {
	_, err := w.Delete(w.t.Context(), ref(w.name), keeper.DeleteInput{Force: true})
	return err
}

// A Secret has AWSCURRENT=t1 and an open Run with the Version "pending".
func TestHandsWhileARunIsOpen(t *testing.T) {
	var (
		queued  = openRun{state: lockstep.RunQueued}
		held    = openRun{state: lockstep.RunQueued, held: true}
		created = openRun{state: lockstep.RunCreated, sealed: true}
		setting = openRun{state: lockstep.RunSetting, sealed: true}
		atWork  = openRun{state: lockstep.RunSetting, sealed: true, held: true}
		set     = openRun{state: lockstep.RunSet, sealed: true}
		tested  = openRun{state: lockstep.RunTested, sealed: true}
		undo    = openRun{state: lockstep.RunUndo, sealed: true}
	)
	const (
		gone       = lockstep.RunCancelled
		succeeded  = lockstep.RunSucceeded
		superseded = lockstep.StopSuperseded
		cancelled  = lockstep.StopCancelled
	)
	byHand := "AWSCURRENT=hand AWSPREVIOUS=t1"
	finished := "AWSCURRENT=pending AWSPREVIOUS=t1"
	cases := map[string]struct {
		run    openRun
		hand   hand
		state  lockstep.RunState
		stop   lockstep.StopKind
		labels string
		jobs   string
		doubt  bool
	}{
		"put, set not begun: superseded at once":        {queued, putHand, gone, superseded, byHand, "verify", true},
		"put, value made, set not begun":                {created, putHand, gone, superseded, byHand, "verify", true},
		"put, in a worker's hands: the worker sees it":  {held, putHand, lockstep.RunQueued, superseded, byHand + " AWSPENDING=pending", "run verify", true},
		"put, the target was told: to be undone":        {setting, putHand, lockstep.RunSetting, superseded, byHand + " AWSPENDING=pending", "run verify", true},
		"put, the target is being told":                 {atWork, putHand, lockstep.RunSetting, superseded, byHand + " AWSPENDING=pending", "run verify", true},
		"put, tested already":                           {tested, putHand, lockstep.RunTested, superseded, byHand + " AWSPENDING=pending", "run verify", true},
		"update with a value":                           {setting, updateHand, lockstep.RunSetting, superseded, byHand + " AWSPENDING=pending", "run verify", true},
		"put with AWSPENDING, set not begun: cancelled": {queued, putPendingHand, gone, cancelled, "AWSCURRENT=t1 AWSPENDING=hand", "", false},
		"put with AWSPENDING, the target was told":      {setting, putPendingHand, lockstep.RunSetting, cancelled, "AWSCURRENT=t1 AWSPENDING=hand", "run", false},

		"AWSCURRENT back to the previous version":  {setting, move(lockstep.Current, "t0", "t1"), lockstep.RunSetting, superseded, "AWSCURRENT=t0 AWSPENDING=pending AWSPREVIOUS=t1", "run verify", true},
		"AWSCURRENT onto the Run's: its finish":    {tested, move(lockstep.Current, "pending", "t1"), succeeded, "", finished, "", false},
		"AWSCURRENT onto the Run's, not tested":    {set, move(lockstep.Current, "pending", "t1"), succeeded, "", finished, "verify", true},
		"AWSCURRENT onto the Run's, set unknown":   {setting, move(lockstep.Current, "pending", "t1"), succeeded, "", finished, "verify", true},
		"AWSCURRENT onto the Run's, set not begun": {created, move(lockstep.Current, "pending", "t1"), succeeded, "", finished, "verify", true},
		"AWSCURRENT onto the Run's, while undone":  {undo, move(lockstep.Current, "pending", "t1"), succeeded, "", finished, "verify", true},

		"AWSPENDING taken off, set not begun":       {created, move(lockstep.Pending, "", "pending"), gone, cancelled, "AWSCURRENT=t1", "", false},
		"AWSPENDING taken off, in a worker's hands": {held, move(lockstep.Pending, "", "pending"), lockstep.RunQueued, cancelled, "AWSCURRENT=t1", "run", false},
		"AWSPENDING taken off, the target was told": {set, move(lockstep.Pending, "", "pending"), lockstep.RunSet, cancelled, "AWSCURRENT=t1", "run", false},
		"AWSPENDING moved elsewhere":                {set, move(lockstep.Pending, "t0", "pending"), lockstep.RunSet, cancelled, "AWSCURRENT=t1 AWSPENDING=t0", "run", false},
		"another label: nothing to do with the Run": {set, move("mine", "t0", ""), lockstep.RunSet, "", "AWSCURRENT=t1 AWSPENDING=pending mine=t0", "", false},

		"delete, set not begun":       {queued, deleteHand, gone, cancelled, "AWSCURRENT=t1", "", false},
		"delete, the target was told": {set, deleteHand, lockstep.RunSet, cancelled, "AWSCURRENT=t1 AWSPENDING=pending", "run", false},
		"force, the target was told":  {set, forceHand, lockstep.RunSet, cancelled, "", "run", false},
	}
	onBoth(t, func(t *testing.T, w *world) {
		for name, c := range cases {
			t.Run(name, func(t *testing.T) {
				w := w.fresh(t)
				s := w.twoVersions("single")
				id := w.start(w.name, "t1", c.run)
				w.must(c.hand(w))
				run := w.run(id)
				if run.State != c.state || run.Stop != c.stop {
					t.Errorf("the run is %s (stop %q), want %s (%q)", run.State, run.Stop, c.state, c.stop)
				}
				if c.labels != "" {
					if got := w.withoutPrevious(c.labels); got != sorted(c.labels) {
						t.Errorf("labels %s, want %s", got, c.labels)
					}
					if now := w.secret(w.name); now.Unverified != c.doubt {
						t.Errorf("unverified %v, want %v", now.Unverified, c.doubt)
					}
				}
				if got := w.jobs(); got != c.jobs {
					t.Errorf("jobs %q, want %q", got, c.jobs)
				}
				w.runIsAccountedFor(s.ID, run)
			})
		}
		w.t = t
		w.healthy()
	})
}

// twoVersions makes the Secret "a" with t0 and, as AWSCURRENT, t1, and turns
// rotation on.
func (w *world) twoVersions(rotator string) *lockstep.Secret {
	w.t.Helper()
	s := w.made(w.name, "t0", `{"username":"app","password":"0"}`)
	w.rotate(w.name, rotator)
	_, err := w.put(w.name, "t1", `{"username":"app","password":"1"}`)
	w.must(err)
	// What that put brought is done.
	w.update(func(tx store.Tx) error {
		locked, err := tx.LockSecret(s.ID)
		if err != nil {
			return err
		}
		locked.Unverified = false
		stages := lockstep.Stages{lockstep.Current: "t1"}
		return errors.Join(tx.SaveSecret(locked), tx.SaveStages(s.ID, stages), tx.DropJobs(s.ID, store.JobVerify))
	})
	return s
}

// withoutPrevious leaves AWSPREVIOUS out unless a row names it.
func (w *world) withoutPrevious(want string) string {
	var kept []string
	for _, l := range strings.Fields(w.labels(w.name)) {
		if !strings.HasPrefix(l, "AWSPREVIOUS") || strings.Contains(want, "AWSPREVIOUS") {
			kept = append(kept, l)
		}
	}
	return strings.Join(kept, " ")
}

func sorted(labels string) string {
	return strings.Join(slices.Sorted(slices.Values(strings.Fields(labels))), " ")
}

// runIsAccountedFor checks that a final Run has its end and its Event, an open
// one neither, and that nothing the target may accept was lost.
func (w *world) runIsAccountedFor(id lockstep.SecretID, run *lockstep.Run) {
	w.t.Helper()
	ends := 0
	for _, e := range w.events(id) {
		switch e.Type {
		case lockstep.EventRunCancelled, lockstep.EventRunSucceeded, lockstep.EventRunFailed:
			ends++
		case lockstep.EventVersionCurrent:
			for stage, on := range e.Data.Stages {
				if stage == "AWSPENDING" && on == e.Data.VersionID && e.Data.Run != "" {
					w.t.Error("the event of a finish shows AWSPENDING still on the version")
				}
			}
		}
	}
	if run.State.Final() != (ends == 1) || run.State.Final() != !run.Finished.IsZero() {
		w.t.Errorf("run is %s, finished %v, with %d events of its end", run.State, run.Finished, ends)
	}
	w.view(func(tx store.ReadTx) error {
		v, err := tx.Version(id, pendingToken)
		if errors.Is(err, lockstep.ErrNotFound) {
			if run.State.TargetTouched() || run.State == lockstep.RunSucceeded {
				w.t.Error("the run's version is gone, though the target may know it")
			}
			return nil
		}
		if err == nil && run.State.TargetTouched() && !v.MaybeLive {
			w.t.Error("the run's version left the maybe-live set")
		}
		return err
	})
}

// TestFinishByHandKeepsWhatMayBeLive: only a target that took the new value
// has overwritten the old one.
func TestFinishByHandKeepsWhatMayBeLive(t *testing.T) {
	onBoth(t, func(t *testing.T, w *world) {
		for _, c := range []struct {
			state lockstep.RunState
			live  bool
		}{
			{lockstep.RunCreated, true}, {lockstep.RunSetting, true}, {lockstep.RunUndo, true},
			{lockstep.RunSet, false}, {lockstep.RunTested, false},
		} {
			w := w.fresh(t)
			w.twoVersions("single")
			w.start(w.name, "t1", openRun{state: c.state, sealed: true})
			w.must(move(lockstep.Current, "pending", "t1")(w))
			old := w.version(w.name, "t1")
			if old.MaybeLive != c.live || old.Retirement != lockstep.RetirementNone {
				t.Errorf("finished in %s: the old value is maybe live %v (%q), want %v", c.state, old.MaybeLive, old.Retirement, c.live)
			}
			// Back again is allowed: nothing was removed at the target.
			w.must(move(lockstep.Current, "t1", "pending")(w))
			if !w.version(w.name, "t1").MaybeLive || !w.secret(w.name).Unverified {
				t.Error("AWSCURRENT put back must be live again, and doubted")
			}
		}
	})
}

func TestStrangersCannotGiveARunItsValue(t *testing.T) {
	onBoth(t, func(t *testing.T, w *world) {
		for _, rotator := range []string{"single", "pair", "values", "no longer registered"} {
			t.Run(rotator, func(t *testing.T) {
				w := w.fresh(t)
				w.made(w.name, "t1", `{"username":"app"}`)
				w.rotate(w.name, rotator)
				w.start(w.name, "t1", openRun{state: lockstep.RunQueued})
				for _, stages := range [][]lockstep.Stage{nil, {lockstep.Pending}, {lockstep.Current}, {"mine"}} {
					_, err := w.put(w.name, pendingToken, `{"username":"evil"}`, stages...)
					if !errors.Is(err, lockstep.ErrState) {
						t.Errorf("put with %v: %v", stages, err)
					}
				}
				_, updateErr := w.Update(t.Context(), ref(w.name), keeper.UpdateInput{Token: pendingToken, Value: lockstep.StringValue("evil")})
				moveErr := move(lockstep.Current, pendingToken, "t1")(w)
				for call, err := range map[string]error{"update": updateErr, "move": moveErr} {
					if !errors.Is(err, lockstep.ErrState) {
						t.Errorf("%s: %v", call, err)
					}
				}
				_, err := w.Get(t.Context(), ref(w.name), keeper.GetInput{Version: pendingToken, Stage: lockstep.Pending})
				if !errors.Is(err, lockstep.ErrNotFound) {
					t.Errorf("an empty version was read: %v", err)
				}
				if v := w.version(w.name, pendingToken); v.Sealed != nil || w.labels(w.name) != "AWSCURRENT=t1 AWSPENDING=pending" {
					t.Errorf("the run's version has a value, labels %s", w.labels(w.name))
				}
			})
		}
	})
}

// TestNobodyRepeatsARunsTokenWithOtherData: the engine has made the value.
func TestNobodyRepeatsARunsTokenWithOtherData(t *testing.T) {
	w := onSQLite(t)
	w.twoVersions("single")
	w.start(w.name, "t1", openRun{state: lockstep.RunSetting, sealed: true})
	if _, err := w.put(w.name, pendingToken, "other"); !errors.Is(err, lockstep.ErrVersionClaimed) {
		t.Errorf("got %v", err)
	}
	if _, err := w.put(w.name, pendingToken, login("app", "new").Reveal()); err != nil || w.run("run-a").Stop != "" {
		t.Errorf("the same value is the same request: %v", err)
	}
}

func TestRetirementOfTheVersionLeft(t *testing.T) {
	later := lockstep.Retirement{After: lockstep.RetireDelay, Delay: time.Hour}
	cases := map[string]struct {
		rotator string
		policy  lockstep.Retirement
		want    lockstep.RetirementState
	}{
		"two accounts, next-run":      {"pair", lockstep.Retirement{}, lockstep.RetirementIdle},
		"two accounts, after a delay": {"pair", later, lockstep.RetirementDue},
		"two accounts, by hand":       {"pair", lockstep.Retirement{After: lockstep.RetireManual}, lockstep.RetirementDue},
		"one value":                   {"single", later, lockstep.RetirementNone},
		"no target":                   {"values", later, lockstep.RetirementNone},
	}
	onBoth(t, func(t *testing.T, w *world) {
		for name, c := range cases {
			t.Run(name, func(t *testing.T) {
				w := w.fresh(t)
				w.made(w.name, "t1", `{"username":"app"}`)
				w.rotate(w.name, c.rotator, func(r *lockstep.Rotation) { r.Retirement = c.policy })
				w.must(putHand(w))
				left, now := w.version(w.name, "t1"), w.version(w.name, "hand")
				if left.Retirement != c.want || now.Retirement != lockstep.RetirementNone {
					t.Errorf("left %q, entered %q, want %q and none", left.Retirement, now.Retirement, c.want)
				}
				targeted := c.rotator != "values"
				if now.MaybeLive != targeted || w.secret(w.name).Unverified != targeted {
					t.Errorf("maybe live %v, unverified %v, want %v", now.MaybeLive, w.secret(w.name).Unverified, targeted)
				}
			})
		}
	})
}

func TestAWSCURRENTNeverGoesToARemovedCredential(t *testing.T) {
	for state, want := range map[lockstep.RetirementState]error{
		lockstep.RetirementRetiring: lockstep.ErrState, lockstep.RetirementRetired: lockstep.ErrState,
		lockstep.RetirementIdle: nil, lockstep.RetirementDue: nil, lockstep.RetirementDropped: nil, lockstep.RetirementNone: nil,
	} {
		t.Run(string(state), func(t *testing.T) {
			w := onSQLite(t)
			s := w.twoVersions("pair")
			w.update(func(tx store.Tx) error {
				v, err := tx.Version(s.ID, "t0")
				if err != nil {
					return err
				}
				v.Retirement = state
				return tx.SaveVersion(v)
			})
			if err := move(lockstep.Current, "t0", "t1")(w); !errors.Is(err, want) {
				t.Errorf("got %v, want %v", err, want)
			}
		})
	}
}

func TestRotationTurnedOff(t *testing.T) {
	w := onSQLite(t)
	w.twoVersions("single")
	w.rotate(w.name, "single", func(r *lockstep.Rotation) { r.Enabled = false })
	w.must(putHand(w))
	if !w.secret(w.name).Unverified || w.jobs() != "" {
		t.Errorf("unverified %v, jobs %q: nobody may act on the target now", w.secret(w.name).Unverified, w.jobs())
	}
}

// TestManualPutCountsAsARotation: AutomaticallyAfterDays counts from it.
func TestManualPutCountsAsARotation(t *testing.T) {
	w := onSQLite(t)
	w.made(w.name, "t1", `{"username":"app"}`)
	w.rotate(w.name, "single", func(r *lockstep.Rotation) { r.Schedule = lockstep.Schedule{AfterDays: 10} })
	w.ahead.Store(int64(72 * time.Hour))
	w.must(putHand(w))
	s := w.secret(w.name)
	if got := s.NextRotation.Sub(s.Changed).Round(time.Minute); got != 10*24*time.Hour {
		t.Errorf("the next rotation is %v after the put, want 10 days", got)
	}
	if !s.LastRotated.IsZero() {
		t.Error("LastRotatedDate is for rotations that succeeded")
	}
}
