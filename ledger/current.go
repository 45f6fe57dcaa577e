package ledger

import (
	"fmt"

	"lockstep"
	"lockstep/store"
)

// MoveCurrent puts AWSCURRENT onto a Version that exists, by hand or by a
// rotation function. If it is the open Run's Version, that is the Run's
// finish; otherwise an open Run is superseded. The Version left is retired by
// policy, and a Secret with a target becomes Unverified: nobody has seen the
// new value log in.
// Errors: a Refusal (ErrState) towards a Version whose credential is being or
// has been removed at the target.
func (b *Book) MoveCurrent(to lockstep.VersionID) error {
	if b.Stages[lockstep.Current] == to {
		return nil
	}
	run, err := b.OpenRun()
	if err != nil {
		return err
	}
	if run != nil && run.Version == to {
		return b.finish(run, nil)
	}
	target, err := b.tx.Version(b.Secret.ID, to)
	if err != nil {
		return fmt.Errorf("read version: %w", err)
	}
	if target.Retirement == lockstep.RetirementRetiring || target.Retirement == lockstep.RetirementRetired {
		return lockstep.Refuse(lockstep.ErrState,
			"You can't move AWSCURRENT to version %s because its credential was removed at the target (%s). Rotate the secret to get a new one.", to, target.Retirement)
	}
	if err := b.shift(target, ""); err != nil {
		return err
	}
	if err := b.DoubtCurrent(); err != nil {
		return err
	}
	if run == nil {
		return nil
	}
	return b.Stop(run, lockstep.StopSuperseded, "AWSCURRENT was moved to another version by hand")
}

// DoubtCurrent marks a Secret with a target as Unverified, and asks for a
// verify Job.
func (b *Book) DoubtCurrent() error {
	current := b.Stages[lockstep.Current]
	if !b.targeted() || current == "" {
		return nil
	}
	b.Secret.Unverified = true
	return b.AddJob(store.Job{Kind: store.JobVerify, Version: current})
}

// Finish is the last transition of a Run that the engine carries: the labels,
// LastRotated, the retirement of the Version left, the Events, and the end of
// the Run in one transaction.
// Errors: ErrConflict if the table's guard does not hold, ErrFenced.
func (b *Book) Finish(run *lockstep.Run, lease lockstep.Lease) error {
	return b.finish(run, &lease)
}

func (b *Book) finish(run *lockstep.Run, lease *lockstep.Lease) error {
	next, err := lockstep.Transition(run.State, lockstep.SignalFinish, lockstep.Facts{
		Traits: b.traits, Stop: run.Stop,
		CurrentIsBase: b.Stages[lockstep.Current] == run.Base,
		CurrentIsOurs: lease == nil,
	})
	if err != nil {
		return err
	}
	target, err := b.tx.Version(b.Secret.ID, run.Version)
	if err != nil {
		return fmt.Errorf("read pending version: %w", err)
	}
	if target.Sealed == nil {
		return lockstep.Refuse(lockstep.ErrState, "You can't move AWSCURRENT to version %s because it has no value yet.", run.Version)
	}
	if err := b.shift(target, run.ID); err != nil {
		return err
	}
	if err := b.dropOverwritten(target); err != nil {
		return err
	}
	b.Secret.LastRotated = b.Now
	if lease == nil && run.State != lockstep.RunTested {
		if err := b.DoubtCurrent(); err != nil {
			return err
		}
	}
	run.State = next
	return b.end(run, lease, lockstep.EventRunSucceeded)
}

// shift moves AWSCURRENT onto target and does what every such move brings:
// the retirement of the Version left, the next date, the Event.
func (b *Book) shift(target *lockstep.Version, run lockstep.RunID) error {
	left := b.Stages[lockstep.Current]
	b.Stages.Place(lockstep.Current, target.ID)
	if b.targeted() {
		target.MaybeLive = true
		target.Retirement = lockstep.RetirementNone
		if err := b.tx.SaveVersion(target); err != nil {
			return fmt.Errorf("save version: %w", err)
		}
		if err := b.openRetirement(left); err != nil {
			return err
		}
	}
	if err := b.advanceFromRotation(); err != nil {
		return err
	}
	b.Secret.Touch(b.Now)
	return b.Emit(lockstep.EventVersionCurrent, lockstep.EventData{
		VersionID: target.ID, Previous: left, Stages: b.stageData(), Run: run,
	})
}

// openRetirement gives the Version that AWSCURRENT left its retirement state.
func (b *Book) openRetirement(left lockstep.VersionID) error {
	if left == "" || !b.traits.Retires() {
		return nil
	}
	v, err := b.tx.Version(b.Secret.ID, left)
	if err != nil {
		return fmt.Errorf("read version left: %w", err)
	}
	policy := b.Secret.Rotation.Retirement
	switch policy.After {
	case lockstep.RetireDelay:
		v.Retirement, v.RetireAt = lockstep.RetirementDue, b.Now.Add(policy.Delay)
	case lockstep.RetireManual:
		v.Retirement, v.RetireAt = lockstep.RetirementDue, farFuture
	default:
		v.Retirement = lockstep.RetirementIdle
	}
	v.RetireAttempts, v.RetireReason = 0, ""
	if err := b.tx.SaveVersion(v); err != nil {
		return fmt.Errorf("save version left: %w", err)
	}
	if policy.After != lockstep.RetireDelay {
		return nil
	}
	return b.AddJob(store.Job{Kind: store.JobRetire, Version: v.ID, DueAt: v.RetireAt})
}

// dropOverwritten takes out of the maybe-live set what the new value has
// overwritten at the target: every other value of the same Account, where the
// Account holds one value.
func (b *Book) dropOverwritten(current *lockstep.Version) error {
	if !b.traits.OverwritesOld() || current.Account == "" {
		return nil
	}
	live, err := b.tx.LiveVersions(b.Secret.ID)
	if err != nil {
		return fmt.Errorf("read live versions: %w", err)
	}
	for _, v := range live {
		if v.ID == current.ID || v.Account != current.Account {
			continue
		}
		v.MaybeLive = false
		v.Retirement = lockstep.RetirementRetired
		if err := b.tx.SaveVersion(v); err != nil {
			return fmt.Errorf("save overwritten version: %w", err)
		}
	}
	return nil
}
