// Package keeper keeps the values: it is the only code that sees one at rest.
// It seals each on the way into the store and opens it on the way out,
// enforces the rules of versions, tokens and staging labels, and writes every
// change of a Secret together with its Events in one transaction.
//
// Calls come from the APIs, which have already established who asks; a [Ref]
// carries the question whether they may, which is put once the Secret is
// found. Errors are lockstep.Refusal values where the text is the caller's to
// read; they are worded as AWS words them (AWS Secrets Manager API reference).
//
// Sealing happens before the transaction and opening after it, so that a slow
// HSM never holds up the store's writer.
package keeper

import (
	"context"
	"errors"
	"fmt"
	"time"

	"lockstep"
	"lockstep/keys"
	"lockstep/store"
)

// The limits of AWS that keeper enforces; ledger has those of old Versions.
const (
	// DefaultRecoveryWindow is how long a deleted Secret can be restored.
	DefaultRecoveryWindow = 30 * 24 * time.Hour
	// MaxTags is how many tags a Secret may have.
	MaxTags = 50
)

// Sealer seals and opens values; keys.Service is one.
type Sealer interface {
	Seal(ctx context.Context, owner store.Owner, keyID string, v lockstep.Value, to keys.Binding) (*lockstep.Sealed, error)
	Open(ctx context.Context, s *lockstep.Sealed, to keys.Binding) (lockstep.Value, error)
	// CanSeal tells whether Seal would find its key.
	CanSeal(ctx context.Context, owner store.Owner, keyID string) error
	// Digest is a keyed hash of a value, equal for equal values.
	Digest(v lockstep.Value) []byte
	// AccountKey is the keyed hash of an Account's canonical name.
	AccountKey(name string) lockstep.AccountKey
}

// Targets says what is known about rotators without touching a target;
// rotators.Registry is one.
type Targets interface {
	// Traits of a rotator. ErrUnknownRotator.
	Traits(rotator string) (lockstep.Traits, error)
	// AccountNames lists the canonical names of the Accounts at the target
	// that a value is about: first the one it logs in as, then all that the
	// Secret owns. Empty for a rotator without Accounts. ErrInvalid if the
	// value lacks a field.
	AccountNames(rotator string, v lockstep.Value) ([]string, error)
}

// Keeper keeps values. It is safe for concurrent use.
type Keeper struct {
	store   store.Store
	sealer  Sealer
	targets Targets
}

// New makes a Keeper.
func New(s store.Store, sealer Sealer, targets Targets) *Keeper {
	return &Keeper{store: s, sealer: sealer, targets: targets}
}

// find reads the Secret that ref names and asks whether the caller may go on.
func find(tx store.ReadTx, ref Ref) (*lockstep.Secret, error) {
	s, err := look(tx, ref)
	if err != nil {
		return nil, err
	}
	return s, ref.ask(s)
}

func look(tx store.ReadTx, ref Ref) (*lockstep.Secret, error) {
	s, err := tx.FindSecret(ref.Owner, ref.ID)
	if errors.Is(err, lockstep.ErrNotFound) {
		return nil, ErrNoSecret
	}
	if err != nil {
		return nil, fmt.Errorf("find secret: %w", err)
	}
	return s, nil
}

// lock finds the Secret, keeps other writers off it, and asks about it as it
// then is: its tags and policy may have changed while the lock was waited for.
// A replica is refused: replication alone writes it.
func lock(tx store.Tx, ref Ref) (*lockstep.Secret, error) {
	s, err := look(tx, ref)
	if err != nil {
		return nil, err
	}
	s, err = tx.LockSecret(s.ID)
	if errors.Is(err, lockstep.ErrNotFound) || (err == nil && s.Gone) {
		return nil, ErrNoSecret
	}
	if err != nil {
		return nil, fmt.Errorf("lock secret: %w", err)
	}
	if err := ref.ask(s); err != nil {
		return nil, err
	}
	if s.IsReplica() {
		return nil, errReplica
	}
	return s, ref.Session.guard(tx, s)
}

// lockLive is lock for calls that a mark for deletion forbids.
func lockLive(tx store.Tx, ref Ref) (*lockstep.Secret, error) {
	s, err := lock(tx, ref)
	if err != nil {
		return nil, err
	}
	if s.Deleted() {
		return nil, ErrMarkedForDeletion
	}
	return s, nil
}

// LockLive finds the Secret that ref names, locks it, and asks whether the
// caller may go on. Errors: ErrNoSecret, ErrMarkedForDeletion, ref.Allow's; a
// Refusal of kind ErrInvalid for a replica.
func LockLive(tx store.Tx, ref Ref) (*lockstep.Secret, error) { return lockLive(tx, ref) }

// Find finds the Secret that ref names, also one marked for deletion, and asks
// whether the caller may go on. Errors: ErrNoSecret, ref.Allow's.
func Find(tx store.ReadTx, ref Ref) (*lockstep.Secret, error) { return find(tx, ref) }

// FindLive is LockLive without the lock, for a look before it.
func FindLive(tx store.ReadTx, ref Ref) (*lockstep.Secret, error) {
	s, err := find(tx, ref)
	if err != nil {
		return nil, err
	}
	if s.IsReplica() {
		return nil, errReplica
	}
	if s.Deleted() {
		return nil, ErrMarkedForDeletion
	}
	return s, nil
}

// The refusals that more than one call gives.
var (
	// ErrNoSecret: no such Secret.
	ErrNoSecret = lockstep.Refuse(lockstep.ErrNotFound, "Secrets Manager can't find the specified secret.")
	// ErrMarkedForDeletion: the Secret is in its recovery window.
	ErrMarkedForDeletion = lockstep.Refuse(lockstep.ErrState, "You can't perform this operation on the secret because it was marked for deletion.")
)

func noStage(stage lockstep.Stage) error {
	return lockstep.Refuse(lockstep.ErrNotFound, "Secrets Manager can't find the specified secret value for staging label: %s", stage)
}

func noVersion(id lockstep.VersionID) error {
	return lockstep.Refuse(lockstep.ErrNotFound, "Secrets Manager can't find the specified secret value for VersionId: %s", id)
}

func tokenInUse(token lockstep.VersionID, arn lockstep.ARN) error {
	return lockstep.Refuse(lockstep.ErrVersionClaimed,
		"You can't use ClientRequestToken %s because that value is already in use for a version of secret %s.", token, arn)
}

// day is the start of t's day in UTC: the resolution of LastAccessedDate.
func day(t time.Time) time.Time { return t.UTC().Truncate(24 * time.Hour) }
