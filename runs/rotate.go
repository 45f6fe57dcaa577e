package runs

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"lockstep"
	"lockstep/keeper"
	"lockstep/ledger"
	"lockstep/store"
)

// Rotate sets the Rotation as far as the input says, and starts a Run now
// (with TestOnly, one that only tests AWSCURRENT). The token of an open or
// finished Run gets the same answer again. An open Run whose set has not begun
// is replaced; one that waits to be tried again becomes due now.
// Errors: Refusals of kind ErrNotFound, ErrState, ErrInvalid, ErrDenied
// (unknown rotator given as an ARN, as AWS answers).
func (s *Service) Rotate(ctx context.Context, ref keeper.Ref, in RotateInput) (RotateOutput, error) {
	var out RotateOutput
	var refusal error
	err := s.configured(ctx, ref, in, func(tx store.Tx, b *ledger.Book, copied *lockstep.Sealed) error {
		out, refusal = RotateOutput{Secret: b.Secret}, nil
		run, err := s.rotate(tx, b, in, copied)
		if errors.Is(err, errStillOpen) {
			refusal = err // what was made due now is kept
			return nil
		}
		if err != nil {
			return err
		}
		out.Version, out.Run = run.Version, run.ID
		return nil
	})
	if err == nil {
		err = refusal
	}
	return out, err
}

// Configure sets the Rotation and starts nothing. Errors: as Rotate.
func (s *Service) Configure(ctx context.Context, ref keeper.Ref, in RotateInput) (*lockstep.Secret, error) {
	var out *lockstep.Secret
	err := s.configured(ctx, ref, in, func(_ store.Tx, b *ledger.Book, _ *lockstep.Sealed) error {
		out = b.Secret
		return nil
	})
	return out, err
}

var errStillOpen = lockstep.Refuse(lockstep.ErrState,
	"A previous rotation isn't complete. That rotation will be reattempted; see `lockstep runs` for its state.")

func (s *Service) rotate(tx store.Tx, b *ledger.Book, in RotateInput, copied *lockstep.Sealed) (*lockstep.Run, error) {
	if again, err := sameToken(tx, b, in.Token); again != nil || err != nil {
		return again, err
	}
	open, err := b.OpenRun()
	if err != nil {
		return nil, err
	}
	if open != nil {
		if err := replaceOpen(tx, b, open); err != nil {
			return nil, err
		}
	}
	if !in.TestOnly {
		if err := refuseHalted(b); err != nil {
			return nil, err
		}
	}
	trigger := in.Trigger
	if trigger == "" {
		trigger = lockstep.TriggerManual
	}
	return s.gate(tx).start(b, newRun{trigger: trigger, version: in.Token, testOnly: in.TestOnly, sealed: copied})
}

// refuseHalted refuses a Run that would replay what a lost one has spent.
func refuseHalted(b *ledger.Book) error {
	halted, err := b.HaltedByLost()
	if err != nil || !halted {
		return err
	}
	return lockstep.Refuse(lockstep.ErrState,
		"A run of secret %s is lost: the provider may have spent the old credential, and the new one never came. Put a working value as AWSCURRENT first.", b.Secret.Name)
}

// sameToken finds the Run that an earlier call with this token started.
func sameToken(tx store.ReadTx, b *ledger.Book, token lockstep.VersionID) (*lockstep.Run, error) {
	for _, read := range []func(lockstep.SecretID) (*lockstep.Run, error){tx.OpenRun, tx.LastRun} {
		run, err := read(b.Secret.ID)
		if err == nil && run.Version == token {
			return run, nil
		}
		if err != nil && !errors.Is(err, lockstep.ErrNotFound) {
			return nil, fmt.Errorf("read run: %w", err)
		}
	}
	_, err := tx.Version(b.Secret.ID, token)
	if errors.Is(err, lockstep.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read version: %w", err)
	}
	if run, err := olderRun(tx, b, token); run != nil || err != nil {
		return run, err
	}
	return nil, lockstep.Refuse(lockstep.ErrVersionClaimed,
		"You can't use ClientRequestToken %s because that value is already in use for a version of secret %s.", token, b.Secret.ARN)
}

// olderRun finds the Run of a Version among those whose Versions are kept.
func olderRun(tx store.ReadTx, b *ledger.Book, token lockstep.VersionID) (*lockstep.Run, error) {
	list, err := tx.Runs(store.RunQuery{
		Owner:  store.Owner{Account: b.Secret.Account, Region: b.Secret.Region},
		Secret: b.Secret.ID, Limit: 2 * ledger.KeptVersions,
	})
	if err != nil {
		return nil, fmt.Errorf("read runs: %w", err)
	}
	for _, run := range list {
		if run.Version == token {
			return run, nil
		}
	}
	return nil, nil
}

// replaceOpen ends an open Run whose target was never told and which nobody
// holds; any other is left to finish, at once if it was waiting.
func replaceOpen(tx store.Tx, b *ledger.Book, open *lockstep.Run) error {
	slot, err := tx.Slot(b.Secret.ID)
	if err != nil {
		return fmt.Errorf("read slot: %w", err)
	}
	held := slot.Holder != "" && slot.Expires.After(b.Now)
	if !held && !open.State.TargetTouched() {
		return b.Stop(open, lockstep.StopSuperseded, "replaced by a newer request to rotate")
	}
	if !held && open.RetryAt.After(b.Now) {
		if err := publishNow(tx, b, open); err != nil {
			return err
		}
	}
	return errStillOpen
}

// publishNow makes a Run that nobody holds due at once.
func publishNow(tx store.Tx, b *ledger.Book, run *lockstep.Run) error {
	run.RetryAt = time.Time{}
	if err := b.PublishRun(run, time.Time{}); err != nil {
		return err
	}
	if err := tx.SaveRun(run, nil); err != nil {
		return fmt.Errorf("save run: %w", err)
	}
	return nil
}

// CancelRotation turns rotation off and asks an open Run to end. The rotator
// and the schedule stay stored.
// Errors: Refusals of kind ErrNotFound, ErrState.
func (s *Service) CancelRotation(ctx context.Context, ref keeper.Ref) (RotateOutput, error) {
	var out RotateOutput
	err := s.store.Update(ctx, func(tx store.Tx) error {
		out = RotateOutput{}
		secret, err := keeper.LockLive(tx, ref)
		if err != nil {
			return err
		}
		if !secret.RotationEnabled() {
			return lockstep.Refuse(lockstep.ErrState, "You can't cancel rotation because rotation is not turned on for this secret.")
		}
		b, _, err := s.open(tx, secret)
		if err != nil {
			return err
		}
		out.Secret = secret
		if err := cancel(tx, b, &out); err != nil {
			return err
		}
		return b.Close()
	})
	return out, err
}

func cancel(tx store.Tx, b *ledger.Book, out *RotateOutput) error {
	open, err := b.OpenRun()
	if err != nil {
		return err
	}
	if open != nil {
		out.Version, out.Run = open.Version, open.ID
		if err := b.Stop(open, lockstep.StopCancelled, "rotation was cancelled"); err != nil {
			return err
		}
	}
	return turnOff(tx, b)
}

// turnOff turns rotation off; the rotator and the schedule stay stored.
func turnOff(tx store.Tx, b *ledger.Book) error {
	if b.Secret.Rotation != nil {
		b.Secret.Rotation.Enabled = false
	}
	b.Secret.NextRotation = time.Time{}
	b.Secret.Touch(b.Now)
	if err := tx.ReleaseAccounts(b.Secret.ID); err != nil {
		return fmt.Errorf("release accounts: %w", err)
	}
	return nil
}

// rotatorName is the plain name that RotationLambdaARN means: the whole of it,
// or the last part of an ARN.
func rotatorName(given string) string {
	if !strings.HasPrefix(given, "arn:") {
		return given
	}
	return given[strings.LastIndexByte(given, ':')+1:]
}
