package keeper

import (
	"context"
	"fmt"

	"lockstep"
	"lockstep/store"
)

// Published is a new value for a Secret that another's Rotation publishes into,
// sealed and not yet written.
type Published struct {
	// Secret is as it was when the value was made; ID is the new Version's, which is
	// the Run's, and Base was AWSCURRENT.
	Secret *lockstep.Secret
	ID     lockstep.VersionID
	Base   lockstep.VersionID
	Sealed *lockstep.Sealed
}

// PublishedAt is where a value is published: into the Secret of this name or ARN,
// as this Version.
type PublishedAt struct {
	Into    string
	Version lockstep.VersionID
}

// Publish makes a value for the Secret that from's Rotation publishes into, named
// by its name or ARN: fill gets what is AWSCURRENT there and returns what follows.
// It is for the engine alone: no access is checked, so fill sees to it that the
// Secret's owner agrees. Errors: Refusals of kind ErrNotFound, ErrState for a Secret
// that is marked for deletion, a replica, without a value, or rotated by itself;
// fill's; keys' errors.
func (k *Keeper) Publish(ctx context.Context, from *lockstep.Secret, at PublishedAt, fill func(present lockstep.Value) (lockstep.Value, error)) (*Published, error) {
	var s *lockstep.Secret
	var present *lockstep.Version
	err := k.store.View(ctx, func(tx store.ReadTx) (err error) {
		if s, err = FindLive(tx, Ref{Owner: ownerOf(from), ID: at.Into}); err != nil {
			return err
		}
		if err := MayBePublished(s); err != nil {
			return err
		}
		stages, err := tx.Stages(s.ID)
		if err != nil {
			return fmt.Errorf("read labels: %w", err)
		}
		present, err = versionOrNil(tx, s.ID, stages[lockstep.Current])
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("publish into %q: %w", at.Into, err)
	}
	if present == nil || present.Sealed == nil {
		return nil, fmt.Errorf("publish into %q: %w", at.Into, lockstep.Refuse(lockstep.ErrState, "the secret has no value"))
	}
	value, err := k.openRow(ctx, s.ARN, present)
	if err != nil {
		return nil, fmt.Errorf("publish into %q: %w", at.Into, err)
	}
	if value, err = fill(value); err != nil {
		return nil, fmt.Errorf("publish into %q: %w", at.Into, err)
	}
	sealed, err := k.seal(ctx, ownerOf(s), s.KMSKeyID, value, s.ARN, at.Version)
	if err != nil {
		return nil, fmt.Errorf("publish into %q: %w", at.Into, err)
	}
	return &Published{Secret: s, ID: at.Version, Base: present.ID, Sealed: sealed}, nil
}

// MayBePublished tells whether a Secret can be written by another's Rotation.
// Errors: a Refusal of kind ErrState if it has a Rotation of its own.
func MayBePublished(s *lockstep.Secret) error {
	if s.RotationEnabled() {
		return lockstep.Refuse(lockstep.ErrState, "the secret has a rotation of its own, which would write it too")
	}
	return nil
}
