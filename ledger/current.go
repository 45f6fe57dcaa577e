package ledger

import (
	"fmt"
	"time"

	"lockstep"
	"lockstep/store"
)

// MoveCurrent puts AWSCURRENT onto a Version that exists, by hand or by a
// rotation function. If it is the open Run's Version, that is the Run's
// finish; otherwise an open Run is superseded. The Version left is retired by
// policy, and a Secret with a target becomes Unverified: nobody has seen the
// new value log in.
// Errors: a Refusal (ErrState) towards a Version that has no value, or whose
// credential is being or has been removed at the target.
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
	if target.Sealed == nil {
		return noValue(to)
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

func noValue(v lockstep.VersionID) error {
	return lockstep.Refuse(lockstep.ErrState, "You can't move AWSCURRENT to version %s because it has no value yet.", v)
}

// MovePending puts AWSPENDING onto a Version that exists, or with an empty one
// takes it off. If it leaves the open Run's Version, the Run is asked to end;
// the label is off at once, as AWS does it, though the Run may still have to
// undo what it did.
func (b *Book) MovePending(to lockstep.VersionID) error {
	from := b.Stages[lockstep.Pending]
	if from == to {
		return nil
	}
	run, err := b.RunOf(from)
	if err != nil {
		return err
	}
	if to == "" {
		delete(b.Stages, lockstep.Pending)
	} else {
		b.Stages.Place(lockstep.Pending, to)
	}
	if run == nil {
		return nil
	}
	return b.Stop(run, lockstep.StopCancelled, "AWSPENDING was taken off its version by hand")
}

// DoubtCurrent marks a Secret with a target as Unverified, and asks for a
// verify Job. Where rotation is turned off the mark alone is set, since nobody
// acts on the target meanwhile; and for a custom rotator, which has no step that
// tests AWSCURRENT.
func (b *Book) DoubtCurrent() error {
	current := b.Stages[lockstep.Current]
	if !b.targeted() || current == "" {
		return nil
	}
	b.Secret.Unverified = true
	if !b.Secret.RotationEnabled() || b.Secret.Rotation.Custom {
		return nil
	}
	return b.AddJob(store.Job{Kind: store.JobVerify, Version: current})
}

// Finish is the last transition of a Run that the engine carries: the labels,
// LastRotated, the retirement of the Version left, the Events, and the end of
// the Run in one transaction.
// Errors: ErrConflict if the table's guard does not hold, ErrFenced.
func (b *Book) Finish(run *lockstep.Run, lease lockstep.Lease) error {
	return b.finish(run, &lease)
}

// FinishByFunction is Finish by a rotation function that moves AWSCURRENT itself
// in its last step: the same guard, the same writes, and the end of the step in
// the Run's history. Errors: as Finish.
func (b *Book) FinishByFunction(run *lockstep.Run, lease lockstep.Lease) error {
	if run.State != lockstep.RunTested {
		return fmt.Errorf("finish run in state %s: %w", run.State, lockstep.ErrConflict)
	}
	if err := b.finish(run, &lease); err != nil {
		return err
	}
	b.Secret.Unverified = false // its testSecret has just accepted the value
	steps, err := b.tx.Steps(run.ID)
	if err != nil {
		return fmt.Errorf("read steps: %w", err)
	}
	for _, rec := range steps {
		if rec.Step != lockstep.StepFinish || !rec.Ended.IsZero() {
			continue
		}
		rec.Ended, rec.OK, rec.Outcome = b.Now, true, lockstep.Applied
		if err := b.tx.EndStep(rec); err != nil {
			return fmt.Errorf("end step: %w", err)
		}
	}
	return nil
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
		return noValue(run.Version)
	}
	b.dropPending(run) // before the Event shows where the labels stand
	if err := b.shift(target, run.ID); err != nil {
		return err
	}
	if err := b.settleTarget(run, target); err != nil {
		return err
	}
	b.Secret.LastRotated = b.Now
	run.State = next
	return b.end(run, lease, lockstep.EventRunSucceeded)
}

// settleTarget draws the conclusions of a finish about what the target accepts.
// A hand may finish a Run before the target is known to have the new value:
// then the old one may be what it accepts, and a verify Job says.
func (b *Book) settleTarget(run *lockstep.Run, target *lockstep.Version) error {
	if run.State == lockstep.RunSet || run.State == lockstep.RunTested {
		if err := b.dropOverwritten(run, target); err != nil {
			return err
		}
	}
	if run.State == lockstep.RunTested {
		return nil
	}
	return b.DoubtCurrent()
}

// shift moves AWSCURRENT onto target and does what every such move brings:
// the retirement of the Version left, the next date, the Event.
func (b *Book) shift(target *lockstep.Version, run lockstep.RunID) error {
	left := b.Stages[lockstep.Current]
	b.Stages.Place(lockstep.Current, target.ID)
	b.Secret.AdminRef = target.AdminRef
	if b.targeted() {
		if err := b.enliven(target); err != nil {
			return err
		}
		if err := b.openRetirement(left); err != nil {
			return err
		}
	}
	if err := b.advanceFromRotation(); err != nil {
		return err
	}
	b.renewInTime(target)
	b.Secret.Touch(b.Now)
	return b.Emit(lockstep.EventVersionCurrent, lockstep.EventData{
		VersionID: target.ID, Previous: left, Stages: b.stageData(), Run: run,
	})
}

// enliven writes down that the target accepts a Version, which the caller has
// just read.
func (b *Book) enliven(v *lockstep.Version) error {
	if v.MaybeLive && v.Retirement == lockstep.RetirementNone {
		return nil
	}
	v.MaybeLive, v.Retirement = true, lockstep.RetirementNone
	if err := b.tx.SaveVersion(v); err != nil {
		return fmt.Errorf("save version: %w", err)
	}
	return nil
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
	return b.RetireByPolicy(v)
}

// RetireByPolicy puts the retirement of a Version under the Secret's present
// policy, from now on.
func (b *Book) RetireByPolicy(v *lockstep.Version) error {
	policy := b.Secret.Rotation.Retirement
	v.RetireAt, v.RetireRetryAt = time.Time{}, time.Time{}
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
	return b.AskRetirement(v, v.RetireAt)
}

// dropOverwritten takes out of the maybe-live set what the Run's set has taken
// away at the target: every other value of the same Account, where the Account
// holds one value; where it holds two, all but the Version that AWSCURRENT has
// left. There is nothing left of them to retire; a hand may still put AWSCURRENT
// back onto one, and verify then sets it again. Of issued values that are valid
// side by side, those go that have died by themselves.
func (b *Book) dropOverwritten(run *lockstep.Run, current *lockstep.Version) error {
	two := b.traits.KeepsTwoValues()
	known := current.Account != "" || b.traits.IssuesOne()
	overwrites := known && (two || b.traits.OverwritesOld())
	if !overwrites && b.traits.Chooser != lockstep.Issued {
		return nil
	}
	live, err := b.tx.LiveVersions(b.Secret.ID)
	if err != nil {
		return fmt.Errorf("read live versions: %w", err)
	}
	if !overwrites {
		return b.dropExpired(live)
	}
	for _, v := range live {
		if v.ID == current.ID || v.Account != current.Account || two && v.ID == run.Base {
			continue
		}
		v.MaybeLive = false
		v.Retirement = lockstep.RetirementNone
		if err := b.tx.SaveVersion(v); err != nil {
			return fmt.Errorf("save overwritten version: %w", err)
		}
	}
	return nil
}
