package workers

import (
	"context"
	"errors"
	"fmt"

	"lockstep"
	"lockstep/keeper"
	"lockstep/rotators"
	"lockstep/runs"
)

// maxRefused is how many values a target may refuse within one claim before the
// Run fails.
const maxRefused = 3

// create makes the pending value and stores it, before the target hears of it.
func (c *carrier) create(ctx context.Context) error {
	if c.values.Current.IsZero() {
		return c.fail(ctx, permanent(fmt.Errorf("secret has no AWSCURRENT value: %w", lockstep.ErrState), "put the present credential first"))
	}
	value, pending, err := c.newValue(ctx)
	if err != nil {
		return err
	}
	if err := c.claim.Created(ctx, pending); err != nil {
		return err
	}
	c.stored(value)
	c.record(lockstep.StepCreate, nil)
	return nil
}

// stored notes that a value is the Run's: set may go on with it.
func (c *carrier) stored(value lockstep.Value) {
	c.values.Pending, c.fresh = value, lockstep.RunSetting
}

// newValue makes a value and seals it for the Run's Version. An error means
// that the advance is over.
func (c *carrier) newValue(ctx context.Context) (lockstep.Value, runs.Pending, error) {
	value, err := c.makeValue(ctx)
	if err != nil {
		te := *lockstep.AsTargetError(err) // with the rotator's hint
		te.Outcome, te.Fault = lockstep.NotApplied, lockstep.FaultPermanent
		return lockstep.Value{}, runs.Pending{}, c.fail(ctx, &te)
	}
	sealed, account, err := c.pool.cfg.Vault.SealPending(ctx, c.claim.Secret, c.claim.Run.Version, value)
	if err != nil {
		return lockstep.Value{}, runs.Pending{}, c.unopened(ctx, fmt.Errorf("seal pending value: %w", err))
	}
	return value, runs.Pending{Base: c.values.CurrentID, Sealed: sealed, Account: account, AdminRef: keeper.NamedAdmin(value), Admin: c.values.AdminID}, nil
}

func (c *carrier) makeValue(ctx context.Context) (lockstep.Value, error) {
	var value lockstep.Value
	chooser, err := c.chooser()
	if err != nil {
		return value, err
	}
	err = c.call(ctx, func(ctx context.Context) error {
		var err error
		value, err = chooser.Create(ctx, c.request())
		return err
	})
	return value, err
}

// chooser is the rotator as one whose values Lockstep makes. Errors: a permanent
// fault, which a registry does not let come to pass.
func (c *carrier) chooser() (rotators.Chooser, error) {
	if chooser, ok := c.rotator.(rotators.Chooser); ok {
		return chooser, nil
	}
	return nil, permanent(fmt.Errorf("this rotator cannot make a value: %w", lockstep.ErrInvalid), "name another rotator")
}

// tell makes the target accept the request's pending value.
func (c *carrier) tell(ctx context.Context, r *rotators.Request) error {
	chooser, err := c.chooser()
	if err != nil {
		return err
	}
	return c.call(ctx, func(ctx context.Context) error { return chooser.Set(ctx, r) })
}

// set tells the target. After an earlier claim that may have told it already,
// the marker is raised and the target is asked first.
func (c *carrier) set(ctx context.Context) error {
	if c.claim.Resumed {
		applied, err := c.probe(ctx)
		if err != nil {
			return err
		}
		if applied {
			return c.applied(ctx)
		}
		if err := c.claim.SetAgain(ctx); err != nil {
			return err
		}
	}
	err := c.tell(ctx, c.request())
	if err == nil {
		return c.applied(ctx)
	}
	te := *lockstep.AsTargetError(err)
	if te.Fault != lockstep.FaultRefusedValue {
		return c.fail(ctx, &te)
	}
	if te.Outcome == lockstep.NotApplied && c.refused < maxRefused {
		return c.replaceRefused(ctx, &te)
	}
	te.Fault = lockstep.FaultPermanent
	return c.fail(ctx, &te)
}

// applied writes down that the target accepts the pending value.
func (c *carrier) applied(ctx context.Context) error {
	err := c.claim.Applied(ctx)
	if err == nil {
		c.fresh = lockstep.RunSet
		c.record(lockstep.StepSet, nil)
	}
	return err
}

func (c *carrier) replaceRefused(ctx context.Context, te *lockstep.TargetError) error {
	c.refused++
	c.failure = te
	c.log.InfoContext(ctx, "target refused the value, making another", "error", te.Error())
	value, pending, err := c.newValue(ctx)
	if err != nil {
		return err
	}
	if err := c.claim.RefusedValue(ctx, te, pending.Sealed); err != nil {
		return err
	}
	c.stored(value)
	c.record(lockstep.StepSet, te)
	return nil
}

// probe raises the marker, so that no older call lands afterwards, and then
// asks the target whether it accepts the pending value. An error means that
// there is no verdict; it is settled.
func (c *carrier) probe(ctx context.Context) (applied bool, err error) {
	if err := c.raise(ctx); err != nil {
		return false, c.noVerdict(ctx, err)
	}
	err = c.login(ctx, c.values.Pending)
	switch verdict(err) {
	case accepted:
		c.claim.Resumed = false
		return true, nil
	case refused:
		c.claim.Resumed = false
		return false, nil
	}
	return false, c.noVerdict(ctx, err)
}

// noVerdict settles a claim whose target could not be asked: nothing was
// changed by it, and nothing is concluded. It never returns nil.
func (c *carrier) noVerdict(ctx context.Context, err error) error {
	te := *lockstep.AsTargetError(err)
	te.Outcome, te.Fault = lockstep.NotApplied, lockstep.FaultTransient
	return c.fail(ctx, &te)
}

// raise raises the marker at the target, where this rotator and this login can.
// If a higher one stands there (the store was restored from a backup), the
// slot's fence is raised above it, and the marker once more.
func (c *carrier) raise(ctx context.Context) error {
	fencer, ok := c.rotator.(rotators.Fencer)
	if !ok {
		return nil
	}
	held, err := c.raiseOnce(ctx, fencer)
	if err == nil && held > c.claim.Lease().Fence {
		if err := c.claim.RaiseFence(ctx, held); err != nil {
			return err
		}
		_, err = c.raiseOnce(ctx, fencer)
	}
	if err != nil && lockstep.AsTargetError(err).Fault == lockstep.FaultPermanent {
		return nil // no means to keep a marker: NOT-AFTER, which has passed, stands alone
	}
	return err
}

func (c *carrier) raiseOnce(ctx context.Context, fencer rotators.Fencer) (held uint64, err error) {
	err = c.call(ctx, func(ctx context.Context) error {
		held, err = fencer.Raise(ctx, c.request())
		return err
	})
	return held, err
}

type loginVerdict int

const (
	noAnswer loginVerdict = iota
	accepted
	refused
)

// verdict reads the result of a login. One that works but fails a permission
// probe is accepted: the target does know the value. One that could not be
// tried, since the value is malformed, is no verdict.
func verdict(err error) loginVerdict {
	if err == nil {
		return accepted
	}
	var te *lockstep.TargetError
	if !errors.As(err, &te) {
		return noAnswer
	}
	switch te.Fault {
	case lockstep.FaultRefusedLogin:
		return refused
	case lockstep.FaultPermanent:
		if !errors.Is(err, lockstep.ErrInvalid) {
			return accepted
		}
	}
	return noAnswer
}

// login tests a value at the target. A value that the rotator cannot read has
// no verdict: nobody has tried it, whatever Test calls that.
func (c *carrier) login(ctx context.Context, v lockstep.Value) error {
	if id, ok := c.rotator.(rotators.Identifier); ok {
		if _, err := id.Account(v); err != nil {
			return &lockstep.TargetError{
				Outcome: lockstep.NotApplied, Fault: lockstep.FaultPermanent,
				Hint: "put a value that the rotator can read", Err: fmt.Errorf("log in: %w", err),
			}
		}
	}
	return c.call(ctx, func(ctx context.Context) error { return c.rotator.Test(ctx, c.request(), v) })
}

// test logs in with the pending value, as an application would.
func (c *carrier) test(ctx context.Context) error {
	if c.claim.Resumed {
		if err := c.claim.Begin(ctx, lockstep.StepTest); err != nil {
			return err
		}
		if err := c.raise(ctx); err != nil {
			return c.noVerdict(ctx, err)
		}
		c.claim.Resumed = false
	}
	err := c.login(ctx, c.values.Pending)
	if tester, ok := c.rotator.(rotators.EndpointTester); ok && err == nil {
		err = c.call(ctx, func(ctx context.Context) error { return tester.TestEndpoints(ctx, c.request(), c.values.Pending) })
	}
	if err != nil {
		c.publishUntested(ctx)
		te := *lockstep.AsTargetError(err)
		te.Outcome = lockstep.NotApplied // a login changes nothing
		return c.fail(ctx, &te)
	}
	c.record(lockstep.StepTest, nil)
	return nil
}

// finish moves AWSCURRENT.
func (c *carrier) finish(ctx context.Context) error {
	if err := c.finishPublishing(ctx); err != nil {
		return err
	}
	c.record(lockstep.StepFinish, nil)
	c.log.InfoContext(ctx, "rotated", "version", c.claim.Run.Version, "took", c.claim.Run.Finished.Sub(c.claim.Run.Created).String())
	return errSettled
}

// testOnly logs in with AWSCURRENT and changes nothing.
func (c *carrier) testOnly(ctx context.Context) error {
	if err := c.claim.Begin(ctx, lockstep.StepTest); err != nil {
		return err
	}
	if err := c.login(ctx, c.values.Current); err != nil {
		te := *lockstep.AsTargetError(err)
		te.Outcome = lockstep.NotApplied
		return c.fail(ctx, &te)
	}
	if err := c.noteExpiry(ctx); err != nil {
		return err
	}
	if err := c.claim.TestDone(ctx); err != nil {
		return err
	}
	c.record(lockstep.StepTest, nil)
	return errSettled
}
