package keys

import (
	"context"
	"errors"
	"fmt"
	"time"

	"lockstep"
	"lockstep/store"
)

// SetRotation turns rotation by schedule on, every so many days from now, or
// changes the days. Errors: Refusals of kind ErrNotFound, ErrState.
func (s *Service) SetRotation(ctx context.Context, ref Ref, days int) error {
	_, err := s.change(ctx, ref, func(tx store.Tx, k *store.MasterKey) error {
		if err := rotatable(k); err != nil {
			return err
		}
		if k.RotationDays != days {
			k.RotationDays, k.NextRotation = days, tx.Now().Add(time.Duration(days)*day)
		}
		return nil
	})
	return err
}

// StopRotation turns rotation by schedule off. Errors: as SetRotation.
func (s *Service) StopRotation(ctx context.Context, ref Ref) error {
	_, err := s.change(ctx, ref, func(_ store.Tx, k *store.MasterKey) error {
		k.RotationDays, k.NextRotation = 0, time.Time{}
		return rotatable(k)
	})
	return err
}

// rotatable refuses a key that cannot be used.
func rotatable(k *store.MasterKey) error {
	if err := live(k); err != nil {
		return err
	}
	if k.State == store.KeyDisabled {
		return lockstep.Refuse(ErrDisabled, "%s is disabled.", ARN(k))
	}
	return nil
}

// Rotate gives a key a new version, under which all is sealed from now on. The
// data keys follow in the background; what users encrypted themselves stays
// under its version and stays readable. Errors: as SetRotation; ErrSealed if
// the root key is away.
func (s *Service) Rotate(ctx context.Context, ref Ref) (*store.MasterKey, error) {
	return s.rotate(ctx, ref, func(k *store.MasterKey, _ time.Time) bool { return k != nil })
}

// rotate adds a version if the key, once locked, is still to be rotated. The
// number of the new version is bound into its wrapping, so a race for it is
// lost by one and repeated.
func (s *Service) rotate(ctx context.Context, ref Ref, due func(*store.MasterKey, time.Time) bool) (*store.MasterKey, error) {
	for {
		k, err := s.Find(ctx, ref)
		if err != nil {
			return nil, err
		}
		if err := rotatable(k); err != nil {
			return nil, err
		}
		number := newest(k) + 1
		err = s.wrapNew(ctx, k.ID, number, func(tx store.Tx, v store.KeyVersion) error {
			k, err = s.addVersion(tx, ref, k.ID, v, due)
			return err
		})
		if errors.Is(err, errVersionTaken) {
			continue
		}
		if err != nil {
			return nil, err
		}
		s.expire(k.ID)
		return k, nil
	}
}

var errVersionTaken = fmt.Errorf("another rotation came first: %w", lockstep.ErrConflict)

func (s *Service) addVersion(tx store.Tx, ref Ref, id string, v store.KeyVersion, due func(*store.MasterKey, time.Time) bool) (*store.MasterKey, error) {
	k, err := tx.LockMasterKey(id)
	if err != nil {
		return nil, noKey(ref, err)
	}
	if err := errors.Join(ref.ask(k), rotatable(k)); err != nil {
		return nil, err
	}
	if !due(k, tx.Now()) {
		return k, nil
	}
	if newest(k)+1 != v.Number {
		return nil, errVersionTaken
	}
	k.Versions = append(k.Versions, v)
	if k.RotationDays > 0 {
		k.NextRotation = tx.Now().Add(time.Duration(k.RotationDays) * day)
	}
	return k, tx.SaveMasterKey(k)
}

func newest(k *store.MasterKey) int {
	n := 0
	for _, v := range k.Versions {
		n = max(n, v.Number)
	}
	return n
}

// The sizes of batches in the background.
const (
	dueBatch    = 50
	rewrapBatch = 500
)

// Maintain does what is due: it deletes and rotates master keys, moves them to
// another root key, and re-wraps data keys. It goes through what there is once
// and may be called on several nodes at a time. What fails does not hold up
// the rest, and is told.
func (s *Service) Maintain(ctx context.Context) error {
	return errors.Join(s.doDue(ctx), s.moveRoot(ctx), s.rewrapAll(ctx))
}

// doDue deletes and rotates.
func (s *Service) doDue(ctx context.Context) error {
	var ids []string
	err := s.store.View(ctx, func(tx store.ReadTx) error {
		var err error
		ids, err = tx.KeysDue(dueBatch)
		return err
	})
	var failures []error
	for _, id := range ids {
		failures = append(failures, s.doDueKey(ctx, id))
	}
	return errors.Join(append(failures, err)...)
}

func (s *Service) doDueKey(ctx context.Context, id string) error {
	var k *store.MasterKey
	err := s.store.View(ctx, func(tx store.ReadTx) error {
		var err error
		k, err = tx.MasterKey(id)
		return err
	})
	if errors.Is(err, lockstep.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	if k.State == store.KeyPendingDeletion {
		return s.destroy(ctx, id)
	}
	if k.State != store.KeyEnabled {
		return s.skipRotation(ctx, k)
	}
	_, err = s.rotate(ctx, Ref{Owner: k.Owner(), ID: id}, func(k *store.MasterKey, now time.Time) bool {
		return !k.NextRotation.IsZero() && !k.NextRotation.After(now)
	})
	if err != nil {
		return fmt.Errorf("rotate master key %s: %w", id, err)
	}
	return nil
}

// skipRotation passes over the rotation of a disabled key, as AWS does.
func (s *Service) skipRotation(ctx context.Context, k *store.MasterKey) error {
	_, err := s.change(ctx, Ref{Owner: k.Owner(), ID: k.ID}, func(tx store.Tx, k *store.MasterKey) error {
		if k.State == store.KeyDisabled && k.RotationDays > 0 {
			k.NextRotation = tx.Now().Add(time.Duration(k.RotationDays) * day)
		}
		return nil
	})
	return err
}

// rewrapAll re-wraps what former versions of any key wrap.
func (s *Service) rewrapAll(ctx context.Context) error {
	var failures []error
	after := ""
	for {
		var ids []string
		err := s.store.View(ctx, func(tx store.ReadTx) error {
			var err error
			ids, err = tx.KeysToRewrap(after, dueBatch)
			return err
		})
		if err != nil {
			return errors.Join(append(failures, err)...)
		}
		for _, id := range ids {
			if _, err := s.Rewrap(ctx, id); err != nil {
				failures = append(failures, fmt.Errorf("re-wrap data keys of master key %s: %w", id, err))
			}
			after = id
		}
		if len(ids) < dueBatch {
			return errors.Join(failures...)
		}
	}
}

// Rewrap wraps the data keys of a master key by its newest version, in batches,
// and tells how many. A disabled key's wait until it is enabled. Data keys that
// do not open are passed over and reported: they are damaged. Errors:
// ErrDecrypt for those; ErrSealed if the root key is away.
func (s *Service) Rewrap(ctx context.Context, id string) (int, error) {
	mk, err := s.master(ctx, id)
	if errors.Is(err, lockstep.ErrState) || errors.Is(err, lockstep.ErrNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	done := 0
	var failures []error
	for _, kind := range store.DataKinds() {
		q := store.DataKeyQuery{KeyID: id, Kind: kind, Below: mk.current, Limit: rewrapBatch}
		for {
			n, last, err := s.rewrapBatch(ctx, mk, q)
			done += n
			if err != nil && !errors.Is(err, lockstep.ErrDecrypt) {
				return done, errors.Join(append(failures, err)...)
			}
			if err != nil {
				failures = append(failures, err)
			}
			if last == nil {
				break
			}
			q.After = last
		}
	}
	return done, errors.Join(failures...)
}

// rewrapBatch re-wraps one batch; last is nil if there was none.
func (s *Service) rewrapBatch(ctx context.Context, mk *masterKey, q store.DataKeyQuery) (done int, last *store.DataKey, err error) {
	var batch []*store.DataKey
	err = s.store.View(ctx, func(tx store.ReadTx) error {
		batch, err = tx.DataKeys(q)
		return err
	})
	if err != nil || len(batch) == 0 {
		return 0, nil, err
	}
	wrapped := make([][]byte, len(batch))
	var damaged []error
	for i, d := range batch {
		if wrapped[i], err = rewrapOne(mk, d); err != nil {
			damaged = append(damaged, fmt.Errorf("%s %s of %s: %w", d.Kind, d.Version, d.ARN, err))
		}
	}
	err = s.store.Update(ctx, func(tx store.Tx) error {
		done = 0
		for i, d := range batch {
			if wrapped[i] == nil {
				continue
			}
			if err := tx.RewrapDataKey(mk.id, d, store.KeyVersion{Number: mk.current, Wrapped: wrapped[i]}); err != nil {
				return err
			}
			done++
		}
		return nil
	})
	if err != nil {
		return 0, nil, err
	}
	return done, batch[len(batch)-1], errors.Join(damaged...)
}

func rewrapOne(mk *masterKey, d *store.DataKey) ([]byte, error) {
	from, err := mk.version(d.KeyVersion)
	if err != nil {
		return nil, err
	}
	aad := dataKeyAAD(mk.id, Binding{ARN: d.ARN, Version: d.Version})
	dataKey, err := open(from, d.Wrapped, aad)
	if err != nil {
		return nil, err
	}
	defer clear(dataKey)
	return seal(mk.versions[mk.current].material, dataKey, aad)
}
