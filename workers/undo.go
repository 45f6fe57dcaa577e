package workers

import (
	"context"
	"fmt"

	"lockstep"
	"lockstep/rotators"
)

// undo rolls a Run back: afterwards AWSCURRENT logs in, and the pending value
// is dead at the target.
func (c *carrier) undo(ctx context.Context) error {
	if err := c.claim.Begin(ctx, lockstep.StepUndo); err != nil {
		return err
	}
	if err := c.raise(ctx); err != nil {
		return c.fail(ctx, lockstep.AsTargetError(err))
	}
	if err := c.removePending(ctx); err != nil {
		return c.fail(ctx, lockstep.AsTargetError(err))
	}
	if _, err := c.restoreCurrent(ctx); err != nil {
		return c.fail(ctx, lockstep.AsTargetError(err))
	}
	if err := c.pendingDead(ctx); err != nil {
		return c.fail(ctx, lockstep.AsTargetError(err))
	}
	return c.undone(ctx, c.values.CurrentID)
}

func (c *carrier) undone(ctx context.Context, tested lockstep.VersionID) error {
	if err := c.claim.Undone(ctx, tested); err != nil {
		return err
	}
	c.record(lockstep.StepUndo, nil)
	c.log.InfoContext(ctx, "run rolled back", "state", c.claim.Run.State, "reason", c.claim.Run.Reason)
	return errSettled
}

// removePending makes the target refuse the pending value where it has a place
// of its own there. A value that overwrote AWSCURRENT is removed by setting
// AWSCURRENT again.
func (c *carrier) removePending(ctx context.Context) error {
	retirer, ok := c.rotator.(rotators.Retirer)
	if !ok || !c.claim.Traits.Retires() || c.values.Pending.IsZero() || c.pendingIsCurrent() {
		return nil
	}
	pending, r := c.values.Pending, c.request()
	r.Pending = lockstep.Value{}
	err := c.call(ctx, func(ctx context.Context) error { return retirer.Retire(ctx, r, pending) })
	if err == nil && c.claim.Traits.Overlap == lockstep.TwoAccounts {
		// Where one account has both values, sessions are told apart by their age
		// alone, and those before AWSCURRENT may use a value that stays.
		return c.endSessions(ctx, r, pending)
	}
	if err == nil || lockstep.AsTargetError(err).Outcome == lockstep.Unknown {
		return err
	}
	// It could not be removed, for want of a right perhaps; if it does not log
	// in, there is nothing to remove.
	if verdict(c.login(ctx, pending)) == refused {
		return nil
	}
	return err
}

// pendingDead makes sure of a value that overwrote another: that AWSCURRENT logs
// in proves the pending one dead only if both are of one Account. A hand may
// have put an AWSCURRENT for another account, or another server.
func (c *carrier) pendingDead(ctx context.Context) error {
	if _, ok := c.rotator.(rotators.Identifier); !ok {
		return nil // one place at the target, which AWSCURRENT has
	}
	if c.claim.Traits.Retires() || c.values.Pending.IsZero() || c.onCurrentAccount() {
		return nil
	}
	err := c.login(ctx, c.values.Pending)
	switch verdict(err) {
	case refused:
		return nil
	case noAnswer:
		return notChanged(err)
	}
	return &lockstep.TargetError{
		Outcome: lockstep.NotApplied, Fault: lockstep.FaultPermanent,
		Hint: "put an AWSCURRENT for that account, or change its password at the target",
		Err:  fmt.Errorf("the value of this run still logs in, and AWSCURRENT names another account: %w", lockstep.ErrState),
	}
}

// pendingIsCurrent tells whether what pending logs in with is AWSCURRENT's own:
// the account where an account holds one value, account and value otherwise.
func (c *carrier) pendingIsCurrent() bool {
	if c.claim.Traits.Overlap == lockstep.TwoValues {
		return c.values.Pending.Equal(c.values.Current)
	}
	return c.onCurrentAccount()
}

// onCurrentAccount tells whether pending logs in as the account of AWSCURRENT.
func (c *carrier) onCurrentAccount() bool {
	id, ok := c.rotator.(rotators.Identifier)
	if !ok {
		return false
	}
	a, errA := id.Account(c.values.Pending)
	b, errB := id.Account(c.values.Current)
	return errA == nil && errB == nil && a.String() == b.String()
}

// restoreCurrent makes sure that AWSCURRENT logs in, setting it again if the
// target refuses it. It tells whether it had to.
func (c *carrier) restoreCurrent(ctx context.Context) (repaired bool, err error) {
	err = c.login(ctx, c.values.Current)
	switch verdict(err) {
	case accepted:
		return false, nil
	case noAnswer:
		return false, notChanged(err)
	}
	if c.issues() {
		return false, unrestorable(err)
	}
	r := c.request()
	r.Pending = c.values.Current
	r.Live = append([]lockstep.Value{}, c.values.Live...)
	if !c.values.Pending.IsZero() {
		r.Live = append([]lockstep.Value{c.values.Pending}, r.Live...)
	}
	if err := c.tell(ctx, r); err != nil {
		return false, fmt.Errorf("set AWSCURRENT again: %w", err)
	}
	if err := c.login(ctx, c.values.Current); err != nil {
		return false, notChanged(err)
	}
	return true, nil
}

// notChanged marks a failed login as a call that changed nothing.
func notChanged(err error) error {
	te := *lockstep.AsTargetError(err)
	te.Outcome = lockstep.NotApplied
	return &te
}
