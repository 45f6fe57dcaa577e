package runs_test

import (
	"fmt"
	"testing"
	"time"

	"lockstep"
	"lockstep/runs"
	"lockstep/store"
)

// The size of the outage: as many Secrets are due when the schedulers come back.
const (
	stormSecrets = 10_000
	stormTargets = 40
	stormBatch   = 1000
)

var stormLimits = runs.Limits{Total: 600, PerTarget: 25}

// TestOutageOf72Hours lets three days pass without a scheduler. When it comes back,
// no limit is exceeded at any moment, those whose credential gets too old first go
// first, and each Secret runs once.
func TestOutageOf72Hours(t *testing.T) {
	t.Parallel()
	r := onSQLite(t)
	cfg := r.config
	cfg.Limits = stormLimits
	engine := runs.New(cfg)
	r.fillStorm(t)
	r.clock.pass(72 * time.Hour)
	s := &storm{rig: r, deadline: make(map[lockstep.SecretID]time.Time), last: make(map[lockstep.TargetKey]time.Time)}
	for s.ended < stormSecrets {
		for n := stormBatch; n == stormBatch; {
			var err error
			n, err = engine.AdmitDue(t.Context(), stormBatch)
			must(t, err)
			s.limits(t)
		}
		s.finishAll(t)
	}
	r.view(t, func(tx store.ReadTx) error {
		waiting, err := tx.Waiting()
		next, err2 := tx.NextDue()
		if waiting || !next.After(tx.Now()) {
			t.Errorf("something is left: waiting %v, next due %v", waiting, next)
		}
		return firstOf(err, err2)
	})
}

func firstOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// fillStorm writes Secrets that were due within the three days to come, with ages
// in another order than their names and dates.
func (r *rig) fillStorm(t *testing.T) {
	t.Helper()
	for first := 0; first < stormSecrets; first += stormBatch {
		must(t, r.store.Update(t.Context(), func(tx store.Tx) error {
			for i := first; i < first+stormBatch; i++ {
				if err := tx.InsertSecret(stormSecret(i, tx.Now())); err != nil {
					return err
				}
			}
			return nil
		}))
	}
}

func stormSecret(i int, now time.Time) *lockstep.Secret {
	mixed := (i * 7919) % stormSecrets
	return &lockstep.Secret{
		Account: owner.Account, Region: owner.Region, Name: fmt.Sprintf("db-%05d", i), ARN: lockstep.ARN(fmt.Sprintf("arn:%05d", i)),
		Created: now.AddDate(0, -1, 0).Add(time.Duration(mixed) * time.Second), Changed: now,
		Target:       lockstep.TargetKey(fmt.Sprintf("target-%d", i%stormTargets)),
		NextRotation: now.Add(72 * time.Hour * time.Duration(i) / stormSecrets),
		Rotation: &lockstep.Rotation{
			Enabled: true, Rotator: "single",
			Schedule: lockstep.Schedule{Expression: "rate(30 days)", Anchor: now, MaxAge: 40 * 24 * time.Hour},
		},
	}
}

// storm watches what is admitted.
type storm struct {
	*rig
	ended    int
	deadline map[lockstep.SecretID]time.Time
	// last is the latest deadline that was admitted, by target and in all.
	last map[lockstep.TargetKey]time.Time
}

// limits counts the places that are taken.
func (s *storm) limits(t *testing.T) {
	t.Helper()
	s.view(t, func(tx store.ReadTx) error {
		used, err := tx.Usage()
		total := 0
		for _, u := range used {
			total += u.Places
			if u.Places > stormLimits.PerTarget {
				t.Errorf("%d runs at %s", u.Places, u.Target)
			}
		}
		if total > stormLimits.Total {
			t.Errorf("%d runs under way", total)
		}
		return err
	})
}

// finishAll ends every Run that has a Job, and sees that none of its target ended
// before whose deadline is later.
func (s *storm) finishAll(t *testing.T) {
	t.Helper()
	latest := make(map[lockstep.TargetKey]time.Time)
	must(t, s.store.Update(t.Context(), func(tx store.Tx) error {
		clear(latest)
		jobs, err := tx.Jobs(stormLimits.Total + 1)
		if err != nil {
			return err
		}
		if len(jobs) == 0 {
			t.Fatalf("nothing is under way, and %d have ended", s.ended)
		}
		for _, j := range jobs {
			if err := s.finish(t, tx, j, latest); err != nil {
				return err
			}
		}
		s.ended += len(jobs)
		return nil
	}))
	for target, at := range latest {
		s.last[target] = at
	}
}

func (s *storm) finish(t *testing.T, tx store.Tx, j store.Job, latest map[lockstep.TargetKey]time.Time) error {
	secret, err := tx.LockSecret(j.Secret)
	if err != nil {
		return err
	}
	run, err := tx.Run(j.Run)
	if err != nil {
		return err
	}
	deadline := secret.Created.Add(secret.Rotation.Schedule.MaxAge)
	if _, twice := s.deadline[j.Secret]; twice {
		t.Errorf("%s ran twice", secret.Name)
	}
	s.deadline[j.Secret] = deadline
	if deadline.Before(s.last[secret.Target]) {
		t.Errorf("%s, due %v, went after one of its target that was due %v", secret.Name, deadline, s.last[secret.Target])
	}
	if deadline.After(latest[secret.Target]) {
		latest[secret.Target] = deadline
	}
	run.State, run.Finished = lockstep.RunFailed, tx.Now()
	return firstOf(tx.SaveRun(run, nil), tx.LeavePlace(run.ID), tx.DropJobs(j.Secret, store.JobRun))
}
