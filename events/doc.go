// Package events brings what the store has decided out into the world: the
// Relay takes Jobs and Events from the store's outbox and publishes them to
// NATS, and reconciles the streams with the store, so that a lost, wiped or
// restored JetStream loses nothing.
//
// The order of things is always: commit in the store, publish, mark in the
// store. A crash between the last two repeats the publish under the same
// message id, which the stream drops for two minutes; after that, or whenever
// the Relay is in doubt (it has just started, has just become the relay, or a
// publish failed), it first asks the stream for the subject's last Event and
// never puts a lower sequence over a higher one. Subscribers drop what they
// have seen, by the Event's sequence per Secret.
//
// A Job whose subject is taken stays in the outbox and is tried again, after
// 50 milliseconds at first and a second at last.
//
// One Relay at a time publishes. Alone on its store (SQLite) it needs nothing
// for that; with several nodes on one store each names itself (Config.Node),
// and a lease in the store says whose turn it is. Two may overlap for some
// seconds when a lease changes hands; the rules above make that harmless.
//
// Reconcile runs at start, soon again, and then every minute. It gives a new Job to each open
// Run, due retirement and unverified Secret that nobody holds and the queue
// has no Job for, and marks as unsent again each Event of the last 30 days
// that the stream should hold and does not. It also forgets Events older than
// that.
package events
