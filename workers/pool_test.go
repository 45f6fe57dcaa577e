package workers_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"lockstep"
	"lockstep/bus"
	"lockstep/internal/pgtest"
	"lockstep/keeper"
	"lockstep/rotators/postgres"
	"lockstep/runs"
	"lockstep/store"
)

// both runs a test with each of the real rotators.
func both(t *testing.T, test func(t *testing.T, w *world, rotator string)) {
	for _, rotator := range []string{postgres.NameSingle, postgres.NameAlternating} {
		t.Run(rotator, func(t *testing.T) {
			t.Parallel() // they wait for leases more than they work
			test(t, newWorld(t, pgtest.Shared(t)), rotator)
		})
	}
}

func TestARunFromEndToEnd(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, w *world, rotator string) {
		w.app(t, rotator)
		w.pool(t.Context(), t)
		for i := range 3 {
			old := w.current(t, "app")
			out := w.rotate(t, "app")
			w.succeeded(t, out.Run)
			if w.accepts(t, old) != (rotator == postgres.NameAlternating) {
				t.Errorf("rotation %d: the old value is accepted: %t", i, w.accepts(t, old))
			}
			w.sound(t)
			var steps []lockstep.Step
			for _, s := range w.history(t, out.Run).Steps {
				if !s.OK || s.Ended.IsZero() {
					t.Errorf("step %+v", s)
				}
				steps = append(steps, s.Step)
			}
			if fmt.Sprint(steps) != "[create set test finish]" {
				t.Errorf("steps %v", steps)
			}
		}
	})
}

func TestRetirementByDelay(t *testing.T) {
	t.Parallel()
	w := newWorld(t, pgtest.Shared(t))
	s := w.app(t, postgres.NameAlternating, func(in *runs.RotateInput) {
		in.Retirement = &lockstep.Retirement{After: lockstep.RetireDelay, Delay: 50 * time.Millisecond}
	})
	w.pool(t.Context(), t)
	old := w.current(t, "app")
	w.succeeded(t, w.rotate(t, "app").Run)
	w.until(t, "the retirement", func(tx store.ReadTx) (bool, error) {
		list, err := tx.Events(s.ID, 0, 100)
		return strings.Contains(fmt.Sprint(list), string(lockstep.EventVersionRetired)), err
	})
	if w.accepts(t, old) {
		t.Error("a retired value logs in")
	}
	w.sound(t)
	// Two more, the second of which has to wait for the first one's retirement.
	first := w.rotate(t, "app")
	w.succeeded(t, first.Run)
	w.succeeded(t, w.rotate(t, "app").Run)
	w.sound(t)
}

// Before the target hears of a value, the store can decrypt it, and knows that
// the target may accept it.
func TestTheTargetIsToldWhatIsStored(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, w *world, rotator string) {
		s := w.app(t, rotator)
		told := make(chan error, 1)
		w.hooks.onceBefore("set", func(ctx context.Context) error {
			told <- w.store.View(ctx, func(tx store.ReadTx) error {
				run, err := tx.OpenRun(s.ID)
				if err != nil {
					return err
				}
				v, err := tx.Version(s.ID, run.Version)
				if err == nil && (v.Sealed == nil || !v.MaybeLive) {
					err = errors.New("the value that the target is told is not in the store")
				}
				return err
			})
			return nil
		})
		// The value may be made ahead of the claim, or under it.
		w.pool(t.Context(), t)
		out := w.rotate(t, "app")
		must(t, <-told)
		w.succeeded(t, out.Run)
	})
}

// The queue keeps a Job until what came of it is in the store: a worker that
// dies before leaves it to the next.
func TestTheQueueKeepsAJobUntilItsWorkIsStored(t *testing.T) {
	t.Parallel()
	w := newWorld(t, pgtest.Shared(t))
	s := w.app(t, postgres.NameSingle)
	kept := make(chan error, 1)
	w.hooks.onceAfter("test", func(ctx context.Context, err error) error {
		there, herr := w.bus.HasJob(ctx, lockstep.JobSubject(s.Account, s.Region, bus.DefaultPool, string(store.JobRun), s.Name))
		if herr == nil && !there {
			herr = errors.New("the job is gone before the run is finished")
		}
		kept <- herr
		return err
	})
	w.pool(t.Context(), t)
	out := w.rotate(t, "app")
	must(t, <-kept)
	w.succeeded(t, out.Run)
}

// Whatever is AWSCURRENT when an account is shut still logs in afterwards.
func TestTheOldAccountLivesUntilItIsRetired(t *testing.T) {
	t.Parallel()
	w := newWorld(t, pgtest.Shared(t))
	w.app(t, postgres.NameAlternating, func(in *runs.RotateInput) {
		in.Retirement = &lockstep.Retirement{After: lockstep.RetireDelay, Delay: 50 * time.Millisecond}
	})
	w.pool(t.Context(), t)
	shut := make(chan bool, 1)
	w.hooks.onceAfter("retire", func(_ context.Context, err error) error {
		shut <- err == nil && w.accepts(t, w.current(t, "app"))
		return err
	})
	w.succeeded(t, w.rotate(t, "app").Run)
	select {
	case good := <-shut:
		if !good {
			t.Error("AWSCURRENT does not log in once an account is shut")
		}
	case <-time.After(patience):
		t.Fatal("no account was shut")
	}
	w.sound(t)
}

func TestAJobDeliveredTwiceHasNoDoubleEffect(t *testing.T) {
	both(t, func(t *testing.T, w *world, rotator string) {
		s := w.app(t, rotator)
		out := w.rotate(t, "app")
		w.pool(t.Context(), t)
		w.succeeded(t, out.Run)
		current := w.current(t, "app")
		body, err := bus.EncodeJob(bus.JobMessage{
			Kind: "run", Account: owner.Account, Region: owner.Region, SecretID: s.ID, Name: s.Name, Run: out.Run, Seq: 77,
		})
		must(t, err)
		subject := lockstep.JobSubject(owner.Account, owner.Region, bus.DefaultPool, "run", s.Name)
		w.publish(t, bus.Message{ID: "again", Subject: subject, Body: body})
		w.taken(t, subject)
		if w.hooks.count("set") != 1 || w.current(t, "app").Password != current.Password {
			t.Errorf("%d sets", w.hooks.count("set"))
		}
		w.sound(t)
	})
}

// What is no Job goes to the dead letters with the reason, and the worker goes on.
func TestForgedJobsAreSetAside(t *testing.T) {
	t.Parallel()
	w := newWorld(t, pgtest.Shared(t))
	s := w.app(t, postgres.NameSingle)
	body := func(change func(*bus.JobMessage)) []byte {
		m := bus.JobMessage{Kind: "run", Account: owner.Account, Region: owner.Region, SecretID: s.ID, Name: s.Name, Run: "run-forged", Seq: 1}
		change(&m)
		out, err := json.Marshal(m)
		must(t, err)
		return out
	}
	subject := func(name string) string {
		return lockstep.JobSubject(owner.Account, owner.Region, bus.DefaultPool, "run", name)
	}
	forged := []bus.Message{
		{ID: "1", Subject: subject("unknown"), Body: body(func(m *bus.JobMessage) { m.Kind = "explode" })},
		{ID: "2", Subject: subject("truncated"), Body: body(func(*bus.JobMessage) {})[:40]},
		{ID: "3", Subject: subject("another"), Body: body(func(*bus.JobMessage) {})},
		{ID: "4", Subject: subject("empty"), Body: nil},
	}
	for _, m := range forged {
		w.publish(t, m)
	}
	out := w.rotate(t, "app")
	w.pool(t.Context(), t)
	w.succeeded(t, out.Run)
	for _, m := range forged {
		w.taken(t, m.Subject)
	}
	dead, err := w.bus.DeadJobs(t.Context(), 0, 10)
	must(t, err)
	reasons := map[string]string{}
	for _, d := range dead {
		reasons[d.Subject] = d.Reason
	}
	for m, want := range map[string]string{"unknown": `unknown kind "explode"`, "truncated": "unexpected EOF", "another": "another subject", "empty": "EOF"} {
		if !strings.Contains(reasons[subject(m)], want) {
			t.Errorf("%s: reason %q, want one with %q", m, reasons[subject(m)], want)
		}
	}
	w.sound(t)
}

// publish puts a Job into the queue once its subject is free.
func (w *world) publish(t *testing.T, m bus.Message) {
	t.Helper()
	w.poll(t, "the subject is free", func() bool {
		err := w.bus.PublishJob(t.Context(), m)
		if err != nil && !errors.Is(err, lockstep.ErrBusy) {
			t.Fatal(err)
		}
		return err == nil
	})
}

// taken waits until the queue holds no Job of a subject.
func (w *world) taken(t *testing.T, subject string) {
	t.Helper()
	w.poll(t, "the job is settled", func() bool {
		has, err := w.bus.HasJob(t.Context(), subject)
		must(t, err)
		return !has
	})
}

func (w *world) poll(t *testing.T, what string, seen func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !seen() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("never: %s", what)
		}
	}
}

func TestAForgedJobIsSetAside(t *testing.T) {
	w := newWorld(t, pgtest.Shared(t))
	w.app(t, postgres.NameSingle)
	w.pool(t.Context(), t)
	subject := lockstep.JobSubject(owner.Account, owner.Region, bus.DefaultPool, "run", "forged")
	w.publish(t, bus.Message{ID: "forged", Subject: subject, Body: []byte(`{"kind":"run"`)})
	w.taken(t, subject)
	w.succeeded(t, w.rotate(t, "app").Run) // and the worker goes on
}

func TestTwoPoolsShareTheWork(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, w *world, rotator string) {
		w.app(t, rotator)
		w.pool(t.Context(), t)
		w.pool(t.Context(), t)
		for range 4 {
			w.succeeded(t, w.rotate(t, "app").Run)
		}
		if n := w.hooks.count("set"); n != 4 {
			t.Errorf("%d sets for 4 runs", n)
		}
		w.sound(t)
	})
}

// A process that ends at once leaves the Run where it is; another carries it on.
func TestAWorkerThatEndsMidRunIsSucceeded(t *testing.T) {
	t.Parallel()
	for _, call := range []string{"before set", "after set", "before test", "after test"} {
		both(t, func(t *testing.T, w *world, rotator string) {
			t.Run(call, func(t *testing.T) {
				w.app(t, rotator)
				ctx, kill := context.WithCancel(t.Context())
				defer kill()
				when, what, _ := strings.Cut(call, " ")
				if when == "before" {
					w.hooks.onceBefore(what, func(context.Context) error { kill(); return context.Canceled })
				} else {
					w.hooks.onceAfter(what, func(context.Context, error) error { kill(); return context.Canceled })
				}
				w.pool(ctx, t)
				out := w.rotate(t, "app")
				<-ctx.Done()
				w.pool(t.Context(), t)
				w.succeeded(t, out.Run)
				w.sound(t)
			})
		})
	}
}

// The answer of a set is lost: nothing is concluded before the lease has run
// out, then the target is asked.
func TestALostAnswer(t *testing.T) {
	t.Parallel()
	for _, landed := range []bool{true, false} {
		both(t, func(t *testing.T, w *world, rotator string) {
			t.Run(fmt.Sprintf("landed %t", landed), func(t *testing.T) {
				w.app(t, rotator)
				var lost time.Time
				lose := &lockstep.TargetError{Err: errors.New("the answer was lost")}
				if landed {
					w.hooks.onceAfter("set", func(context.Context, error) error { lost = time.Now(); return lose })
				} else {
					w.hooks.onceBefore("set", func(context.Context) error { lost = time.Now(); return lose })
				}
				w.pool(t.Context(), t)
				out := w.rotate(t, "app")
				w.succeeded(t, out.Run)
				if waited := time.Since(lost); waited < lease-time.Second {
					t.Errorf("went on after %s of a lease of %s", waited, lease)
				}
				if sets := w.hooks.count("set"); (sets == 1) != landed {
					t.Errorf("%d sets", sets)
				}
				w.sound(t)
			})
		})
	}
}

func TestATargetThatRestartsMidRun(t *testing.T) {
	pg := pgtest.Start(t)
	for _, rotator := range []string{postgres.NameSingle, postgres.NameAlternating} {
		for _, call := range []string{"set", "test"} {
			t.Run(rotator+" "+call, func(t *testing.T) {
				w := newWorld(t, pg)
				w.app(t, rotator)
				down := make(chan struct{})
				w.hooks.onceBefore(call, func(ctx context.Context) error {
					defer close(down)
					return pg.Pause(context.WithoutCancel(ctx))
				})
				w.pool(t.Context(), t)
				out := w.rotate(t, "app")
				<-down
				w.until(t, "a failed try", func(tx store.ReadTx) (bool, error) {
					run, err := tx.Run(out.Run)
					return err == nil && run.Attempts > 0, err
				})
				must(t, pg.Resume(t.Context()))
				w.succeeded(t, out.Run)
				w.sound(t)
			})
		}
	}
}

func TestFailuresThatAPersonMustMend(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, w *world, rotator string) {
		w.app(t, rotator)
		_, boss := w.names()
		w.pool(t.Context(), t)
		admin := func(password string) {
			v := w.value(t, boss, password, "")
			_, err := w.keeper.Put(t.Context(), ref("admin"), keeper.PutInput{Token: token(t), Value: v.value(t)})
			must(t, err)
		}
		for what, c := range map[string]struct{ broken, mended func() }{
			"wrong admin password": {func() { admin("another-one-2") }, func() { admin("boss-secret-1") }},
			"missing right": {
				func() { w.pg.Must(t, "ALTER ROLE "+boss+" NOCREATEROLE") },
				func() { w.pg.Must(t, "ALTER ROLE "+boss+" CREATEROLE") },
			},
		} {
			t.Run(what, func(t *testing.T) {
				c.broken()
				before := w.current(t, "app")
				run := w.ended(t, w.rotate(t, "app").Run)
				if run.State != lockstep.RunFailed || run.Reason == "" || run.Hint == "" {
					t.Errorf("run %s, reason %q, hint %q", run.State, run.Reason, run.Hint)
				}
				if w.current(t, "app").Password != before.Password {
					t.Error("AWSCURRENT moved")
				}
				w.sound(t)
				c.mended()
				w.succeeded(t, w.rotate(t, "app").Run)
				w.sound(t)
			})
		}
	})
}

// The admin's credential changes while a Run uses it: no person is called.
func TestTheAdminIsRotatedMeanwhile(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, w *world, rotator string) {
		w.app(t, rotator)
		_, boss := w.names()
		w.hooks.onceBefore("set", func(context.Context) error {
			w.pg.Must(t, "ALTER ROLE "+boss+" PASSWORD 'boss-secret-2'")
			v := w.value(t, boss, "boss-secret-2", "")
			_, err := w.keeper.Put(t.Context(), ref("admin"), keeper.PutInput{Token: token(t), Value: v.value(t)})
			return err
		})
		w.pool(t.Context(), t)
		w.succeeded(t, w.rotate(t, "app").Run)
		w.sound(t)
	})
}

func TestHandsMidRun(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		hand  func(t *testing.T, w *world, run lockstep.RunID)
		state lockstep.RunState
	}{
		"cancelled": {func(t *testing.T, w *world, _ lockstep.RunID) {
			_, err := w.engine.CancelRotation(t.Context(), ref("app"))
			must(t, err)
		}, lockstep.RunCancelled},
		"AWSCURRENT put by hand": {func(t *testing.T, w *world, _ lockstep.RunID) {
			user, _ := w.names()
			v := w.value(t, user, "by-hand-secret-9", w.current(t, "app").MasterARN)
			_, err := w.keeper.Put(t.Context(), ref("app"), keeper.PutInput{Token: token(t), Value: v.value(t)})
			must(t, err)
		}, lockstep.RunCancelled},
		"AWSCURRENT moved onto the run's version": {func(t *testing.T, w *world, run lockstep.RunID) {
			d, err := w.keeper.Describe(t.Context(), ref("app"))
			must(t, err)
			_, err = w.keeper.MoveStage(t.Context(), ref("app"), keeper.MoveStageInput{
				Stage: lockstep.Current, From: d.Stages[lockstep.Current], To: d.Stages[lockstep.Pending],
			})
			must(t, err)
			_ = run
		}, lockstep.RunSucceeded},
	} {
		for _, when := range []string{"before set", "after set", "after test"} {
			t.Run(name+" "+when, func(t *testing.T) {
				t.Parallel()
				both(t, func(t *testing.T, w *world, rotator string) {
					s := w.app(t, rotator)
					ready := make(chan lockstep.RunID, 1)
					hand := func() { c.hand(t, w, <-ready) }
					if when == "before set" {
						w.hooks.onceBefore("set", func(context.Context) error { hand(); return nil })
					} else {
						w.hooks.onceAfter(strings.TrimPrefix(when, "after "), func(_ context.Context, err error) error { hand(); return err })
					}
					w.pool(t.Context(), t)
					out := w.rotate(t, "app")
					ready <- out.Run
					if run := w.ended(t, out.Run); run.State != c.state {
						t.Errorf("run is %s: %s", run.State, run.Reason)
					}
					w.until(t, "AWSCURRENT verified", func(tx store.ReadTx) (bool, error) {
						now, err := tx.Secret(s.ID)
						return err == nil && !now.Unverified, err
					})
					w.sound(t)
				})
			})
		}
	}
}

// A value that nobody can read, put by hand mid-run, proves nothing: what the
// target accepts stays among what is kept.
func TestAnUnreadableAWSCURRENTProvesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, pgtest.Shared(t))
	s := w.app(t, postgres.NameSingle)
	user, _ := w.names()
	var pending lockstep.VersionID
	w.hooks.onceAfter("set", func(_ context.Context, err error) error {
		d, derr := w.keeper.Describe(t.Context(), ref("app"))
		must(t, derr)
		pending = d.Stages[lockstep.Pending]
		_, perr := w.keeper.Put(t.Context(), ref("app"), keeper.PutInput{Token: token(t), Value: lockstep.StringValue("no JSON")})
		must(t, perr)
		return err
	})
	w.pool(t.Context(), t)
	out := w.rotate(t, "app")
	w.until(t, "a roll-back that could not be made", func(tx store.ReadTx) (bool, error) {
		run, err := tx.Run(out.Run)
		if err == nil && run.State.Final() {
			t.Fatalf("run is %s: %s", run.State, run.Reason)
		}
		return err == nil && run.State == lockstep.RunUndo && run.Attempts > 0, err
	})
	w.until(t, "the pending version", func(tx store.ReadTx) (bool, error) {
		v, err := tx.Version(s.ID, pending)
		if err == nil && !v.MaybeLive {
			t.Error("the target accepts this value, and it was given up")
		}
		return true, err
	})
	v := w.value(t, user, "by-hand-secret-9", string(w.arn(t, "admin")))
	_, err := w.keeper.Put(t.Context(), ref("app"), keeper.PutInput{Token: token(t), Value: v.value(t)})
	must(t, err)
	w.ended(t, out.Run)
	w.sound(t)
}

func (w *world) arn(t *testing.T, name string) lockstep.ARN {
	t.Helper()
	d, err := w.keeper.Describe(t.Context(), ref(name))
	must(t, err)
	return d.Secret.ARN
}

// The Run is at the target when its admin Secret goes: no panic, no lost value.
func TestTheAdminSecretIsDeletedMidRun(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, w *world, rotator string) {
		w.app(t, rotator)
		w.hooks.onceBefore("set", func(context.Context) error {
			_, err := w.keeper.Delete(t.Context(), ref("admin"), keeper.DeleteInput{Force: true})
			must(t, err)
			return &lockstep.TargetError{Outcome: lockstep.NotApplied, Err: errors.New("try again")}
		})
		w.pool(t.Context(), t)
		out := w.rotate(t, "app")
		if run := w.ended(t, out.Run); run.State != lockstep.RunFailed || !strings.Contains(run.Reason, "admin secret") {
			t.Errorf("run is %s: %s", run.State, run.Reason)
		}
		w.sound(t)
	})
}

// A roll-back that is in doubt needs no admin where the value's own login will do:
// it does not try for a day what cannot be opened.
func TestTheAdminSecretIsGoneWhileInDoubt(t *testing.T) {
	t.Parallel()
	w := newWorld(t, pgtest.Shared(t))
	w.app(t, postgres.NameSingle)
	w.hooks.onceBefore("set", func(context.Context) error {
		_, err := w.keeper.Delete(t.Context(), ref("admin"), keeper.DeleteInput{Force: true})
		must(t, err)
		return &lockstep.TargetError{Outcome: lockstep.Unknown, Err: errors.New("no answer")}
	})
	w.pool(t.Context(), t)
	out := w.rotate(t, "app")
	if run := w.ended(t, out.Run); run.State != lockstep.RunFailed {
		t.Errorf("run is %s: %s", run.State, run.Reason)
	}
	w.sound(t)
}

func TestDriftIsRepaired(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, w *world, rotator string) {
		s := w.app(t, rotator)
		user, _ := w.names()
		w.pool(t.Context(), t)
		w.pg.Must(t, "ALTER ROLE "+user+" PASSWORD 'changed-behind-us'")
		must(t, w.store.Update(t.Context(), func(tx store.Tx) error {
			sec, err := tx.LockSecret(s.ID)
			if err != nil {
				return err
			}
			sec.Unverified = true
			return tx.SaveSecret(sec)
		}))
		w.until(t, "AWSCURRENT verified", func(tx store.ReadTx) (bool, error) {
			now, err := tx.Secret(s.ID)
			return err == nil && !now.Unverified, err
		})
		w.sound(t)
	})
}

func TestPlanIsAnswered(t *testing.T) {
	both(t, func(t *testing.T, w *world, rotator string) {
		w.app(t, rotator)
		w.pool(t.Context(), t)
		plan, err := w.engine.Plan(t.Context(), ref("app"))
		must(t, err)
		w.poll(t, "the plan's answer", func() bool {
			got, err := w.engine.PlanResult(t.Context(), owner, plan.ID)
			must(t, err)
			if got.Done && (len(got.Actions) == 0 || len(got.Problems) > 0 || got.Error != "") {
				t.Errorf("plan %+v", got)
			}
			return got.Done
		})
		if w.hooks.count("set") != 0 {
			t.Error("a dry run changed the target")
		}
	})
}

// Stop waits for the Jobs in hand.
func TestStopDrains(t *testing.T) {
	w := newWorld(t, pgtest.Shared(t))
	w.app(t, postgres.NameSingle)
	inSet, goOn := make(chan struct{}), make(chan struct{})
	w.hooks.onceBefore("set", func(context.Context) error { close(inSet); <-goOn; return nil })
	p := w.pool(t.Context(), t)
	out := w.rotate(t, "app")
	<-inSet
	stopped := make(chan struct{})
	go func() { p.Stop(); close(stopped) }()
	close(goOn)
	<-stopped
	if run := w.ended(t, out.Run); run.State != lockstep.RunSucceeded {
		t.Errorf("run is %s", run.State)
	}
	w.sound(t)
}

// A call that does not come back is over at its deadline, and frees its slot.
func TestAFrozenTarget(t *testing.T) {
	t.Parallel()
	w := newWorld(t, pgtest.Shared(t))
	w.app(t, postgres.NameSingle)
	w.hooks.onceBefore("set", func(ctx context.Context) error {
		<-ctx.Done()
		return &lockstep.TargetError{Err: ctx.Err()}
	})
	w.pool(t.Context(), t)
	out := w.rotate(t, "app")
	w.succeeded(t, out.Run)
	w.sound(t)
}
