package store

import (
	"time"

	"lockstep"
)

// BatchState is how far a Batch is.
type BatchState string

// The states of a Batch.
const (
	// BatchActive: Runs are still to be started.
	BatchActive BatchState = "active"
	// BatchStarted: every Secret has its Run, or was refused.
	BatchStarted BatchState = "started"
	// BatchCancelling: Runs that have not begun are still to be taken back.
	BatchCancelling BatchState = "cancelling"
	// BatchCancelled: nothing more is started.
	BatchCancelled BatchState = "cancelled"
)

// Batch rotates many Secrets as one thing.
type Batch struct {
	ID    string
	Owner Owner
	// Match selects Secrets by name (path.Match), Tag by tag; both empty: all that
	// rotate.
	Match   string
	Tag     lockstep.Tag
	Trigger lockstep.Trigger
	State   BatchState
	// Expanded is true once every Secret was looked at; After is the last one, by
	// creation and number.
	Expanded     bool
	AfterCreated time.Time
	AfterSecret  lockstep.SecretID
	By           string
	Created      time.Time
}

// Working tells whether the scheduler has something to do about it.
func (b *Batch) Working() bool { return b.State == BatchActive || b.State == BatchCancelling }

// ItemState is how far one Secret of a Batch is.
type ItemState string

// The states of an item; one that is started is where its Run is.
const (
	ItemPending ItemState = "pending"
	// ItemWaiting: its admin Secret, which is in the Batch too, goes first.
	ItemWaiting   ItemState = "waiting"
	ItemStarted   ItemState = "started"
	ItemRefused   ItemState = "refused"
	ItemCancelled ItemState = "cancelled"
)

// BatchItem is one Secret of a Batch.
type BatchItem struct {
	Batch  string
	Secret lockstep.SecretID
	Run    lockstep.RunID
	State  ItemState
	// Reason is why it was refused.
	Reason string
	// Awaits is the Secret of the same Batch that goes first; 0 if none does.
	Awaits lockstep.SecretID
	// Awaited is true while others wait for this one.
	Awaited bool
}

// BatchFailure is an item without success.
type BatchFailure struct {
	Name   string
	Run    lockstep.RunID
	State  string
	Reason string
}

// BatchReader reads Batches.
type BatchReader interface {
	// Batch reads one. ErrNotFound.
	Batch(id string) (*Batch, error)
	// Batches lists up to limit of an owner, newest first.
	Batches(owner Owner, limit int) ([]*Batch, error)
	// BatchCounts counts the items of a Batch by the state of their Run, or by
	// their own where they have none.
	BatchCounts(id string) (map[string]int, error)
	// BatchFailures lists up to limit items that were refused or whose Run ended
	// without success.
	BatchFailures(id string, limit int) ([]BatchFailure, error)
	// BatchItem reads one. ErrNotFound.
	BatchItem(id string, secret lockstep.SecretID) (BatchItem, error)
	// BatchItems lists up to limit items in a state, above a Secret's number.
	BatchItems(id string, state ItemState, after lockstep.SecretID, limit int) ([]BatchItem, error)
}

// BatchWriter changes them.
type BatchWriter interface {
	// SaveBatch inserts or replaces a Batch, and wakes the scheduler if it has
	// something to do about it.
	SaveBatch(b *Batch) error
	// LockBatch reads a Batch and keeps every other writer off it until the
	// transaction ends. ErrNotFound.
	LockBatch(id string) (*Batch, error)
	// WorkingBatch locks and reads the oldest Batch that the scheduler has
	// something to do about. ErrNotFound.
	WorkingBatch() (*Batch, error)
	// SaveItem inserts or replaces an item, but for Awaited, which AwaitItem sets
	// and ReleaseItems takes away.
	SaveItem(i BatchItem) error
	// AwaitItem notes that others wait for an item. ErrNotFound.
	AwaitItem(id string, secret lockstep.SecretID) error
	// ReleaseItems looks for one item that is awaited and over, and makes those
	// pending that awaited it, and their Batch active. It tells whether there was
	// one.
	ReleaseItems() (bool, error)
	// ReopenItems makes the items pending again that were refused or cancelled, or
	// whose Run ended without success. It returns how many.
	ReopenItems(id string) (int, error)
}
