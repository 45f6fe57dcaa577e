package keeper

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"lockstep"
	"lockstep/ledger"
	"lockstep/store"
)

// Put adds a Version, or gives the open Run's empty Version its value if the
// token is that Version's. Repeating a call with the same token and value
// changes nothing.
// Errors: Refusals of kind ErrNotFound, ErrState, ErrVersionClaimed.
func (k *Keeper) Put(ctx context.Context, ref Ref, in PutInput) (WriteOutput, error) {
	w := newVersion{token: in.Token, value: in.Value, place: func(b *ledger.Book, made bool) ([]lockstep.Stage, error) {
		return placeStages(b, in.Token, in.Stages, made)
	}}
	return k.write(ctx, ref, w)
}

// Update changes a Secret's description, key or type, and with a value makes
// it AWSCURRENT. Without anything to change it succeeds and does nothing.
// Errors: as Put.
func (k *Keeper) Update(ctx context.Context, ref Ref, in UpdateInput) (WriteOutput, error) {
	change := func(b *ledger.Book) bool {
		changed := set(&b.Secret.Description, in.Description)
		changed = set(&b.Secret.KMSKeyID, in.KMSKeyID) || changed
		return set(&b.Secret.Type, in.Type) || changed
	}
	if in.Value.IsZero() {
		var out WriteOutput
		err := k.change(ctx, ref, func(b *ledger.Book, _ store.Tx) error {
			if change(b) {
				b.Secret.Touch(b.Now)
			}
			out = WriteOutput{Secret: b.Secret}
			return nil
		})
		return out, err
	}
	w := newVersion{token: in.Token, value: in.Value, keyID: in.KMSKeyID}
	w.place = func(b *ledger.Book, made bool) ([]lockstep.Stage, error) {
		if change(b) {
			b.Secret.Touch(b.Now)
		}
		return placeStages(b, in.Token, nil, made)
	}
	return k.write(ctx, ref, w)
}

func set(field *string, to *string) bool {
	if to == nil {
		return false
	}
	*field = *to
	return true
}

// change runs fn on the locked, unmarked Secret and saves it.
func (k *Keeper) change(ctx context.Context, ref Ref, fn func(*ledger.Book, store.Tx) error) error {
	return k.store.Update(ctx, func(tx store.Tx) error {
		s, err := lockLive(tx, ref)
		if err != nil {
			return err
		}
		b, err := k.open(tx, s)
		if err != nil {
			return err
		}
		if err := fn(b, tx); err != nil {
			return err
		}
		return b.Close()
	})
}

// open starts a Book with the Traits of the Secret's rotator.
func (k *Keeper) open(tx store.Tx, s *lockstep.Secret) (*ledger.Book, error) {
	traits, err := k.traits(s)
	if err != nil {
		return nil, err
	}
	return ledger.Open(tx, s, traits)
}

// traits are those of the Secret's rotator; one that is no longer registered
// counts as one with a target, which is the careful reading.
func (k *Keeper) traits(s *lockstep.Secret) (lockstep.Traits, error) {
	if s.Rotation == nil {
		return lockstep.Traits{}, nil
	}
	traits, err := k.targets.Traits(s.Rotation.Rotator)
	if errors.Is(err, lockstep.ErrUnknownRotator) {
		return lockstep.Traits{}, nil
	}
	return traits, err
}

// newVersion is a Version to be written, and the labels to be placed after it.
type newVersion struct {
	token lockstep.VersionID
	value lockstep.Value
	// keyID, if set, is the key that this very call gives the Secret.
	keyID *string
	// place puts the labels; made is false for a repeated call.
	place func(b *ledger.Book, made bool) ([]lockstep.Stage, error)
}

// write seals a value outside the transaction, and inside it stores the value
// and places the labels. The Secret is looked at first, since the seal is
// bound to its ARN and made under its key; if either changed meanwhile, it is
// done again.
func (k *Keeper) write(ctx context.Context, ref Ref, w newVersion) (WriteOutput, error) {
	for {
		seen, err := k.Describe(ctx, ref)
		if err != nil {
			return WriteOutput{}, err
		}
		s, keyID := seen.Secret, seen.Secret.KMSKeyID
		if w.keyID != nil {
			keyID = *w.keyID
		}
		sealed, err := k.seal(ctx, ownerOf(s), keyID, w.value, s.ARN, w.token)
		if err != nil {
			return WriteOutput{}, err
		}
		account := k.accountOf(s, w.value)
		var out WriteOutput
		err = k.change(ctx, ref, func(b *ledger.Book, tx store.Tx) error {
			if b.Secret.ARN != s.ARN || b.Secret.KMSKeyID != s.KMSKeyID || rotatorOf(b.Secret) != rotatorOf(s) {
				return errMoved
			}
			made, err := k.addVersion(tx, b, &lockstep.Version{
				Secret: b.Secret.ID, ID: w.token, Created: b.Now, Sealed: sealed, Account: account,
			}, w.value)
			if err != nil {
				return err
			}
			out = WriteOutput{Secret: b.Secret, Version: w.token}
			if out.Stages, err = w.place(b, made); err != nil {
				return err
			}
			return b.Prune()
		})
		if !errors.Is(err, errMoved) {
			return out, err
		}
	}
}

var errMoved = fmt.Errorf("secret changed meanwhile: %w", lockstep.ErrConflict)

func ownerOf(s *lockstep.Secret) store.Owner {
	return store.Owner{Account: s.Account, Region: s.Region}
}

func rotatorOf(s *lockstep.Secret) string {
	if s.Rotation == nil {
		return ""
	}
	return s.Rotation.Rotator
}

// accountOf is the key of the Account that a value logs in as; empty where
// that cannot be told: by hand anything may be put.
func (k *Keeper) accountOf(s *lockstep.Secret, value lockstep.Value) lockstep.AccountKey {
	if s.Rotation == nil {
		return ""
	}
	names, err := k.targets.AccountNames(s.Rotation.Rotator, value)
	if err != nil || len(names) == 0 {
		return ""
	}
	return k.sealer.AccountKey(names[0])
}

// addVersion stores a new Version, or the value of one that has none yet. It
// returns false if the same Version with the same value was there.
func (k *Keeper) addVersion(tx store.Tx, b *ledger.Book, v *lockstep.Version, value lockstep.Value) (bool, error) {
	old, err := tx.Version(v.Secret, v.ID)
	switch {
	case errors.Is(err, lockstep.ErrNotFound):
		if err := tx.InsertVersion(v); err != nil {
			return false, fmt.Errorf("insert version: %w", err)
		}
		b.Secret.Touch(b.Now)
		return true, nil
	case err != nil:
		return false, fmt.Errorf("read version: %w", err)
	case old.Sealed == nil && k.targets.Native(rotatorOf(b.Secret)):
		return false, lockstep.Refuse(lockstep.ErrState,
			"You can't put a value to version %s because it belongs to a rotation in progress.", v.ID)
	case old.Sealed == nil:
		old.Sealed, old.Account = v.Sealed, v.Account
		if err := tx.SaveVersion(old); err != nil {
			return false, fmt.Errorf("save value: %w", err)
		}
		b.Secret.Touch(b.Now)
		return true, nil
	case k.holds(old, value):
		return false, nil
	}
	return false, tokenInUse(v.ID, b.Secret.ARN)
}

// placeStages puts the labels of a PutSecretValue. A repeated call leaves the
// labels where they are now. The answer keeps the order of the request.
func placeStages(b *ledger.Book, id lockstep.VersionID, stages []lockstep.Stage, made bool) ([]lockstep.Stage, error) {
	if !made {
		return b.Stages.Of(id), nil
	}
	if len(stages) == 0 {
		stages = []lockstep.Stage{lockstep.Current}
	}
	if b.Stages[lockstep.Current] == "" && !slices.Contains(stages, lockstep.Current) {
		stages = append(slices.Clone(stages), lockstep.Current)
	}
	left := b.Stages[lockstep.Current]
	for _, st := range stages {
		if st == lockstep.Current {
			if err := b.MoveCurrent(id); err != nil {
				return nil, err
			}
			// AWS: the version that AWSCURRENT left by a put loses AWSPENDING.
			if left != "" && b.Stages[lockstep.Pending] == left {
				delete(b.Stages, lockstep.Pending)
			}
			continue
		}
		b.Stages.Place(st, id)
	}
	return stages, nil
}
