package runs

import (
	"context"

	"lockstep"
	"lockstep/keeper"
	"lockstep/store"
)

// Trial starts a Run in which a custom rotator is called as it must bear to be
// called: kind is lockstep.TriggerTwice or TriggerCut. It is a rotation like any
// other, and leaves a new AWSCURRENT.
// Errors: as Rotate; Refusals of kind ErrInvalid (an unknown kind) and ErrState
// (the Secret's rotator is not a custom one).
func (s *Service) Trial(ctx context.Context, ref keeper.Ref, kind lockstep.Trigger) (RotateOutput, error) {
	if kind != lockstep.TriggerTwice && kind != lockstep.TriggerCut {
		return RotateOutput{}, lockstep.Refuse(lockstep.ErrInvalid, "%q is no trial; there are %s and %s.", string(kind), lockstep.TriggerTwice, lockstep.TriggerCut)
	}
	err := s.store.View(ctx, func(tx store.ReadTx) error {
		secret, err := keeper.FindLive(tx, ref)
		if err == nil && (!secret.RotationEnabled() || !secret.Rotation.Custom) {
			err = lockstep.Refuse(lockstep.ErrState, "Secret %s is not rotated by a rotator of your own, which alone is tried this way.", secret.Name)
		}
		return err
	})
	if err != nil {
		return RotateOutput{}, err
	}
	token, err := lockstep.NewVersionID()
	if err != nil {
		return RotateOutput{}, err
	}
	return s.Rotate(ctx, ref, RotateInput{Token: token, Trigger: kind})
}
