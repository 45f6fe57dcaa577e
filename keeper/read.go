package keeper

import (
	"context"
	"errors"
	"fmt"
	"time"

	"lockstep"
	"lockstep/store"
)

// Get opens a value. It marks the Secret and the Version as read on this day.
// Errors: Refusals of kind ErrNotFound (secret, version, or stage), ErrState
// (marked for deletion; the stage is not on that version); keys' errors.
func (k *Keeper) Get(ctx context.Context, ref Ref, in GetInput) (GetOutput, error) {
	var s *lockstep.Secret
	var v *lockstep.Version
	var stages lockstep.Stages
	var now time.Time
	err := k.store.View(ctx, func(tx store.ReadTx) error {
		var err error
		now = tx.Now()
		if s, err = find(tx, ref); err != nil {
			return err
		}
		if s.Deleted() {
			return ErrMarkedForDeletion
		}
		if stages, err = tx.Stages(s.ID); err != nil {
			return fmt.Errorf("read labels: %w", err)
		}
		v, err = pick(tx, s, stages, in)
		return err
	})
	if err != nil {
		return GetOutput{}, err
	}
	if err := ref.use(ctx, KeyUse{Action: UseToOpen, Key: v.Sealed.KeyID, ARN: s.ARN, Version: v.ID}); err != nil {
		return GetOutput{}, err
	}
	value, err := k.sealer.Open(ctx, v.Sealed, binding(s.ARN, v.ID))
	if err != nil {
		return GetOutput{}, fmt.Errorf("open version %s of %s: %w", v.ID, s.Name, err)
	}
	if err := k.touchAccess(ctx, s, v, day(now)); err != nil {
		return GetOutput{}, err
	}
	return GetOutput{Secret: s, Version: v.ID, Created: v.Created, Stages: stages.Of(v.ID), Value: value}, nil
}

// touchAccess writes the day of the read, once a day for each Version. A store
// that is too busy to write does not keep the value from who needs it; the next
// read notes the day.
func (k *Keeper) touchAccess(ctx context.Context, s *lockstep.Secret, v *lockstep.Version, today time.Time) error {
	if s.Accessed.Equal(today) && v.Accessed.Equal(today) {
		return nil
	}
	err := k.store.Update(ctx, func(tx store.Tx) error { return tx.TouchAccess(s.ID, v.ID, today) })
	if err == nil || errors.Is(err, lockstep.ErrNotFound) || errors.Is(err, lockstep.ErrBusy) {
		return nil
	}
	return fmt.Errorf("note the read: %w", err)
}

// pick finds the Version that a get means, and checks that it has a value.
func pick(tx store.ReadTx, s *lockstep.Secret, stages lockstep.Stages, in GetInput) (*lockstep.Version, error) {
	id := in.Version
	if id == "" {
		stage := stageOrCurrent(in.Stage)
		if id = stages[stage]; id == "" {
			return nil, noStage(stage)
		}
	}
	v, err := tx.Version(s.ID, id)
	if errors.Is(err, lockstep.ErrNotFound) {
		return nil, noVersion(id)
	}
	if err != nil {
		return nil, fmt.Errorf("read version: %w", err)
	}
	if in.Version != "" && in.Stage != "" && stages[in.Stage] != id {
		return nil, lockstep.Refuse(lockstep.ErrState, "You provided a VersionStage that is not associated to the provided VersionId.")
	}
	switch {
	case v.Sealed != nil:
		return v, nil
	case in.Version == "":
		return nil, noStage(stageOrCurrent(in.Stage))
	}
	return nil, noVersion(id)
}

func stageOrCurrent(st lockstep.Stage) lockstep.Stage {
	if st == "" {
		return lockstep.Current
	}
	return st
}

// Describe reads a Secret and its labels; also one marked for deletion.
// Errors: a Refusal of kind ErrNotFound.
func (k *Keeper) Describe(ctx context.Context, ref Ref) (Description, error) {
	var d Description
	err := k.store.View(ctx, func(tx store.ReadTx) error {
		s, err := find(tx, ref)
		if err != nil {
			return err
		}
		if d, err = describe(tx, s); err != nil {
			return err
		}
		d.Replicas, err = statusOf(tx, s)
		return err
	})
	return d, err
}

func describe(tx store.ReadTx, s *lockstep.Secret) (Description, error) {
	stages, err := tx.Stages(s.ID)
	if err != nil {
		return Description{}, fmt.Errorf("read labels: %w", err)
	}
	return Description{Secret: s, Stages: stages}, nil
}

// listChunk is how many Secrets are read at a time when Keep selects among them.
const listChunk = 500

// List reads one page of Secrets that Keep accepts. Labels are read for the page
// alone. Memory is bounded by the page, not by how many there are.
func (k *Keeper) List(ctx context.Context, in ListInput) (Page, error) {
	var page Page
	err := k.store.View(ctx, func(tx store.ReadTx) error {
		page = Page{}
		q := in.Query
		q.Limit++ // one more tells whether a page follows
		for {
			chunk, err := tx.ListSecrets(q)
			if err != nil {
				return fmt.Errorf("list secrets: %w", err)
			}
			for _, s := range chunk {
				if in.Keep != nil && !in.Keep(s) {
					continue
				}
				if page.More = len(page.Secrets) == in.Query.Limit; page.More {
					return nil
				}
				d, err := describe(tx, s)
				if err != nil {
					return err
				}
				page.Secrets = append(page.Secrets, d)
			}
			if len(chunk) < q.Limit {
				return nil
			}
			q.After, q.Limit = chunk[len(chunk)-1], listChunk
		}
	})
	return page, err
}

// ListVersions reads all Versions of a Secret, those without a label too.
// Errors: a Refusal of kind ErrNotFound.
func (k *Keeper) ListVersions(ctx context.Context, ref Ref) (VersionList, error) {
	var out VersionList
	err := k.store.View(ctx, func(tx store.ReadTx) error {
		s, err := find(tx, ref)
		if err != nil {
			return err
		}
		d, err := describe(tx, s)
		if err != nil {
			return err
		}
		out = VersionList{Secret: s, Stages: d.Stages}
		if out.Versions, err = tx.Versions(s.ID); err != nil {
			return fmt.Errorf("read versions: %w", err)
		}
		return nil
	})
	return out, err
}
