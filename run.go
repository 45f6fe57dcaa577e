package lockstep

import "time"

// Step is one of the four steps of a Run, or retire, which follows them.
type Step string

// The steps.
const (
	StepCreate Step = "create"
	StepSet    Step = "set"
	StepTest   Step = "test"
	StepFinish Step = "finish"
	StepUndo   Step = "undo"
	StepRetire Step = "retire"
	StepVerify Step = "verify"
)

// Trigger says why a Run exists.
type Trigger string

// The triggers, in rising order of urgency.
const (
	TriggerSchedule  Trigger = "schedule"
	TriggerManual    Trigger = "manual"
	TriggerEmergency Trigger = "emergency"
)

// The triggers of trials of a custom rotator: a Run in which it is called as it
// must bear to be called, else like one by hand.
const (
	// TriggerTwice: each step is called again after it has succeeded.
	TriggerTwice Trigger = "trial-twice"
	// TriggerCut: the first call of each step is cut off, or its answer lost, and
	// the step is called again by a later claim.
	TriggerCut Trigger = "trial-cut"
)

// Run is one execution of a Rotation; it owns one pending Version. What state
// may follow which is said by [Transition] alone.
type Run struct {
	ID      RunID
	Secret  SecretID
	Version VersionID
	// Base is the Version that had AWSCURRENT when the value was created.
	Base    VersionID
	State   RunState
	Trigger Trigger
	// TestOnly marks the Run of RotateImmediately=false: it tests AWSCURRENT
	// and changes nothing.
	TestOnly bool
	// Attempts counts the calls to the target that failed.
	Attempts int
	// RetryAt is when the next try is due; zero for now.
	RetryAt time.Time
	// Deadline ends the Run: past it, it rolls back. Set by the first claim.
	Deadline time.Time
	// Stop asks the Run to end without finishing; StopReason says why. A
	// holder sees it before its next write.
	Stop       StopKind
	StopReason string
	// UndoUntil bounds the roll-back; set when the Run enters undo.
	UndoUntil time.Time
	// Doubt is true while a call to the target may have been applied without
	// our knowing; the next claim raises the marker and probes.
	Doubt bool
	// JobSeq numbers the publications of this Run's Job.
	JobSeq int
	// Reason is why the Run waits, retries or failed, in the target's words.
	// Hint is the next step for a person.
	Reason string
	Hint   string

	Created  time.Time
	Started  time.Time
	Finished time.Time
}

// StopKind says how a stopped Run ends.
type StopKind string

// The kinds of stop.
const (
	StopNone       StopKind = ""
	StopCancelled  StopKind = "cancelled"
	StopSuperseded StopKind = "superseded"
	StopFailed     StopKind = "failed"
	// StopDiscarded marks a Run that was over without success as dealt with by
	// a person; it stops nothing.
	StopDiscarded StopKind = "discarded"
)

// StepRecord is one attempt at one Step in a Run's history. A record without
// an end is a Step that was begun and whose worker has not come back.
type StepRecord struct {
	Run     RunID
	Seq     int
	Step    Step
	Attempt int
	// Holder names the worker.
	Holder  string
	Started time.Time
	Ended   time.Time
	// OK is true if the Step succeeded.
	OK      bool
	Outcome Outcome
	// Error is the target's words, Hint the next step; never a value.
	Error string
	Hint  string
}

// Slot is the right to act on the target of one Secret. Runs, retirements and
// verify Jobs all claim it: one of them at a time.
type Slot struct {
	Secret SecretID
	// Fence grows with each claim and never resets.
	Fence   uint64
	Holder  string
	Expires time.Time
	// Beat grows with each extension.
	Beat uint64
}

// Lease is a claim of a Slot. Each write of a Run carries it and is refused
// once the Slot has a higher fence, another holder, or has expired.
type Lease struct {
	Secret SecretID
	Fence  uint64
	Holder string
	// Expires is by the store's clock.
	Expires time.Time
}
