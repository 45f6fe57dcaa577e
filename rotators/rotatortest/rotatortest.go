// Package rotatortest is the conformance suite of rotators: [Run] asks of each
// what the engine relies on, at the rotator's real target. A [Fixture] says how
// to make a fresh account there and how to look at it by other code than the
// rotator's own. What a target cannot do is left out of the Fixture, and its
// tests are then skipped by name.
package rotatortest

import (
	"context"
	"errors"
	"testing"
	"time"

	"lockstep"
	"lockstep/rotators"
)

// Fixture is one rotator and its target.
type Fixture struct {
	Rotator rotators.Chooser
	// New makes a Secret's account anew. It may use the same server each time.
	New func(t *testing.T) Target
}

// Target is one Secret's account at a real target.
type Target struct {
	ARN lockstep.ARN
	// Current is accepted by the target now.
	Current lockstep.Value
	// Admin may make every change; zero if the account changes itself.
	Admin lockstep.Value
	// WrongAdmin is Admin with another password; NoRight is an admin that logs
	// in but may not change the account. Zero if there is no such thing.
	WrongAdmin, NoRight lockstep.Value
	// Refused gives a pending value that the target's own policy refuses, made
	// from one of Create. Nil if the target has none.
	Refused func(t *testing.T, pending lockstep.Value) lockstep.Value
	// Wrong gives v with a password that no target knows.
	Wrong func(t *testing.T, v lockstep.Value) lockstep.Value
	// Accepts logs in with v. Nil without a target (ValueOnly): then only what
	// is left to ask is asked.
	Accepts func(t *testing.T, v lockstep.Value) bool
	// Session logs in with v and stays; the channel is closed when the target
	// ends the session. Nil if the target has none.
	Session func(t *testing.T, v lockstep.Value) <-chan struct{}
	// Parts tells that the target is several servers: a call that was refused
	// half-way says Unknown, where another says NotApplied.
	Parts bool
	// Away makes the target unreachable, Back ends that. Nil if it cannot be.
	Away, Back func(t *testing.T)
	// Address is the target's host and port, and Through gives v with another
	// one, so that the suite can break the connection between. Nil if the target
	// has none.
	Address string
	Through func(t *testing.T, v lockstep.Value, address string) lockstep.Value
	// PlainText tells that a value need be no JSON.
	PlainText bool
	// Clear is the clear credential in v; Log is all that the target wrote
	// down. Nil if the target keeps no log.
	Clear func(t *testing.T, v lockstep.Value) string
	Log   func(t *testing.T) string
	// Marks tells whether the target keeps a marker for this account.
	Marks bool
}

// Run runs the suite.
func Run(t *testing.T, f Fixture) {
	for _, one := range []struct {
		name string
		test func(*testing.T, *suite)
	}{
		{"create is pure", testCreate},
		{"the secret's password policy holds", testPolicy},
		{"set may be repeated", testSet},
		{"test gives verdicts", testVerdicts},
		{"malformed values are permanent", testMalformed},
		{"a late call changes nothing", testLate},
		{"a lost lease sends nothing", testLostLease},
		{"a newer claim wins", testLowerFence},
		{"a raised marker stops older calls", testRaise},
		{"another secret's account is left alone", testOtherSecret},
		{"of two concurrent sets the newer wins", testConcurrent},
		{"a lost message is told and mended", testLost},
		{"a wrong admin is permanent", testWrongAdmin},
		{"a missing right is permanent and named", testNoRight},
		{"a refused value is told as such", testRefused},
		{"a target that is away gives no verdict", testAway},
		{"retire leaves exactly the right credential", testRetire},
		{"plan is true", testPlan},
		{"no clear credential in the target's log", testLog},
	} {
		came := "FAIL"
		t.Run(one.name, func(t *testing.T) {
			defer func() { came = outcome(t) }()
			one.test(t, &suite{rotator: f.Rotator, Target: f.New(t)})
		})
		t.Attr("conformance", one.name+"="+came) // make test prints a table of them
	}
}

// outcome is a case's place in the table: "-" for what the target has not.
func outcome(t *testing.T) string {
	switch {
	case t.Failed():
		return "FAIL"
	case t.Skipped():
		return "-"
	}
	return "yes"
}

// suite is one test's state.
type suite struct {
	Target
	rotator rotators.Chooser
	// fence is the last claim's, for tests that make many.
	fence uint64
}

// lease is how long the suite's Guard lets a call take effect.
const lease = 30 * time.Second

func inTime(_ context.Context, now time.Time) (time.Time, error) { return now.Add(lease), nil }

func tooLate(_ context.Context, now time.Time) (time.Time, error) { return now.Add(-time.Second), nil }

var errLost = errors.New("the suite's lease is lost")

func lost(context.Context, time.Time) (time.Time, error) { return time.Time{}, errLost }

// request asks with a fence; pending is zero where there is none.
func (s *suite) request(fence uint64, pending lockstep.Value) *rotators.Request {
	return &rotators.Request{
		ARN: s.ARN, Name: "conformance", Version: "00000000-0000-4000-8000-000000000000",
		Pending: pending, Current: s.Current, Admin: s.Admin,
		Guard: rotators.Guard{Fence: fence, NotAfter: inTime},
	}
}

func (s *suite) create(t *testing.T) lockstep.Value {
	t.Helper()
	v, err := s.rotator.Create(t.Context(), s.request(1, lockstep.Value{}))
	if err != nil {
		t.Fatalf("create: %v", err)
	}
	return v
}

func (s *suite) set(t *testing.T, fence uint64, pending lockstep.Value) {
	t.Helper()
	if err := s.rotator.Set(t.Context(), s.request(fence, pending)); err != nil {
		t.Fatalf("set with fence %d: %v", fence, err)
	}
}

// finish makes pending AWSCURRENT, as the engine does, and returns the old one.
func (s *suite) finish(pending lockstep.Value) (old lockstep.Value) {
	old, s.Current = s.Current, pending
	return old
}

func (s *suite) wantAccepted(t *testing.T, what string, v lockstep.Value) {
	t.Helper()
	if s.Accepts != nil && !s.Accepts(t, v) {
		t.Errorf("%s is refused by the target", what)
	}
}

func (s *suite) wantRefused(t *testing.T, what string, v lockstep.Value) {
	t.Helper()
	if s.Accepts != nil && s.Accepts(t, v) {
		t.Errorf("%s is accepted by the target", what)
	}
}

// wantError checks what a call said it did and met.
func wantError(t *testing.T, err error, o lockstep.Outcome, f lockstep.Fault) *lockstep.TargetError {
	t.Helper()
	te, ok := errors.AsType[*lockstep.TargetError](err)
	if !ok {
		t.Fatalf("got %v, want a TargetError", err)
	}
	if te.Outcome != o || te.Fault != f {
		t.Errorf("got outcome %v, fault %d; want %v, %d: %v", te.Outcome, te.Fault, o, f, err)
	}
	return te
}

// wantPassing checks that a call was refused for now, and tells whether it is
// certain that it did nothing.
func (s *suite) wantPassing(t *testing.T, err error) (nothing bool) {
	t.Helper()
	if te := lockstep.AsTargetError(err); s.Parts && te.Outcome == lockstep.Unknown {
		wantError(t, err, lockstep.Unknown, lockstep.FaultTransient)
		return false
	}
	wantError(t, err, lockstep.NotApplied, lockstep.FaultTransient)
	return true
}

func need(t *testing.T, there bool, what string) {
	t.Helper()
	if !there {
		t.Skipf("this target has no %s", what)
	}
}
