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

// Put adds a Version. Repeating a call with the same token and value changes
// nothing. A Run's Version takes its value from that Run alone: from its worker,
// or from the session of its createSecret.
// Errors: Refusals of kind ErrNotFound, ErrState, ErrVersionClaimed.
func (k *Keeper) Put(ctx context.Context, ref Ref, in PutInput) (WriteOutput, error) {
	if ref.Session != nil {
		return k.deposit(ctx, ref, in)
	}
	w := newVersion{token: in.Token, value: in.Value, place: func(b *ledger.Book, made bool) ([]lockstep.Stage, error) {
		return placeStages(b, in.Token, in.Stages, made)
	}}
	return k.write(ctx, ref, w)
}

// Update changes a Secret's description, key or type, and with a value makes
// it AWSCURRENT. Without anything to change it succeeds and does nothing;
// repeated with the same token and value it changes nothing at all.
// Errors: as Put; keys' errors for a key that cannot be used.
func (k *Keeper) Update(ctx context.Context, ref Ref, in UpdateInput) (WriteOutput, error) {
	if ref.Session != nil {
		return WriteOutput{}, errNotInStep
	}
	if in.Value.IsZero() {
		return k.updateFields(ctx, ref, in)
	}
	w := newVersion{token: in.Token, value: in.Value, keyID: in.KMSKeyID}
	w.place = func(b *ledger.Book, made bool) ([]lockstep.Stage, error) {
		if made {
			in.apply(b)
		}
		return placeStages(b, in.Token, nil, made)
	}
	return k.write(ctx, ref, w)
}

func (k *Keeper) updateFields(ctx context.Context, ref Ref, in UpdateInput) (WriteOutput, error) {
	for {
		out, err := k.tryFields(ctx, ref, in)
		if !errors.Is(err, errMoved) {
			return out, err
		}
	}
}

func (k *Keeper) tryFields(ctx context.Context, ref Ref, in UpdateInput) (WriteOutput, error) {
	var out WriteOutput
	values := &resealed{}
	if in.KMSKeyID != nil {
		seen, err := k.Describe(ctx, ref)
		if err == nil {
			err = ref.use(ctx, KeyUse{Action: UseToSeal, Key: *in.KMSKeyID, ARN: seen.Secret.ARN})
		}
		if err == nil && !seen.Secret.Deleted() {
			err = k.sealer.CanSeal(ctx, ownerOf(seen.Secret), *in.KMSKeyID)
		}
		if err != nil {
			return out, err
		}
		if seen.Secret.IsReplica() && in.Description == nil && in.Type == nil {
			d, err := k.rekeyReplica(ctx, ref, *in.KMSKeyID)
			return WriteOutput{Secret: d.Secret}, err
		}
		if values, err = k.reseal(ctx, ref, seen, *in.KMSKeyID); err != nil {
			return out, err
		}
	}
	err := k.change(ctx, ref, func(b *ledger.Book, tx store.Tx) error {
		if err := values.save(tx, b); err != nil {
			return err
		}
		in.apply(b)
		out = WriteOutput{Secret: b.Secret}
		return nil
	})
	return out, err
}

// apply writes the fields that are given.
func (in *UpdateInput) apply(b *ledger.Book) {
	changed := set(&b.Secret.Description, in.Description)
	changed = set(&b.Secret.KMSKeyID, in.KMSKeyID) || changed
	changed = set(&b.Secret.Type, in.Type) || changed
	if changed {
		b.Secret.Touch(b.Now)
	}
}

// set tells whether it changed the field.
func set(field *string, to *string) bool {
	if to == nil || *field == *to {
		return false
	}
	*field = *to
	return true
}

// change runs fn on the locked, unmarked Secret and saves it.
func (k *Keeper) change(ctx context.Context, ref Ref, fn func(*ledger.Book, store.Tx) error) error {
	var s *lockstep.Secret
	err := k.store.Update(ctx, func(tx store.Tx) error {
		var err error
		if s, err = lockLive(tx, ref); err != nil {
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
	if err == nil {
		k.replicateNow(ctx, s)
	}
	return err
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
	if s.Rotation.Recipe {
		return s.Rotation.Declared, nil
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
		if s.Deleted() {
			return WriteOutput{}, ErrMarkedForDeletion
		}
		if s.IsReplica() {
			return WriteOutput{}, errReplica
		}
		if w.keyID != nil {
			keyID = *w.keyID
		}
		if err := ref.use(ctx, KeyUse{Action: UseToSeal, Key: keyID, ARN: s.ARN, Version: w.token}); err != nil {
			return WriteOutput{}, err
		}
		sealed, err := k.seal(ctx, ownerOf(s), keyID, w.value, s.ARN, w.token)
		if err != nil {
			return WriteOutput{}, err
		}
		values, err := k.reseal(ctx, ref, seen, keyID)
		if err != nil {
			return WriteOutput{}, err
		}
		// By hand anything may be put: an Account that cannot be told is none.
		account, _ := k.accountOf(s, w.value)
		var out WriteOutput
		err = k.change(ctx, ref, func(b *ledger.Book, tx store.Tx) error {
			if b.Secret.ARN != s.ARN || b.Secret.KMSKeyID != s.KMSKeyID || rotatorOf(b.Secret) != rotatorOf(s) {
				return errMoved
			}
			made, err := k.addVersion(tx, b, &lockstep.Version{
				Secret: b.Secret.ID, ID: w.token, Created: b.Now, Sealed: sealed, Account: account, AdminRef: NamedAdmin(w.value),
			}, w.value)
			if err != nil {
				return err
			}
			if made {
				if err := values.save(tx, b); err != nil {
					return err
				}
			}
			out = WriteOutput{Secret: b.Secret, Version: w.token}
			before := b.Stages[lockstep.Current]
			if out.Stages, err = w.place(b, made); err != nil {
				return err
			}
			if now := b.Stages[lockstep.Current]; now != before && now == w.token {
				if err := k.holdAccounts(tx, b.Secret, w.value); err != nil {
					return err
				}
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

// accountOf is the key of the Account that a value logs in as; empty for a
// Secret or a rotator without Accounts.
func (k *Keeper) accountOf(s *lockstep.Secret, value lockstep.Value) (lockstep.AccountKey, error) {
	if s.Rotation == nil || s.Rotation.Recipe {
		return "", nil
	}
	names, err := k.targets.AccountNames(s.Rotation.Rotator, value)
	if err != nil || len(names) == 0 {
		return "", err
	}
	return k.sealer.AccountKey(names[0]), nil
}

// holdAccounts makes the Accounts of the new AWSCURRENT this Secret's, where
// rotation is on: the value that a hand has put may be another Account's. One
// that another Secret rotates is refused, as turning rotation on would be, and so
// is an admin that the Secret itself manages.
func (k *Keeper) holdAccounts(tx store.Tx, s *lockstep.Secret, value lockstep.Value) error {
	if !s.RotationEnabled() {
		return nil
	}
	if err := checkAdmins(tx, s, NamedAdmin(value)); err != nil {
		return err
	}
	names, err := k.targets.AccountNames(s.Rotation.Rotator, value)
	if err != nil || len(names) < 2 {
		return nil // no Account can be told; the next Run says what is wrong
	}
	if err := tx.ReleaseAccounts(s.ID); err != nil {
		return fmt.Errorf("release accounts: %w", err)
	}
	for _, name := range names[1:] {
		err := tx.HoldAccount(k.sealer.AccountKey(name), s.ID)
		if errors.Is(err, lockstep.ErrConflict) {
			return lockstep.Refuse(lockstep.ErrState,
				"You can't make this value AWSCURRENT because another secret rotates the account at the target that it names. Cancel one of the two rotations first.")
		}
		if err != nil {
			return fmt.Errorf("hold account: %w", err)
		}
	}
	return nil
}

// addVersion stores a new Version. It returns false if the same Version with
// the same value was there.
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
	case old.Sealed == nil:
		return false, lockstep.Refuse(lockstep.ErrState,
			"You can't put a value to version %s because it belongs to a rotation in progress.", v.ID)
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
	if len(stages) > MaxStages {
		return nil, lockstep.Refuse(lockstep.ErrLimit, "A version can have at most %d staging labels.", MaxStages)
	}
	for _, st := range stages {
		switch st {
		case lockstep.Current: // last, so that its Event shows where all stand
		case lockstep.Pending:
			if err := b.MovePending(id); err != nil {
				return nil, err
			}
		default:
			b.Stages.Place(st, id)
		}
	}
	if !slices.Contains(stages, lockstep.Current) {
		return stages, nil
	}
	// AWS: the version that AWSCURRENT leaves by a put loses AWSPENDING.
	if left := b.Stages[lockstep.Current]; left != "" && b.Stages[lockstep.Pending] == left {
		delete(b.Stages, lockstep.Pending)
	}
	return stages, b.MoveCurrent(id)
}
