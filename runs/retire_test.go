package runs_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"lockstep"
	"lockstep/keeper"
	"lockstep/runs"
	"lockstep/store"
)

// left rotates a pair once and returns the Version that AWSCURRENT left.
func left(t *testing.T, r *rig, p lockstep.Retirement) (*lockstep.Secret, lockstep.VersionID) {
	t.Helper()
	s := r.rotating(t, "db", "pair", retired(p))
	_, stages := r.read(t, s.ID)
	r.finished(t, r.rotate(t, "db").Run)
	return s, stages[lockstep.Current]
}

var afterAnHour = lockstep.Retirement{After: lockstep.RetireDelay, Delay: time.Hour}

func TestRetire(t *testing.T) {
	r := onSQLite(t)
	s, old := left(t, r, afterAnHour)
	early := func(when string, want time.Time) {
		t.Helper()
		_, err := r.ClaimRetire(t.Context(), s.ID, old, "worker")
		var wait *runs.Waiting
		if !errors.As(err, &wait) || !wait.Until.Equal(want) {
			t.Fatalf("%s: %v", when, err)
		}
		if jobs := r.jobs(t); len(jobs) == 0 || !jobs[len(jobs)-1].DueAt.Equal(want) {
			t.Errorf("%s: nobody will look again: %+v", when, jobs)
		}
	}
	early("before its time", began.Add(time.Hour))
	r.clock.pass(time.Hour)
	c, err := r.ClaimRetire(t.Context(), s.ID, old, "worker")
	must(t, err)
	if v := r.version(t, s.ID, old); v.Retirement != lockstep.RetirementRetiring {
		t.Errorf("the version is %s", v.Retirement)
	}
	if _, err := r.ClaimRetire(t.Context(), s.ID, old, "other"); !errors.Is(err, lockstep.ErrBusy) {
		t.Errorf("a second claim: %v", err)
	}
	_, err = r.keeper.MoveStage(t.Context(), ref("db"), keeper.MoveStageInput{
		Stage: lockstep.Current, From: current(t, r, s.ID), To: old,
	})
	wants(t, err, lockstep.ErrState) // not towards a Version that is being retired
	must(t, c.RetireFailed(t.Context(), fault(lockstep.NotApplied, lockstep.FaultTransient)))
	v := r.version(t, s.ID, old)
	if v.RetireAttempts != 1 || v.RetireReason == "" || !v.MaybeLive {
		t.Errorf("after a failed try: %+v", v)
	}
	early("in backoff", v.RetireRetryAt)
	r.clock.pass(time.Minute)
	c, err = r.ClaimRetire(t.Context(), s.ID, old, "worker")
	must(t, err)
	must(t, c.Retired(t.Context()))
	if v := r.version(t, s.ID, old); v.Retirement != lockstep.RetirementRetired || v.MaybeLive {
		t.Errorf("after: %+v", v)
	}
	_, err = r.ClaimRetire(t.Context(), s.ID, old, "worker")
	wants(t, err, runs.ErrEnded)
	if e := r.events(t, s.ID); e[lockstep.EventVersionRetired] != 1 || e[lockstep.EventRetireFailed] != 1 {
		t.Errorf("events %v", e)
	}
	r.sound(t)
}

func current(t *testing.T, r *rig, id lockstep.SecretID) lockstep.VersionID {
	t.Helper()
	_, stages := r.read(t, id)
	return stages[lockstep.Current]
}

func TestRetireLeavesAloneWhatAWSCURRENTUses(t *testing.T) {
	r := onSQLite(t)
	s, old := left(t, r, afterAnHour)
	// A hand goes back to the account of the Version that waits.
	put(t, r, "db", credential{Host: "db", User: "db", Password: "by hand"}.value())
	r.clock.pass(time.Hour)
	_, err := r.ClaimRetire(t.Context(), s.ID, old, "worker")
	wants(t, err, runs.ErrEnded)
	if v := r.version(t, s.ID, old); v.Retirement != lockstep.RetirementDropped || !v.MaybeLive {
		t.Errorf("the version is %s, maybe live %t", v.Retirement, v.MaybeLive)
	}
}

func TestAFailingRetirementIsTriedForEverAndToldSometimes(t *testing.T) {
	r := onSQLite(t)
	s, old := left(t, r, afterAnHour)
	r.clock.pass(time.Hour)
	for range 100 {
		c, err := r.ClaimRetire(t.Context(), s.ID, old, "worker")
		must(t, err)
		must(t, c.RetireFailed(t.Context(), fault(lockstep.NotApplied, lockstep.FaultPermanent)))
		r.clock.pass(5 * time.Minute)
	}
	if n := r.events(t, s.ID)[lockstep.EventRetireFailed]; n != 7 {
		t.Errorf("%d events of 100 tries", n)
	}
	if jobs := r.jobs(t); len(jobs) != 2 { // the finished run's own, and this
		t.Errorf("jobs %+v", jobs)
	}
}

// A removal without an answer may yet land: nobody acts on the target before the
// lease has run out.
func TestARetirementWithoutAnAnswerKeepsItsSlot(t *testing.T) {
	r := onSQLite(t)
	s, old := left(t, r, afterAnHour)
	r.clock.pass(time.Hour)
	c, err := r.ClaimRetire(t.Context(), s.ID, old, "worker")
	must(t, err)
	must(t, c.RetireFailed(t.Context(), fault(lockstep.Unknown, lockstep.FaultTransient)))
	must(t, c.Release(t.Context()))
	if slot := r.slot(t, s.ID); slot.Holder != "worker" {
		t.Errorf("the slot is held by %q", slot.Holder)
	}
}

func TestVerify(t *testing.T) {
	r := onSQLite(t)
	s := r.rotating(t, "db", "single")
	claim := func() (*runs.Claim, error) { return r.ClaimVerify(t.Context(), s.ID, "worker") }
	c, err := claim() // nothing is in doubt: a look all the same, and no word of it
	must(t, err)
	must(t, c.Verified(t.Context(), ""))
	if n := r.events(t, s.ID)[lockstep.EventVerified]; n != 0 {
		t.Errorf("%d events of a look that found nothing", n)
	}
	put(t, r, "db", credential{Host: "db", User: "db", Password: "by hand"}.value())
	c, err = claim()
	must(t, err)
	put(t, r, "db", credential{Host: "db", User: "db", Password: "by hand again"}.value())
	wants(t, c.Verified(t.Context(), ""), lockstep.ErrConflict)
	must(t, c.Release(t.Context()))
	for i := range 20 {
		c, err = claim()
		must(t, err)
		must(t, c.VerifyFailed(t.Context(), fault(lockstep.NotApplied, lockstep.FaultTransient), i))
	}
	jobs := r.jobs(t)
	if last := jobs[len(jobs)-1]; last.Kind != store.JobVerify || last.Seq != 20 || last.DueAt.Sub(r.clock.read()) < 3*time.Minute {
		t.Errorf("the next look: %+v", last)
	}
	if n := r.events(t, s.ID)[lockstep.EventDrift]; n != 5 {
		t.Errorf("%d events of 20 tries", n)
	}
	out := r.rotate(t, "db")
	_, err = claim()
	wants(t, err, runs.ErrEnded) // the open Run sees to it
	r.finished(t, out.Run)
	if after, _ := r.read(t, s.ID); after.Unverified {
		t.Error("the run saw the new value log in")
	}
	put(t, r, "db", credential{Host: "db", User: "db", Password: "once more"}.value())
	c, err = claim()
	must(t, err)
	must(t, c.Verified(t.Context(), "it was set again"))
	if after, _ := r.read(t, s.ID); after.Unverified || r.slot(t, s.ID).Holder != "" {
		t.Error("still in doubt, or held")
	}
	r.sound(t)
}

func TestPurge(t *testing.T) {
	r := onSQLite(t)
	forced, marked := r.rotating(t, "forced", "single"), r.rotating(t, "marked", "single")
	_, err := r.keeper.Delete(t.Context(), ref("forced"), keeper.DeleteInput{Force: true})
	must(t, err)
	_, err = r.keeper.Delete(t.Context(), ref("marked"), keeper.DeleteInput{Window: 7 * 24 * time.Hour})
	must(t, err)
	purge := func(want int) {
		t.Helper()
		n, err := r.Purge(t.Context(), 10)
		must(t, err)
		if n != want {
			t.Errorf("purged %d, want %d", n, want)
		}
	}
	purge(1)
	purge(0)
	r.clock.pass(7 * 24 * time.Hour)
	purge(1)
	for _, s := range []*lockstep.Secret{forced, marked} {
		r.view(t, func(tx store.ReadTx) error {
			if _, err := tx.Secret(s.ID); !errors.Is(err, lockstep.ErrNotFound) {
				t.Errorf("%s is still there: %v", s.Name, err)
			}
			events, err := tx.Events(s.ID, 0, 100)
			if last := events[len(events)-1]; last.Type != lockstep.EventSecretPurged || !strings.Contains(last.Data.Reason, "stays valid") {
				t.Errorf("the last word: %+v", last)
			}
			return err
		})
	}
}

func TestPlan(t *testing.T) {
	onBoth(t, func(t *testing.T, r *rig) {
		r.secret(t, "none")
		_, err := r.Plan(t.Context(), ref("none"))
		wants(t, err, lockstep.ErrState)
		r.rotating(t, "db", "single")
		plan, err := r.Plan(t.Context(), ref("db"))
		must(t, err)
		must(t, r.AnswerPlan(t.Context(), plan.ID, func(p *store.Plan) { p.Actions = []string{"this"} }))
		must(t, r.AnswerPlan(t.Context(), "gone", func(*store.Plan) { t.Error("answered a plan that is gone") }))
		got, err := r.PlanResult(t.Context(), owner, plan.ID)
		must(t, err)
		if !got.Done || len(got.Actions) != 1 {
			t.Errorf("plan %+v", got)
		}
		_, err = r.PlanResult(t.Context(), store.Owner{Account: "999999999999", Region: owner.Region}, plan.ID)
		wants(t, err, lockstep.ErrNotFound)
	})
}
