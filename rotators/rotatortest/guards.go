package rotatortest

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"lockstep"
	"lockstep/rotators"
)

func testLate(t *testing.T, s *suite) {
	need(t, s.Accepts != nil, "target")
	pending := s.create(t)
	r := s.request(1, pending)
	r.Guard.NotAfter = tooLate
	wantError(t, s.rotator.Set(t.Context(), r), lockstep.NotApplied, lockstep.FaultTransient)
	s.wantAccepted(t, "AWSCURRENT", s.Current)
	s.wantRefused(t, "the late value", pending)

	// Held up on its way: it is sent in time by the sender's word, and nothing
	// but the target's own clock can tell that it came too late.
	r.Guard.NotAfter = func(ctx context.Context, now time.Time) (time.Time, error) {
		select {
		case <-time.After(2 * heldUp):
		case <-ctx.Done():
		}
		return now.Add(heldUp), ctx.Err()
	}
	wantError(t, s.rotator.Set(t.Context(), r), lockstep.NotApplied, lockstep.FaultTransient)
	s.wantAccepted(t, "AWSCURRENT", s.Current)
	s.wantRefused(t, "the value that was held up", pending)
	s.set(t, 1, pending)
}

// heldUp is long enough for a call that is not held up.
const heldUp = 300 * time.Millisecond

func testLostLease(t *testing.T, s *suite) {
	need(t, s.Accepts != nil, "target")
	pending := s.create(t)
	r := s.request(1, pending)
	r.Guard.NotAfter = lost
	err := s.rotator.Set(t.Context(), r)
	wantError(t, err, lockstep.NotApplied, lockstep.FaultTransient)
	if !errors.Is(err, errLost) {
		t.Errorf("the lease's own error is gone: %v", err)
	}
	s.wantAccepted(t, "AWSCURRENT", s.Current)
	s.wantRefused(t, "the unsent value", pending)
}

func testLowerFence(t *testing.T, s *suite) {
	need(t, s.Marks, "marker")
	newer, older := s.create(t), s.create(t)
	s.set(t, 5, newer)
	wantError(t, s.rotator.Set(t.Context(), s.request(4, older)), lockstep.NotApplied, lockstep.FaultTransient)
	s.wantAccepted(t, "the newer claim's value", newer)
	s.wantRefused(t, "the older claim's value", older)
	s.set(t, 5, newer)
	s.set(t, 6, older)
	s.wantAccepted(t, "the newest claim's value", older)
}

func testRaise(t *testing.T, s *suite) {
	fencer, ok := s.rotator.(rotators.Fencer)
	need(t, ok && s.Marks, "marker")
	raise := func(fence, want uint64) {
		t.Helper()
		got, err := fencer.Raise(t.Context(), s.request(fence, lockstep.Value{}))
		if err != nil || got != want {
			t.Errorf("raise to %d: %d, %v; want %d", fence, got, err, want)
		}
	}
	raise(10, 10)
	pending := s.create(t)
	wantError(t, s.rotator.Set(t.Context(), s.request(9, pending)), lockstep.NotApplied, lockstep.FaultTransient)
	s.wantRefused(t, "the older claim's value", pending)
	s.set(t, 10, pending)
	raise(3, 10)
	raise(1<<63+5, 1<<63+5)
	raise(11, 1<<63+5)
}

func testOtherSecret(t *testing.T, s *suite) {
	need(t, s.Marks, "marker")
	pending, theirs := s.create(t), s.create(t)
	s.set(t, 1, pending)
	r := s.request(100, theirs)
	r.ARN += "-another"
	wantError(t, s.rotator.Set(t.Context(), r), lockstep.NotApplied, lockstep.FaultPermanent)
	s.wantAccepted(t, "the owner's value", pending)
	s.wantRefused(t, "the other secret's value", theirs)
	s.wantProblem(t, r)
	if f, ok := s.rotator.(rotators.Fencer); ok {
		_, err := f.Raise(t.Context(), r)
		wantError(t, err, lockstep.NotApplied, lockstep.FaultPermanent)
	}
}

// concurrentRounds is enough for each interleaving of two short calls to come.
const concurrentRounds = 25

func testConcurrent(t *testing.T, s *suite) {
	need(t, s.Marks, "marker")
	for round := range uint64(concurrentRounds) {
		older, newer := s.create(t), s.create(t)
		var olderErr, newerErr error
		var wg sync.WaitGroup
		wg.Go(func() { olderErr = s.rotator.Set(t.Context(), s.request(2*round+1, older)) })
		wg.Go(func() { newerErr = s.rotator.Set(t.Context(), s.after(2*round+2, newer, older)) })
		wg.Wait()
		if olderErr != nil {
			s.wantPassing(t, olderErr)
		}
		if newerErr != nil {
			if s.wantPassing(t, newerErr) {
				s.wantRefused(t, "a newer value that was not applied", newer)
			}
			if err := s.rotator.Set(t.Context(), s.after(2*round+2, newer, older)); err != nil {
				t.Fatalf("set again: %v", err)
			}
		}
		s.wantAccepted(t, "the newer claim's value", newer)
		s.wantRefused(t, "the older claim's value", older)
	}
}

// after is the request of a Run that knows what an earlier one may have left.
func (s *suite) after(fence uint64, pending, left lockstep.Value) *rotators.Request {
	r := s.request(fence, pending)
	r.Live = []lockstep.Value{left}
	return r
}
