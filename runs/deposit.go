package runs

import (
	"context"
	"errors"
	"fmt"
	"time"

	"lockstep"
	"lockstep/ledger"
	"lockstep/store"
)

// Deposit is what a target has issued, on its way into the store.
type Deposit struct {
	// Marker names the intent that it was issued for.
	Marker lockstep.Marker
	// Sealed is for the place of the Run's Version, or of Stray.
	Sealed  *lockstep.Sealed
	Account lockstep.AccountKey
	// AdminRef is what the value names as its masterarn.
	AdminRef string
	// Expires is when it dies by itself; zero if it does not.
	Expires time.Time
	// Stray is the id of a Version of its own, for a value that ErrStray was
	// returned for.
	Stray lockstep.VersionID
}

// ErrStray says that a value came too late for its Run, which has given it up: it
// is to be deposited once more, in a Version of its own, from which it is removed
// at the target.
var ErrStray = errors.New("the value has no place in its run any more")

// Deposit stores what the target has issued, whatever has become of the claim, the
// Run or the Secret meanwhile: what a target accepts must be in the store. If the
// claim still holds, the Run is in set afterwards. Else nothing changes its state,
// but that a lost Run goes on whose AWSCURRENT is still its base. It may be called
// until it succeeds; what is stored already is not stored again.
// Errors: ErrStray; ErrFenced (it is stored, and the claim is over); ErrNotFound
// (the Secret is purged); the store's, after which it is to be tried again.
func (c *Claim) Deposit(ctx context.Context, d Deposit) error {
	var next *writing
	var held bool
	err := c.service.store.Update(ctx, func(tx store.Tx) error {
		next, held = nil, false
		secret, err := tx.LockSecret(c.Secret.ID)
		if err != nil {
			return fmt.Errorf("lock secret: %w", err)
		}
		b, _, err := c.service.open(tx, secret)
		if err != nil {
			return err
		}
		w := &writing{tx: tx, book: b, claim: c, step: c.step}
		if w.run, err = tx.Run(c.Run.ID); err != nil {
			return fmt.Errorf("read run: %w", err)
		}
		switch err := tx.GuardSlot(c.Lease()); {
		case err == nil:
			held = true
		case !errors.Is(err, lockstep.ErrFenced):
			return err
		}
		next = w
		if err := w.deposit(d, held); err != nil {
			return err
		}
		if err := w.flush(); err != nil {
			return err
		}
		return b.Close()
	})
	if err != nil {
		return err
	}
	if !held || d.Stray != "" {
		return fmt.Errorf("go on after the deposit: %w", lockstep.ErrFenced)
	}
	c.Secret, c.Run, c.step = next.book.Secret, next.run, next.step
	return nil
}

func (w *writing) deposit(d Deposit, held bool) error {
	intent, err := w.tx.Intent(d.Marker)
	if err != nil {
		return fmt.Errorf("read intent: %w", err)
	}
	if intent.State == store.IntentDeposited {
		return w.depositedBefore()
	}
	if d.Stray != "" {
		return w.depositStray(intent, d)
	}
	v, err := w.tx.Version(w.book.Secret.ID, intent.Version)
	if err != nil && !errors.Is(err, lockstep.ErrNotFound) {
		return fmt.Errorf("read pending version: %w", err)
	}
	waited := intent.State == store.IntentLost || intent.State == store.IntentOpen && w.run.State == lockstep.RunSetting
	if v == nil || v.Sealed != nil || !waited {
		return ErrStray
	}
	v.Sealed, v.Account, v.AdminRef, v.Expires, v.MaybeLive = d.Sealed, d.Account, d.AdminRef, d.Expires, true
	if err := w.book.SaveVersion(v); err != nil {
		return err
	}
	intent.State, intent.SweepDue = store.IntentDeposited, time.Time{}
	if err := w.book.SaveIntent(intent); err != nil {
		return err
	}
	switch {
	case w.run.State == lockstep.RunLost:
		return w.reopen()
	case held:
		if err := w.signal(lockstep.SignalDeposit, w.facts()); err != nil {
			return err
		}
		return w.next(lockstep.StepTest)
	}
	return nil
}

// depositedBefore finds the Step again that the first deposit has begun, whose
// answer from the store was lost.
func (w *writing) depositedBefore() error {
	w.step = lockstep.StepRecord{}
	steps, err := w.tx.Steps(w.run.ID)
	if err != nil {
		return fmt.Errorf("read steps: %w", err)
	}
	if n := len(steps); n > 0 && steps[n-1].Ended.IsZero() {
		w.step = steps[n-1]
	}
	return nil
}

// depositStray keeps a value that no Run waits for, and has it removed at the
// target: found by its marker, and by what it is.
func (w *writing) depositStray(intent *store.Intent, d Deposit) error {
	v := &lockstep.Version{
		Secret: w.book.Secret.ID, ID: d.Stray, Created: w.book.Now,
		Sealed: d.Sealed, Account: d.Account, AdminRef: d.AdminRef, Expires: d.Expires, MaybeLive: true,
	}
	retires := w.claim.Traits.Retires()
	if retires {
		v.Retirement, v.RetireAt = lockstep.RetirementDue, w.book.Now
	}
	if err := w.tx.InsertVersion(v); err != nil {
		return fmt.Errorf("insert stray version: %w", err)
	}
	intent.State, intent.Version = store.IntentDeposited, v.ID
	if intent.SweepDue.IsZero() {
		intent.SweepDue = w.book.Now
	}
	if err := w.book.SaveIntent(intent); err != nil {
		return err
	}
	if err := w.book.AskSweep(); err != nil || !retires {
		return err
	}
	return w.book.AskRetirement(v, w.book.Now)
}

// reopen lets a lost Run go on whose value came after all, if it can still
// finish. Else its Version holds what the target may accept.
func (w *writing) reopen() error {
	open, err := w.book.OpenRun()
	if err != nil || open != nil || w.book.Secret.Deleted() {
		return err
	}
	facts := w.facts()
	if !facts.CurrentIsBase {
		return nil
	}
	if err := w.signal(lockstep.SignalDeposit, facts); err != nil {
		return err
	}
	w.run.Finished, w.run.Reason, w.run.Hint, w.run.Attempts = time.Time{}, "", "", 0
	w.run.Stop, w.run.StopReason = lockstep.StopNone, ""
	w.run.Deadline = w.book.Now.Add(rotationOf(w.book.Secret).Deadline())
	w.book.Stages.Place(lockstep.Pending, w.run.Version)
	return publishNow(w.tx, w.book, w.run)
}

// Orphans is what is known of what a target has issued for a Secret.
type Orphans struct {
	// Known are the markers that the store knows; others are only reported.
	Known map[lockstep.Marker]bool
	// Revoke are those among them whose credential nobody is to use.
	Revoke map[lockstep.Marker]bool
}

// Orphans reads it, for a search of the target.
func (c *Claim) Orphans(ctx context.Context) (Orphans, error) {
	var out Orphans
	err := c.service.store.View(ctx, func(tx store.ReadTx) error {
		out = Orphans{Known: make(map[lockstep.Marker]bool), Revoke: make(map[lockstep.Marker]bool)}
		intents, err := tx.Intents(c.Secret.ID)
		if err != nil {
			return fmt.Errorf("read intents: %w", err)
		}
		for _, i := range intents {
			out.Known[i.Marker] = true
			if toRevoke(i) {
				out.Revoke[i.Marker] = true
			}
		}
		return nil
	})
	return out, err
}

// toRevoke tells whether nobody is to use what was issued for an intent: it was
// given up, or its value came too late.
func toRevoke(i *store.Intent) bool {
	return !i.SweepDue.IsZero() && (i.State == store.IntentSwept || i.State == store.IntentDeposited)
}

// Swept is what a search of the target came to.
type Swept struct {
	// Searched are the markers that the search was for.
	Searched map[lockstep.Marker]bool
	// Revoked and Unknown say by what the target calls them, with their markers.
	Revoked, Unknown []string
}

// Swept writes down that the target was searched and that what was found of the
// intents given up is revoked. Those whose call can no longer take effect are
// settled; for the others the target is searched once more.
func (c *Claim) Swept(ctx context.Context, s Swept) error {
	return c.write(ctx, func(w *writing) error {
		intents, err := w.book.Intents()
		if err != nil {
			return err
		}
		for _, i := range intents {
			if !s.Searched[i.Marker] || !toRevoke(i) || i.SweepDue.After(w.book.Now) {
				continue
			}
			if err := settle(w.tx, w.book, i); err != nil {
				return err
			}
		}
		if err := w.tellOrphans(s); err != nil || w.run != nil {
			return err
		}
		if err := w.book.AskSweep(); err != nil {
			return err
		}
		return w.release()
	})
}

// settle ends an intent: what was issued for it is dead at the target.
func settle(tx store.Tx, b *ledger.Book, i *store.Intent) error {
	i.SweepDue = time.Time{}
	if err := b.SaveIntent(i); err != nil || i.State != store.IntentDeposited {
		return err
	}
	v, err := tx.Version(b.Secret.ID, i.Version)
	if errors.Is(err, lockstep.ErrNotFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read stray version: %w", err)
	}
	v.MaybeLive, v.Retirement, v.RetireReason = false, lockstep.RetirementRetired, ""
	return b.SaveVersion(v)
}

func (w *writing) tellOrphans(s Swept) error {
	for _, name := range s.Revoked {
		if err := w.book.Emit(lockstep.EventOrphanRevoked, lockstep.EventData{Reason: "its answer was lost; found and revoked: " + name}); err != nil {
			return err
		}
	}
	for _, name := range s.Unknown {
		err := w.book.Emit(lockstep.EventOrphanUnknown, lockstep.EventData{
			Reason: "the target has a credential that bears this secret's marker and that this store does not know: " + name,
			Hint:   "if nothing uses it (another Lockstep, a value from before a restore), revoke it at the target",
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// ClaimSweep takes the slot to search the target for orphans; also for a Secret
// that is deleted or no longer rotates. Errors: ErrEnded (nothing is left to be
// looked for, or a Run is open, whose end asks again), *Busy.
func (s *Service) ClaimSweep(ctx context.Context, id lockstep.SecretID, holder string) (*Claim, error) {
	return s.claimIdle(ctx, id, holder, sweepDue)
}

func sweepDue(b *ledger.Book) (bool, error) {
	intents, err := b.Intents()
	for _, i := range intents {
		if toRevoke(i) && !i.SweepDue.After(b.Now) {
			return true, nil
		}
	}
	return false, err
}

// SweepFailed writes down why the target could not be searched, and asks for
// another try. For a Secret that is gone the tries end, so that it can be purged.
func (c *Claim) SweepFailed(ctx context.Context, te *lockstep.TargetError) error {
	c.mayLand = c.mayLand || te.Outcome == lockstep.Unknown
	return c.write(ctx, func(w *writing) error {
		intents, err := w.book.Intents()
		if err != nil {
			return err
		}
		tries := 0
		for _, i := range intents {
			if !toRevoke(i) || i.SweepDue.After(w.book.Now) {
				continue
			}
			i.Attempts++
			tries = max(tries, i.Attempts)
			i.SweepDue = w.book.Now.Add(backoff(i.Run, i.Attempts, longestChore))
			if w.book.Secret.Gone && w.book.Now.After(i.Created.Add(lockstep.UndoDeadline)) {
				i.SweepDue = time.Time{}
			}
			if err := w.book.SaveIntent(i); err != nil {
				return err
			}
		}
		if err := w.book.AskSweep(); err != nil {
			return err
		}
		if loud(tries) {
			err = w.book.Emit(lockstep.EventSweepFailed, lockstep.EventData{Attempt: tries, Reason: te.Error(), Hint: te.Hint})
		}
		if err != nil {
			return err
		}
		return w.leave()
	})
}
