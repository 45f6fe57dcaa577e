package runs_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"lockstep"
	"lockstep/runs"
	"lockstep/store"
)

func TestEachDueSecretIsAdmittedOnceByManySchedulers(t *testing.T) {
	onBoth(t, func(t *testing.T, r *rig) {
		const secrets = 30
		for i := range secrets {
			r.rotating(t, fmt.Sprintf("db-%d", i), "single", every("24h"))
		}
		// All due now, by the store's own clock.
		must(t, r.store.Update(t.Context(), func(tx store.Tx) error {
			for id := lockstep.SecretID(1); id <= secrets; id++ {
				s, err := tx.LockSecret(id)
				if err != nil {
					return err
				}
				s.NextRotation = tx.Now()
				if err := tx.SaveSecret(s); err != nil {
					return err
				}
			}
			return nil
		}))
		var wg sync.WaitGroup
		var mu sync.Mutex
		total := 0
		for range 4 {
			wg.Go(func() {
				for left := true; left; {
					n, err := r.AdmitDue(t.Context(), 3)
					if err != nil {
						t.Error(err)
						return
					}
					mu.Lock()
					total += n
					left = total < secrets
					mu.Unlock()
				}
			})
		}
		wg.Wait()
		list, err := r.Runs(t.Context(), store.RunQuery{Owner: owner, Open: true, Limit: 1000})
		must(t, err)
		if total != secrets || len(list) != secrets {
			t.Errorf("admitted %d, open runs %d, want %d", total, len(list), secrets)
		}
		for _, h := range list {
			if h.Run.Trigger != lockstep.TriggerSchedule || h.Run.State != lockstep.RunQueued {
				t.Errorf("run %+v", h.Run)
			}
		}
		r.sound(t)
	})
}

func TestNextRotationKeepsToTheGrid(t *testing.T) {
	r := onSQLite(t)
	s := r.rotating(t, "db", "single", every("10s"))
	for i, late := range []time.Duration{0, 3 * time.Second, 0, 47 * time.Second, time.Millisecond} {
		next, now, err := r.NextDue(t.Context())
		must(t, err)
		r.clock.pass(next.Sub(now) + late)
		n, err := r.AdmitDue(t.Context(), 10)
		must(t, err)
		if n != 1 {
			t.Fatalf("fire %d: admitted %d", i, n)
		}
		after, _ := r.read(t, s.ID)
		if off := after.NextRotation.Sub(began) % (10 * time.Second); off != 0 || !after.NextRotation.After(r.clock.read()) {
			t.Errorf("fire %d: next is %s, off the grid by %s", i, after.NextRotation, off)
		}
		if after.NextRotation.Sub(r.clock.read()) > 10*time.Second {
			t.Errorf("fire %d: next is %s away", i, after.NextRotation.Sub(r.clock.read()))
		}
	}
	list, err := r.Runs(t.Context(), store.RunQuery{Owner: owner, Secret: s.ID})
	must(t, err)
	if len(list) != 1 {
		t.Errorf("%d runs; while one is open, a due time only advances the date", len(list))
	}
	r.sound(t)
}

func TestAnUnreadableScheduleStopsItsSecretAlone(t *testing.T) {
	r := onSQLite(t)
	bad, good := r.rotating(t, "bad", "single", every("10s")), r.rotating(t, "good", "single", every("10s"))
	must(t, r.store.Update(t.Context(), func(tx store.Tx) error {
		s, err := tx.LockSecret(bad.ID)
		if err != nil {
			return err
		}
		s.Rotation.Schedule.Expression = "@every nonsense"
		return tx.SaveSecret(s)
	}))
	r.clock.pass(10 * time.Second)
	n, err := r.AdmitDue(t.Context(), 10)
	must(t, err)
	if n != 2 || r.events(t, bad.ID)[lockstep.EventRunFailed] != 1 {
		t.Errorf("dealt with %d, events %v", n, r.events(t, bad.ID))
	}
	list, err := r.Runs(t.Context(), store.RunQuery{Owner: owner, Open: true})
	must(t, err)
	if len(list) != 1 || list[0].Secret.ID != good.ID {
		t.Errorf("open runs: %+v", list)
	}
	if after, _ := r.read(t, bad.ID); !after.NextRotation.IsZero() {
		t.Errorf("next rotation %s", after.NextRotation)
	}
}

func TestTokensOfRotateSecret(t *testing.T) {
	onBoth(t, func(t *testing.T, r *rig) {
		s := r.rotating(t, "db", "single")
		rotate := func(v lockstep.VersionID) (runs.RotateOutput, error) {
			return r.Rotate(t.Context(), ref("db"), runs.RotateInput{Token: v})
		}
		one := token(t)
		first, err := rotate(one)
		must(t, err)
		again, err := rotate(one)
		must(t, err)
		if again.Run != first.Run {
			t.Errorf("the token of an open run started another: %v, %v", first, again)
		}
		second, err := rotate(token(t))
		must(t, err)
		if got := r.run(t, first.Run); got.State != lockstep.RunCancelled || second.Run == first.Run {
			t.Errorf("a run that had not begun is %s, want it replaced", got.State)
		}
		c := r.claim(t, second.Run, "worker")
		_, err = rotate(token(t))
		wants(t, err, lockstep.ErrState) // held
		r.created(t, c)
		must(t, c.Release(t.Context()))
		_, err = rotate(token(t))
		wants(t, err, lockstep.ErrState) // the target may have been told
		r.finished2(t, second.Run)
		again, err = rotate(second.Version)
		must(t, err)
		if again.Run != second.Run {
			t.Errorf("the token of a finished run started %v", again)
		}
		third := r.rotate(t, "db")
		r.finished(t, third.Run)
		again, err = rotate(second.Version)
		must(t, err)
		if again.Run != second.Run {
			t.Errorf("the token of an older run started %v", again)
		}
		taken := token(t)
		put(t, r, "db", credential{Host: "db", User: "db", Password: "x"}.value(), taken)
		_, err = rotate(taken)
		wants(t, err, lockstep.ErrVersionClaimed)
		_ = s
		r.sound(t)
	})
}

// finished2 carries on a Run whose target may have been told.
func (r *rig) finished2(t testing.TB, id lockstep.RunID) {
	t.Helper()
	c := r.claim(t, id, "worker-2")
	if !c.Resumed {
		t.Fatal("the claim does not know that the target may have been told")
	}
	must(t, c.Applied(t.Context()))
	must(t, c.Finish(t.Context()))
}

func TestARefusedRotateMakesTheOpenRunDueNow(t *testing.T) {
	r := onSQLite(t)
	r.rotating(t, "db", "single")
	out := r.rotate(t, "db")
	c := r.claim(t, out.Run, "worker")
	r.created(t, c)
	_, err := c.Failed(t.Context(), fault(lockstep.NotApplied, lockstep.FaultTransient))
	must(t, err)
	if !r.run(t, out.Run).RetryAt.After(r.clock.read()) {
		t.Fatal("the run is not in backoff")
	}
	_, err = r.Rotate(t.Context(), ref("db"), runs.RotateInput{Token: token(t)})
	wants(t, err, lockstep.ErrState)
	jobs := r.jobs(t)
	if got := r.run(t, out.Run); !got.RetryAt.IsZero() || len(jobs) != 1 || !jobs[0].DueAt.IsZero() || jobs[0].Seq != got.JobSeq {
		t.Errorf("run %+v, jobs %+v", got, jobs)
	}
}

func TestMissedFireFollowsTheCatchUpPolicy(t *testing.T) {
	for _, c := range []struct {
		policy string
		starts bool
	}{
		{"", true}, {"now", true}, {"next-window", false}, {"skip", false},
	} {
		t.Run("catch-up "+c.policy, func(t *testing.T) {
			r := onSQLite(t)
			s := r.rotating(t, "db", "single", func(in *runs.RotateInput) {
				in.Schedule = &lockstep.Schedule{Expression: "cron(0 3 * * ? *)", Duration: "2h", CatchUp: c.policy}
			})
			next, now := s.NextRotation, r.clock.read()
			r.clock.pass(next.Sub(now) + 5*time.Hour) // the window of two hours is over
			if _, err := r.AdmitDue(t.Context(), 10); err != nil {
				t.Fatal(err)
			}
			list, err := r.Runs(t.Context(), store.RunQuery{Owner: owner, Open: true})
			must(t, err)
			if started := len(list) == 1; started != c.starts {
				t.Errorf("%d runs were started", len(list))
			}
			after, _ := r.read(t, s.ID)
			if want := next.Add(24 * time.Hour); !after.NextRotation.Equal(want) {
				t.Errorf("next rotation %v, want %v", after.NextRotation, want)
			}
		})
	}
	r := onSQLite(t)
	r.secret(t, "db")
	single := "single"
	_, err := r.Configure(t.Context(), ref("db"), runs.RotateInput{
		RotatorARN: &single, Schedule: &lockstep.Schedule{Expression: "rate(1 day)", CatchUp: "whenever"},
	})
	wants(t, err, lockstep.ErrInvalid)
}
