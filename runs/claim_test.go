package runs_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"lockstep"
	"lockstep/runs"
	"lockstep/store"
)

func TestAClaimIsOneHands(t *testing.T) {
	r := onSQLite(t)
	r.rotating(t, "db", "single")
	out := r.rotate(t, "db")
	first := r.claim(t, out.Run, "a")
	_, err := r.Claim(t.Context(), out.Run, "b")
	var busy *runs.Busy
	if !errors.As(err, &busy) || busy.Until != lease || !errors.Is(err, lockstep.ErrBusy) {
		t.Fatalf("the second claim: %v", err)
	}
	r.clock.pass(lease - time.Second)
	must(t, first.Extend(t.Context()))
	r.clock.pass(lease - time.Second)
	if _, err := r.Claim(t.Context(), out.Run, "b"); !errors.Is(err, lockstep.ErrBusy) {
		t.Fatalf("the lease was extended, and yet: %v", err)
	}
	r.clock.pass(time.Second)
	second := r.claim(t, out.Run, "b")
	if second.Lease().Fence != first.Lease().Fence+1 || second.Resumed {
		t.Errorf("fences %d and %d, resumed %t", first.Lease().Fence, second.Lease().Fence, second.Resumed)
	}
	wants(t, first.Extend(t.Context()), lockstep.ErrFenced)
	if got := r.run(t, out.Run); !got.Started.Equal(began) || !got.Deadline.Equal(began.Add(time.Hour)) {
		t.Errorf("started %s, deadline %s: the first claim sets them", got.Started, got.Deadline)
	}
	r.created(t, second)
	must(t, second.Release(t.Context()))
	if !r.claim(t, out.Run, "c").Resumed {
		t.Error("the target may have been told, and the claim does not say so")
	}
}

// A lease that was written before the store's clock was stepped back an hour
// would hold the slot for that hour.
func TestALeaseFromTheFutureIsBroken(t *testing.T) {
	r := onSQLite(t)
	r.rotating(t, "db", "single")
	out := r.rotate(t, "db")
	dead := r.claim(t, out.Run, "dead")
	r.clock.pass(-time.Hour)
	busy := func(when string) {
		t.Helper()
		_, err := r.Claim(t.Context(), out.Run, "b")
		var b *runs.Busy
		if !errors.As(err, &b) || b.Until > lease {
			t.Fatalf("%s: %v", when, err)
		}
	}
	busy("first seen")
	r.clock.pass(lease)
	must(t, dead.Extend(t.Context()))
	busy("it gave a sign of life")
	r.clock.pass(2*lease - time.Second)
	busy("not yet twice the lease")
	r.clock.pass(time.Second)
	if c := r.claim(t, out.Run, "b"); c.Lease().Fence <= dead.Lease().Fence {
		t.Errorf("fence %d after %d", c.Lease().Fence, dead.Lease().Fence)
	}
	wants(t, dead.Extend(t.Context()), lockstep.ErrFenced)
}

func TestEveryWriteOfAStaleLeaseIsRefused(t *testing.T) {
	te := fault(lockstep.NotApplied, lockstep.FaultTransient)
	decided := func(_ runs.Decision, err error) error { return err }
	for name, write := range map[string]func(ctx context.Context, r *rig, c *runs.Claim) error{
		"begin":     func(ctx context.Context, _ *rig, c *runs.Claim) error { return c.Begin(ctx, lockstep.StepTest) },
		"created":   func(ctx context.Context, r *rig, c *runs.Claim) error { return c.Created(ctx, runs.Pending{}) },
		"set again": func(ctx context.Context, _ *rig, c *runs.Claim) error { return c.SetAgain(ctx) },
		"applied":   func(ctx context.Context, _ *rig, c *runs.Claim) error { return c.Applied(ctx) },
		"finish":    func(ctx context.Context, _ *rig, c *runs.Claim) error { return c.Finish(ctx) },
		"test done": func(ctx context.Context, _ *rig, c *runs.Claim) error { return c.TestDone(ctx) },
		"refused":   func(ctx context.Context, _ *rig, c *runs.Claim) error { return c.RefusedValue(ctx, te, nil) },
		"failed":    func(ctx context.Context, _ *rig, c *runs.Claim) error { return decided(c.Failed(ctx, te)) },
		"stop": func(ctx context.Context, _ *rig, c *runs.Claim) error {
			return decided(c.Stop(ctx, lockstep.StopCancelled, "x"))
		},
		"undone":        func(ctx context.Context, _ *rig, c *runs.Claim) error { return c.Undone(ctx, "") },
		"undo failed":   func(ctx context.Context, _ *rig, c *runs.Claim) error { return c.UndoFailed(ctx, te) },
		"retired":       func(ctx context.Context, _ *rig, c *runs.Claim) error { return c.Retired(ctx) },
		"retire failed": func(ctx context.Context, _ *rig, c *runs.Claim) error { return c.RetireFailed(ctx, te) },
		"verified":      func(ctx context.Context, _ *rig, c *runs.Claim) error { return c.Verified(ctx, "") },
		"verify failed": func(ctx context.Context, _ *rig, c *runs.Claim) error { return c.VerifyFailed(ctx, te, 0) },
		"extend":        func(ctx context.Context, _ *rig, c *runs.Claim) error { return c.Extend(ctx) },
		"raise fence":   func(ctx context.Context, _ *rig, c *runs.Claim) error { return c.RaiseFence(ctx, 100) },
		"not after": func(ctx context.Context, _ *rig, c *runs.Claim) error {
			_, err := c.NotAfter(ctx, time.Now())
			return err
		},
	} {
		for _, how := range []string{"expired", "overtaken"} {
			t.Run(name+" "+how, func(t *testing.T) {
				r := onSQLite(t)
				s := r.rotating(t, "db", "single")
				out := r.rotate(t, "db")
				c := r.claim(t, out.Run, "stale")
				r.created(t, c)
				r.clock.pass(lease)
				if how == "overtaken" {
					r.claim(t, out.Run, "newer")
				}
				before := r.dump(t, s.ID, out.Run)
				wants(t, write(t.Context(), r, c), lockstep.ErrFenced)
				if after := r.dump(t, s.ID, out.Run); after != before {
					t.Errorf("something was written:\n%s\n%s", before, after)
				}
			})
		}
	}
}

// dump is all that a claim could write, as text.
func (r *rig) dump(t testing.TB, id lockstep.SecretID, run lockstep.RunID) string {
	t.Helper()
	var b strings.Builder
	add := func(v ...any) { b.WriteString(show(v...)) }
	s, stages := r.read(t, id)
	rotation := *s.Rotation
	s.Rotation = nil
	add(*s, rotation, stages, *r.run(t, run), r.slot(t, id), r.jobs(t), r.events(t, id))
	r.view(t, func(tx store.ReadTx) error {
		versions, err := tx.Versions(id)
		for _, v := range versions {
			add(v.ID, v.MaybeLive, v.Retirement, v.RetireAttempts, v.Account, v.Sealed != nil)
		}
		steps, stepErr := tx.Steps(run)
		add(steps)
		return errors.Join(err, stepErr)
	})
	return b.String()
}

func TestARunWaitsForARetirement(t *testing.T) {
	r := onSQLite(t)
	s := r.rotating(t, "db", "pair", retired(lockstep.Retirement{After: lockstep.RetireDelay, Delay: time.Hour}))
	_, stages := r.read(t, s.ID)
	old := stages[lockstep.Current]
	r.finished(t, r.rotate(t, "db").Run)
	if v := r.version(t, s.ID, old); v.Retirement != lockstep.RetirementDue || !v.RetireAt.Equal(began.Add(time.Hour)) {
		t.Fatalf("the version left: %+v", v)
	}
	out := r.rotate(t, "db")
	for i := range 3 {
		_, err := r.Claim(t.Context(), out.Run, "worker")
		var wait *runs.Waiting
		if !errors.As(err, &wait) || !wait.Until.After(r.clock.read()) {
			t.Fatalf("claim %d: %v", i, err)
		}
		r.clock.pass(wait.Until.Sub(r.clock.read()))
	}
	run := r.run(t, out.Run)
	if !strings.Contains(run.Reason, string(old)) || run.State != lockstep.RunQueued || run.Attempts != 0 || !run.Deadline.IsZero() {
		t.Errorf("the waiting run: %+v", run)
	}
	if n := r.events(t, s.ID)[lockstep.EventRunWaiting]; n != 1 {
		t.Errorf("%d waiting events, want one for one reason", n)
	}
	if slot := r.slot(t, s.ID); slot.Holder != "" {
		t.Errorf("the waiting run holds the slot: %+v", slot)
	}
	r.clock.pass(time.Hour)
	c, err := r.ClaimRetire(t.Context(), s.ID, old, "retirer")
	must(t, err)
	must(t, c.Retired(t.Context()))
	if jobs := r.jobs(t); len(jobs) != 2 || jobs[0].Run != out.Run || !jobs[0].DueAt.IsZero() {
		t.Errorf("the waiting run was not woken: %+v", jobs)
	}
	r.finished(t, out.Run)
	r.sound(t)
}

// A person lets a Run go on that waits for a retirement nobody will ask for.
func TestAChangedPolicyReopensRetirements(t *testing.T) {
	r := onSQLite(t)
	s := r.rotating(t, "db", "pair", retired(lockstep.Retirement{After: lockstep.RetireManual}))
	_, stages := r.read(t, s.ID)
	r.finished(t, r.rotate(t, "db").Run)
	out := r.rotate(t, "db")
	_, err := r.Claim(t.Context(), out.Run, "worker")
	var wait *runs.Waiting
	if !errors.As(err, &wait) {
		t.Fatalf("got %v", err)
	}
	_, err = r.Configure(t.Context(), ref("db"), runs.RotateInput{Retirement: &lockstep.Retirement{}})
	must(t, err)
	if v := r.version(t, s.ID, stages[lockstep.Current]); v.Retirement != lockstep.RetirementIdle {
		t.Errorf("the old version is %s", v.Retirement)
	}
	r.finished(t, out.Run)
}

func TestNoSetBeginsWhileTheAdminIsBeingRotated(t *testing.T) {
	r := onSQLite(t)
	admin := r.rotating(t, "admin", "single")
	_, err := r.keeper.Create(t.Context(), createWith("db", credential{Host: "db", User: "db", Password: "1", Master: string(admin.ARN)}, token(t)))
	must(t, err)
	rotator := "single"
	_, err = r.Configure(t.Context(), ref("db"), runs.RotateInput{RotatorARN: &rotator})
	must(t, err)
	adminRun := r.claim(t, r.rotate(t, "admin").Run, "admin-worker")
	out := r.rotate(t, "db")
	c := r.claim(t, out.Run, "worker")
	p := r.pending(t, c)
	if busy, err := c.AdminBusy(t.Context(), p.Admin); p.Admin != admin.ID || busy || err != nil {
		t.Fatalf("admin %d, busy %t, %v", p.Admin, busy, err)
	}
	r.created(t, adminRun)
	if busy, err := c.AdminBusy(t.Context(), p.Admin); !busy || err != nil {
		t.Fatalf("the admin's run is at the target: %t, %v", busy, err)
	}
	var wait *runs.Waiting
	if err := c.Created(t.Context(), p); !errors.As(err, &wait) {
		t.Fatalf("got %v", err)
	}
	run := r.run(t, out.Run)
	v := r.version(t, run.Secret, run.Version)
	if run.State != lockstep.RunQueued || run.Attempts != 0 || v.Sealed != nil || r.slot(t, run.Secret).Holder != "" {
		t.Errorf("run %+v, version %+v", run, v)
	}
	must(t, adminRun.Applied(t.Context()))
	must(t, adminRun.Finish(t.Context()))
	r.clock.pass(wait.Until.Sub(r.clock.read()))
	r.finished(t, out.Run)
	r.sound(t)
}

func TestTheFenceIsRaisedAboveAMarkerFound(t *testing.T) {
	r := onSQLite(t)
	r.rotating(t, "db", "single")
	out := r.rotate(t, "db")
	c := r.claim(t, out.Run, "worker")
	must(t, c.RaiseFence(t.Context(), 41))
	if c.Lease().Fence != 42 {
		t.Errorf("fence %d", c.Lease().Fence)
	}
	must(t, c.Extend(t.Context()))
	r.created(t, c)
	at := time.Date(2031, 1, 1, 0, 0, 0, 0, time.UTC) // the target's clock, not ours
	end, err := c.NotAfter(t.Context(), at)
	must(t, err)
	if d := end.Sub(at); d <= 0 || d >= lease {
		t.Errorf("a change may take effect for %s of a lease of %s", d, lease)
	}
}

func TestNotAfterStaysInsideTheLease(t *testing.T) {
	at := time.Date(2031, 1, 1, 0, 0, 0, 0, time.UTC) // the target's clock, not ours
	for _, c := range []struct {
		passed time.Duration // since the claim
		beats  uint64        // that NotAfter writes
	}{
		{0, 0}, {lease / 4, 0}, {lease/4 + time.Millisecond, 1}, {lease - time.Millisecond, 1},
		{-time.Hour, 0}, // the store's clock was stepped back
	} {
		t.Run(c.passed.String(), func(t *testing.T) {
			r := onSQLite(t)
			r.rotating(t, "db", "single")
			claim := r.claim(t, r.rotate(t, "db").Run, "worker")
			r.created(t, claim)
			before := r.slot(t, claim.Secret.ID)
			r.clock.pass(c.passed)
			end, err := claim.NotAfter(t.Context(), at)
			must(t, err)
			after := r.slot(t, claim.Secret.ID)
			if d, left := end.Sub(at), after.Expires.Sub(r.clock.read()); d <= 0 || d >= left || d >= lease {
				t.Errorf("a change may take effect for %s, the lease lasts %s", d, left)
			}
			if got := after.Beat - before.Beat; got != c.beats {
				t.Errorf("%d extensions, want %d", got, c.beats)
			}
		})
	}
}

func TestAClaimWithAValueIsInSetting(t *testing.T) {
	r := onSQLite(t)
	r.rotating(t, "db", "single")
	out := r.rotate(t, "db")
	p := r.ahead(t, out)
	c, err := r.ClaimWith(t.Context(), out.Run, "worker", p)
	must(t, err)
	v := r.version(t, c.Secret.ID, out.Version)
	if run := r.run(t, out.Run); run.State != lockstep.RunSetting || !run.Doubt || run.Base != p.Base || run.Started.IsZero() || c.Resumed {
		t.Errorf("run %+v, resumed %t", run, c.Resumed)
	}
	if !v.MaybeLive || v.Sealed == nil || v.Account != p.Account {
		t.Errorf("version %+v", v)
	}
	must(t, c.Applied(t.Context()))
	must(t, c.Finish(t.Context()))
	r.sound(t)
	var steps []lockstep.StepRecord
	r.view(t, func(tx store.ReadTx) (err error) { steps, err = tx.Steps(out.Run); return err })
	var told []string
	for _, s := range steps {
		told = append(told, fmt.Sprint(s.Seq, " ", s.Step, " ", s.OK, " ", s.Holder))
	}
	want := "[1 create true worker 2 set true worker 3 test true worker 4 finish true worker]"
	if got := fmt.Sprint(told); got != want {
		t.Errorf("steps %s, want %s", got, want)
	}
}

func TestAValueThatDoesNotFitIsForgotten(t *testing.T) {
	for name, c := range map[string]struct {
		rotator string
		meddle  func(t *testing.T, r *rig, out runs.RotateOutput, p *runs.Pending)
	}{
		"AWSCURRENT moved": {"single", func(_ *testing.T, _ *rig, _ runs.RotateOutput, p *runs.Pending) { p.Base = "another" }},
		"no AWSCURRENT":    {"single", func(_ *testing.T, _ *rig, _ runs.RotateOutput, p *runs.Pending) { p.Base = "" }},
		"AWSCURRENT's account": {"pair", func(t *testing.T, r *rig, out runs.RotateOutput, p *runs.Pending) {
			p.Account = r.version(t, r.run(t, out.Run).Secret, p.Base).Account
		}},
		"the run is at its set": {"single", func(t *testing.T, r *rig, out runs.RotateOutput, _ *runs.Pending) {
			c := r.claim(t, out.Run, "first")
			r.created(t, c)
			must(t, c.Release(t.Context()))
		}},
	} {
		t.Run(name, func(t *testing.T) {
			r := onSQLite(t)
			r.rotating(t, "db", c.rotator)
			out := r.rotate(t, "db")
			p := r.ahead(t, out)
			c.meddle(t, r, out, &p)
			before := r.version(t, r.run(t, out.Run).Secret, out.Version)
			claim, err := r.ClaimWith(t.Context(), out.Run, "worker", p)
			must(t, err)
			if after := r.version(t, claim.Secret.ID, out.Version); !reflect.DeepEqual(before, after) {
				t.Errorf("the version was written: %+v", after)
			}
			if claim.Run.State == lockstep.RunSetting && !claim.Resumed {
				t.Error("the claim says that the value is the run's")
			}
		})
	}
}
