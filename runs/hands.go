package runs

import (
	"context"
	"errors"
	"fmt"

	"lockstep"
	"lockstep/ledger"
	"lockstep/store"
)

// Hand is a person's grip on a Run: whose it is, and who asks.
type Hand struct {
	Owner store.Owner
	// By names the person in reasons, for example an ARN.
	By string
	// Allow, if set, says whether the caller may do this to the Run's Secret.
	Allow func(*lockstep.Secret) error
}

// Retry makes an open Run that waits due now, and starts a new Run for one that
// failed or was cancelled: a final state never changes. It returns the Run that
// is under way now. A Run that a worker holds at this moment is left alone.
// Errors: Refusals of kind ErrNotFound, ErrState (the Run succeeded, is lost, was
// asked to end, another Run is open, rotation is off); Allow's.
func (s *Service) Retry(ctx context.Context, h Hand, id lockstep.RunID) (History, error) {
	return s.byHand(ctx, h, id, func(g *grip) error {
		if g.run.State.Final() {
			return g.startAnew()
		}
		if g.run.Stop != lockstep.StopNone {
			return lockstep.Refuse(lockstep.ErrState, "Run %s was asked to end (%s) and is on its way; start another when it is over.", id, g.run.StopReason)
		}
		return makeDue(g.tx, g.book, g.run)
	})
}

// Discard throws the pending Version of an open Run away: the Run ends, after
// undoing what the target may have been told, and rotation stays on. A Run that
// failed or was cancelled already is marked as dealt with: it is no longer
// listed among those that failed.
// Errors: Refusals of kind ErrNotFound, ErrState (the Run succeeded); Allow's.
func (s *Service) Discard(ctx context.Context, h Hand, id lockstep.RunID) (History, error) {
	return s.byHand(ctx, h, id, func(g *grip) error {
		switch {
		case !g.run.State.Final():
			return g.book.Stop(g.run, lockstep.StopCancelled, "discarded by "+h.By)
		case g.run.State == lockstep.RunSucceeded:
			return lockstep.Refuse(lockstep.ErrState, "Run %s succeeded: its version is in use. To go back, put AWSCURRENT onto another version.", id)
		}
		g.run.Stop, g.run.StopReason = lockstep.StopDiscarded, "discarded by "+h.By
		if err := g.tx.SaveRun(g.run, nil); err != nil {
			return fmt.Errorf("save run: %w", err)
		}
		return nil
	})
}

// Cancel ends an open Run as Discard does and turns its Secret's rotation off,
// as CancelRotateSecret does.
// Errors: Refusals of kind ErrNotFound, ErrState (the Run is over); Allow's.
func (s *Service) Cancel(ctx context.Context, h Hand, id lockstep.RunID) (History, error) {
	return s.byHand(ctx, h, id, func(g *grip) error {
		if g.run.State.Final() {
			return lockstep.Refuse(lockstep.ErrState, "Run %s is over (%s): there is nothing to cancel.", id, g.run.State)
		}
		if err := g.book.Stop(g.run, lockstep.StopCancelled, "cancelled by "+h.By); err != nil {
			return err
		}
		return turnOff(g.tx, g.book)
	})
}

// grip is a Run under its Secret's lock, in one transaction.
type grip struct {
	service *Service
	tx      store.Tx
	book    *ledger.Book
	run     *lockstep.Run
}

// byHand locks the Secret of a Run, asks whether the caller may, and runs fn.
func (s *Service) byHand(ctx context.Context, h Hand, id lockstep.RunID, fn func(*grip) error) (History, error) {
	var out History
	err := s.store.Update(ctx, func(tx store.Tx) error {
		out = History{}
		run, secret, err := ownRun(tx, h.Owner, id)
		if err != nil {
			return err
		}
		if h.Allow != nil {
			if err := h.Allow(secret); err != nil {
				return err
			}
		}
		b, _, err := s.open(tx, secret)
		if err != nil {
			return err
		}
		g := &grip{service: s, tx: tx, book: b, run: run}
		if err := fn(g); err != nil {
			return err
		}
		if err := b.Close(); err != nil {
			return err
		}
		out.Run, out.Secret = g.run, secret
		out.Steps, err = tx.Steps(g.run.ID)
		return err
	})
	return out, err
}

// ownRun locks the Secret of a Run of this owner and reads both.
func ownRun(tx store.Tx, owner store.Owner, id lockstep.RunID) (*lockstep.Run, *lockstep.Secret, error) {
	missing := lockstep.Refuse(lockstep.ErrNotFound, "There is no run %s.", id)
	run, err := tx.Run(id)
	if errors.Is(err, lockstep.ErrNotFound) {
		return nil, nil, missing
	}
	if err != nil {
		return nil, nil, fmt.Errorf("read run: %w", err)
	}
	secret, err := tx.LockSecret(run.Secret)
	if errors.Is(err, lockstep.ErrNotFound) || (err == nil && (store.Owner{Account: secret.Account, Region: secret.Region}) != owner) {
		return nil, nil, missing
	}
	if err != nil {
		return nil, nil, fmt.Errorf("lock secret: %w", err)
	}
	if run, err = tx.Run(id); err != nil {
		return nil, nil, fmt.Errorf("read run: %w", err)
	}
	return run, secret, nil
}

// startAnew starts another Run for one that is over.
func (g *grip) startAnew() error {
	if err := g.mayStartAnew(); err != nil {
		return err
	}
	version, err := lockstep.NewVersionID()
	if err != nil {
		return err
	}
	g.run, err = g.service.gate(g.tx).start(g.book, newRun{trigger: lockstep.TriggerManual, version: version, testOnly: false})
	return err
}

func (g *grip) mayStartAnew() error {
	secret, id := g.book.Secret, g.run.ID
	switch {
	case g.run.State == lockstep.RunSucceeded:
		return lockstep.Refuse(lockstep.ErrState, "Run %s succeeded: there is nothing to retry. `lockstep rotate %s` starts another.", id, secret.Name)
	case g.run.TestOnly:
		return lockstep.Refuse(lockstep.ErrState, "Run %s only tested AWSCURRENT. `lockstep rotate %s` starts a rotation.", id, secret.Name)
	case secret.Deleted():
		return lockstep.Refuse(lockstep.ErrState, "Secret %s is marked for deletion; restore it first.", secret.Name)
	case !secret.RotationEnabled():
		return lockstep.Refuse(lockstep.ErrState, "Rotation of secret %s is off. `lockstep schedule set %s` turns it on.", secret.Name, secret.Name)
	}
	open, err := g.book.OpenRun()
	if err != nil {
		return err
	}
	if open != nil {
		return lockstep.Refuse(lockstep.ErrState, "Run %s of secret %s is under way since; see `lockstep runs show %s`.", open.ID, secret.Name, open.ID)
	}
	return refuseHalted(g.book)
}

// makeDue makes an open Run that waits due at once, unless somebody holds it.
func makeDue(tx store.Tx, b *ledger.Book, run *lockstep.Run) error {
	slot, err := tx.Slot(b.Secret.ID)
	if err != nil {
		return fmt.Errorf("read slot: %w", err)
	}
	if slot.Holder != "" && slot.Expires.After(b.Now) {
		return nil
	}
	if run.RetryAt.IsZero() && run.Reason == "" {
		return nil // its Job is on the way
	}
	return publishNow(tx, b, run)
}
