package store

import (
	"time"

	"lockstep"
)

// Place is the right of a Run to be under way: the governor gives so many in
// all, for each rotator and for each target.
type Place struct {
	Run     lockstep.RunID
	Secret  lockstep.SecretID
	Rotator string
	Target  lockstep.TargetKey
}

// Usage is how many Places one rotator has at one target, and how many Looks are
// under way beside them.
type Usage struct {
	Rotator string
	Target  lockstep.TargetKey
	Places  int
	Looks   int
}

// Wait is a Run that has no Place yet.
type Wait struct {
	Place
	// Rank orders the Runs that wait: lower ones go first.
	Rank int
	// Due orders those of one rank: the deadline of the credential; zero for none,
	// which comes last. Where that is the same too, who came first goes first.
	Due time.Time
	// Held is not zero if a Hold keeps the Run back: the generation of Holds by
	// which that was found.
	Held int64
	// Until is when a Hold ends by itself; zero if nobody knows.
	Until time.Time
}

// FullList is what has no Place left: Runs for these stay where they are.
type FullList struct {
	Rotators []string
	Targets  []lockstep.TargetKey
}

// AdmissionReader reads what decides which Runs may be under way.
type AdmissionReader interface {
	// Holds reads all Holds of an owner, by name. There are only a few.
	Holds(owner Owner) ([]*lockstep.Hold, error)
	// RestoresVerified lists the owners who have the pause of a restore
	// (lockstep.HoldRestored) and no Secret any more that it waits for: one
	// that is Unverified, with rotation on and without an open Run, which would
	// see to it.
	RestoresVerified() ([]Owner, error)
	// Usage counts the Places that are taken.
	Usage() ([]Usage, error)
	// HasPlace tells whether a Run has a Place.
	HasPlace(run lockstep.RunID) (bool, error)
	// AdminUsed tells whether a Run uses the credential of an admin Secret.
	AdminUsed(admin lockstep.SecretID) (bool, error)
	// Waiting tells whether any Run waits for a Place.
	Waiting() (bool, error)
	// NextWait is the earliest Until of a Run that waits; zero if none.
	NextWait() (time.Time, error)
}

// AdmissionWriter changes it.
type AdmissionWriter interface {
	// LockAdmission keeps every other caller of it waiting until the transaction
	// ends, and returns the generation of Holds, which grows with each change.
	LockAdmission() (generation int64, err error)
	// TryLockAdmission is LockAdmission that does not wait; false if another
	// transaction has the lock.
	TryLockAdmission() (generation int64, ok bool, err error)
	// SaveHold inserts or replaces a Hold and wakes the scheduler.
	SaveHold(h *lockstep.Hold) error
	// DeleteHold removes one and wakes the scheduler. ErrNotFound.
	DeleteHold(owner Owner, name string) error
	// TakePlace gives a Run a Place and takes it out of those that wait. A Run
	// has one at the most.
	TakePlace(p Place) error
	// LeavePlace takes a Run's Place away, and wakes the scheduler if another
	// waits for one.
	LeavePlace(run lockstep.RunID) error
	// UseAdmin notes on a Run's Place that it uses the credential of an admin
	// Secret, until it leaves the Place.
	UseAdmin(run lockstep.RunID, admin lockstep.SecretID) error
	// SaveWait puts a Run among those that wait, or changes how it does, and wakes
	// the scheduler.
	SaveWait(w Wait) error
	// LeaveWait takes a Run out of those that wait.
	LeaveWait(run lockstep.RunID) error
	// HeldWaits lists up to limit Runs that a Hold kept back by an older
	// generation of Holds, or until a time that has come.
	HeldWaits(generation int64, limit int) ([]Wait, error)
	// NextWaits lists up to limit Runs that no Hold keeps back and whose rotator
	// and target are not full, in the order in which they go.
	NextWaits(full FullList, limit int) ([]Wait, error)
}
