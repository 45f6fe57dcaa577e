package runs

import (
	"context"
	"fmt"
	"time"

	"lockstep"
)

// Decision is what a failure came to.
type Decision int

const (
	// Later: the Run is tried again; its Job is in the outbox, due then. The
	// claim is over.
	Later Decision = iota
	// Undo: the Run is in undo, and the claim goes on with it.
	Undo
	// Ended: the Run is final. The claim is over.
	Ended
)

// Failed writes down that the open Step failed and decides what follows. A
// transient fault is tried again until the attempts or the deadline run out;
// after Unknown the lease is left to run out first, so that no older call can
// land when the target is probed. A permanent fault, or a Run that was asked
// to stop, goes into undo, or ends if the target was never told.
func (c *Claim) Failed(ctx context.Context, te *lockstep.TargetError) (Decision, error) {
	var d Decision
	c.mayLand = c.mayLand || te.Outcome == lockstep.Unknown
	err := c.write(ctx, func(w *writing) error {
		step := w.step.Step
		if step == "" {
			step = stepOf(w.run)
		}
		if err := w.failed(te); err != nil {
			return err
		}
		w.run.Attempts++
		w.run.Reason, w.run.Hint = te.Error(), te.Hint
		if w.run.State == lockstep.RunSetting && te.Outcome == lockstep.NotApplied && !c.Resumed {
			w.run.Doubt = false
		}
		if w.run.State == lockstep.RunSetting && te.Outcome == lockstep.NotApplied && c.Traits.Chooser == lockstep.Issued {
			if err := w.noneIssued(); err != nil {
				return err
			}
		}
		var err error
		d, err = w.afterFailure(step, te)
		return err
	})
	return d, err
}

func (w *writing) afterFailure(step lockstep.Step, te *lockstep.TargetError) (Decision, error) {
	refusedTest := w.run.State == lockstep.RunSet && te.Fault == lockstep.FaultRefusedLogin
	hopeless := te.Fault == lockstep.FaultPermanent || (te.Fault == lockstep.FaultRefusedLogin && !refusedTest)
	if hopeless || w.exhausted(te) {
		if facts := w.facts(); facts.Traits.IssuesOne() && w.run.State == lockstep.RunSet && facts.CurrentIsBase {
			return w.finishDoubted()
		}
		if w.mayStillLand(te) {
			w.run.Stop, w.run.StopReason = lockstep.StopFailed, te.Error()
			return Later, w.later(step, te)
		}
		return w.stop(lockstep.StopFailed, "")
	}
	if refusedTest && w.claim.Traits.Chooser != lockstep.Issued { // an issued one may not have come through everywhere yet
		if err := w.signal(lockstep.SignalTestRefused, w.facts()); err != nil {
			return Ended, err
		}
	}
	return Later, w.later(step, te)
}

// mayStillLand tells whether the call that failed may yet take effect, so that
// nothing can be concluded from the target before the lease has run out.
func (w *writing) mayStillLand(te *lockstep.TargetError) bool {
	return te.Outcome == lockstep.Unknown && w.run.State == lockstep.RunSetting
}

// exhausted tells whether the Run has no try left. A Run that nobody watches
// is patient with a target that is away, up to the Rotation's attempts and the
// Run's deadline; a person wants to hear soon; and a target that says no is not
// asked often, since each refused login counts towards a lock-out.
func (w *writing) exhausted(te *lockstep.TargetError) bool {
	limit := rotationOf(w.book.Secret).Attempts()
	if w.run.Trigger == lockstep.TriggerManual || te.Fault != lockstep.FaultTransient {
		limit = min(limit, w.claim.service.manualAttempts)
	}
	return w.run.Attempts >= limit || w.book.Now.After(w.run.Deadline) || w.run.Stop != lockstep.StopNone && !w.forwardOnly()
}

// forwardOnly tells whether the Run must go on though it was asked to stop: the
// value that it has replaced is dead.
func (w *writing) forwardOnly() bool {
	return w.claim.Traits.IssuesOne() && w.run.State == lockstep.RunSet
}

// later publishes the next try and frees the slot, unless a call may still
// land: then the lease is left to run out and the try comes after it.
func (w *writing) later(step lockstep.Step, te *lockstep.TargetError) error {
	w.run.RetryAt = w.book.Now.Add(backoff(w.run.ID, w.run.Attempts, longestRetry))
	wait := w.mayStillLand(te)
	if wait {
		if err := w.outliveLease(); err != nil {
			return err
		}
	}
	if err := w.book.PublishRun(w.run, w.run.RetryAt); err != nil {
		return err
	}
	if err := w.save(); err != nil {
		return err
	}
	if err := w.tellRetryOf(step, te); err != nil || wait {
		return err
	}
	return w.release()
}

// tellRetryOf emits the Event of a failed try, if it is worth one.
func (w *writing) tellRetryOf(step lockstep.Step, te *lockstep.TargetError) error {
	if !loud(w.run.Attempts) {
		return nil
	}
	return w.book.Emit(lockstep.EventRunRetrying, lockstep.EventData{
		VersionID: w.run.Version, Run: w.run.ID, Trigger: w.run.Trigger, State: w.run.State, Step: step,
		Attempt: w.run.Attempts, Reason: te.Error(), Hint: te.Hint,
	})
}

// outliveLease moves the next try behind the end of the lease.
func (w *writing) outliveLease() error {
	slot, err := w.tx.Slot(w.claim.Secret.ID)
	if err != nil {
		return fmt.Errorf("read slot: %w", err)
	}
	if end := slot.Expires.Add(time.Millisecond); w.run.RetryAt.Before(end) {
		w.run.RetryAt = end
	}
	return nil
}

// Stop ends the Run or sends it into undo, because it was asked to stop,
// because AWSCURRENT moved, or because its time is up.
func (c *Claim) Stop(ctx context.Context, kind lockstep.StopKind, reason string) (Decision, error) {
	var d Decision
	err := c.write(ctx, func(w *writing) error {
		var err error
		d, err = w.stop(kind, reason)
		return err
	})
	return d, err
}

func (w *writing) stop(kind lockstep.StopKind, reason string) (Decision, error) {
	if w.run.Stop == lockstep.StopNone {
		w.run.Stop, w.run.StopReason = kind, reason
	}
	if w.run.Stop != lockstep.StopFailed {
		w.run.Reason, w.run.Hint = w.run.StopReason, "" // not the trouble it met before
	}
	if w.run.State == lockstep.RunUndo {
		return Undo, w.save()
	}
	facts, err := w.stopFacts()
	if err != nil {
		return Ended, err
	}
	if err := w.signal(lockstep.SignalStop, facts); err != nil {
		return Ended, err
	}
	if !w.run.State.Final() {
		w.run.UndoUntil = w.book.Now.Add(lockstep.UndoDeadline)
		w.run.Attempts = 0
		return Undo, w.save()
	}
	if err := w.book.End(w.run, w.claim.Lease(), w.run.State); err != nil {
		return Ended, err
	}
	return Ended, w.release()
}

// Undone ends a Run whose pending value is proven dead at the target while
// AWSCURRENT logs in. Tested names the Version that was seen to log in; if
// AWSCURRENT has moved since, nothing is concluded (ErrConflict). It is empty
// where the target was never told.
func (c *Claim) Undone(ctx context.Context, tested lockstep.VersionID) error {
	return c.undone(ctx, func(w *writing) error {
		if tested != "" && w.book.Stages[lockstep.Current] != tested {
			return lockstep.ErrConflict
		}
		if tested != "" {
			w.book.Secret.Unverified = false
		}
		return nil
	})
}

// UndoneDoubted is Undone where the target refuses AWSCURRENT too, which the Run
// has not brought about and cannot mend: what the target issues stands side by
// side. The Secret is Unverified.
func (c *Claim) UndoneDoubted(ctx context.Context) error {
	return c.undone(ctx, func(w *writing) error { return w.book.DoubtCurrent() })
}

// undone ends the Run after fn has looked at AWSCURRENT.
func (c *Claim) undone(ctx context.Context, fn func(w *writing) error) error {
	return c.write(ctx, func(w *writing) error {
		if err := fn(w); err != nil {
			return err
		}
		if err := w.signal(lockstep.SignalUndone, w.facts()); err != nil {
			return err
		}
		v, err := w.tx.Version(c.Secret.ID, w.run.Version)
		if err != nil {
			return fmt.Errorf("read pending version: %w", err)
		}
		if !c.Traits.Ephemeral { // whose values nobody can remove: they stay until they die
			v.MaybeLive, v.Retirement = false, lockstep.RetirementRetired
		}
		if err := w.tx.SaveVersion(v); err != nil {
			return fmt.Errorf("save version: %w", err)
		}
		return w.endUndo()
	})
}

// UndoFailed writes down that a try to roll back failed. It is tried again
// until UndoUntil; then the Run ends, the Version stays maybe live, and the
// Secret is Unverified.
func (c *Claim) UndoFailed(ctx context.Context, te *lockstep.TargetError) error {
	c.mayLand = c.mayLand || te.Outcome == lockstep.Unknown
	return c.write(ctx, func(w *writing) error {
		if err := w.failed(te); err != nil {
			return err
		}
		w.run.Attempts++
		if w.book.Now.Before(w.run.UndoUntil) {
			return w.undoLater(te)
		}
		if err := w.signal(lockstep.SignalUndoDeadline, w.facts()); err != nil {
			return err
		}
		if err := w.book.DoubtCurrent(); err != nil {
			return err
		}
		return w.endUndo()
	})
}

func (w *writing) undoLater(te *lockstep.TargetError) error {
	w.run.RetryAt = w.book.Now.Add(backoff(w.run.ID, w.run.Attempts, longestChore))
	if te.Outcome == lockstep.Unknown {
		if err := w.outliveLease(); err != nil {
			return err
		}
	}
	if err := w.book.PublishRun(w.run, w.run.RetryAt); err != nil {
		return err
	}
	if err := w.save(); err != nil {
		return err
	}
	if err := w.tellRetryOf(lockstep.StepUndo, te); err != nil || te.Outcome == lockstep.Unknown {
		return err
	}
	return w.release()
}

func (w *writing) endUndo() error {
	if err := w.done(); err != nil {
		return err
	}
	if err := w.book.End(w.run, w.claim.Lease(), w.run.State); err != nil {
		return err
	}
	return w.release()
}
