package workers

import (
	"context"
	"errors"
	"fmt"

	"lockstep"
	"lockstep/rotators"
)

// retire removes the credential of an old Version at the target.
func (p *Pool) retire(ctx context.Context, id lockstep.SecretID, version lockstep.VersionID, holder string) error {
	claim, err := p.cfg.Engine.ClaimRetire(ctx, id, version, holder)
	if err != nil {
		return err
	}
	c := p.carrier(claim)
	live, stop := c.heartbeat(ctx)
	defer stop()
	err = errors.Join(c.retireVersion(live), c.settleRecords(ctx))
	if err != nil {
		c.letGo(ctx)
		return fmt.Errorf("retire version %s: %w", version, err)
	}
	return nil
}

// retireVersion removes the credential and writes down what came of it.
func (c *carrier) retireVersion(ctx context.Context) error {
	err := c.prepareAside(ctx)
	if err == nil {
		err = c.removeOld(ctx)
	}
	if errors.Is(err, rotators.ErrCurrents) {
		c.log.InfoContext(ctx, "old credential is AWSCURRENT's too, nothing to remove", "version", c.claim.Version)
		return c.claim.Dropped(ctx)
	}
	if err != nil {
		te := lockstep.AsTargetError(err)
		c.log.WarnContext(ctx, "old credential not removed", "version", c.claim.Version, "error", te.Error(), "hint", te.Hint)
		if err := c.claim.RetireFailed(ctx, te); err != nil {
			return err
		}
		c.record(lockstep.StepRetire, te)
		return nil
	}
	if err := c.claim.Retired(ctx); err != nil {
		return err
	}
	c.record(lockstep.StepRetire, nil)
	c.log.InfoContext(ctx, "old credential removed", "version", c.claim.Version)
	return nil
}

// removeOld raises the marker, sees that AWSCURRENT logs in, removes the old
// credential, and sees that AWSCURRENT still does. Without the first look, a
// drifted AWSCURRENT would leave nothing that works.
func (c *carrier) removeOld(ctx context.Context) error {
	retirer, ok := c.rotator.(rotators.Retirer)
	if !ok {
		return permanent(fmt.Errorf("this rotator cannot remove an old credential: %w", lockstep.ErrInvalid), "set the retirement policy to next-run")
	}
	if err := c.raise(ctx); err != nil {
		return err
	}
	if err := c.login(ctx, c.values.Current); verdict(err) != accepted {
		return notChanged(err)
	}
	old := c.values.Pending // the Version that the claim is about
	r := c.request()
	r.Pending = lockstep.Value{}
	if err := c.call(ctx, func(ctx context.Context) error { return retirer.Retire(ctx, r, old) }); err != nil {
		return err
	}
	if err := c.endSessions(ctx, r, old); err != nil {
		return err
	}
	if err := c.login(ctx, c.values.Current); verdict(err) != accepted {
		return notChanged(err)
	}
	return nil
}

// endSessions ends the sessions that still use a value which the target refuses
// by now.
func (c *carrier) endSessions(ctx context.Context, r *rotators.Request, old lockstep.Value) error {
	killer, ok := c.rotator.(rotators.SessionKiller)
	if !ok {
		return nil
	}
	return c.call(ctx, func(ctx context.Context) error { return killer.KillSessions(ctx, r, old) })
}

// prepareAside is prepare for claims without a Run: its failures are returned.
func (c *carrier) prepareAside(ctx context.Context) error {
	rotation := c.claim.Secret.Rotation
	if rotation == nil {
		return permanent(fmt.Errorf("secret has no rotation: %w", lockstep.ErrState), "turn rotation on")
	}
	var err error
	if c.rotator, err = c.pool.rotatorOf(ctx, c.claim.Secret); err != nil {
		return permanent(err, "")
	}
	c.values, err = c.pool.cfg.Vault.EngineValues(ctx, c.claim.Secret.ID, c.claim.Version)
	if te := keyFault(err); te != nil {
		return te
	}
	if err != nil {
		return &lockstep.TargetError{Outcome: lockstep.NotApplied, Err: fmt.Errorf("open values: %w", err)}
	}
	return nil // without an admin that is gone: what needs one says so
}

// verify sees whether AWSCURRENT logs in, and sets it again if the target
// refuses it. Labels stay where they are. Tries counts the looks before.
func (p *Pool) verify(ctx context.Context, id lockstep.SecretID, holder string, tries int) error {
	claim, err := p.cfg.Engine.ClaimVerify(ctx, id, holder)
	if err != nil {
		return err
	}
	c := p.carrier(claim)
	live, stop := c.heartbeat(ctx)
	defer stop()
	err = errors.Join(c.verifyNow(live, tries), c.settleRecords(ctx))
	if err != nil {
		c.letGo(ctx)
	}
	if errors.Is(err, lockstep.ErrConflict) {
		return nil // AWSCURRENT was moved meanwhile, and with it came a new Job
	}
	if err != nil {
		return fmt.Errorf("verify AWSCURRENT: %w", err)
	}
	return nil
}

// verifyNow looks and writes down what came of it.
func (c *carrier) verifyNow(ctx context.Context, tries int) error {
	repaired, err := c.verifyCurrent(ctx)
	if err != nil {
		te := lockstep.AsTargetError(err)
		c.log.WarnContext(ctx, "AWSCURRENT is not verified", "error", te.Error(), "hint", te.Hint)
		if err := c.claim.VerifyFailed(ctx, te, tries); err != nil {
			return err
		}
		c.record(lockstep.StepVerify, te)
		return nil
	}
	note := ""
	if repaired {
		note = "the target refused AWSCURRENT; it was set there again"
	}
	if err := c.noteExpiry(ctx); err != nil {
		return err
	}
	if err := c.claim.Verified(ctx, note); err != nil {
		return err
	}
	c.record(lockstep.StepVerify, nil)
	return nil
}

func (c *carrier) verifyCurrent(ctx context.Context) (repaired bool, err error) {
	if err := c.prepareAside(ctx); err != nil {
		return false, err
	}
	c.values.Pending = lockstep.Value{} // a verify has no pending value
	if err := c.raise(ctx); err != nil {
		return false, err
	}
	return c.restoreCurrent(ctx)
}
