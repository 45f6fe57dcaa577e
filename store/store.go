// Package store is the storage contract: what the rest of Lockstep may ask of
// a database, cut by role. It holds no implementation; store/sqlstore is one
// (SQLite and PostgreSQL), and store/storetest is the suite that every
// implementation passes.
//
// All access goes through transactions. [Store.Update] runs a function in one
// durable read-write transaction: when it returns nil, everything the function
// wrote is on disk and visible to all nodes; when it returns an error, nothing
// is. [Store.View] runs one against a consistent snapshot. The functions get a
// [Tx] or [ReadTx] that is bound to the context of the call and must not be
// kept. They must do no other I/O: a writer on SQLite holds up every other
// writer, and a transaction that meets a conflict is run again from its start,
// so a function must set its results anew each time it is called.
//
// Writers of one Secret are serialised: the first thing an Update does about a
// Secret is [SecretWriter.LockSecret], which also reads it.
//
// Only sealed values reach a store, never a clear one. Times are in UTC with
// microseconds; due times and leases are compared with [ReadTx.Now], the
// store's clock, never with a process's own.
package store

import (
	"context"
	"time"
)

// Store is a database of Lockstep. All methods may be called concurrently.
type Store interface {
	// Update runs fn in one durable transaction. It returns fn's error
	// unchanged, or ErrBusy (wrapped) if the store is overloaded or away.
	Update(ctx context.Context, fn func(Tx) error) error
	// View runs fn against a consistent snapshot.
	View(ctx context.Context, fn func(ReadTx) error) error
	// Subscribe returns a channel that receives after a commit, here or on
	// another node, that touched the topic. Signals are merged: one token
	// means "look again". Cancel releases it.
	Subscribe(topic Topic) (ch <-chan struct{}, cancel func())
	// Close waits for running transactions and releases the database.
	Close() error
}

// Topic is a kind of change that someone sleeps on.
type Topic string

// The topics.
const (
	// TopicSchedule: a next_rotation, retirement or verify became earlier.
	TopicSchedule Topic = "schedule"
	// TopicOutbox: a Job or an Event was added.
	TopicOutbox Topic = "outbox"
	// TopicRuns: a Run changed its state.
	TopicRuns Topic = "runs"
	// TopicReplicas: a Secret that has replicas was changed.
	TopicReplicas Topic = "replicas"
)

// ReadTx reads one consistent snapshot.
type ReadTx interface {
	// Now is the store's clock.
	Now() time.Time
	SecretReader
	VersionReader
	RunReader
	OutboxReader
	KeyReader
	IdentityReader
	FigureReader
	AuditReader
	ReplicationReader
	AdmissionReader
	BatchReader
	GraphReader
	InspectionReader
	RotatorReader
	IntentReader
}

// Tx reads and writes in one transaction; it sees its own writes.
type Tx interface {
	ReadTx
	SecretWriter
	VersionWriter
	RunWriter
	SlotWriter
	OutboxWriter
	KeyWriter
	IdentityWriter
	AuditWriter
	ReplicationWriter
	AdmissionWriter
	BatchWriter
	InspectionWriter
	RotatorWriter
	IntentWriter
}
