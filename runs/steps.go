package runs

import (
	"context"
	"fmt"

	"lockstep"
	"lockstep/ledger"
	"lockstep/store"
)

// write is one transaction of a claim: the Secret is locked, the lease is
// checked, the Run is read again, fn changes it, and everything is saved. The
// end of one Step and the start of the next are one write.
// Errors: ErrEnded if somebody else has ended the Run (a hand moved AWSCURRENT
// onto its Version); ErrFenced; fn's.
func (c *Claim) write(ctx context.Context, fn func(w *writing) error) error {
	var next writing
	var traits lockstep.Traits
	var over bool
	err := c.service.store.Update(ctx, func(tx store.Tx) error {
		secret, err := tx.LockHeld(c.Lease())
		if err != nil {
			return fmt.Errorf("lock secret: %w", err)
		}
		b, now, err := c.service.open(tx, secret)
		if err != nil {
			return err
		}
		w := &writing{tx: tx, book: b, claim: c, step: c.step}
		traits = now
		if over, err = w.readRun(); err != nil {
			return err
		}
		if over {
			return w.leave()
		}
		if err := fn(w); err != nil {
			return err
		}
		if err := w.flush(); err != nil {
			return err
		}
		next = *w
		return b.Close()
	})
	if err == nil && over {
		err = ErrEnded
	}
	if err != nil {
		return err
	}
	c.Secret, c.Run, c.Traits, c.step = next.book.Secret, next.run, traits, next.step
	return nil
}

// writing is one transaction of a claim.
type writing struct {
	tx    store.Tx
	book  *ledger.Book
	claim *Claim
	run   *lockstep.Run
	// step is the open Step; its Step is empty if none is.
	step lockstep.StepRecord
	// unwritten is true while the beginning of step is not in the store: a Step
	// that ends in the transaction that it began in is one row written once.
	unwritten bool
}

// readRun reads the claim's Run under the lock and tells whether it is over.
func (w *writing) readRun() (over bool, err error) {
	if w.claim.Run == nil {
		return false, nil
	}
	if w.run, err = w.tx.Run(w.claim.Run.ID); err != nil {
		return false, fmt.Errorf("read run: %w", err)
	}
	return w.run.State.Final(), nil
}

// leave frees the slot, unless a call may yet land.
func (w *writing) leave() error {
	if w.claim.mayLand {
		return nil
	}
	return w.release()
}

// facts are what the table's guards look at, now.
func (w *writing) facts() lockstep.Facts {
	current := w.book.Stages[lockstep.Current]
	return lockstep.Facts{
		Traits: w.claim.Traits, Stop: w.run.Stop, TestOnly: w.run.TestOnly,
		CurrentIsBase: current == w.run.Base, CurrentIsOurs: current == w.run.Version, OnIdleAccount: true,
	}
}

// signal moves the Run by the table.
func (w *writing) signal(g lockstep.Signal, f lockstep.Facts) error {
	next, err := lockstep.Transition(w.run.State, g, f)
	if err != nil {
		return err
	}
	w.run.State = next
	return nil
}

// save writes the Run under the lease.
func (w *writing) save() error {
	lease := w.claim.Lease()
	if err := w.tx.SaveRun(w.run, &lease); err != nil {
		return fmt.Errorf("save run: %w", err)
	}
	return nil
}

// begin notes that a Step begins; flush or its end writes it down.
func (w *writing) begin(step lockstep.Step) error {
	if err := w.flush(); err != nil {
		return err
	}
	w.step = lockstep.StepRecord{Step: step, Holder: w.claim.Lease().Holder, Started: w.book.Now, Attempt: 1}
	if w.run == nil {
		return nil
	}
	w.step.Run, w.step.Attempt = w.run.ID, w.run.Attempts+1
	w.unwritten = true
	return nil
}

// flush writes down that the open Step begins, unless that stands there.
func (w *writing) flush() error {
	if !w.unwritten {
		return nil
	}
	seq, err := w.tx.BeginStep(w.step)
	if err != nil {
		return fmt.Errorf("begin step %s: %w", w.step.Step, err)
	}
	w.step.Seq, w.unwritten = seq, false
	return nil
}

// done writes down that the open Step succeeded.
func (w *writing) done() error { return w.endStep(nil) }

// failed writes down that the open Step failed, in the target's words.
func (w *writing) failed(te *lockstep.TargetError) error { return w.endStep(te) }

func (w *writing) endStep(te *lockstep.TargetError) error {
	if w.run == nil || (w.step.Step == "" && te == nil) {
		return nil
	}
	if w.step.Step == "" { // it failed before anything was begun: still a try
		if err := w.begin(stepOf(w.run)); err != nil {
			return err
		}
	}
	w.step.Ended, w.step.OK, w.step.Outcome = w.book.Now, te == nil, lockstep.Applied
	if te != nil {
		w.step.Outcome, w.step.Error, w.step.Hint = te.Outcome, te.Error(), te.Hint
	}
	rec, unwritten := w.step, w.unwritten
	if err := w.flush(); err != nil {
		return err
	}
	w.step = lockstep.StepRecord{}
	if unwritten {
		return nil
	}
	if err := w.tx.EndStep(rec); err != nil {
		return fmt.Errorf("end step %s: %w", rec.Step, err)
	}
	return nil
}

// stepOf is the Step that a Run's state asks for.
func stepOf(run *lockstep.Run) lockstep.Step {
	switch {
	case run.TestOnly, run.State == lockstep.RunSet, run.State == lockstep.RunTested:
		return lockstep.StepTest
	case run.State == lockstep.RunSetting:
		return lockstep.StepSet
	case run.State == lockstep.RunUndo:
		return lockstep.StepUndo
	}
	return lockstep.StepCreate
}

// Begin writes down that a Step begins, where no other write of the same
// moment does.
func (c *Claim) Begin(ctx context.Context, step lockstep.Step) error {
	return c.write(ctx, func(w *writing) error { return w.begin(step) })
}

// Pending is a new value on its way to the target.
type Pending struct {
	// Base is the AWSCURRENT that it was made from.
	Base lockstep.VersionID
	// Sealed is nil if a function has put the value already.
	Sealed  *lockstep.Sealed
	Account lockstep.AccountKey
	// AdminRef is what the value names as its masterarn.
	AdminRef string
	// Admin is the Secret whose credential will make the change; 0 if none.
	Admin lockstep.SecretID
}

// Created stores the pending value, which the caller has sealed, and in the
// same write that set begins: from here on the target may know the value.
// Errors: ErrConflict if the Run was stopped, AWSCURRENT is no longer base, or
// (two accounts) the value is for AWSCURRENT's own account; *Waiting (the claim
// is over, the Job in the outbox) while the admin's own Run is at the target.
func (c *Claim) Created(ctx context.Context, p Pending) error {
	var wait *Waiting
	err := c.write(ctx, func(w *writing) (err error) {
		if wait, err = waitForAdmin(w.tx, w.book.Now, p.Admin); err != nil {
			return err
		}
		if wait != nil {
			return w.putAside(wait)
		}
		return w.created(p)
	})
	if err == nil && wait != nil {
		err = wait
	}
	return err
}

// putAside ends the claim of a Run that has to wait.
func (w *writing) putAside(wait *Waiting) error {
	if err := w.failed(&lockstep.TargetError{Outcome: lockstep.NotApplied, Err: wait}); err != nil {
		return err
	}
	return park(w.tx, &parking{book: w.book, run: w.run, wait: wait, lease: w.claim.Lease()})
}

func (w *writing) created(p Pending) error {
	v, err := w.tx.Version(w.claim.Secret.ID, w.run.Version)
	if err != nil {
		return fmt.Errorf("read pending version: %w", err)
	}
	if w.run.State == lockstep.RunQueued {
		if err := w.signal(lockstep.SignalCreated, w.facts()); err != nil {
			return err
		}
		w.run.Base = p.Base
	}
	if p.Sealed != nil {
		v.Sealed, v.Account, v.AdminRef = p.Sealed, p.Account, p.AdminRef
	}
	if v.Sealed == nil {
		return fmt.Errorf("begin set: version %s has no value: %w", v.ID, lockstep.ErrInvalid)
	}
	v.MaybeLive = true
	facts := w.facts()
	if facts.Traits.Overlap == lockstep.TwoAccounts {
		if facts.OnIdleAccount, err = w.onIdleAccount(p.Account); err != nil {
			return err
		}
	}
	if err := w.signal(lockstep.SignalSetBegins, facts); err != nil {
		return err
	}
	w.run.Doubt = true
	if p.Admin != 0 {
		if err := w.tx.UseAdmin(w.run.ID, p.Admin); err != nil {
			return fmt.Errorf("note the admin: %w", err)
		}
	}
	if err := w.tx.SaveVersion(v); err != nil {
		return fmt.Errorf("save pending value: %w", err)
	}
	return w.next(lockstep.StepSet)
}

// onIdleAccount tells whether an account is not AWSCURRENT's.
func (w *writing) onIdleAccount(account lockstep.AccountKey) (bool, error) {
	current, err := w.tx.Version(w.claim.Secret.ID, w.book.Stages[lockstep.Current])
	if err != nil {
		return false, fmt.Errorf("read AWSCURRENT: %w", err)
	}
	return account == "" || current.Account != account, nil
}

// next ends the open Step and begins another, and saves the Run.
func (w *writing) next(step lockstep.Step) error {
	if err := w.done(); err != nil {
		return err
	}
	if err := w.begin(step); err != nil {
		return err
	}
	return w.save()
}

// SetAgain writes down that set is tried again. The Run was in setting.
func (c *Claim) SetAgain(ctx context.Context) error {
	return c.write(ctx, func(w *writing) error {
		if w.run.Stop != lockstep.StopNone {
			return lockstep.ErrConflict
		}
		w.run.Doubt = true
		if err := w.begin(lockstep.StepSet); err != nil {
			return err
		}
		return w.save()
	})
}

// Applied writes down that the target accepts the pending value, and that test
// begins.
func (c *Claim) Applied(ctx context.Context) error {
	return c.write(ctx, func(w *writing) error {
		if err := w.signal(lockstep.SignalApplied, w.facts()); err != nil {
			return err
		}
		w.run.Doubt = true // it is there now: undo has something to remove
		return w.next(lockstep.StepTest)
	})
}

// Finish writes down that test succeeded, moves AWSCURRENT onto the Run's
// Version, ends the Run and frees the slot.
// Errors: ErrConflict if the Run was stopped or AWSCURRENT is no longer base.
func (c *Claim) Finish(ctx context.Context) error {
	return c.write(ctx, (*writing).finish)
}

func (w *writing) finish() error {
	if w.run.State == lockstep.RunSet {
		if err := w.signal(lockstep.SignalTestOK, w.facts()); err != nil {
			return err
		}
	}
	if w.step.Step != lockstep.StepFinish { // a function's has begun already
		if err := w.done(); err != nil {
			return err
		}
		if err := w.begin(lockstep.StepFinish); err != nil {
			return err
		}
	}
	if err := w.book.Finish(w.run, w.claim.Lease()); err != nil {
		return err
	}
	w.book.Secret.Unverified = false // the value that is AWSCURRENT now has just logged in
	if err := w.done(); err != nil {
		return err
	}
	return w.release()
}

// TestDone ends a test-only Run.
func (c *Claim) TestDone(ctx context.Context) error {
	return c.write(ctx, func(w *writing) error {
		if err := w.signal(lockstep.SignalTestDone, w.facts()); err != nil {
			return err
		}
		if err := w.done(); err != nil {
			return err
		}
		if err := w.book.End(w.run, c.Lease(), w.run.State); err != nil {
			return err
		}
		return w.release()
	})
}

// RefusedValue keeps the refused value aside and stores another; set begins
// again. The refusal must be the target's own word (NotApplied): a value that
// may have been applied is never replaced. Errors: ErrInvalid if it is not,
// ErrConflict if the Run was stopped or AWSCURRENT is no longer base.
func (c *Claim) RefusedValue(ctx context.Context, te *lockstep.TargetError, sealed *lockstep.Sealed) error {
	if te.Outcome != lockstep.NotApplied {
		return fmt.Errorf("replace refused value: outcome is %s: %w", te.Outcome, lockstep.ErrInvalid)
	}
	return c.write(ctx, func(w *writing) error {
		v, err := w.tx.Version(c.Secret.ID, w.run.Version)
		if err != nil {
			return fmt.Errorf("read pending version: %w", err)
		}
		if err := w.tx.AddRefused(c.Secret.ID, v.ID, v.Sealed); err != nil {
			return fmt.Errorf("keep refused value: %w", err)
		}
		if err := w.failed(te); err != nil {
			return err
		}
		if err := w.signal(lockstep.SignalRefusedValue, w.facts()); err != nil {
			return err
		}
		w.run.Attempts++
		w.run.Reason, w.run.Hint = te.Error(), te.Hint
		v.Sealed = sealed
		if err := w.tx.SaveVersion(v); err != nil {
			return fmt.Errorf("save pending value: %w", err)
		}
		if err := w.signal(lockstep.SignalSetBegins, w.facts()); err != nil {
			return err
		}
		return w.next(lockstep.StepSet)
	})
}

func (w *writing) release() error {
	if err := w.tx.ReleaseSlot(w.claim.Lease()); err != nil {
		return fmt.Errorf("release slot: %w", err)
	}
	return nil
}
