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

// ClaimVerify takes the slot to see whether AWSCURRENT logs in; never while a
// Run is open, since the Run will see to it. A Secret that is not Unverified is
// looked at too: that is how drift is found.
// Errors: ErrEnded (deleted, rotation is off, a Run is open, or the rotator is a
// custom one, which cannot be asked about AWSCURRENT), *Busy.
func (s *Service) ClaimVerify(ctx context.Context, id lockstep.SecretID, holder string) (*Claim, error) {
	return s.claimIdle(ctx, id, holder, func(b *ledger.Book) (bool, error) {
		secret := b.Secret
		return !secret.Deleted() && secret.RotationEnabled() && !secret.Rotation.Custom, nil
	})
}

// claimIdle takes the slot of a Secret that has no open Run, for work about its
// AWSCURRENT, if there is any: wanted says so. Errors: ErrEnded (there is none),
// *Busy.
func (s *Service) claimIdle(ctx context.Context, id lockstep.SecretID, holder string, wanted func(*ledger.Book) (bool, error)) (*Claim, error) {
	var claim *Claim
	err := s.store.Update(ctx, func(tx store.Tx) error {
		claim = nil
		secret, err := tx.LockSecret(id)
		if errors.Is(err, lockstep.ErrNotFound) {
			return ErrEnded
		}
		if err != nil {
			return fmt.Errorf("lock secret: %w", err)
		}
		b, traits, err := s.open(tx, secret)
		if err != nil {
			return err
		}
		run, err := b.OpenRun()
		if err != nil {
			return err
		}
		work, err := wanted(b)
		if err != nil {
			return err
		}
		if run != nil || !work {
			return ErrEnded
		}
		lease, err := s.take(tx, id, holder)
		if err != nil {
			return err
		}
		claim = newClaim(s, secret, traits, lease)
		claim.Version, claim.Resumed = b.Stages[lockstep.Current], true
		return nil
	})
	return claim, err
}

// Verified writes down that AWSCURRENT logs in. Repaired says that it had to be
// set at the target again. If AWSCURRENT has moved since the claim, nothing is
// concluded (ErrConflict).
func (c *Claim) Verified(ctx context.Context, repaired string) error {
	return c.write(ctx, func(w *writing) error {
		if w.book.Stages[lockstep.Current] != c.Version {
			return lockstep.ErrConflict
		}
		doubted := w.book.Secret.Unverified
		w.book.Secret.Unverified = false
		if !doubted && repaired == "" {
			return w.release() // as every day
		}
		typ := lockstep.EventVerified
		if repaired != "" {
			typ = lockstep.EventDrift
		}
		if err := w.book.Emit(typ, lockstep.EventData{VersionID: c.Version, Step: lockstep.StepVerify, Reason: repaired}); err != nil {
			return err
		}
		return w.release()
	})
}

// NoteExpiry writes down until when AWSCURRENT works by its own word, and has it
// renewed before. If AWSCURRENT has moved since the claim, nothing is concluded
// (ErrConflict).
func (c *Claim) NoteExpiry(ctx context.Context, current lockstep.VersionID, at time.Time) error {
	return c.write(ctx, func(w *writing) error {
		if w.book.Stages[lockstep.Current] != current {
			return lockstep.ErrConflict
		}
		return w.book.NoteExpiry(at)
	})
}

// VerifyFailed writes down that AWSCURRENT could be neither seen to log in nor
// set again, and asks for another look. Tries counts the looks before this one;
// the Job carries it.
func (c *Claim) VerifyFailed(ctx context.Context, te *lockstep.TargetError, tries int) error {
	c.mayLand = c.mayLand || te.Outcome == lockstep.Unknown
	tries++
	return c.write(ctx, func(w *writing) error {
		if te.Fault == lockstep.FaultRefusedLogin || te.Fault == lockstep.FaultPermanent {
			w.book.Secret.Unverified = true
		}
		pause := backoff(lockstep.RunID(c.Version), tries, longestChore)
		job := store.Job{Kind: store.JobVerify, Version: c.Version, DueAt: w.book.Now.Add(pause), Seq: tries}
		if err := w.book.AddJob(job); err != nil {
			return err
		}
		if !loud(tries) {
			return w.leave()
		}
		err := w.book.Emit(lockstep.EventDrift, lockstep.EventData{
			VersionID: c.Version, Step: lockstep.StepVerify, Attempt: tries, Reason: te.Error(), Hint: te.Hint,
		})
		if err != nil {
			return err
		}
		return w.leave()
	})
}
