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
// Errors: ErrEnded (retired, dropped, or no longer due), *Busy, *Waiting.
func (s *Service) ClaimRetire(ctx context.Context, id lockstep.SecretID, version lockstep.VersionID, holder string) (*Claim, error) {
	var claim *Claim
	var ended bool
	err := s.store.Update(ctx, func(tx store.Tx) error {
		claim, ended = nil, false
		secret, v, err := versionUnderLock(tx, id, version)
		if err != nil {
			return err
		}
		b, traits, err := s.open(tx, secret)
		if err != nil {
			return err
		}
		if err := mayRetire(b, v); err != nil {
			return err
		}
		dropped, err := dropIfCurrents(tx, b, v)
		if dropped || err != nil {
			ended = true
			return err
		}
		lease, err := claimSlot(tx, id, holder, s.lease)
		if err != nil {
			return err
		}
		v.Retirement = lockstep.RetirementRetiring
		if err := tx.SaveVersion(v); err != nil {
			return fmt.Errorf("save version: %w", err)
		}
		claim = &Claim{Secret: secret, Version: version, Traits: traits, Resumed: true, service: s, lease: lease}
		return nil
	})
	if err == nil && ended {
		err = ErrEnded
	}
	return claim, err
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

// mayRetire checks the policy and the time now, not when the Job was made.
func mayRetire(b *ledger.Book, v *lockstep.Version) error {
	if !v.Retirement.Blocks() {
		return ErrEnded
	}
	for _, at := range []time.Time{v.RetireAt, v.RetireRetryAt} {
		if at.After(b.Now) {
			return &Waiting{Reason: "retirement is not due yet", Until: at}
		}
	}
	run, err := b.OpenRun()
	if err != nil {
		return err
	}
	if run != nil && run.State.TargetTouched() {
		return &Waiting{Reason: "a run is at the target", Until: b.Now.Add(time.Second)}
	}
	return nil
}

// dropIfCurrents gives a retirement up if its credential is AWSCURRENT's own:
// the same Version, or a Version of the same Account where an Account holds
// one value.
func dropIfCurrents(tx store.Tx, b *ledger.Book, v *lockstep.Version) (bool, error) {
	current, err := tx.Version(b.Secret.ID, b.Stages[lockstep.Current])
	if err != nil {
		return false, fmt.Errorf("read AWSCURRENT: %w", err)
	}
	same := current.ID == v.ID || (current.Account != "" && current.Account == v.Account)
	if !same {
		return false, nil
	}
	v.Retirement = lockstep.RetirementDropped
	if err := tx.SaveVersion(v); err != nil {
		return false, fmt.Errorf("save version: %w", err)
	}
	return true, wakeOpenRun(tx, b)
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
		return wakeOpenRun(w.tx, w.book)
	})
}

// RetireFailed writes down why the credential could not be removed and asks
// for another try; a person sees it in the Event and in `lockstep runs`.
func (c *Claim) RetireFailed(ctx context.Context, te *lockstep.TargetError) error {
	return c.write(ctx, func(w *writing) error {
		v, err := w.tx.Version(c.Secret.ID, c.Version)
		if err != nil {
			return fmt.Errorf("read version: %w", err)
		}
		v.RetireAttempts++
		v.RetireReason = te.Error()
		v.RetireRetryAt = w.book.Now.Add(backoff(lockstep.RunID(v.ID), v.RetireAttempts))
		if err := w.tx.SaveVersion(v); err != nil {
			return fmt.Errorf("save version: %w", err)
		}
		err = w.book.AddJob(store.Job{Kind: store.JobRetire, Version: v.ID, DueAt: v.RetireRetryAt, Seq: v.RetireAttempts})
		if err != nil {
			return err
		}
		err = w.book.Emit(lockstep.EventRetireFailed, lockstep.EventData{
			VersionID: v.ID, Attempt: v.RetireAttempts, Reason: te.Error(), Hint: te.Hint,
		})
		if err != nil || te.Outcome == lockstep.Unknown {
			return err
		}
		return w.release()
	})
}
