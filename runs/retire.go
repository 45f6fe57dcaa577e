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

// ClaimRetire takes the slot for the retirement of a Version, if its policy is
// met now and its credential is nobody's that is still needed.
// Errors: ErrEnded (retired, dropped, or no longer due), *Busy, *Waiting (its Job
// is in the outbox again).
func (s *Service) ClaimRetire(ctx context.Context, id lockstep.SecretID, version lockstep.VersionID, holder string) (*Claim, error) {
	var claim *Claim
	var wait *Waiting
	var ended bool
	err := s.store.Update(ctx, func(tx store.Tx) error {
		claim, wait, ended = nil, nil, false
		secret, v, err := versionUnderLock(tx, id, version)
		if err != nil {
			return err
		}
		b, traits, err := s.open(tx, secret)
		if err != nil {
			return err
		}
		if wait, err = mayRetire(b, v); err != nil {
			return err
		}
		if wait != nil {
			return retireLater(b, v, wait.Until)
		}
		dropped, err := dropIfCurrents(tx, b, traits, v)
		if dropped || err != nil {
			ended = true
			return err
		}
		lease, err := s.take(tx, id, holder)
		if err != nil {
			return err
		}
		v.Retirement = lockstep.RetirementRetiring
		if err := tx.SaveVersion(v); err != nil {
			return fmt.Errorf("save version: %w", err)
		}
		claim = newClaim(s, secret, traits, lease)
		claim.Version, claim.Resumed = version, true
		return nil
	})
	switch {
	case err != nil:
		return nil, err
	case wait != nil:
		return nil, wait
	case ended:
		return nil, ErrEnded
	}
	return claim, nil
}

// retireLater asks for another look at a retirement.
func retireLater(b *ledger.Book, v *lockstep.Version, at time.Time) error {
	return b.AskRetirement(v, at)
}

func versionUnderLock(tx store.Tx, id lockstep.SecretID, version lockstep.VersionID) (*lockstep.Secret, *lockstep.Version, error) {
	secret, err := tx.LockSecret(id)
	if errors.Is(err, lockstep.ErrNotFound) || (err == nil && secret.Deleted()) {
		return nil, nil, ErrEnded
	}
	if err != nil {
		return nil, nil, fmt.Errorf("lock secret: %w", err)
	}
	v, err := tx.Version(id, version)
	if errors.Is(err, lockstep.ErrNotFound) {
		return nil, nil, ErrEnded
	}
	if err != nil {
		return nil, nil, fmt.Errorf("read version: %w", err)
	}
	return secret, v, nil
}

// soon is how far ahead a retirement may be due for its Job to wait in the
// outbox; one that is due later is found when it is.
const soon = time.Hour

// mayRetire checks the policy and the time now, not when the Job was made.
func mayRetire(b *ledger.Book, v *lockstep.Version) (*Waiting, error) {
	if !v.Retirement.Blocks() {
		return nil, ErrEnded
	}
	for _, at := range []time.Time{v.RetireAt, v.RetireRetryAt} {
		if at.After(b.Now.Add(soon)) {
			return nil, ErrEnded
		}
		if at.After(b.Now) {
			return &Waiting{Reason: "retirement is not due yet", Until: at}, nil
		}
	}
	run, err := b.OpenRun()
	if err != nil {
		return nil, err
	}
	if run != nil && run.State.TargetTouched() {
		return &Waiting{Reason: "a run is at the target", Until: b.Now.Add(waitAgain)}, nil
	}
	return nil, nil
}

// dropIfCurrents gives a retirement up if its credential is AWSCURRENT's own:
// the same Version, or a Version of the same Account where an Account holds
// one value. Where it may hold several, only the rotator can tell (Dropped).
func dropIfCurrents(tx store.Tx, b *ledger.Book, traits lockstep.Traits, v *lockstep.Version) (bool, error) {
	current, err := tx.Version(b.Secret.ID, b.Stages[lockstep.Current])
	if err != nil {
		return false, fmt.Errorf("read AWSCURRENT: %w", err)
	}
	oneValue := traits.Overlap != lockstep.TwoValues
	same := current.ID == v.ID || (oneValue && current.Account != "" && current.Account == v.Account)
	if !same {
		return false, nil
	}
	v.Retirement = lockstep.RetirementDropped
	if err := tx.SaveVersion(v); err != nil {
		return false, fmt.Errorf("save version: %w", err)
	}
	return true, goOn(tx, b)
}

// Dropped gives the retirement up: the rotator says that the Version holds the
// same credential as AWSCURRENT.
func (c *Claim) Dropped(ctx context.Context) error {
	return c.write(ctx, func(w *writing) error {
		v, err := w.tx.Version(c.Secret.ID, c.Version)
		if err != nil {
			return fmt.Errorf("read version: %w", err)
		}
		v.Retirement = lockstep.RetirementDropped
		if err := w.tx.SaveVersion(v); err != nil {
			return fmt.Errorf("save version: %w", err)
		}
		if err := w.release(); err != nil {
			return err
		}
		return goOn(w.tx, w.book)
	})
}

// goOn is what follows when a retirement is over: the next one of the Secret,
// and a Run that waited for it.
func goOn(tx store.Tx, b *ledger.Book) error {
	if err := b.AskNextRetirement(); err != nil {
		return err
	}
	return wakeOpenRun(tx, b)
}

// wakeOpenRun makes a Run that waited for a retirement due at once.
func wakeOpenRun(tx store.Tx, b *ledger.Book) error {
	run, err := b.OpenRun()
	if err != nil || run == nil || run.State.TargetTouched() {
		return err
	}
	run.RetryAt = time.Time{}
	if err := b.PublishRun(run, time.Time{}); err != nil {
		return err
	}
	return tx.SaveRun(run, nil)
}

// Retired writes down that the Version's credential is dead at the target, and
// wakes a Run that waited for it.
func (c *Claim) Retired(ctx context.Context) error {
	return c.write(ctx, func(w *writing) error {
		v, err := w.tx.Version(c.Secret.ID, c.Version)
		if err != nil {
			return fmt.Errorf("read version: %w", err)
		}
		v.MaybeLive, v.Retirement, v.RetireReason = false, lockstep.RetirementRetired, ""
		if err := w.tx.SaveVersion(v); err != nil {
			return fmt.Errorf("save version: %w", err)
		}
		if err := w.book.Emit(lockstep.EventVersionRetired, lockstep.EventData{VersionID: v.ID}); err != nil {
			return err
		}
		w.book.Secret.Touch(w.book.Now)
		if err := w.release(); err != nil {
			return err
		}
		return goOn(w.tx, w.book)
	})
}

// RetireFailed writes down why the credential could not be removed and asks
// for another try; a person sees it in the Event and in `lockstep runs`. If
// AWSCURRENT was refused meanwhile, it is verified.
func (c *Claim) RetireFailed(ctx context.Context, te *lockstep.TargetError) error {
	c.mayLand = c.mayLand || te.Outcome == lockstep.Unknown
	return c.write(ctx, func(w *writing) error {
		v, err := w.tx.Version(c.Secret.ID, c.Version)
		if err != nil {
			return fmt.Errorf("read version: %w", err)
		}
		v.RetireAttempts++
		v.RetireReason = te.Error()
		v.RetireRetryAt = w.book.Now.Add(backoff(lockstep.RunID(v.ID), v.RetireAttempts, longestChore))
		if err := w.tx.SaveVersion(v); err != nil {
			return fmt.Errorf("save version: %w", err)
		}
		if err := retireLater(w.book, v, v.RetireRetryAt); err != nil {
			return err
		}
		if te.Fault == lockstep.FaultRefusedLogin {
			if err := w.book.DoubtCurrent(); err != nil {
				return err
			}
		}
		if err := w.tellRetireFailed(v, te); err != nil {
			return err
		}
		return w.leave()
	})
}

func (w *writing) tellRetireFailed(v *lockstep.Version, te *lockstep.TargetError) error {
	if !loud(v.RetireAttempts) {
		return nil
	}
	return w.book.Emit(lockstep.EventRetireFailed, lockstep.EventData{
		VersionID: v.ID, Attempt: v.RetireAttempts, Reason: te.Error(), Hint: te.Hint,
	})
}
