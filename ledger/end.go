package ledger

import (
	"fmt"
	"time"

	"lockstep"
	"lockstep/schedule"
)

// farFuture stands for "when a person says so" in a retirement's time.
var farFuture = time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)

// storedScheduleInterval lets a schedule that was accepted when it was set be
// read on a server that has since become stricter.
const storedScheduleInterval = time.Millisecond

// KeptVersions and KeptFor bound how many Versions without a label a Secret
// keeps: the hundred youngest, and beyond them whatever is younger than a day,
// as AWS does; a Secret that rotates every few seconds keeps the hundred
// youngest alone.
const (
	KeptVersions = 100
	KeptFor      = 24 * time.Hour
)

// Stop asks an open Run to end without finishing. If no worker has touched the
// target it ends here; otherwise the request is written down and a Job is
// published, so that a worker undoes what may have been done.
func (b *Book) Stop(run *lockstep.Run, kind lockstep.StopKind, reason string) error {
	slot, err := b.tx.Slot(b.Secret.ID)
	if err != nil {
		return fmt.Errorf("read slot: %w", err)
	}
	held := slot.Holder != "" && slot.Expires.After(b.Now)
	if run.Stop == lockstep.StopNone {
		run.Stop, run.StopReason = kind, reason
	}
	if !run.State.TargetTouched() && !held {
		return b.endStopped(run, nil)
	}
	if !held {
		run.RetryAt = time.Time{}
	}
	if err := b.PublishRun(run, time.Time{}); err != nil {
		return err
	}
	if err := b.tx.SaveRun(run, nil); err != nil {
		return fmt.Errorf("save run: %w", err)
	}
	return nil
}

// End writes the end of a Run that did not finish, by the worker that holds
// its lease: state failed or cancelled by the Run's stop request.
func (b *Book) End(run *lockstep.Run, lease lockstep.Lease, next lockstep.RunState) error {
	run.State = next
	return b.end(run, &lease, endEvent(next))
}

func (b *Book) endStopped(run *lockstep.Run, lease *lockstep.Lease) error {
	next, err := lockstep.Transition(run.State, lockstep.SignalStop, lockstep.Facts{Traits: b.traits, Stop: run.Stop})
	if err != nil {
		return err
	}
	run.State = next
	return b.end(run, lease, endEvent(next))
}

func endEvent(s lockstep.RunState) lockstep.EventType {
	switch s {
	case lockstep.RunCancelled:
		return lockstep.EventRunCancelled
	case lockstep.RunLost:
		return lockstep.EventRunLost
	case lockstep.RunSucceeded:
		return lockstep.EventRunSucceeded
	default:
		return lockstep.EventRunFailed
	}
}

// end makes a Run final: AWSPENDING leaves its Version, refused values go, the
// Event is written, old Versions are pruned.
func (b *Book) end(run *lockstep.Run, lease *lockstep.Lease, event lockstep.EventType) error {
	run.Finished, run.RetryAt = b.Now, time.Time{}
	if run.Reason == "" {
		run.Reason = run.StopReason
	}
	if run.State == lockstep.RunSucceeded {
		run.Reason, run.Hint = "", ""
	}
	if err := b.tx.SaveRun(run, lease); err != nil {
		return fmt.Errorf("save run: %w", err)
	}
	if err := b.leave(run); err != nil {
		return err
	}
	if run.State != lockstep.RunLost { // whose Version waits for its deposit
		b.dropPending(run)
	}
	if err := b.endIntents(run); err != nil {
		return err
	}
	if run.State != lockstep.RunSucceeded || run.Attempts > 0 { // each refused value is an attempt
		if err := b.tx.DropRefused(b.Secret.ID, run.Version); err != nil {
			return fmt.Errorf("drop refused values: %w", err)
		}
	}
	if err := b.dropEmpty(run); err != nil {
		return err
	}
	b.Secret.Touch(b.Now)
	err := b.Emit(event, lockstep.EventData{
		VersionID: run.Version, Run: run.ID, Trigger: run.Trigger, State: run.State,
		Attempt: run.Attempts, Reason: run.Reason, Hint: run.Hint,
	})
	if err != nil {
		return err
	}
	return b.prune()
}

// leave gives a Run's place to another. One that succeeded does not wait for one.
func (b *Book) leave(run *lockstep.Run) error {
	if err := b.tx.LeavePlace(run.ID); err != nil {
		return fmt.Errorf("leave the run's place: %w", err)
	}
	if run.State == lockstep.RunSucceeded {
		return nil
	}
	b.hurry()
	if err := b.hurryExpiring(); err != nil {
		return err
	}
	if err := b.tx.LeaveWait(run.ID); err != nil {
		return fmt.Errorf("stop waiting: %w", err)
	}
	return nil
}

// hurryAfter is how soon after a failure a credential that gets too old is tried
// again.
const hurryAfter = 10 * time.Minute

// hurry moves the next date forward after a failure, so that a credential with a
// maximum age is tried again before it gets too old, or soon after.
func (b *Book) hurry() {
	s := b.Secret
	if !s.RotationEnabled() || s.Rotation.Schedule.MaxAge <= 0 || s.LastRotated.IsZero() {
		return
	}
	latest := s.LastRotated.Add(s.Rotation.Schedule.MaxAge - AgeMargin(s.Rotation))
	if soonest := b.Now.Add(hurryAfter); latest.Before(soonest) {
		latest = soonest
	}
	if s.NextRotation.IsZero() || s.NextRotation.After(latest) {
		s.NextRotation = latest
	}
}

// hurryExpiring moves the next date forward after a failure, so that a value that
// dies by itself is renewed before, or soon after.
func (b *Book) hurryExpiring() error {
	if err := b.PlanRenewal(); err != nil || b.traits.Chooser != lockstep.Issued {
		return err
	}
	if soonest := b.Now.Add(hurryAfter); b.Secret.NextRotation.Equal(b.Now) {
		b.Secret.NextRotation = soonest // it has died already
	}
	return nil
}

// AgeMargin is how long before its credential gets too old a Rotation begins.
func AgeMargin(r *lockstep.Rotation) time.Duration {
	return min(r.Deadline(), r.Schedule.MaxAge/10)
}

// dropPending takes AWSPENDING off a Run's Version.
func (b *Book) dropPending(run *lockstep.Run) {
	if b.Stages[lockstep.Pending] == run.Version {
		delete(b.Stages, lockstep.Pending)
	}
}

// dropEmpty removes the Version of a Run that ended before it had a value, and
// that of a test, whose value was AWSCURRENT's: it names nothing of its own.
func (b *Book) dropEmpty(run *lockstep.Run) error {
	if run.State == lockstep.RunLost || run.State == lockstep.RunSucceeded && !run.TestOnly {
		return nil // it waits for its deposit; or finish has seen the value
	}
	v, err := b.tx.Version(b.Secret.ID, run.Version)
	if err != nil {
		return fmt.Errorf("read version: %w", err)
	}
	valued := v.Sealed != nil && !run.TestOnly
	if valued || v.MaybeLive || len(b.Stages.Of(v.ID)) > 0 {
		return nil
	}
	if err := b.saveStages(); err != nil {
		return err
	}
	if err := b.tx.DeleteVersion(b.Secret.ID, v.ID); err != nil {
		return fmt.Errorf("delete empty version: %w", err)
	}
	return nil
}

// Prune removes old Versions without a label, as KeptVersions and KeptFor say.
func (b *Book) Prune() error { return b.prune() }

func (b *Book) prune() error {
	if err := b.saveStages(); err != nil {
		return err
	}
	newest := b.Now.Add(-KeptFor)
	if b.Secret.RotationEnabled() {
		newest = b.Now
	}
	if _, err := b.tx.PruneVersions(b.Secret.ID, KeptVersions, newest); err != nil {
		return fmt.Errorf("prune versions: %w", err)
	}
	return nil
}

// advanceFromRotation recomputes NextRotation where the schedule counts from
// the last rotation (AutomaticallyAfterDays); a grid stays as it is.
func (b *Book) advanceFromRotation() error {
	s := b.Secret
	if !s.RotationEnabled() || s.Rotation.Schedule.AfterDays == 0 {
		return nil
	}
	s.Rotation.Schedule.Anchor = b.Now
	sched, err := ParseStored(s)
	if err != nil {
		return err
	}
	s.NextRotation = sched.Next(b.Now)
	if age := s.Rotation.Schedule.MaxAge; age > 0 {
		if latest := b.Now.Add(age - AgeMargin(s.Rotation)); latest.Before(s.NextRotation) {
			s.NextRotation = latest
		}
	}
	return nil
}

// ParseStored reads the schedule of a Secret that has one. It accepts what was
// accepted when it was set.
func ParseStored(s *lockstep.Secret) (*schedule.Schedule, error) {
	sched, err := ParseSchedule(s.Rotation.Schedule, s.ARN, storedScheduleInterval)
	if err != nil {
		return nil, fmt.Errorf("stored schedule of %s: %w", s.Name, err)
	}
	return sched, nil
}

// ParseSchedule checks a schedule as a user set it against the shortest
// interval that the server allows. Errors are ErrInvalid and say what works.
func ParseSchedule(in lockstep.Schedule, arn lockstep.ARN, minInterval time.Duration) (*schedule.Schedule, error) {
	spec, err := schedule.SpecOf(in)
	if err != nil {
		return nil, err
	}
	if _, err := schedule.ParseCatchUp(in.CatchUp); err != nil {
		return nil, err
	}
	return schedule.Parse(spec, schedule.Options{MinInterval: minInterval, Key: string(arn)})
}
