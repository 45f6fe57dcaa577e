package runs

import (
	"context"
	"errors"
	"fmt"

	"lockstep"
	"lockstep/store"
)

// Deposited writes down that the Run's Version has the value that a rotation
// function has put, and that set begins. Errors: as Created; ErrInvalid if the
// Version has no value.
func (c *Claim) Deposited(ctx context.Context, base lockstep.VersionID, admin lockstep.SecretID) error {
	return c.Created(ctx, Pending{Base: base, Admin: admin})
}

// Tested writes down that test succeeded and that finish begins, where somebody
// else's code carries finish out: the Run has to be ready for it.
func (c *Claim) Tested(ctx context.Context) error {
	return c.write(ctx, func(w *writing) error {
		if err := w.signal(lockstep.SignalTestOK, w.facts()); err != nil {
			return err
		}
		return w.next(lockstep.StepFinish)
	})
}

// FinishAgain writes down that finish is tried again. The Run was in tested.
func (c *Claim) FinishAgain(ctx context.Context) error { return c.Begin(ctx, lockstep.StepFinish) }

// FinishFailed writes down that a function's finish failed. It is tried again
// while the Run has tries left; then the engine moves AWSCURRENT itself: the
// target accepts the new value, and perhaps no other. A Run that was asked to
// stop is stopped.
func (c *Claim) FinishFailed(ctx context.Context, te *lockstep.TargetError) (Decision, error) {
	d := Ended
	err := c.write(ctx, func(w *writing) error {
		if err := w.failed(te); err != nil {
			return err
		}
		w.run.Attempts++
		w.run.Reason, w.run.Hint = te.Error(), te.Hint
		var err error
		switch {
		case w.run.Stop != lockstep.StopNone:
			d, err = w.stop(w.run.Stop, w.run.StopReason)
		case w.exhausted(te):
			err = w.finishByForce()
		default:
			d, err = Later, w.later(lockstep.StepFinish, te)
		}
		return err
	})
	return d, err
}

// finishByForce is Finish without the function.
func (w *writing) finishByForce() error {
	if err := w.begin(lockstep.StepFinish); err != nil {
		return err
	}
	if err := w.book.Finish(w.run, w.claim.Lease()); err != nil {
		return err
	}
	w.book.Secret.Unverified = false
	if err := w.done(); err != nil {
		return err
	}
	return w.release()
}

// NoUndo ends a Run that cannot be rolled back, since nobody knows how: its
// rotator is a function that has no such step. What the target accepts is not
// known then: the Version stays maybe live, and the Secret is Unverified.
func (c *Claim) NoUndo(ctx context.Context) error {
	return c.write(ctx, func(w *writing) error {
		if err := w.begin(lockstep.StepUndo); err != nil {
			return err
		}
		te := &lockstep.TargetError{
			Outcome: lockstep.Unknown,
			Hint:    "see which value the target accepts; rotate again, or put that value as AWSCURRENT",
			Err:     fmt.Errorf("%s; rotator %s has no step that undoes setSecret, so the target may accept version %s", w.run.Reason, rotationOf(w.book.Secret).Rotator, w.run.Version),
		}
		if err := w.signal(lockstep.SignalUndoDeadline, w.facts()); err != nil {
			return err
		}
		w.run.Reason, w.run.Hint = te.Error(), te.Hint
		if err := w.failed(te); err != nil {
			return err
		}
		if err := w.book.DoubtCurrent(); err != nil {
			return err
		}
		return w.endUndo()
	})
}

// Over tells whether the Run has ended by now, by whoever else.
// Errors: ErrFenced; the store's.
func (c *Claim) Over(ctx context.Context) (bool, error) {
	err := c.write(ctx, func(*writing) error { return nil })
	if !errors.Is(err, ErrEnded) {
		return false, err
	}
	return true, c.service.store.View(ctx, func(tx store.ReadTx) error {
		run, err := tx.Run(c.Run.ID)
		if err != nil {
			return fmt.Errorf("read run: %w", err)
		}
		c.Run = run
		return nil
	})
}
