package runs

import (
	"context"
	"errors"
	"fmt"

	"lockstep"
	"lockstep/keeper"
	"lockstep/ledger"
)

// ErrRepublish means that the Secret which a Run publishes into was written
// meanwhile: make the value to be published anew, and finish again.
var ErrRepublish = errors.New("the secret that is published into has changed")

// FinishPublishing is Finish, and in the same transaction the value that another
// Secret gets becomes AWSCURRENT there. Errors: as Finish; ErrRepublish, with
// nothing done.
func (c *Claim) FinishPublishing(ctx context.Context, p *keeper.Published) error {
	return c.write(ctx, func(w *writing) error {
		if err := w.publish(p); err != nil {
			return err
		}
		return w.finish()
	})
}

// Publish publishes alone, ahead of the Run's finish: where AWSCURRENT may be dead
// by the issue of the new value, applications want that whatever test says of it.
// The finish does not publish again. Errors: ErrRepublish; ErrFenced.
func (c *Claim) Publish(ctx context.Context, p *keeper.Published) error {
	return c.write(ctx, func(w *writing) error { return w.publish(p) })
}

// publish writes the other Secret, if it still is what the value was made for.
func (w *writing) publish(p *keeper.Published) error {
	if p.Secret.ID == w.book.Secret.ID {
		return fmt.Errorf("publish: a secret can't publish into itself: %w", lockstep.ErrInvalid)
	}
	s, err := w.tx.LockSecret(p.Secret.ID)
	if err != nil {
		return fmt.Errorf("lock the secret that is published into: %w", err)
	}
	if s.Gone || s.Deleted() || s.IsReplica() || keeper.MayBePublished(s) != nil || s.ARN != p.Secret.ARN || s.KMSKeyID != p.Secret.KMSKeyID {
		return ErrRepublish
	}
	traits, err := w.claim.service.traits(s)
	if err != nil {
		return err
	}
	b, err := ledger.Open(w.tx, s, traits)
	if err != nil {
		return err
	}
	switch _, err := w.tx.Version(s.ID, p.ID); {
	case err == nil:
		return nil // done before
	case !errors.Is(err, lockstep.ErrNotFound):
		return fmt.Errorf("read the published version: %w", err)
	case b.Stages[lockstep.Current] != p.Base:
		return ErrRepublish
	}
	err = w.tx.InsertVersion(&lockstep.Version{Secret: s.ID, ID: p.ID, Created: b.Now, Sealed: p.Sealed})
	if err != nil {
		return fmt.Errorf("insert the published version: %w", err)
	}
	if err := b.MoveCurrent(p.ID); err != nil {
		return err
	}
	if err := b.Prune(); err != nil {
		return err
	}
	return b.Close()
}
