package ledger

import (
	"fmt"
	"slices"

	"lockstep"
)

// tellReplicas marks a primary, so that its replicas are brought up to date
// after the transaction. Whatever closes a Book does it, so no change of a
// primary, by a hand or a rotation, is missed.
func (b *Book) tellReplicas() error {
	if len(b.Secret.Replicas) == 0 {
		return nil
	}
	if err := b.tx.MarkReplication(b.Secret.ID); err != nil {
		return fmt.Errorf("mark replication: %w", err)
	}
	return nil
}

// Mirror makes a replica's attributes and labels those of its primary. The
// Versions that the labels stand on are there already. If AWSCURRENT moves, its
// Event is written. A replica keeps what is its own: region, ARN, master key.
func (b *Book) Mirror(primary *lockstep.Secret, stages lockstep.Stages) error {
	s := b.Secret
	changed := assign(&s.Description, primary.Description)
	changed = assign(&s.Type, primary.Type) || changed
	changed = assign(&s.ResourcePolicy, primary.ResourcePolicy) || changed
	if !slices.Equal(s.Tags, primary.Tags) || (s.Tags == nil) != (primary.Tags == nil) {
		s.Tags, changed = slices.Clone(primary.Tags), true
	}
	if !s.LastRotated.Equal(primary.LastRotated) {
		s.LastRotated, changed = primary.LastRotated, true
	}
	left := b.Stages[lockstep.Current]
	b.Stages = stages.Clone()
	if err := b.saveStages(); err != nil {
		return err
	}
	now := b.Stages[lockstep.Current]
	if now == left || now == "" {
		if changed {
			s.Touch(b.Now)
		}
		return nil
	}
	s.Touch(b.Now)
	return b.Emit(lockstep.EventVersionCurrent, lockstep.EventData{
		VersionID: now, Previous: left, Stages: b.stageData(),
	})
}

// assign tells whether it changed the field.
func assign(field *string, to string) bool {
	if *field == to {
		return false
	}
	*field = to
	return true
}
