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

// Session is what a call comes from that one step of a rotation makes: the
// function that was called has credentials which are bound to its Run, and to
// the fence of the claim that called it. A later claim has a higher fence, so a
// function that was given up, and still runs, changes nothing any more.
type Session struct {
	Secret  lockstep.SecretID
	Version lockstep.VersionID
	Run     lockstep.RunID
	Fence   uint64
}

// The refusals that sessions get.
var (
	errStepOver = lockstep.Refuse(lockstep.ErrDenied,
		"These credentials were for one step of a rotation which is over, or was begun again with others.")
	errNotInStep = lockstep.Refuse(lockstep.ErrDenied,
		"A step of a rotation can't do this: it puts the value of its own version, and moves AWSCURRENT onto it in finishSecret.")
)

// guard refuses a write of a session unless the claim that it was made for
// holds, by the store's clock. A nil Session is no session.
func (n *Session) guard(tx store.Tx, s *lockstep.Secret) error {
	if n == nil {
		return nil
	}
	if s.ID != n.Secret {
		return errNotInStep
	}
	_, err := n.lease(tx)
	return err
}

// lease is that of the claim.
func (n *Session) lease(tx store.Tx) (lockstep.Lease, error) {
	slot, err := tx.Slot(n.Secret)
	if err != nil {
		return lockstep.Lease{}, fmt.Errorf("read slot: %w", err)
	}
	lease := lockstep.Lease{Secret: n.Secret, Fence: n.Fence, Holder: slot.Holder, Expires: slot.Expires}
	if slot.Fence != n.Fence || slot.Holder == "" {
		return lease, errStepOver
	}
	err = tx.GuardSlot(lease)
	if errors.Is(err, lockstep.ErrFenced) {
		return lease, errStepOver
	}
	return lease, err
}

// run is the session's, if it is still open.
func (n *Session) run(b *ledger.Book) (*lockstep.Run, error) {
	run, err := b.RunOf(n.Version)
	if err != nil {
		return nil, err
	}
	if run == nil || run.ID != n.Run {
		return nil, errStepOver
	}
	return run, nil
}

// deposit gives the Run's Version its value. Repeating it with the same value
// changes nothing; another value is refused: the target may know the first.
func (k *Keeper) deposit(ctx context.Context, ref Ref, in PutInput) (WriteOutput, error) {
	if in.Token != ref.Session.Version {
		return WriteOutput{}, errNotInStep
	}
	if !slices.Equal(in.Stages, []lockstep.Stage{lockstep.Pending}) {
		return WriteOutput{}, lockstep.Refuse(lockstep.ErrInvalid,
			"A step of a rotation puts its value with VersionStages [AWSPENDING]; AWSCURRENT moves in finishSecret.")
	}
	for {
		seen, err := k.Describe(ctx, ref)
		if err != nil {
			return WriteOutput{}, err
		}
		s := seen.Secret
		if s.IsReplica() {
			return WriteOutput{}, errReplica
		}
		sealed, err := k.seal(ctx, ownerOf(s), s.KMSKeyID, in.Value, s.ARN, in.Token)
		if err != nil {
			return WriteOutput{}, err
		}
		var out WriteOutput
		err = k.change(ctx, ref, func(b *ledger.Book, tx store.Tx) error {
			if b.Secret.ARN != s.ARN || b.Secret.KMSKeyID != s.KMSKeyID {
				return errMoved
			}
			out = WriteOutput{Secret: b.Secret, Version: in.Token, Stages: in.Stages}
			return k.depositSealed(tx, b, deposit{ref.Session, in.Value, sealed})
		})
		if !errors.Is(err, errMoved) {
			return out, err
		}
	}
}

// deposit is a value on its way into a Run's Version.
type deposit struct {
	session *Session
	value   lockstep.Value
	sealed  *lockstep.Sealed
}

func (k *Keeper) depositSealed(tx store.Tx, b *ledger.Book, d deposit) error {
	run, err := d.session.run(b)
	if err != nil {
		return err
	}
	v, err := tx.Version(b.Secret.ID, run.Version)
	if err != nil {
		return fmt.Errorf("read pending version: %w", err)
	}
	switch {
	case k.holds(v, d.value):
		return nil
	case v.Sealed != nil:
		return tokenInUse(v.ID, b.Secret.ARN)
	case run.State != lockstep.RunQueued || run.TestOnly:
		return errNotInStep
	case run.Stop != lockstep.StopNone:
		return lockstep.Refuse(lockstep.ErrState, "The rotation was stopped: %s.", run.StopReason)
	}
	v.Sealed, v.AdminRef = d.sealed, NamedAdmin(d.value)
	b.Secret.Touch(b.Now)
	return b.SaveVersion(v)
}

// moveStage is UpdateSecretVersionStage by a session. AWSCURRENT onto the Run's
// Version is the Run's finish, under the Run's own guard; AWSPENDING goes with
// it, so a function that takes it off needs nothing done. Anything else is
// refused.
func (n *Session) moveStage(tx store.Tx) func(*ledger.Book, MoveStageInput) error {
	return func(b *ledger.Book, in MoveStageInput) error {
		switch {
		case in.Stage == lockstep.Pending && in.To == "" && in.From == n.Version:
			return nil
		case in.Stage != lockstep.Current || in.To != n.Version:
			return errNotInStep
		case b.Stages[lockstep.Current] == n.Version:
			return nil
		}
		if err := b.Stages.Clone().Move(in.Stage, in.From, in.To); err != nil {
			return refuseMove(err)
		}
		run, err := n.run(b)
		if err != nil {
			return err
		}
		if run.State != lockstep.RunTested {
			return lockstep.Refuse(lockstep.ErrState,
				"AWSCURRENT moves in finishSecret, after testSecret succeeded; the run is %s.", run.State)
		}
		lease, err := n.lease(tx)
		if err != nil {
			return err
		}
		err = b.FinishByFunction(run, lease)
		if errors.Is(err, lockstep.ErrConflict) {
			return lockstep.Refuse(lockstep.ErrState,
				"The rotation can't finish: it was stopped, or AWSCURRENT was moved while it was under way.")
		}
		return err
	}
}
