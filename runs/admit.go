package runs

import (
	"context"
	"errors"
	"fmt"
	"time"

	"lockstep"
	"lockstep/ledger"
	"lockstep/schedule"
	"lockstep/store"
)

// AdmitDue starts a Run for up to limit Secrets whose time has come, in one
// transaction, and moves their NextRotation along the grid. A Secret whose Run
// is still open only has its date moved. It returns how many Secrets it dealt
// with: less than limit means that none is left.
func (s *Service) AdmitDue(ctx context.Context, limit int) (int, error) {
	n := 0
	var late []time.Duration
	err := s.store.Update(ctx, func(tx store.Tx) error {
		late = nil
		due, err := tx.ClaimDue(limit)
		if err != nil {
			return fmt.Errorf("claim due secrets: %w", err)
		}
		n = len(due)
		for _, secret := range due {
			late = append(late, tx.Now().Sub(secret.NextRotation))
			if err := s.admit(tx, secret); err != nil {
				return fmt.Errorf("admit %s: %w", secret.Name, err)
			}
		}
		return nil
	})
	if err == nil && s.observer != nil {
		for _, d := range late {
			s.observer.Admitted(d)
		}
	}
	return n, err
}

// NextDue is when AdmitDue has work again; zero if no Secret has a schedule.
func (s *Service) NextDue(ctx context.Context) (next, now time.Time, err error) {
	err = s.store.View(ctx, func(tx store.ReadTx) error {
		var err error
		now = tx.Now()
		next, err = tx.NextDue()
		return err
	})
	return next, now, err
}

func (s *Service) admit(tx store.Tx, secret *lockstep.Secret) error {
	b, _, err := s.open(tx, secret)
	if err != nil {
		return err
	}
	ok, err := s.advance(b)
	if err != nil {
		return err
	}
	if !ok {
		return b.Close()
	}
	open, err := b.OpenRun()
	if err != nil {
		return err
	}
	if open != nil {
		return b.Close()
	}
	lost, err := haltedByLost(tx, b)
	if err != nil {
		return err
	}
	if !lost {
		id, err := lockstep.NewVersionID()
		if err != nil {
			return err
		}
		if _, err := start(tx, b, newRun{trigger: lockstep.TriggerSchedule, version: id}); err != nil {
			return err
		}
	}
	return b.Close()
}

// advance moves NextRotation on and tells whether a Run starts now. A fire
// whose window was missed follows the catch-up policy: it may have to wait for
// the next window, or be dropped. A schedule that can no longer be read stops
// the Secret's rotation and says so, rather than stopping everybody's.
func (s *Service) advance(b *ledger.Book) (now bool, err error) {
	sched, err := ledger.ParseStored(b.Secret)
	if err != nil {
		b.Secret.NextRotation = time.Time{}
		return false, b.Emit(lockstep.EventRunFailed, lockstep.EventData{
			State: lockstep.RunFailed, Reason: err.Error(), Hint: "set the schedule anew",
		})
	}
	due := sched.Due(schedule.Situation{
		Fire: b.Secret.NextRotation, Now: b.Now, CatchUp: schedule.CatchUp(b.Secret.Rotation.Schedule.CatchUp),
	})
	if due.At.IsZero() || due.At.After(b.Now) {
		b.Secret.NextRotation = due.At
		return false, nil
	}
	b.Secret.NextRotation = sched.Next(b.Now)
	return true, nil
}

// haltedByLost tells whether the last Run is lost: until its deposit arrives
// or a person puts a value, another call would replay a spent token.
func haltedByLost(tx store.ReadTx, b *ledger.Book) (bool, error) {
	last, err := tx.LastRun(b.Secret.ID)
	if errors.Is(err, lockstep.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("read last run: %w", err)
	}
	return last.State == lockstep.RunLost && last.Base == b.Stages[lockstep.Current], nil
}
