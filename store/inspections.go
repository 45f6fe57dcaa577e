package store

import (
	"time"

	"lockstep"
)

// Inspection looks at the target of every Secret of an owner that rotates:
// whether AWSCURRENT logs in, and no retired Version does. Each Secret has a Look.
type Inspection struct {
	ID      string
	Owner   Owner
	By      string
	Created time.Time
	// Expanded is true once every Secret has its Look; After is the last Secret
	// that has one.
	Expanded bool
	After    lockstep.SecretID
	// Active is true until the last Look is answered.
	Active bool
	// Total is how many Looks there are so far, Answered how many have an answer,
	// and the others how many of those have that verdict.
	Total, Answered, Excused, Broken, Unseen int
}

// LookState is how far a Look is.
type LookState string

// The states of a Look. One that is asked has a Job.
const (
	LookWaiting  LookState = "waiting"
	LookAsked    LookState = "asked"
	LookAnswered LookState = "answered"
)

// LookVerdict is what a Look came to.
type LookVerdict string

// The verdicts of a Look.
const (
	// LookSound: everything holds.
	LookSound LookVerdict = "sound"
	// LookExcused: what was seen holds, and AWSCURRENT need not log in at present.
	LookExcused LookVerdict = "excused"
	// LookBroken: AWSCURRENT is refused, or a retired Version logs in.
	LookBroken LookVerdict = "broken"
	// LookUnseen: the target gave no verdict.
	LookUnseen LookVerdict = "unseen"
)

// Look is an Inspection's look at the target of one Secret.
type Look struct {
	Inspection string
	Secret     lockstep.SecretID
	Account    lockstep.AccountID
	Region     lockstep.Region
	Name       string
	ARN        lockstep.ARN
	Rotator    string
	Target     lockstep.TargetKey
	State      LookState
	// Tries is how often a worker was asked.
	Tries   int
	Verdict LookVerdict
	// Found is what is wrong, or why nothing can be said.
	Found []Violation
}

// InspectionReader reads Inspections.
type InspectionReader interface {
	// Inspection reads one. ErrNotFound.
	Inspection(id string) (*Inspection, error)
	// ActiveInspection reads the oldest active one of an owner. ErrNotFound.
	ActiveInspection(owner Owner) (*Inspection, error)
	// Look reads one. ErrNotFound.
	Look(inspection string, secret lockstep.SecretID) (Look, error)
	// LooksFound lists up to limit Looks that are broken or unseen, above a
	// Secret's number.
	LooksFound(inspection string, after lockstep.SecretID, limit int) ([]Look, error)
}

// InspectionWriter changes them.
type InspectionWriter interface {
	// InsertInspection stores a new one and wakes the scheduler.
	InsertInspection(i *Inspection) error
	// WorkingInspection locks and reads the oldest that is active, unless another
	// transaction has it. ErrNotFound.
	WorkingInspection() (*Inspection, error)
	// ExpandInspection makes Looks of the next Secrets, going through up to limit
	// of all there are, and moves After and Expanded.
	ExpandInspection(i *Inspection, limit int) error
	// EndInspection makes it inactive if every Look is answered, and tells whether
	// it did.
	EndInspection(i *Inspection) (ended bool, err error)
	// WaitingLooks lists up to limit Looks that wait and whose rotator and target
	// are not full, by the Secret's number.
	WaitingLooks(inspection string, full FullList, limit int) ([]Look, error)
	// LostLooks lists up to limit Looks that were asked for before a time and have
	// no answer, the earliest first.
	LostLooks(before time.Time, limit int) ([]Look, error)
	// AskLook makes a Look asked, now, and counts the try.
	AskLook(l Look) error
	// AnswerLook writes Verdict and Found, counts them, and wakes the scheduler;
	// a Look that is answered already, or gone, is left alone.
	AnswerLook(l Look) error
	// DeleteInspectionsBefore forgets the Inspections made before t.
	DeleteInspectionsBefore(t time.Time) error
}
