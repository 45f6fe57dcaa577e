package runs_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"lockstep"
	"lockstep/keeper"
	"lockstep/rotators"
	"lockstep/runs"
	"lockstep/store"
)

// issuer is a rotator whose target makes the values; nobody calls it here.
type issuer struct{ overlap lockstep.Overlap }

func (i issuer) Traits() lockstep.Traits {
	return lockstep.Traits{Chooser: lockstep.Issued, Overlap: i.overlap}
}

func (issuer) Issue(context.Context, *rotators.Request) (lockstep.Value, error) {
	return lockstep.Value{}, errors.New("not here")
}
func (issuer) Test(context.Context, *rotators.Request, lockstep.Value) error {
	return errors.New("not here")
}
func (issuer) Retire(context.Context, *rotators.Request, lockstep.Value) error {
	return errors.New("not here")
}
func (issuer) Marked(context.Context, *rotators.Request) ([]rotators.Marked, error) {
	return nil, errors.New("not here")
}
func (issuer) Revoke(context.Context, *rotators.Request, rotators.Marked) error {
	return errors.New("not here")
}

// asked is a Run whose target has been asked by a claim.
type asked struct {
	*rig
	secret *lockstep.Secret
	out    runs.RotateOutput
	claim  *runs.Claim
	marker lockstep.Marker
}

func ask(t *testing.T, rotator string) *asked {
	t.Helper()
	a := &asked{rig: onSQLite(t)}
	a.secret = a.rotating(t, "db", rotator)
	a.out = a.rotate(t, "db")
	a.claim = a.rig.claim(t, a.out.Run, "a")
	_, stages := a.read(t, a.secret.ID)
	var err error
	a.marker, err = a.claim.Intend(t.Context(), runs.Asking{Base: stages[lockstep.Current]})
	must(t, err)
	return a
}

// issued is what the target has answered.
func (a *asked) issued(t *testing.T, place lockstep.VersionID) runs.Deposit {
	t.Helper()
	s, _ := a.read(t, a.secret.ID)
	sealed, _, err := a.keeper.SealIssued(t.Context(), s, place, lockstep.StringValue("issued"))
	must(t, err)
	return runs.Deposit{Marker: a.marker, Sealed: sealed}
}

// deposit stores it in the Run's Version.
func (a *asked) deposit(t *testing.T) error {
	t.Helper()
	return a.claim.Deposit(t.Context(), a.issued(t, a.out.Version))
}

// next is another worker's claim, after the lease.
func (a *asked) next(t *testing.T) *runs.Claim {
	t.Helper()
	a.clock.pass(lease + time.Second)
	return a.rig.claim(t, a.out.Run, "b")
}

// standing is what another worker finds.
func (a *asked) standing(t *testing.T, want runs.Standing) *runs.Claim {
	t.Helper()
	c := a.next(t)
	got, err := c.Resume(t.Context())
	must(t, err)
	if got != want {
		t.Fatalf("the next claim finds %d, want %d", got, want)
	}
	return c
}

func (a *asked) intent(t *testing.T) (i *store.Intent) {
	t.Helper()
	a.view(t, func(tx store.ReadTx) (err error) { i, err = tx.Intent(a.marker); return err })
	return i
}

// stray deposits what has no place any more, and wants it kept and removed.
func (a *asked) stray(t *testing.T) {
	t.Helper()
	wants(t, a.deposit(t), runs.ErrStray)
	place := token(t)
	d := a.issued(t, place)
	d.Stray = place
	for range 2 { // the answer of the store may be lost
		wants(t, a.claim.Deposit(t.Context(), d), lockstep.ErrFenced)
	}
	if v := a.version(t, a.secret.ID, place); v.Sealed == nil || !v.MaybeLive || v.Retirement != lockstep.RetirementDue {
		t.Errorf("the stray version: %+v", v)
	}
	if i := a.intent(t); i.State != store.IntentDeposited || i.SweepDue.IsZero() || i.Version != place {
		t.Errorf("its intent: %+v", i)
	}
	a.sound(t)
}

func (a *asked) state(t *testing.T, want lockstep.RunState) {
	t.Helper()
	if got := a.run(t, a.out.Run).State; got != want {
		t.Errorf("the run is %s, want %s", got, want)
	}
}

// kept asserts that the Run's Version has the value, and may be live.
func (a *asked) kept(t *testing.T) {
	t.Helper()
	if v := a.version(t, a.secret.ID, a.out.Version); v.Sealed == nil || !v.MaybeLive {
		t.Errorf("the run's version: %+v", v)
	}
	a.sound(t)
}

func (a *asked) put(t *testing.T) {
	t.Helper()
	_, err := a.keeper.Put(t.Context(), ref("db"), keeper.PutInput{Token: token(t), Value: lockstep.StringValue("by hand")})
	must(t, err)
}

func TestADepositIsStoredWhateverHasBecomeOfItsClaim(t *testing.T) {
	for _, row := range []struct {
		name    string
		rotator string
		test    func(t *testing.T, a *asked)
	}{
		{"the claim holds", "several", func(t *testing.T, a *asked) {
			must(t, a.deposit(t))
			must(t, a.deposit(t)) // again: the store's answer was lost
			a.state(t, lockstep.RunSet)
			a.kept(t)
			must(t, a.claim.Finish(t.Context()))
			a.state(t, lockstep.RunSucceeded)
		}},
		{"the lease ran out, and nobody came", "several", func(t *testing.T, a *asked) {
			a.clock.pass(lease + time.Second)
			wants(t, a.deposit(t), lockstep.ErrFenced)
			a.state(t, lockstep.RunSetting)
			a.kept(t)
			must(t, a.standing(t, runs.StandsDeposited).Finish(t.Context()))
		}},
		{"the same, where one is valid", "one", func(t *testing.T, a *asked) {
			a.clock.pass(lease + time.Second)
			wants(t, a.deposit(t), lockstep.ErrFenced)
			must(t, a.standing(t, runs.StandsDeposited).Finish(t.Context()))
			a.state(t, lockstep.RunSucceeded)
		}},
		{"another claim has asked again", "several", func(t *testing.T, a *asked) {
			c := a.standing(t, runs.StandsClear)
			_, err := c.Intend(t.Context(), runs.Asking{Base: a.run(t, a.out.Run).Base})
			must(t, err)
			a.stray(t)
		}},
		{"the run was rolled back", "several", func(t *testing.T, a *asked) {
			c := a.next(t)
			d, err := c.Stop(t.Context(), lockstep.StopCancelled, "test")
			must(t, err)
			if d != runs.Undo {
				t.Fatalf("stop leads to %d", d)
			}
			must(t, c.GiveUp(t.Context()))
			must(t, c.Undone(t.Context(), a.run(t, a.out.Run).Base))
			a.stray(t)
		}},
		{"the run is lost", "one", func(t *testing.T, a *asked) {
			a.standing(t, runs.StandsLost)
			a.state(t, lockstep.RunLost)
			a.sound(t)
			wants(t, a.deposit(t), lockstep.ErrFenced)
			a.state(t, lockstep.RunSet)
			a.kept(t)
			must(t, a.rig.claim(t, a.out.Run, "c").Finish(t.Context()))
			a.state(t, lockstep.RunSucceeded)
			a.sound(t)
		}},
		{"the run is lost, and a person has put a value", "one", func(t *testing.T, a *asked) {
			a.standing(t, runs.StandsLost)
			a.put(t)
			wants(t, a.deposit(t), lockstep.ErrFenced)
			a.state(t, lockstep.RunLost)
			a.kept(t)
		}},
		{"the run is lost, and the secret deleted", "one", func(t *testing.T, a *asked) {
			a.standing(t, runs.StandsLost)
			_, err := a.keeper.Delete(t.Context(), ref("db"), keeper.DeleteInput{Window: 7 * 24 * time.Hour})
			must(t, err)
			wants(t, a.deposit(t), lockstep.ErrFenced)
			a.state(t, lockstep.RunLost)
			a.kept(t)
		}},
	} {
		t.Run(row.name, func(t *testing.T) { row.test(t, ask(t, row.rotator)) })
	}
}

func TestAClaimAsksOnce(t *testing.T) {
	a := ask(t, "several")
	_, err := a.claim.Intend(t.Context(), runs.Asking{Base: a.run(t, a.out.Run).Base})
	wants(t, err, lockstep.ErrExists)
	d, err := a.claim.Failed(t.Context(), fault(lockstep.NotApplied, lockstep.FaultTransient))
	must(t, err)
	if i := a.intent(t); d != runs.Later || i.State != store.IntentRefused || !i.Settled() {
		t.Errorf("decision %d, intent %+v", d, i)
	}
	c := a.standing(t, runs.StandsClear)
	marker, err := c.Intend(t.Context(), runs.Asking{Base: a.run(t, a.out.Run).Base})
	must(t, err)
	if marker == a.marker {
		t.Error("two claims have one marker")
	}
	a.sound(t)
}

// TestNothingFollowsALostRun: neither the schedule nor a hand asks again, until a
// person puts a value.
func TestNothingFollowsALostRun(t *testing.T) {
	a := ask(t, "one")
	a.standing(t, runs.StandsLost)
	schedule := lockstep.Schedule{Expression: "@every 1h"}
	_, err := a.Configure(t.Context(), ref("db"), runs.RotateInput{Schedule: &schedule})
	must(t, err)
	started := func() bool {
		t.Helper()
		a.clock.pass(2 * time.Hour)
		_, err := a.AdmitDue(t.Context(), 10)
		must(t, err)
		var last *lockstep.Run
		a.view(t, func(tx store.ReadTx) (err error) { last, err = tx.LastRun(a.secret.ID); return err })
		return !last.State.Final()
	}
	if started() {
		t.Error("the schedule has started a run")
	}
	_, err = a.Rotate(t.Context(), ref("db"), runs.RotateInput{Token: token(t)})
	wants(t, err, lockstep.ErrState)
	_, err = a.Rotate(t.Context(), ref("db"), runs.RotateInput{Token: token(t), Trigger: lockstep.TriggerEmergency})
	wants(t, err, lockstep.ErrState)
	_, err = a.Retry(t.Context(), runs.Hand{Owner: owner}, a.out.Run)
	wants(t, err, lockstep.ErrState)
	a.put(t)
	if !started() {
		t.Error("the schedule starts no run though a value was put")
	}
	a.sound(t)
}

// TestOrphansAreLookedForTwice: at the next claim, and when no call can land.
func TestOrphansAreLookedForTwice(t *testing.T) {
	a := ask(t, "several")
	c := a.standing(t, runs.StandsClear)
	orphans, err := c.Orphans(t.Context())
	must(t, err)
	if !orphans.Revoke[a.marker] || !orphans.Known[a.marker] {
		t.Errorf("to be revoked: %v", orphans)
	}
	must(t, c.Swept(t.Context(), runs.Swept{Searched: orphans.Revoke, Revoked: []string{"one"}}))
	if a.intent(t).Settled() {
		t.Error("it is settled while its call may still land")
	}
	_, err = c.Stop(t.Context(), lockstep.StopCancelled, "test")
	must(t, err)
	must(t, c.Undone(t.Context(), a.run(t, a.out.Run).Base))
	due := a.intent(t).SweepDue
	if _, err := a.ClaimSweep(t.Context(), a.secret.ID, "c"); !errors.Is(err, runs.ErrEnded) {
		t.Errorf("a sweep before its time: %v", err)
	}
	a.clock.pass(due.Sub(a.now(t)))
	sweep, err := a.ClaimSweep(t.Context(), a.secret.ID, "c")
	must(t, err)
	must(t, sweep.SweepFailed(t.Context(), fault(lockstep.NotApplied, lockstep.FaultTransient)))
	a.clock.pass(time.Hour)
	sweep, err = a.ClaimSweep(t.Context(), a.secret.ID, "c")
	must(t, err)
	must(t, sweep.Swept(t.Context(), runs.Swept{Searched: orphans.Revoke}))
	if i := a.intent(t); !i.Settled() || i.Attempts != 1 {
		t.Errorf("after the second search: %+v", i)
	}
	if n := a.events(t, a.secret.ID); n[lockstep.EventOrphanRevoked] != 1 {
		t.Errorf("events: %v", n)
	}
	a.sound(t)
}

func (a *asked) now(t *testing.T) (now time.Time) {
	t.Helper()
	a.view(t, func(tx store.ReadTx) error { now = tx.Now(); return nil })
	return now
}
