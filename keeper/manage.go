package keeper

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"lockstep"
	"lockstep/ledger"
	"lockstep/store"
)

// MoveStage moves a label as UpdateSecretVersionStage does. AWSCURRENT moved
// onto the open Run's Version finishes the Run; moved elsewhere it supersedes
// it. AWSPENDING taken off the open Run's Version cancels the Run.
// Errors: Refusals of kind ErrNotFound, ErrState, ErrInvalid.
func (k *Keeper) MoveStage(ctx context.Context, ref Ref, in MoveStageInput) (Description, error) {
	var out Description
	err := k.change(ctx, ref, func(b *ledger.Book, tx store.Tx) error {
		if err := mustExist(tx, b.Secret.ID, in.From, in.To); err != nil {
			return err
		}
		move := moveStage
		if ref.Session != nil {
			move = ref.Session.moveStage(tx)
		}
		if err := move(b, in); err != nil {
			return err
		}
		out = Description{Secret: b.Secret, Stages: b.Stages}
		return b.Prune()
	})
	return out, err
}

func mustExist(tx store.ReadTx, id lockstep.SecretID, versions ...lockstep.VersionID) error {
	for _, v := range versions {
		if v == "" {
			continue
		}
		_, err := tx.Version(id, v)
		if errors.Is(err, lockstep.ErrNotFound) {
			return noVersion(v)
		}
		if err != nil {
			return fmt.Errorf("read version: %w", err)
		}
	}
	return nil
}

func moveStage(b *ledger.Book, in MoveStageInput) error {
	// The rules are tried on a copy: AWSCURRENT and AWSPENDING are moved by the
	// ledger, which does what belongs to it.
	trial := b.Stages.Clone()
	if err := trial.Move(in.Stage, in.From, in.To); err != nil {
		return refuseMove(err)
	}
	if maps.Equal(trial, b.Stages) {
		return nil
	}
	if in.To != "" && len(trial.Of(in.To)) > MaxStages {
		return lockstep.Refuse(lockstep.ErrLimit, "A version can have at most %d staging labels; take one off version %s first.", MaxStages, in.To)
	}
	b.Secret.Touch(b.Now)
	switch in.Stage {
	case lockstep.Current:
		return b.MoveCurrent(in.To)
	case lockstep.Pending:
		return b.MovePending(in.To)
	}
	b.Stages = trial
	return nil
}

// refuseMove words a broken rule of the labels for the caller.
func refuseMove(err error) error {
	return lockstep.Refuse(lockstep.ErrInvalid, "%s", err.Error())
}

// MaxStages is how many labels one Version may have.
const MaxStages = 20

// Delete marks a Secret for deletion, or with Force removes it at once: the
// name is free, and the rows go as soon as no Run needs them.
// Errors: Refusals of kind ErrNotFound, ErrState (already marked), ErrInvalid.
func (k *Keeper) Delete(ctx context.Context, ref Ref, in DeleteInput) (Description, error) {
	var out Description
	err := k.store.Update(ctx, func(tx store.Tx) error {
		s, err := lock(tx, ref)
		if err != nil {
			return err
		}
		if s.Deleted() && !in.Force {
			return ErrMarkedForDeletion
		}
		if len(s.Replicas) > 0 {
			return hasReplicas(s)
		}
		b, err := k.open(tx, s)
		if err != nil {
			return err
		}
		if err := markDeleted(b, in); err != nil {
			return err
		}
		out = Description{Secret: s, Stages: b.Stages}
		return b.Close()
	})
	return out, err
}

func hasReplicas(s *lockstep.Secret) error {
	regions := make([]lockstep.Region, 0, len(s.Replicas))
	for _, r := range s.Replicas {
		regions = append(regions, r.Region)
	}
	return lockstep.Refuse(lockstep.ErrInvalid, "You can't delete secret %s that still has replica regions %v", s.ARN, regions)
}

func markDeleted(b *ledger.Book, in DeleteInput) error {
	s := b.Secret
	window := in.Window
	if window == 0 {
		window = DefaultRecoveryWindow
	}
	s.DeleteAt = b.Now.Add(window)
	if in.Force {
		s.DeleteAt, s.Gone = b.Now, true
	}
	s.Touch(b.Now)
	run, err := b.OpenRun()
	if err != nil {
		return err
	}
	if run != nil {
		if err := b.Stop(run, lockstep.StopCancelled, "the secret was deleted"); err != nil {
			return err
		}
	}
	return b.Emit(lockstep.EventSecretDeleted, lockstep.EventData{VersionID: b.Stages[lockstep.Current]})
}

// Restore takes the mark for deletion away; a Secret that is not marked stays
// as it is. A Secret with a target is verified then.
// Errors: a Refusal of kind ErrNotFound.
func (k *Keeper) Restore(ctx context.Context, ref Ref) (Description, error) {
	var out Description
	err := k.store.Update(ctx, func(tx store.Tx) error {
		s, err := lock(tx, ref)
		if err != nil {
			return err
		}
		b, err := k.open(tx, s)
		if err != nil {
			return err
		}
		out = Description{Secret: s, Stages: b.Stages}
		if !s.Deleted() {
			return nil
		}
		s.DeleteAt = time.Time{}
		s.Touch(b.Now)
		if err := b.DoubtCurrent(); err != nil {
			return err
		}
		if err := b.Emit(lockstep.EventSecretRestored, lockstep.EventData{VersionID: b.Stages[lockstep.Current]}); err != nil {
			return err
		}
		return b.Close()
	})
	return out, err
}

// Tag adds tags, or replaces them by key; the order of the others stays.
// Errors: Refusals of kind ErrNotFound, ErrState, ErrInvalid (too many).
func (k *Keeper) Tag(ctx context.Context, ref Ref, tags []lockstep.Tag) error {
	return k.change(ctx, ref, func(b *ledger.Book, _ store.Tx) error {
		merged := slices.Clone(b.Secret.Tags)
		for _, t := range tags {
			at := slices.IndexFunc(merged, func(o lockstep.Tag) bool { return o.Key == t.Key })
			if at < 0 {
				merged = append(merged, t)
				continue
			}
			merged[at] = t
		}
		if err := checkTags(merged); err != nil {
			return err
		}
		setTags(b, merged)
		return nil
	})
}

func checkTags(tags []lockstep.Tag) error {
	if len(tags) > MaxTags {
		return lockstep.Refuse(lockstep.ErrInvalid, "A secret can have at most %d tags.", MaxTags)
	}
	return nil
}

func setTags(b *ledger.Book, tags []lockstep.Tag) {
	if slices.Equal(tags, b.Secret.Tags) {
		return
	}
	b.Secret.Tags = tags
	b.Secret.Touch(b.Now)
}

// Untag removes tags by key; keys that are not there are ignored.
// Errors: Refusals of kind ErrNotFound, ErrState.
func (k *Keeper) Untag(ctx context.Context, ref Ref, keys []string) error {
	return k.change(ctx, ref, func(b *ledger.Book, _ store.Tx) error {
		if b.Secret.Tags == nil {
			return nil
		}
		kept := make([]lockstep.Tag, 0, len(b.Secret.Tags))
		for _, t := range b.Secret.Tags {
			if !slices.Contains(keys, t.Key) {
				kept = append(kept, t)
			}
		}
		setTags(b, kept)
		return nil
	})
}

// PutPolicy stores a resource policy's text; the caller has checked it.
// Errors: Refusals of kind ErrNotFound, ErrState.
func (k *Keeper) PutPolicy(ctx context.Context, ref Ref, document string) (Description, error) {
	var out Description
	err := k.change(ctx, ref, func(b *ledger.Book, _ store.Tx) error {
		if set(&b.Secret.ResourcePolicy, &document) {
			b.Secret.Touch(b.Now)
		}
		out = Description{Secret: b.Secret, Stages: b.Stages}
		return nil
	})
	return out, err
}

// DeletePolicy removes the resource policy; none is no error.
// Errors: Refusals of kind ErrNotFound, ErrState.
func (k *Keeper) DeletePolicy(ctx context.Context, ref Ref) (Description, error) {
	return k.PutPolicy(ctx, ref, "")
}
