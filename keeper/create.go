package keeper

import (
	"context"
	"crypto/hmac"
	"errors"
	"fmt"
	"time"

	"lockstep"
	"lockstep/keys"
	"lockstep/ledger"
	"lockstep/store"
)

// Create makes a Secret, with a first Version if there is a value. Repeating a
// call with the same token and data answers the same.
// Errors: Refusals of kind ErrExists, ErrVersionClaimed, ErrState (the name is
// marked for deletion), ErrInvalid; keys' errors.
func (k *Keeper) Create(ctx context.Context, in CreateInput) (WriteOutput, error) {
	if err := checkTags(in.Tags); err != nil {
		return WriteOutput{}, err
	}
	out, err := k.create(ctx, in)
	if errors.Is(err, errRaced) {
		// Another call made the Secret in the same moment. It may have been
		// this very request, sent twice: look again.
		out, err = k.create(ctx, in)
	}
	if errors.Is(err, errRaced) {
		err = nameTaken(in.Name)
	}
	return out, err
}

// errRaced: the name was free when it was looked for, and taken when it was
// written.
var errRaced = fmt.Errorf("name was taken meanwhile: %w", lockstep.ErrConflict)

func (k *Keeper) create(ctx context.Context, in CreateInput) (WriteOutput, error) {
	arn, err := lockstep.NewSecretARN(in.Owner.Region, in.Owner.Account, in.Name)
	if err != nil {
		return WriteOutput{}, err
	}
	if err := (Ref{Use: in.Use}).use(ctx, KeyUse{Action: UseToSeal, Key: in.KMSKeyID, ARN: arn, Version: in.Token}); err != nil {
		return WriteOutput{}, err
	}
	sealed, err := k.seal(ctx, in.Owner, in.KMSKeyID, in.Value, arn, in.Token)
	if err != nil {
		return WriteOutput{}, err
	}
	faults, err := k.keyFaults(ctx, in.Owner.Account, in.Replicas)
	if err != nil {
		return WriteOutput{}, err
	}
	var out WriteOutput
	err = k.store.Update(ctx, func(tx store.Tx) error {
		out = WriteOutput{}
		existing, err := tx.FindSecret(in.Owner, in.Name)
		switch {
		case err == nil && existing.Name == in.Name:
			out, err = k.createAgain(tx, existing, in)
			return err
		case err != nil && !errors.Is(err, lockstep.ErrNotFound):
			return fmt.Errorf("look for the name: %w", err)
		}
		out, err = k.insertSecret(tx, newborn{arn, in, sealed, faults})
		return err
	})
	if err == nil {
		k.replicateNow(ctx, out.Secret)
	}
	return out, err
}

// newborn is a Secret that is about to be.
type newborn struct {
	arn    lockstep.ARN
	in     CreateInput
	sealed *lockstep.Sealed
	// faults are the regions without a usable key.
	faults map[lockstep.Region]string
}

func (k *Keeper) insertSecret(tx store.Tx, n newborn) (WriteOutput, error) {
	now, arn, in, sealed := tx.Now(), n.arn, n.in, n.sealed
	named := NamedAdmin(in.Value)
	s := &lockstep.Secret{
		Account: in.Owner.Account, Region: in.Owner.Region, Name: in.Name, ARN: arn,
		Description: in.Description, Type: in.Type, KMSKeyID: in.KMSKeyID, Tags: in.Tags, AdminRef: named,
		Created: now.Truncate(time.Millisecond),
	}
	if len(in.Tags) == 0 {
		s.Tags = nil // never tagged
	}
	s.Touch(now)
	err := tx.InsertSecret(s)
	if errors.Is(err, lockstep.ErrExists) {
		return WriteOutput{}, errRaced
	}
	if err != nil {
		return WriteOutput{}, fmt.Errorf("insert secret: %w", err)
	}
	book, err := ledger.Open(tx, s, lockstep.Traits{})
	if err != nil {
		return WriteOutput{}, err
	}
	out := WriteOutput{Secret: s}
	if sealed != nil {
		err := tx.InsertVersion(&lockstep.Version{Secret: s.ID, ID: in.Token, Created: now, Sealed: sealed, AdminRef: named})
		if err != nil {
			return WriteOutput{}, fmt.Errorf("insert version: %w", err)
		}
		book.Stages[lockstep.Current] = in.Token
		out.Version, out.Stages = in.Token, []lockstep.Stage{lockstep.Current}
	}
	if err := book.Emit(lockstep.EventSecretCreated, lockstep.EventData{VersionID: out.Version}); err != nil {
		return WriteOutput{}, err
	}
	if len(in.Replicas.Add) > 0 {
		if err := k.placeReplicas(tx, book, in.Replicas, n.faults); err != nil {
			return WriteOutput{}, err
		}
	}
	return out, book.Close()
}

// createAgain answers a create for a name that exists: the same answer for the
// same token and value, a refusal for anything else.
func (k *Keeper) createAgain(tx store.ReadTx, s *lockstep.Secret, in CreateInput) (WriteOutput, error) {
	if s.Deleted() {
		return WriteOutput{}, lockstep.Refuse(lockstep.ErrState,
			"You can't create this secret because a secret with this name is already scheduled for deletion.")
	}
	v, err := tx.Version(s.ID, in.Token)
	if errors.Is(err, lockstep.ErrNotFound) || in.Value.IsZero() {
		return WriteOutput{}, nameTaken(in.Name)
	}
	if err != nil {
		return WriteOutput{}, fmt.Errorf("read version: %w", err)
	}
	if !k.holds(v, in.Value) {
		return WriteOutput{}, tokenInUse(in.Token, s.ARN)
	}
	return WriteOutput{Secret: s, Version: v.ID}, nil
}

func nameTaken(name string) error {
	return lockstep.Refuse(lockstep.ErrExists, "The operation failed because the secret %s already exists.", name)
}

// seal encrypts a value for its place; nil for no value. The key is looked at
// in any case: a Secret must not name one that the next value cannot be sealed
// under.
func (k *Keeper) seal(ctx context.Context, owner store.Owner, keyID string, v lockstep.Value, arn lockstep.ARN, id lockstep.VersionID) (*lockstep.Sealed, error) {
	if v.IsZero() {
		return nil, k.sealer.CanSeal(ctx, owner, keyID)
	}
	if len(v.Bytes()) > lockstep.MaxValueBytes {
		return nil, lockstep.Refuse(lockstep.ErrInvalid, "The secret value has %d bytes; it can have at most %d.", len(v.Bytes()), lockstep.MaxValueBytes)
	}
	return k.sealer.Seal(ctx, owner, keyID, v, binding(arn, id))
}

func binding(arn lockstep.ARN, id lockstep.VersionID) keys.Binding {
	return keys.Binding{ARN: string(arn), Version: string(id)}
}

// holds tells whether a stored Version has this value, without opening it.
func (k *Keeper) holds(v *lockstep.Version, value lockstep.Value) bool {
	if v.Sealed == nil {
		return false
	}
	return hmac.Equal(v.Sealed.Digest, k.sealer.Digest(value))
}
