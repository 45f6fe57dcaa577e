package keys

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"lockstep"
	"lockstep/store"
)

// The limits that AWS sets.
const (
	// MinDeletionDays and MaxDeletionDays bound how long a deletion waits.
	MinDeletionDays, MaxDeletionDays = 7, 30
	// MinRotationDays and MaxRotationDays bound the days between rotations by
	// schedule; DefaultRotationDays is taken where none are named.
	MinRotationDays, MaxRotationDays, DefaultRotationDays = 90, 2560, 365
	// MaxTags is how many tags a key may have.
	MaxTags = 50

	day = 24 * time.Hour
)

// Ref names the key that a call is about, and says who may go on once it was
// found.
type Ref struct {
	Owner store.Owner
	// ID is a key's id or ARN, an alias or its ARN.
	ID string
	// Allow is asked with the key before anything is done; nil allows all. Its
	// error is returned as it is.
	Allow func(*store.MasterKey) error
}

func (r Ref) ask(k *store.MasterKey) error {
	if r.Allow == nil {
		return nil
	}
	return r.Allow(k)
}

// CreateInput is a new key.
type CreateInput struct {
	Owner       store.Owner
	Description string
	// Policy is the key policy's text, which the caller has checked; empty
	// means the default one.
	Policy string
	Tags   []lockstep.Tag
}

// Create makes a key. Errors: ErrLimit for too many tags; ErrSealed if the root
// key is away.
func (s *Service) Create(ctx context.Context, in CreateInput) (*store.MasterKey, error) {
	if err := checkTags(in.Tags); err != nil {
		return nil, err
	}
	k, err := newRow(in.Owner)
	if err != nil {
		return nil, err
	}
	k.Description, k.Policy, k.Tags = in.Description, in.Policy, in.Tags
	return s.insert(ctx, k)
}

// Find reads a key. The default key is made if it is asked for by its alias and
// does not exist yet. Errors: a Refusal of kind ErrNotFound; ref.Allow's.
func (s *Service) Find(ctx context.Context, ref Ref) (*store.MasterKey, error) {
	k, err := s.look(ctx, ref)
	if err != nil {
		return nil, err
	}
	return k, ref.ask(k)
}

// Known is the key under which a reference (empty: the default key) seals, as
// it was read within [Config].CacheFor. The caller must not change it. Errors:
// those of Seal.
func (s *Service) Known(ctx context.Context, owner store.Owner, ref string) (*store.MasterKey, error) {
	mk, err := s.sealingKey(ctx, owner, ref)
	if err != nil {
		return nil, err
	}
	return mk.row, nil
}

// look is Find without the question.
func (s *Service) look(ctx context.Context, ref Ref) (*store.MasterKey, error) {
	n, err := parseName(ref.Owner, ref.ID)
	if err != nil {
		return nil, noKey(ref, err)
	}
	if n.isDefault() && n.alias != "" {
		return s.defaultKey(ctx, ref.Owner, purposeSecrets)
	}
	var k *store.MasterKey
	err = s.store.View(ctx, func(tx store.ReadTx) error {
		k, err = resolve(tx, ref, n)
		return err
	})
	return k, err
}

// resolve finds the key that a name stands for.
func resolve(tx store.ReadTx, ref Ref, n name) (*store.MasterKey, error) {
	id := n.id
	if n.alias != "" {
		a, err := tx.KeyAlias(ref.Owner, n.alias)
		if err != nil {
			return nil, noKey(ref, err)
		}
		id = a.KeyID
	}
	k, err := tx.MasterKey(id)
	if err == nil && k.Owner() != ref.Owner {
		err = lockstep.ErrNotFound // whether another owner has it is not to be known
	}
	return k, noKey(ref, err)
}

// noKey words what was not found as AWS does.
func noKey(ref Ref, err error) error {
	if !errors.Is(err, lockstep.ErrNotFound) {
		return err
	}
	n, bad := parseName(ref.Owner, ref.ID)
	if bad == nil && n.alias != "" {
		return lockstep.Refuse(lockstep.ErrNotFound, "Alias %s is not found.", arnOf(ref.Owner, n.alias))
	}
	if bad == nil {
		return lockstep.Refuse(lockstep.ErrNotFound, "Key '%s' does not exist", arnOf(ref.Owner, "key/"+n.id))
	}
	return lockstep.Refuse(lockstep.ErrNotFound, "Key '%s' does not exist", ref.ID)
}

// change runs fn on the locked key and saves it; this node uses it as it then
// is at once, others within [Config].CacheFor.
func (s *Service) change(ctx context.Context, ref Ref, fn func(store.Tx, *store.MasterKey) error) (*store.MasterKey, error) {
	found, err := s.look(ctx, ref)
	if err != nil {
		return nil, err
	}
	var k *store.MasterKey
	err = s.store.Update(ctx, func(tx store.Tx) error {
		if k, err = tx.LockMasterKey(found.ID); err != nil {
			return noKey(ref, err)
		}
		if err := ref.ask(k); err != nil {
			return err
		}
		if err := fn(tx, k); err != nil {
			return err
		}
		return tx.SaveMasterKey(k)
	})
	if err != nil {
		return nil, err
	}
	s.expire(k.ID)
	return k, nil
}

// users refuses a key that the secrets service has for itself.
func users(k *store.MasterKey) error {
	if k.Purpose == "" {
		return nil
	}
	return lockstep.Refuse(lockstep.ErrDenied, "Key %s belongs to the secrets service and can't be disabled, deleted or given a policy or an alias.", ARN(k))
}

// live refuses a key that waits for its deletion.
func live(k *store.MasterKey) error {
	if k.State != store.KeyPendingDeletion {
		return nil
	}
	return lockstep.Refuse(lockstep.ErrState, "%s is pending deletion.", ARN(k))
}

// List reads a page of keys, without their material. ref.Allow is not asked:
// that is the caller's.
func (s *Service) List(ctx context.Context, q store.KeyQuery) ([]*store.MasterKey, error) {
	var out []*store.MasterKey
	err := s.store.View(ctx, func(tx store.ReadTx) error {
		var err error
		out, err = tx.MasterKeys(q)
		return err
	})
	return out, err
}

// Use counts what hangs on a key.
func (s *Service) Use(ctx context.Context, ref Ref) (*store.MasterKey, store.KeyUse, error) {
	k, err := s.Find(ctx, ref)
	if err != nil {
		return nil, store.KeyUse{}, err
	}
	var use store.KeyUse
	err = s.store.View(ctx, func(tx store.ReadTx) error {
		use, err = tx.KeyUse(k.ID)
		return err
	})
	return k, use, err
}

// Enable lets a key be used. Errors: Refusals of kind ErrNotFound, ErrState
// (pending deletion).
func (s *Service) Enable(ctx context.Context, ref Ref) error {
	_, err := s.change(ctx, ref, func(_ store.Tx, k *store.MasterKey) error {
		if err := live(k); err != nil {
			return err
		}
		k.State = store.KeyEnabled
		return nil
	})
	return err
}

// Disable stops a key's use on every node within [Config].CacheFor. Errors:
// Refusals of kind ErrNotFound, ErrState (pending deletion), ErrDenied (the
// default key).
func (s *Service) Disable(ctx context.Context, ref Ref) error {
	_, err := s.change(ctx, ref, func(_ store.Tx, k *store.MasterKey) error {
		if err := errors.Join(users(k), live(k)); err != nil {
			return err
		}
		k.State = store.KeyDisabled
		return nil
	})
	return err
}

// ScheduleDeletion stops a key's use, and destroys it after so many days, 7 to
// 30: what it sealed can then never be opened again. Errors: as Disable.
func (s *Service) ScheduleDeletion(ctx context.Context, ref Ref, days int) (*store.MasterKey, error) {
	return s.change(ctx, ref, func(tx store.Tx, k *store.MasterKey) error {
		if err := errors.Join(users(k), live(k)); err != nil {
			return err
		}
		k.State, k.DeleteAt = store.KeyPendingDeletion, tx.Now().Add(time.Duration(days)*day)
		return nil
	})
}

// CancelDeletion takes a key back; it is disabled then. Errors: Refusals of
// kind ErrNotFound, ErrState (not pending deletion).
func (s *Service) CancelDeletion(ctx context.Context, ref Ref) (*store.MasterKey, error) {
	return s.change(ctx, ref, func(_ store.Tx, k *store.MasterKey) error {
		if k.State != store.KeyPendingDeletion {
			return lockstep.Refuse(lockstep.ErrState, "%s is not pending deletion.", ARN(k))
		}
		k.State, k.DeleteAt = store.KeyDisabled, time.Time{}
		return nil
	})
}

// Describe changes a key's description. Errors: Refusals of kind ErrNotFound,
// ErrState (pending deletion).
func (s *Service) Describe(ctx context.Context, ref Ref, description string) error {
	_, err := s.change(ctx, ref, func(_ store.Tx, k *store.MasterKey) error {
		k.Description = description
		return live(k)
	})
	return err
}

// PutPolicy stores a key policy's text, which the caller has checked. Errors:
// as Disable.
func (s *Service) PutPolicy(ctx context.Context, ref Ref, document string) error {
	_, err := s.change(ctx, ref, func(_ store.Tx, k *store.MasterKey) error {
		if err := errors.Join(users(k), live(k)); err != nil {
			return err
		}
		k.Policy = document
		return nil
	})
	return err
}

// Tag adds tags, or replaces them by key. Errors: Refusals of kind ErrNotFound,
// ErrState, ErrLimit (too many).
func (s *Service) Tag(ctx context.Context, ref Ref, tags []lockstep.Tag) error {
	_, err := s.change(ctx, ref, func(_ store.Tx, k *store.MasterKey) error {
		if err := live(k); err != nil {
			return err
		}
		for _, t := range tags {
			k.Tags = slices.DeleteFunc(k.Tags, func(o lockstep.Tag) bool { return o.Key == t.Key })
			k.Tags = append(k.Tags, t)
		}
		return checkTags(k.Tags)
	})
	return err
}

func checkTags(tags []lockstep.Tag) error {
	if len(tags) > MaxTags {
		return lockstep.Refuse(lockstep.ErrLimit, "A key can have at most %d tags.", MaxTags)
	}
	return nil
}

// Untag removes tags by key; keys that are not there are ignored. Errors:
// Refusals of kind ErrNotFound, ErrState.
func (s *Service) Untag(ctx context.Context, ref Ref, tagKeys []string) error {
	_, err := s.change(ctx, ref, func(_ store.Tx, k *store.MasterKey) error {
		k.Tags = slices.DeleteFunc(k.Tags, func(o lockstep.Tag) bool { return slices.Contains(tagKeys, o.Key) })
		return live(k)
	})
	return err
}

// destroy removes a key whose time has come, with its material.
func (s *Service) destroy(ctx context.Context, id string) error {
	err := s.store.Update(ctx, func(tx store.Tx) error {
		k, err := tx.LockMasterKey(id)
		if err != nil || k.State != store.KeyPendingDeletion || k.DeleteAt.After(tx.Now()) {
			return err
		}
		return tx.DeleteMasterKey(id)
	})
	if err != nil && !errors.Is(err, lockstep.ErrNotFound) {
		return fmt.Errorf("delete master key %s: %w", id, err)
	}
	s.forget(id)
	return nil
}

// PolicyOf is the key policy that holds: the one that was put, or the default,
// which lets the account's identity policies decide; of the default key, the one
// by which it serves the secrets service alone.
func PolicyOf(k *store.MasterKey) string {
	switch {
	case k.Purpose != "":
		return fmt.Sprintf(servicePolicy, k.Account, k.Region, k.Account)
	case k.Policy != "":
		return k.Policy
	}
	return fmt.Sprintf(defaultPolicy, k.Account)
}

const (
	defaultPolicy = `{
  "Version" : "2012-10-17",
  "Id" : "key-default-1",
  "Statement" : [ {
    "Sid" : "Enable IAM User Permissions",
    "Effect" : "Allow",
    "Principal" : {
      "AWS" : "arn:aws:iam::%s:root"
    },
    "Action" : "kms:*",
    "Resource" : "*"
  } ]
}`
	servicePolicy = `{
  "Version" : "2012-10-17",
  "Id" : "key-secretsmanager-1",
  "Statement" : [ {
    "Sid" : "Allow use through the secrets service",
    "Effect" : "Allow",
    "Principal" : {
      "AWS" : "*"
    },
    "Action" : [ "kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:DescribeKey" ],
    "Resource" : "*",
    "Condition" : {
      "StringEquals" : {
        "kms:CallerAccount" : "%s",
        "kms:ViaService" : "secretsmanager.%s.amazonaws.com"
      }
    }
  }, {
    "Sid" : "Allow looking at it and rotating it",
    "Effect" : "Allow",
    "Principal" : {
      "AWS" : "arn:aws:iam::%s:root"
    },
    "Action" : [ "kms:Describe*", "kms:Get*", "kms:List*", "kms:*Rotation", "kms:RotateKeyOnDemand", "kms:TagResource", "kms:UntagResource" ],
    "Resource" : "*"
  } ]
}`
)
