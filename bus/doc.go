// Package bus is NATS as Lockstep uses it: a server embedded in the process
// (the default) or an external cluster by URL, three JetStream streams, the
// queue of Jobs, and the authorization of applications that listen to Events.
//
// The store is the truth, JetStream the transport. Nothing here is kept only
// in a stream: package events publishes again whatever a lost, wiped or
// restored JetStream has forgotten. What the streams promise, and the engine
// relies on:
//
//   - LOCKSTEP_JOBS is a work queue with at most one message a subject, queued
//     or in flight: a second Job for the same Secret and kind is refused with
//     ErrBusy until the first is acknowledged. It is not a lock: after AckWait
//     a message is delivered again while the first worker may still be at it,
//     so workers lease and fence in the store.
//   - LOCKSTEP_EVENTS keeps the newest 256 messages of a subject for 30 days.
//   - LOCKSTEP_DEAD keeps Jobs that nobody could carry out, with the reason.
//   - A message id is accepted once within two minutes.
//
// # Applications
//
// The engine talks to the embedded server through an in-process connection.
// Applications connect over TLS 1.3 with a login token as the NATS token; each
// connection is authorized by a callout that this process answers (encrypted,
// and failing closed) by asking the [Authorizer]. What a connection may do is
// small on purpose:
//
//   - subscribe to the event subjects of its [Grant];
//   - if it calls itself by a [ClientName]: subscribe to its own inbox
//     ([InboxPrefix]) and send requests to [ReplaySubject] for those same
//     subjects.
//
// It may publish nothing else, and has no access to the JetStream API at all.
// Whoever may send a request there chooses the reply subject, which the server
// does not check against the sender's permissions, and whoever may create a
// consumer chooses where the server delivers: an application could make the
// server itself put a message on a Job's subject, another Secret's Event
// subject, or another application's inbox. Instead the engine answers a replay
// request, after looking at the reply subject.
package bus
