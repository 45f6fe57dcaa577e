package workers

import (
	"context"
	"errors"
	"fmt"
	"time"

	"lockstep"
	"lockstep/keeper"
	"lockstep/rotators"
	"lockstep/runs"
)

// Values that the target makes. What was asked for is written down before the
// call, and what it answers is stored before anything else is done with it; a call
// is never made twice for one intent.

// issues tells whether the target makes the value.
func (c *carrier) issues() bool { return c.claim.Traits.Chooser == lockstep.Issued }

// either is the first of two if the condition holds.
func either[T any](first bool, a, b T) T {
	if first {
		return a
	}
	return b
}

// forwardOnly tells whether the Run goes on though it was asked to stop: once the
// provider may have killed the old value, only the new one is left.
func (c *carrier) forwardOnly() bool {
	return c.claim.Traits.IssuesOne() && c.claim.Run.State.TargetTouched()
}

// intend makes room at the target and writes down that it is about to be asked.
func (c *carrier) intend(ctx context.Context) error {
	if c.values.Current.IsZero() {
		return c.fail(ctx, permanent(fmt.Errorf("secret has no AWSCURRENT value: %w", lockstep.ErrState), "put the present credential first"))
	}
	if err := c.publishable(ctx); err != nil {
		return err
	}
	if err := c.makeRoom(ctx); err != nil {
		return err
	}
	var err error
	c.marker, err = c.claim.Intend(ctx, runs.Asking{Base: c.values.CurrentID, Admin: c.values.AdminID})
	if err != nil {
		return err
	}
	c.record(lockstep.StepCreate, nil)
	c.fresh = lockstep.RunSetting
	return nil
}

// makeRoom removes the credentials that live only until the next Run takes their
// place: a provider may have no more than two. An error means that the advance is
// over.
func (c *carrier) makeRoom(ctx context.Context) error {
	retirer, ok := c.rotator.(rotators.Retirer)
	if !ok || !c.claim.Traits.Retires() {
		return nil
	}
	idle, err := c.pool.cfg.Vault.IdleValues(ctx, c.claim.Secret.ID, c.version())
	if err != nil {
		return c.unopened(ctx, fmt.Errorf("open idle versions: %w", err))
	}
	for id, old := range idle {
		r := c.request()
		r.Pending = lockstep.Value{}
		err := c.call(ctx, func(ctx context.Context) error { return retirer.Retire(ctx, r, old) })
		if err != nil && !errors.Is(err, rotators.ErrCurrents) {
			if !c.expiry(ctx, old).IsZero() { // it needs no room: it dies by itself
				c.log.InfoContext(ctx, "old value not revoked, it expires", "version", id, "error", err)
				continue
			}
			te := *lockstep.AsTargetError(err)
			te.Err = fmt.Errorf("make room for a new value: %w", te.Err)
			return c.fail(ctx, &te)
		}
		if err := c.claim.Replaced(ctx, id); err != nil {
			return err
		}
	}
	return nil
}

// issue asks the target for a value, once, and stores what it answers.
func (c *carrier) issue(ctx context.Context) error {
	if c.claim.Resumed {
		if err := c.resume(ctx); err != nil || c.claim.Run.State != lockstep.RunSetting {
			return err
		}
	}
	issuer, ok := c.rotator.(rotators.Issuer)
	if !ok {
		return c.fail(ctx, permanent(fmt.Errorf("this rotator cannot have a value issued: %w", lockstep.ErrInvalid), "name another rotator"))
	}
	r := c.request()
	r.Pending, r.Marker = lockstep.Value{}, c.marker
	var value lockstep.Value
	err := c.call(ctx, func(ctx context.Context) (err error) {
		value, err = issuer.Issue(ctx, r)
		return err
	})
	if err == nil && value.IsZero() {
		err = errors.New("the rotator brought no value back")
	}
	if err != nil {
		te := *lockstep.AsTargetError(err)
		if te.Fault == lockstep.FaultRefusedValue {
			te.Fault = lockstep.FaultPermanent // there is no other value to try
		}
		return c.fail(ctx, &te)
	}
	if err := c.deposit(ctx, value); err != nil {
		return err
	}
	c.values.Pending, c.fresh = value, lockstep.RunSet
	c.record(lockstep.StepSet, nil)
	return nil
}

// resume looks what came of what earlier claims have asked for; if nothing of it
// is of use, it intends anew.
func (c *carrier) resume(ctx context.Context) error {
	standing, err := c.claim.Resume(ctx)
	if err != nil {
		return err
	}
	c.claim.Resumed = false
	switch standing {
	case runs.StandsDeposited:
		return nil
	case runs.StandsLost:
		c.log.ErrorContext(ctx, "run is lost", "reason", c.claim.Run.Reason, "hint", c.claim.Run.Hint)
		c.record(lockstep.StepSet, &lockstep.TargetError{Outcome: lockstep.Unknown, Fault: lockstep.FaultPermanent, Err: errors.New(c.claim.Run.Reason)})
		return errSettled
	}
	if run := c.claim.Run; run.Stop != lockstep.StopNone { // nothing is on its way
		return c.decided(c.claim.Stop(ctx, run.Stop, run.StopReason))
	}
	if err := c.sweepOrphans(ctx); err != nil {
		return c.noVerdict(ctx, err)
	}
	c.marker, err = c.claim.Intend(ctx, runs.Asking{Base: c.claim.Run.Base, Admin: c.values.AdminID})
	return err
}

// depositPause is how soon a deposit that failed is tried again at first; it
// doubles up to depositPauseMost.
const (
	depositPause     = 50 * time.Millisecond
	depositPauseMost = 2 * time.Second
)

// deposit stores what the target has issued. It is tried until it succeeds, also
// after the lease is lost and while the process is asked to end: nobody else knows
// the value. Errors: ErrFenced (it is stored, but the claim is over);
// ErrNotFound (the Secret was purged meanwhile).
func (c *carrier) deposit(ctx context.Context, value lockstep.Value) error {
	ctx = context.WithoutCancel(ctx)
	d := runs.Deposit{Marker: c.marker, AdminRef: keeper.NamedAdmin(value), Expires: c.expiry(ctx, value)}
	for wait := depositPause; ; wait = min(2*wait, depositPauseMost) {
		c.callEnds.Store(time.Now().Add(c.pool.cfg.CallTimeout).UnixNano())
		err := c.tryDeposit(ctx, d, value)
		switch {
		case err == nil, errors.Is(err, lockstep.ErrFenced), errors.Is(err, lockstep.ErrNotFound):
			return err
		case errors.Is(err, runs.ErrStray):
			c.log.WarnContext(ctx, "an issued value came too late for its run; it is kept, and will be revoked")
			if d.Stray, err = lockstep.NewVersionID(); err == nil {
				continue
			}
		}
		c.log.ErrorContext(ctx, "an issued value is not stored yet, trying again", "error", err)
		pause(ctx, wait)
	}
}

func (c *carrier) tryDeposit(ctx context.Context, d runs.Deposit, value lockstep.Value) error {
	place := c.version()
	if d.Stray != "" {
		place = d.Stray
	}
	var err error
	d.Sealed, d.Account, err = c.pool.cfg.Vault.SealIssued(ctx, c.claim.Secret, place, value)
	if err != nil {
		return fmt.Errorf("seal issued value: %w", err)
	}
	return c.claim.Deposit(ctx, d)
}

// expiry is when a value dies by itself; zero if nobody knows.
func (c *carrier) expiry(ctx context.Context, v lockstep.Value) time.Time {
	expirer, ok := c.rotator.(rotators.Expirer)
	if !ok || v.IsZero() {
		return time.Time{}
	}
	at, err := expirer.Expires(v)
	if err != nil {
		c.log.WarnContext(ctx, "it is not known when the value expires", "error", err)
	}
	return at.UTC().Truncate(time.Microsecond)
}

// noteExpiry writes down until when AWSCURRENT works: a hand may have put it.
func (c *carrier) noteExpiry(ctx context.Context) error {
	at := c.expiry(ctx, c.values.Current)
	if at.IsZero() {
		return nil
	}
	return c.claim.NoteExpiry(ctx, c.values.CurrentID, at)
}

// sweepOrphans searches the target for what was issued for intents that were given
// up, and revokes it. Where nothing can be found, it dies by itself, or the next
// one takes its place.
func (c *carrier) sweepOrphans(ctx context.Context) error {
	orphans, err := c.claim.Orphans(ctx)
	if err != nil || len(orphans.Revoke) == 0 {
		return err
	}
	done := runs.Swept{Searched: orphans.Revoke}
	if finder, ok := c.rotator.(rotators.OrphanFinder); ok {
		if err := c.revokeOrphans(ctx, finder, orphans, &done); err != nil {
			return err
		}
	}
	return c.claim.Swept(ctx, done)
}

func (c *carrier) revokeOrphans(ctx context.Context, finder rotators.OrphanFinder, orphans runs.Orphans, done *runs.Swept) error {
	r := c.request()
	r.Pending = lockstep.Value{}
	var marked []rotators.Marked
	err := c.call(ctx, func(ctx context.Context) (err error) {
		marked, err = finder.Marked(ctx, r)
		return err
	})
	if err != nil {
		return fmt.Errorf("search the target for orphans: %w", err)
	}
	for _, m := range marked {
		name := fmt.Sprintf("%s (%s)", m.ID, m.Marker)
		switch {
		case !m.Marker.Of(r.ARN): // another secret's: none of our business
		case orphans.Revoke[m.Marker]:
			if err := c.call(ctx, func(ctx context.Context) error { return finder.Revoke(ctx, r, m) }); err != nil {
				return fmt.Errorf("revoke the orphan %s: %w", name, err)
			}
			c.log.WarnContext(ctx, "orphan revoked", "orphan", name)
			done.Revoked = append(done.Revoked, name)
		case !orphans.Known[m.Marker]:
			done.Unknown = append(done.Unknown, name)
		}
	}
	return nil
}

// undoIssued rolls a Run back: what it had issued is revoked. AWSCURRENT was not
// touched; if the target refuses it, that is told, and cannot be mended here.
func (c *carrier) undoIssued(ctx context.Context) error {
	if err := c.claim.Begin(ctx, lockstep.StepUndo); err != nil {
		return err
	}
	if err := c.claim.GiveUp(ctx); err != nil {
		return err
	}
	if err := c.sweepOrphans(ctx); err != nil {
		// The search goes on by its own Job; it need not hold the next Run back.
		c.log.WarnContext(ctx, "orphans not looked for yet", "error", err)
	}
	if err := c.removePending(ctx); err != nil {
		return c.fail(ctx, lockstep.AsTargetError(err))
	}
	err := c.login(ctx, c.values.Current)
	switch verdict(err) {
	case accepted:
		return c.undone(ctx, c.values.CurrentID)
	case noAnswer:
		return c.fail(ctx, lockstep.AsTargetError(notChanged(err)))
	}
	if err := c.claim.UndoneDoubted(ctx); err != nil {
		return err
	}
	c.record(lockstep.StepUndo, nil)
	c.log.WarnContext(ctx, "run rolled back, and the target refuses AWSCURRENT", "reason", c.claim.Run.Reason)
	return errSettled
}

// unrestorable is the trouble with an AWSCURRENT that the target refuses and that
// nobody can set there again.
func unrestorable(err error) error {
	te := *lockstep.AsTargetError(notChanged(err))
	te.Hint = "rotate the secret, or get a working credential from the provider and put it as AWSCURRENT"
	return &te
}

// sweep searches the target for orphans once more, when no call can take effect
// any more.
func (p *Pool) sweep(ctx context.Context, id lockstep.SecretID, holder string) error {
	claim, err := p.cfg.Engine.ClaimSweep(ctx, id, holder)
	if err != nil {
		return err
	}
	c := p.carrier(claim)
	live, stop := c.heartbeat(ctx)
	defer stop()
	err = c.prepareAside(live)
	if err == nil {
		err = c.sweepOrphans(live)
	}
	if _, told := errors.AsType[*lockstep.TargetError](err); told {
		c.log.WarnContext(ctx, "target not searched for orphans", "error", err)
		err = claim.SweepFailed(live, lockstep.AsTargetError(err))
	}
	if err != nil {
		c.letGo(ctx)
		return fmt.Errorf("search for orphans of %s: %w", claim.Secret.Name, err)
	}
	return nil
}
