package store

import (
	"time"

	"lockstep"
)

// Intent is written before a target is asked to issue a value. Each ends with a
// deposit, the target's word that it issued nothing, a sweep, or a lost Run.
type Intent struct {
	// Marker names it, here and at the target.
	Marker lockstep.Marker
	Secret lockstep.SecretID
	Run    lockstep.RunID
	// Version is the one that the value is for; of a deposit, the one that has it.
	Version lockstep.VersionID
	State   IntentState
	Created time.Time
	// SweepDue is when the target is to be searched for what it may have issued;
	// zero: not, or not any more.
	SweepDue time.Time
	// Attempts counts the searches that failed.
	Attempts int
}

// IntentState is how an Intent stands.
type IntentState string

// The states of an Intent.
const (
	// IntentOpen: the target was, or is about to be, asked, and nobody has heard
	// what came of it.
	IntentOpen IntentState = "open"
	// IntentDeposited: a Version has the value.
	IntentDeposited IntentState = "deposited"
	// IntentRefused: the target certainly issued nothing.
	IntentRefused IntentState = "refused"
	// IntentSwept: given up. What the target issued for it is revoked, now and
	// once more when no call can land any more.
	IntentSwept IntentState = "swept"
	// IntentLost: its Run is lost; nobody knows what the target issued.
	IntentLost IntentState = "lost"
)

// Settled tells whether nothing is left to be done for it.
func (i *Intent) Settled() bool {
	return i.SweepDue.IsZero() && i.State != IntentOpen && i.State != IntentLost
}

// IntentReader reads Intents.
type IntentReader interface {
	// Intent reads one. ErrNotFound.
	Intent(m lockstep.Marker) (*Intent, error)
	// Intents reads those of a Secret, oldest first: all that are not settled, and
	// those whose Version there is.
	Intents(secret lockstep.SecretID) ([]*Intent, error)
	// SweepsDue lists up to limit Secrets, also those that are gone, with an
	// Intent whose SweepDue has passed, no open Run, no live lease, and no sweep
	// Job in the outbox.
	SweepsDue(limit int) ([]lockstep.SecretID, error)
}

// IntentWriter changes them.
type IntentWriter interface {
	// InsertIntent stores a new one, and forgets those of its Secret that are
	// settled and whose Version is gone. ErrExists.
	InsertIntent(i *Intent) error
	// SaveIntent writes Version, State, SweepDue and Attempts. ErrNotFound.
	SaveIntent(i *Intent) error
}
