package store

import (
	"time"

	"lockstep"
)

// ReplicationMark says that a primary was changed and its replicas were not
// told yet.
type ReplicationMark struct {
	Primary lockstep.SecretID
	// Seq grows with each change, so that whoever brings the replicas up to
	// date knows whether another change came meanwhile.
	Seq int64
	// Due is when it is to be done, by the store's clock.
	Due time.Time
}

// ReplicationReader finds what waits to be replicated.
type ReplicationReader interface {
	// Replication reads the mark of a primary. ErrNotFound if nothing waits.
	Replication(primary lockstep.SecretID) (ReplicationMark, error)
	// DueReplications lists up to limit marks that are due by the store's
	// clock, earliest first.
	DueReplications(limit int) ([]ReplicationMark, error)
	// NextReplication is the earliest Due of a mark; zero if there is none.
	NextReplication() (time.Time, error)
}

// ReplicationWriter sets and takes away marks.
type ReplicationWriter interface {
	// MarkReplication marks a primary as changed, due at once.
	MarkReplication(primary lockstep.SecretID) error
	// DelayReplication moves Due: the try failed. A mark that was set again
	// meanwhile stays as it is.
	DelayReplication(m ReplicationMark, until time.Time) error
	// ReplicationDone takes a mark away, unless it was set again meanwhile.
	ReplicationDone(m ReplicationMark) error
}
