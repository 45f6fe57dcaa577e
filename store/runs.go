package store

import (
	"time"

	"lockstep"
)

// RunReader reads Runs, their history, and Slots.
type RunReader interface {
	// Run reads one. ErrNotFound.
	Run(id lockstep.RunID) (*lockstep.Run, error)
	// OpenRun reads the Run of a Secret that is not final (ONE-RUN: at most
	// one). ErrNotFound.
	OpenRun(secret lockstep.SecretID) (*lockstep.Run, error)
	// LastRun reads the newest Run of a Secret, open or not. ErrNotFound.
	LastRun(secret lockstep.SecretID) (*lockstep.Run, error)
	// Runs reads one page, newest first.
	Runs(q RunQuery) ([]*lockstep.Run, error)
	// Steps reads the history of a Run in order.
	Steps(run lockstep.RunID) ([]lockstep.StepRecord, error)
	// Slot reads the slot of a Secret. ErrNotFound.
	Slot(secret lockstep.SecretID) (lockstep.Slot, error)
	// StrandedRuns lists up to limit open Runs whose RetryAt has passed, whose
	// Secret has no live lease, and which have no Job in the outbox: reconcile
	// publishes a Job for each.
	StrandedRuns(limit int) ([]*lockstep.Run, error)
	// Plan reads a dry run. ErrNotFound.
	Plan(id string) (*Plan, error)
	// OpenPlan reads the newest question of a kind about a Secret that was asked at
	// or after since and that no worker has answered. ErrNotFound.
	OpenPlan(secret lockstep.SecretID, kind JobKind, since time.Time) (*Plan, error)
	// Violations runs the checks of ROTATION-PROTOCOL.md section 10 that can
	// be told from rows alone on the next limit Secrets above a number, and lists
	// what breaks them. Last is where the next page begins; zero if this was the
	// last one.
	Violations(after lockstep.SecretID, limit int) (found []Violation, last lockstep.SecretID, err error)
}

// RunQuery selects a page of Runs.
type RunQuery struct {
	Owner Owner
	// Secret limits it to one Secret; zero for all of the owner.
	Secret lockstep.SecretID
	// Open limits it to Runs that are not final.
	Open bool
	// Failed limits it to Runs that failed or are lost and that nobody has
	// discarded.
	Failed bool
	// States limits it to these states; empty for all.
	States []lockstep.RunState
	// Before is the last Run of the page before; empty for the first page.
	Before lockstep.RunID
	// Limit is the page size; zero means 50.
	Limit int
}

// RunWriter changes Runs. A write that carries a lease is refused with
// ErrFenced unless the lease still holds by the store's clock.
type RunWriter interface {
	// InsertRun stores a new Run. ErrConflict if the Secret has an open one.
	InsertRun(r *lockstep.Run) error
	// SaveRun writes every field of a Run. With a lease, it stands in the
	// WHERE of the write; without one (nil), the write is allowed only for a
	// change that no holder can race with: the caller holds LockSecret and has
	// seen that no lease is live, or changes nothing but the stop request.
	// ErrFenced, ErrNotFound.
	SaveRun(r *lockstep.Run, lease *lockstep.Lease) error
	// BeginStep adds a record to the history and returns its number. A Step that
	// has ended already is added as it is.
	BeginStep(rec lockstep.StepRecord) (seq int, err error)
	// EndStep completes it: Ended, OK, Outcome, Error, Hint. ErrNotFound.
	EndStep(rec lockstep.StepRecord) error
	// SavePlan inserts or replaces a dry run.
	SavePlan(p *Plan) error
	// DeletePlansBefore forgets the dry runs made before t.
	DeletePlansBefore(t time.Time) error
}

// SlotWriter changes Slots.
type SlotWriter interface {
	// ClaimSlot takes a free slot: fence+1, expires = now + length. ErrBusy if
	// it is held and has not expired.
	ClaimSlot(secret lockstep.SecretID, holder string, length time.Duration) (lockstep.Lease, error)
	// BreakSlot takes a slot that the caller has watched unchanged (same fence
	// and beat) for twice the lease, though it has not expired by the store's
	// clock, which may have stepped back. ErrBusy if it changed.
	BreakSlot(seen lockstep.Slot, holder string, length time.Duration) (lockstep.Lease, error)
	// ExtendSlot moves the expiry to now + length, never earlier, and counts
	// the beat. It returns the lease as it now is. ErrFenced.
	ExtendSlot(l lockstep.Lease, length time.Duration) (lockstep.Lease, error)
	// GuardSlot refuses with ErrFenced unless the lease still holds; it also
	// locks the slot until the transaction ends.
	GuardSlot(l lockstep.Lease) error
	// LockHeld is LockSecret of the lease's Secret and GuardSlot in one.
	// ErrFenced unless the lease still holds; ErrNotFound if there is no such
	// Secret.
	LockHeld(l lockstep.Lease) (*lockstep.Secret, error)
	// RaiseFence sets the fence of a held slot to at least min and returns the
	// lease with it: after a restore the target's marker may be higher.
	// ErrFenced.
	RaiseFence(l lockstep.Lease, min uint64) (lockstep.Lease, error)
	// ReleaseSlot frees the slot, and makes the Jobs due that await it; releasing
	// one that was lost does nothing.
	ReleaseSlot(l lockstep.Lease) error
}

// Plan is a question that a person asks and a worker answers: a dry run, or who
// uses the Secret's credentials.
type Plan struct {
	ID      string
	Secret  lockstep.SecretID
	Created time.Time
	// Done is false until a worker has answered.
	Done bool
	// Actions is what a Run would do, in order. Problems is what would make it
	// fail; empty means ready.
	Actions  []string
	Problems []PlanProblem
	// Kind is JobPlan, the default, or JobSessions.
	Kind JobKind
	// Sessions answers one of kind JobSessions.
	Sessions []PlanSession
	// Error is set if the plan could not be made at all.
	Error string
}

// PlanSession is what a target says about who uses a credential: all sessions of
// one application from one address.
type PlanSession struct {
	// Old tells that they use an older credential than AWSCURRENT's.
	Old bool `json:"old"`
	// User is who they are logged in as at the target.
	User        string `json:"user"`
	Address     string `json:"address,omitempty"`
	Application string `json:"application,omitempty"`
	// Since is when the oldest logged in; absent if the target does not say.
	Since *time.Time `json:"since,omitempty"`
	Count int        `json:"count"`
	// Certain is false if they may use another credential of the same account.
	Certain bool `json:"certain"`
}

// PlanProblem is one thing that would make a Run fail.
type PlanProblem struct {
	Step    lockstep.Step `json:"step"`
	Problem string        `json:"problem"`
	Hint    string        `json:"hint,omitempty"`
}

// Violation is a broken invariant.
type Violation struct {
	// Rule names it, for example "one-current".
	Rule   string       `json:"rule"`
	ARN    lockstep.ARN `json:"arn,omitempty"`
	Detail string       `json:"detail"`
}
