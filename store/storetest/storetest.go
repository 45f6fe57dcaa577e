// Package storetest is the suite that every implementation of package store
// passes. It is cut by topic: secrets, versions and labels, runs, slots and
// fences, outbox, keys and identities, concurrency, signals, invariants.
//
// A driver's test is a few lines: it calls [Run] with a function that opens an
// empty store. The suite needs no faults injected and no time to pass but a few
// milliseconds of the store's own clock.
package storetest

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"lockstep"
	"lockstep/store"
)

// Open opens an empty store, which it closes when the test ends. now is the
// clock of a store that has none of its own; others ignore it.
type Open func(t *testing.T, now func() time.Time) store.Store

// Run runs the whole suite; each test gets a store of its own.
func Run(t *testing.T, open Open) {
	for _, topic := range []struct {
		name  string
		tests map[string]func(*testing.T, *fixture)
	}{
		{"secrets", secretTests},
		{"lists", listTests},
		{"replications", replicationTests},
		{"versions", versionTests},
		{"runs", runTests},
		{"slots", slotTests},
		{"admission", admissionTests},
		{"outbox", outboxTests},
		{"figures", figureTests},
		{"keys", keyTests},
		{"identities", identityTests},
		{"audit", auditTests},
		{"rotators", rotatorTests},
		{"transactions", transactionTests},
		{"concurrency", concurrencyTests},
		{"subscribe", subscribeTests},
		{"violations", violationTests},
		{"inspections", inspectionTests},
		{"intents", intentTests},
		{"graph", graphTests},
	} {
		t.Run(topic.name, func(t *testing.T) {
			for name, test := range topic.tests {
				t.Run(name, func(t *testing.T) {
					t.Parallel()
					test(t, newFixture(t, open))
				})
			}
		})
	}
}

const (
	account = lockstep.AccountID("000000000000")
	region  = lockstep.Region("us-east-1")
)

var owner = store.Owner{Account: account, Region: region}

// fixture is a store and its clock.
type fixture struct {
	store.Store
	micros atomic.Int64
}

func newFixture(t *testing.T, open Open) *fixture {
	f := &fixture{}
	f.micros.Store(time.Now().UnixMicro())
	f.Store = open(t, func() time.Time { return time.UnixMicro(f.micros.Load()).UTC() })
	return f
}

// update runs fn and fails the test if it does not commit.
func (f *fixture) update(t *testing.T, fn func(store.Tx) error) {
	t.Helper()
	if err := f.Update(t.Context(), fn); err != nil {
		t.Fatalf("update: %v", err)
	}
}

// view runs fn and fails the test if it fails.
func (f *fixture) view(t *testing.T, fn func(store.ReadTx) error) {
	t.Helper()
	if err := f.View(t.Context(), fn); err != nil {
		t.Fatalf("view: %v", err)
	}
}

// refuse runs fn and fails the test unless it ends with want.
func (f *fixture) refuse(t *testing.T, want error, fn func(store.Tx) error) {
	t.Helper()
	if err := f.Update(t.Context(), fn); !errors.Is(err, want) {
		t.Fatalf("got error %v, want %v", err, want)
	}
}

// now reads the store's clock.
func (f *fixture) now(t *testing.T) time.Time {
	t.Helper()
	var at time.Time
	f.view(t, func(tx store.ReadTx) error { at = tx.Now(); return nil })
	return at
}

// pass lets d pass on the store's clock, whichever clock it is.
func (f *fixture) pass(t *testing.T, d time.Duration) {
	t.Helper()
	until := f.now(t).Add(d)
	f.micros.Add(d.Microseconds())
	for f.now(t).Before(until) {
		if err := t.Context().Err(); err != nil {
			t.Fatal(err)
		}
	}
}

// secret stores a Secret of that name, changed by edit.
func (f *fixture) secret(t *testing.T, name string, edit ...func(*lockstep.Secret)) *lockstep.Secret {
	t.Helper()
	s := newSecret(t, name, f.now(t))
	for _, e := range edit {
		e(s)
	}
	f.update(t, func(tx store.Tx) error { return tx.InsertSecret(s) })
	return s
}

func newSecret(t *testing.T, name string, at time.Time) *lockstep.Secret {
	t.Helper()
	arn, err := lockstep.NewSecretARN(region, account, name)
	if err != nil {
		t.Fatal(err)
	}
	return &lockstep.Secret{Account: account, Region: region, Name: name, ARN: arn, Created: at, Changed: at}
}

// due makes a Secret rotate at the given time.
func due(at time.Time) func(*lockstep.Secret) {
	return func(s *lockstep.Secret) {
		s.Rotation = &lockstep.Rotation{Enabled: true, Rotator: "test"}
		s.NextRotation = at
	}
}

// version stores a Version with a value, changed by edit.
func (f *fixture) version(t *testing.T, id lockstep.SecretID, v lockstep.VersionID, edit ...func(*lockstep.Version)) *lockstep.Version {
	t.Helper()
	ver := &lockstep.Version{Secret: id, ID: v, Created: f.now(t), Sealed: sealed("value of " + string(v))}
	for _, e := range edit {
		e(ver)
	}
	f.update(t, func(tx store.Tx) error { return tx.InsertVersion(ver) })
	return ver
}

func sealed(text string) *lockstep.Sealed {
	return &lockstep.Sealed{
		KeyID: "key-1", KeyVersion: 3, WrappedKey: []byte("wrapped"), Ciphertext: []byte(text),
		Binary: true, Digest: []byte("digest"),
	}
}

// run stores a Run in the state queued, changed by edit.
func (f *fixture) run(t *testing.T, id lockstep.SecretID, name lockstep.RunID, edit ...func(*lockstep.Run)) *lockstep.Run {
	t.Helper()
	r := &lockstep.Run{
		ID: name, Secret: id, Version: "version-of-" + lockstep.VersionID(name), State: lockstep.RunQueued,
		Trigger: lockstep.TriggerManual, Created: f.now(t),
	}
	for _, e := range edit {
		e(r)
	}
	f.update(t, func(tx store.Tx) error { return tx.InsertRun(r) })
	return r
}

// claim takes the Slot of a Secret.
func (f *fixture) claim(t *testing.T, id lockstep.SecretID, holder string, length time.Duration) lockstep.Lease {
	t.Helper()
	var l lockstep.Lease
	f.update(t, func(tx store.Tx) (err error) {
		l, err = tx.ClaimSlot(id, holder, length)
		return err
	})
	return l
}

// event makes an Event about a Secret.
func event(t *testing.T, s *lockstep.Secret, kind lockstep.EventType) *lockstep.Event {
	t.Helper()
	id, err := lockstep.NewID("event")
	if err != nil {
		t.Fatal(err)
	}
	return &lockstep.Event{ID: id, Type: kind, Secret: s.ID, Account: s.Account, Region: s.Region, Name: s.Name, ARN: s.ARN}
}

// read runs a reading method and returns what it read.
func read[T any](t *testing.T, f *fixture, get func(store.ReadTx) (T, error)) T {
	t.Helper()
	var out T
	f.view(t, func(tx store.ReadTx) (err error) {
		out, err = get(tx)
		return err
	})
	return out
}

// missing fails the test unless a reading method says ErrNotFound.
func missing[T any](t *testing.T, f *fixture, get func(store.ReadTx) (T, error)) {
	t.Helper()
	err := f.View(t.Context(), func(tx store.ReadTx) error {
		_, err := get(tx)
		return err
	})
	if !errors.Is(err, lockstep.ErrNotFound) {
		t.Fatalf("got error %v, want %v", err, lockstep.ErrNotFound)
	}
}

// signalled waits for a signal.
func signalled(t *testing.T, ch <-chan struct{}) {
	t.Helper()
	ctx, stop := context.WithTimeout(t.Context(), 10*time.Second)
	defer stop()
	select {
	case <-ch:
	case <-ctx.Done():
		t.Fatal("no signal came")
	}
}
