package keeper

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"

	"lockstep"
	"lockstep/ledger"
	"lockstep/store"
)

// resealed is what a change of a Secret's key does to its values: those of
// AWSCURRENT, AWSPENDING and AWSPREVIOUS are sealed anew under the new key, as
// AWS does. The others stay under the key that they have.
type resealed struct {
	stages lockstep.Stages
	values []resealedValue
}

type resealedValue struct {
	id       lockstep.VersionID
	was, now *lockstep.Sealed
}

// reseal seals anew, outside of the transaction. A value that the caller may not
// open, or whose key cannot be used any more, stays as it is: a Secret can be
// taken off a key that is lost.
func (k *Keeper) reseal(ctx context.Context, ref Ref, seen Description, keyID string) (*resealed, error) {
	s := seen.Secret
	out := &resealed{stages: seen.Stages}
	if s.KMSKeyID == keyID || s.Deleted() || s.IsReplica() {
		return out, nil
	}
	versions, err := k.labelled(ctx, s.ID, seen.Stages)
	if err != nil {
		return nil, err
	}
	for _, v := range versions {
		now, err := k.resealOne(ctx, ref, s, v, keyID)
		if errors.Is(err, lockstep.ErrDenied) || errors.Is(err, lockstep.ErrState) || errors.Is(err, lockstep.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		out.values = append(out.values, resealedValue{v.ID, v.Sealed, now})
	}
	return out, nil
}

// labelled are the Versions with a value on which one of AWS's labels stands.
func (k *Keeper) labelled(ctx context.Context, id lockstep.SecretID, stages lockstep.Stages) ([]*lockstep.Version, error) {
	var out []*lockstep.Version
	err := k.store.View(ctx, func(tx store.ReadTx) error {
		out = nil
		seen := make(map[lockstep.VersionID]bool, 3)
		for _, stage := range []lockstep.Stage{lockstep.Current, lockstep.Pending, lockstep.Previous} {
			at := stages[stage]
			if at == "" || seen[at] {
				continue
			}
			seen[at] = true
			v, err := tx.Version(id, at)
			if errors.Is(err, lockstep.ErrNotFound) {
				continue // the labels moved meanwhile, which is found out below
			}
			if err != nil {
				return fmt.Errorf("read version: %w", err)
			}
			if v.Sealed != nil {
				out = append(out, v)
			}
		}
		return nil
	})
	return out, err
}

func (k *Keeper) resealOne(ctx context.Context, ref Ref, s *lockstep.Secret, v *lockstep.Version, keyID string) (*lockstep.Sealed, error) {
	if err := ref.use(ctx, KeyUse{Action: UseToOpen, Key: v.Sealed.KeyID, ARN: s.ARN, Version: v.ID}); err != nil {
		return nil, err
	}
	value, err := k.sealer.Open(ctx, v.Sealed, binding(s.ARN, v.ID))
	if err != nil {
		return nil, fmt.Errorf("open version %s of %s: %w", v.ID, s.Name, err)
	}
	sealed, err := k.seal(ctx, ownerOf(s), keyID, value, s.ARN, v.ID)
	if err != nil {
		return nil, fmt.Errorf("seal version %s of %s: %w", v.ID, s.Name, err)
	}
	return sealed, nil
}

// save stores what was sealed anew. Errors: errMoved if a label or a value is no
// longer as it was read.
func (r *resealed) save(tx store.Tx, b *ledger.Book) error {
	if len(r.values) > 0 && !maps.Equal(r.stages, b.Stages) {
		return errMoved
	}
	for _, one := range r.values {
		v, err := tx.Version(b.Secret.ID, one.id)
		if err != nil {
			return fmt.Errorf("read version: %w", err)
		}
		if v.Sealed == nil || !bytes.Equal(v.Sealed.WrappedKey, one.was.WrappedKey) {
			return errMoved
		}
		v.Sealed = one.now
		if err := tx.SaveVersion(v); err != nil {
			return fmt.Errorf("save version: %w", err)
		}
	}
	return nil
}
