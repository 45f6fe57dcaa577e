package runs

import (
	"context"
	"errors"
	"fmt"

	"lockstep"
	"lockstep/store"
)

// The rules that a Look at a target checks.
const (
	// RuleCurrent: AWSCURRENT logs in.
	RuleCurrent = "current-logs-in"
	// RuleRetired: no retired Version logs in.
	RuleRetired = "retired-refused"
	// RuleUnseen: the target gave a verdict.
	RuleUnseen = "target-seen"
)

// Scene is what a Look goes by. What was seen at a target between two equal Scenes
// was seen while nobody acted there.
type Scene struct {
	Current lockstep.VersionID
	// Fence is that of the last claim.
	Fence uint64
	// Retired are the Versions whose credential was removed at the target.
	Retired int
	// Excuse is why AWSCURRENT need not log in now; empty if it has to.
	Excuse string
}

// Scene reads what a Look at a Secret's target goes by.
// Errors: ErrEnded: the Look is answered, or its Secret is no longer rotated.
func (s *Service) Scene(ctx context.Context, inspection string, id lockstep.SecretID) (Scene, error) {
	var out Scene
	err := s.store.View(ctx, func(tx store.ReadTx) error {
		out = Scene{}
		l, err := tx.Look(inspection, id)
		if err != nil {
			return endedIfGone(err)
		}
		if l.State == store.LookAnswered {
			return ErrEnded
		}
		secret, err := tx.Secret(id)
		if err != nil {
			return endedIfGone(err)
		}
		out, err = s.sceneOf(tx, secret)
		return err
	})
	return out, err
}

func endedIfGone(err error) error {
	if errors.Is(err, lockstep.ErrNotFound) {
		return ErrEnded
	}
	return err
}

func (s *Service) sceneOf(tx store.ReadTx, secret *lockstep.Secret) (Scene, error) {
	stages, err := tx.Stages(secret.ID)
	if err != nil {
		return Scene{}, fmt.Errorf("read labels: %w", err)
	}
	slot, err := tx.Slot(secret.ID)
	if err != nil {
		return Scene{}, fmt.Errorf("read slot: %w", err)
	}
	versions, err := tx.Versions(secret.ID)
	if err != nil {
		return Scene{}, fmt.Errorf("read versions: %w", err)
	}
	out := Scene{Current: stages[lockstep.Current], Fence: slot.Fence}
	for _, v := range versions {
		if v.Retirement == lockstep.RetirementRetired {
			out.Retired++
		}
	}
	out.Excuse, err = s.excuse(tx, secret)
	return out, err
}

// excuse is why AWSCURRENT need not log in at present.
func (s *Service) excuse(tx store.ReadTx, secret *lockstep.Secret) (string, error) {
	traits, err := s.traits(secret)
	switch {
	case err != nil:
		return "", err
	case !secret.RotationEnabled() || secret.Deleted():
		return "it is not rotated", nil
	case traits.Chooser == lockstep.ValueOnly:
		return "it has no target", nil
	case secret.Unverified:
		return "it is unverified", nil
	}
	run, err := tx.OpenRun(secret.ID)
	if errors.Is(err, lockstep.ErrNotFound) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("read open run: %w", err)
	}
	if traits.Overlap == lockstep.OneValue && run.State.TargetTouched() {
		return "run " + string(run.ID) + " is at its target", nil
	}
	return "", nil
}

// AnswerLook stores what a worker saw.
func (s *Service) AnswerLook(ctx context.Context, l store.Look) error {
	return s.store.Update(ctx, func(tx store.Tx) error { return tx.AnswerLook(l) })
}
