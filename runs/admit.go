package runs

import (
	"context"
	"fmt"
	"slices"
	"time"

	"lockstep"
	"lockstep/ledger"
	"lockstep/schedule"
	"lockstep/store"
)

// AdmitDue does up to limit of each thing that is due: it starts a Run for
// Secrets whose time has come, and moves their NextRotation on; gives free places
// to Runs that wait; asks for a look at Secrets that may have drifted; goes on
// with an Inspection. A Secret whose Run is still open only has its date moved. It
// returns the largest number of any kind: less than limit means that nothing is
// left.
func (s *Service) AdmitDue(ctx context.Context, limit int) (int, error) {
	most, more, err := s.startDue(ctx, limit)
	if more || err != nil {
		return most, err
	}
	for _, do := range []func(context.Context, int) (int, error){s.advanceBatch, s.admitWaiting, s.askVerifies, s.advanceInspection} {
		n, err := do(ctx, limit)
		if err != nil {
			return most, err
		}
		most = max(most, n)
	}
	return most, nil
}

// startDue starts the Runs of due Secrets, in one transaction. More tells that
// they were all made to wait, since others are due that may have to go before
// them: no place is given away until all of those wait, too.
func (s *Service) startDue(ctx context.Context, limit int) (n int, more bool, err error) {
	var late []time.Duration
	err = s.store.Update(ctx, func(tx store.Tx) error {
		n, more, late = 0, false, nil
		g := s.gate(tx)
		if err := g.lock(); err != nil {
			return err
		}
		due, err := tx.ClaimDue(limit)
		if err != nil {
			return fmt.Errorf("claim due secrets: %w", err)
		}
		n = len(due)
		g.queue = n == limit && slices.ContainsFunc(due, hasMaxAge)
		more = g.queue
		for _, secret := range due {
			late = append(late, tx.Now().Sub(secret.NextRotation))
			if err := g.admitDue(secret); err != nil {
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
	return n, more, err
}

// hasMaxAge tells whether a Secret has a deadline, by which many that are due at
// once have to be put in order.
func hasMaxAge(s *lockstep.Secret) bool { return !ageLimit(s).IsZero() }

// NextDue is when AdmitDue has work again; zero if nothing is planned.
func (s *Service) NextDue(ctx context.Context) (next, now time.Time, err error) {
	err = s.store.View(ctx, func(tx store.ReadTx) error {
		now, next = tx.Now(), time.Time{}
		for _, read := range []func() (time.Time, error){tx.NextDue, tx.NextWait, tx.NextVerify} {
			at, err := read()
			if err != nil {
				return err
			}
			if next.IsZero() || !at.IsZero() && at.Before(next) {
				next = at
			}
		}
		return nil
	})
	return next, now, err
}

func (g *gate) admitDue(secret *lockstep.Secret) error {
	b, _, err := g.service.open(g.tx, secret)
	if err != nil {
		return err
	}
	ok, err := g.advance(b)
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
	lost, err := b.HaltedByLost()
	if err != nil {
		return err
	}
	if !lost {
		id, err := lockstep.NewVersionID()
		if err != nil {
			return err
		}
		if _, err := g.start(b, newRun{trigger: lockstep.TriggerSchedule, version: id}); err != nil {
			return err
		}
	}
	return b.Close()
}

// advance moves NextRotation on and tells whether a Run starts now: to be under
// way, or, where a Hold without an end keeps it back, to wait as a row. A fire
// that a freeze with an end covers, or whose window was missed, may be moved or
// dropped instead. A schedule that can no longer be read stops the Secret's
// rotation and says so, rather than stopping everybody's.
func (g *gate) advance(b *ledger.Book) (now bool, err error) {
	if b.Secret.Rotation.Schedule.IsZero() {
		b.Secret.NextRotation = time.Time{} // a value that expires: its successor brings the next date
		return true, nil
	}
	sched, err := ledger.ParseStored(b.Secret)
	if err != nil {
		b.Secret.NextRotation = time.Time{}
		return false, b.Emit(lockstep.EventRunFailed, lockstep.EventData{
			State: lockstep.RunFailed, Reason: err.Error(), Hint: "set the schedule anew",
		})
	}
	q, err := g.situation(b, b.Secret.NextRotation, time.Time{})
	if err != nil {
		return false, err
	}
	due := sched.Due(q)
	if due.At.After(b.Now) {
		b.Secret.NextRotation = due.At
		return false, g.warnLate(b, due, q.Deadline)
	}
	held := false
	if due.At.IsZero() && q.Calendar != nil {
		_, free := q.Calendar.NextAllowed(b.Now)
		held = !free
	}
	if due.At.IsZero() && !held {
		b.Secret.NextRotation = time.Time{}
		return false, nil
	}
	b.Secret.NextRotation, err = g.next(b, sched, b.Now)
	return true, err
}

// warnLate tells of a credential that will get too old before it may rotate.
func (g *gate) warnLate(b *ledger.Book, due schedule.Due, limit time.Time) error {
	if !due.Late {
		return nil
	}
	return b.Emit(lockstep.EventRunWaiting, lockstep.EventData{
		Trigger: lockstep.TriggerSchedule,
		Reason: fmt.Sprintf("the credential gets too old at %s, but a freeze holds its rotation until %s",
			limit.UTC().Format(time.RFC3339), due.At.UTC().Format(time.RFC3339)),
		Hint: "end the freeze, or rotate it as an emergency",
	})
}
