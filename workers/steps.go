package workers

import (
	"context"
	"errors"
	"fmt"

	"lockstep"
	"lockstep/rotators"
)

// maxRefused is how many values a target may refuse before the Run fails.
const maxRefused = 3

// create makes the pending value and stores it, before the target hears of it.
func (c *carrier) create(ctx context.Context) error {
	if c.values.Current.IsZero() {
		return c.fail(ctx, permanent(fmt.Errorf("secret has no AWSCURRENT value: %w", lockstep.ErrState), "put the present credential first"))
	}
	value, err := c.makeValue(ctx)
	if err != nil {
		return c.fail(ctx, permanent(err, ""))
	}
	sealed, account, err := c.pool.cfg.Vault.SealPending(ctx, c.claim.Secret, c.claim.Run.Version, value)
	if err != nil {
		return fmt.Errorf("seal pending value: %w", err)
	}
	return c.claim.Created(ctx, c.values.CurrentID, sealed, account)
}

func (c *carrier) makeValue(ctx context.Context) (lockstep.Value, error) {
	var value lockstep.Value
	err := c.call(ctx, func(ctx context.Context) error {
		var err error
		value, err = c.rotator.Create(ctx, c.request())
		return err
	})
	return value, err
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
			return c.claim.Applied(ctx)
		}
		if err := c.claim.SetAgain(ctx); err != nil {
			return err
		}
	}
	err := c.call(ctx, func(ctx context.Context) error { return c.rotator.Set(ctx, c.request()) })
	if err == nil {
		return c.claim.Applied(ctx)
	}
	te := lockstep.AsTargetError(err)
	if te.Fault == lockstep.FaultRefusedValue && c.claim.Run.Attempts < maxRefused {
		return c.replaceRefused(ctx, te)
	}
	if te.Fault == lockstep.FaultRefusedValue {
		te.Fault = lockstep.FaultPermanent
	}
	return c.fail(ctx, te)
}

func (c *carrier) replaceRefused(ctx context.Context, te *lockstep.TargetError) error {
	c.log.InfoContext(ctx, "target refused the value, making another", "error", te.Error())
	value, err := c.makeValue(ctx)
	if err != nil {
		return c.fail(ctx, permanent(err, ""))
	}
	sealed, _, err := c.pool.cfg.Vault.SealPending(ctx, c.claim.Secret, c.claim.Run.Version, value)
	if err != nil {
		return fmt.Errorf("seal pending value: %w", err)
	}
	return c.claim.RefusedValue(ctx, te, sealed)
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
// changed by it, and nothing is concluded.
func (c *carrier) noVerdict(ctx context.Context, err error) error {
	te := *lockstep.AsTargetError(err)
	te.Outcome, te.Fault = lockstep.NotApplied, lockstep.FaultTransient
	return c.fail(ctx, &te)
}

// raise raises the marker at the target, where this rotator and this login can.
func (c *carrier) raise(ctx context.Context) error {
	fencer, ok := c.rotator.(rotators.Fencer)
	if !ok {
		return nil
	}
	var held uint64
	err := c.call(ctx, func(ctx context.Context) error {
		var err error
		held, err = fencer.Raise(ctx, c.request())
		return err
	})
	if err != nil && lockstep.AsTargetError(err).Fault == lockstep.FaultPermanent {
		return nil // no means to keep a marker: NOT-AFTER, which has passed, stands alone
	}
	if err == nil && held > c.claim.Lease().Fence {
		return c.claim.RaiseFence(ctx, held)
	}
	return err
}

type loginVerdict int

const (
	noAnswer loginVerdict = iota
	accepted
	refused
)

// verdict reads the result of a login. One that works but fails a permission
// probe is accepted: the target does know the value.
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
		return accepted
	}
	return noAnswer
}

func (c *carrier) login(ctx context.Context, v lockstep.Value) error {
	return c.call(ctx, func(ctx context.Context) error { return c.rotator.Test(ctx, c.request(), v) })
}

// test logs in with the pending value, as an application would.
func (c *carrier) test(ctx context.Context) error {
	if c.claim.Resumed {
		if err := c.claim.Begin(ctx, lockstep.StepTest); err != nil {
			return err
		}
		c.claim.Resumed = false
	}
	if err := c.login(ctx, c.values.Pending); err != nil {
		te := *lockstep.AsTargetError(err)
		te.Outcome = lockstep.NotApplied // a login changes nothing
		return c.fail(ctx, &te)
	}
	return c.finish(ctx)
}

// finish moves AWSCURRENT.
func (c *carrier) finish(ctx context.Context) error {
	if err := c.claim.Finish(ctx); err != nil {
		return err
	}
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
	if err := c.claim.TestDone(ctx); err != nil {
		return err
	}
	return errSettled
}
