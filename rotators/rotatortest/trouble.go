package rotatortest

import (
	"context"
	"testing"
	"time"

	"lockstep"
	"lockstep/rotators"
)

func testWrongAdmin(t *testing.T, s *suite) {
	need(t, !s.WrongAdmin.IsZero(), "admin")
	s.wantUseless(t, s.WrongAdmin)
}

func testNoRight(t *testing.T, s *suite) {
	need(t, !s.NoRight.IsZero(), "admin without the right")
	s.wantUseless(t, s.NoRight)
}

// wantUseless checks that an admin that cannot do it is told with a hint, and
// that nothing changed.
func (s *suite) wantUseless(t *testing.T, admin lockstep.Value) {
	t.Helper()
	pending := s.create(t)
	r := s.request(1, pending)
	r.Admin = admin
	te := wantError(t, s.rotator.Set(t.Context(), r), lockstep.NotApplied, lockstep.FaultPermanent)
	if te != nil && te.Hint == "" {
		t.Errorf("no hint: %v", te)
	}
	s.wantAccepted(t, "AWSCURRENT", s.Current)
	s.wantRefused(t, "pending", pending)
	s.wantProblem(t, r)
	s.set(t, 1, pending)
}

func testRefused(t *testing.T, s *suite) {
	need(t, s.Refused != nil, "policy for credentials")
	pending := s.create(t)
	bad := s.Refused(t, pending)
	wantError(t, s.rotator.Set(t.Context(), s.request(1, bad)), lockstep.NotApplied, lockstep.FaultRefusedValue)
	s.wantAccepted(t, "AWSCURRENT", s.Current)
	s.wantRefused(t, "the refused value", bad)
	s.set(t, 1, pending)
	s.wantAccepted(t, "the next value", pending)
}

// awayPatience bounds a call to a target that does not answer.
const awayPatience = 5 * time.Second

func testAway(t *testing.T, s *suite) {
	need(t, s.Away != nil && s.Back != nil, "way to be away")
	pending := s.create(t)
	s.Away(t)
	ctx, cancel := context.WithTimeout(t.Context(), awayPatience)
	defer cancel()
	wantError(t, s.rotator.Set(ctx, s.request(1, pending)), lockstep.NotApplied, lockstep.FaultTransient)
	wantError(t, s.rotator.Test(ctx, s.request(1, pending), s.Current), lockstep.NotApplied, lockstep.FaultTransient)
	s.wantProblem(t, s.request(1, lockstep.Value{}))
	s.Back(t)
	s.wantAccepted(t, "AWSCURRENT", s.Current)
	s.set(t, 1, pending)
	s.wantAccepted(t, "pending", pending)
}

func testRetire(t *testing.T, s *suite) {
	retirer, ok := s.rotator.(rotators.Retirer)
	need(t, ok, "old credential to retire")
	pending := s.create(t)
	s.set(t, 1, pending)
	wantError(t, retirer.Retire(t.Context(), s.request(1, lockstep.Value{}), s.Current),
		lockstep.NotApplied, lockstep.FaultPermanent)
	s.wantAccepted(t, "AWSCURRENT, which is not to be retired", s.Current)

	old := s.finish(pending)
	ended := s.Session(t, old)
	since := s.settled(t, old)
	stays := s.Session(t, pending)
	late := s.request(1, lockstep.Value{})
	late.Guard.NotAfter = tooLate
	s.wantPassing(t, retirer.Retire(t.Context(), late, old))
	s.wantAccepted(t, "the old value after a late retire", old)
	for range 2 {
		if err := retirer.Retire(t.Context(), s.request(1, lockstep.Value{}), old); err != nil {
			t.Fatalf("retire: %v", err)
		}
		s.wantRefused(t, "the retired value", old)
		s.wantAccepted(t, "AWSCURRENT", s.Current)
	}
	s.wantSessions(t, old, since)
	s.wantKilled(t, old, since)
	select {
	case <-ended:
	case <-time.After(awayPatience):
		t.Error("a session of the retired credential lives on")
	}
	select {
	case <-stays:
		t.Error("a session of AWSCURRENT was ended")
	default:
	}
	// Its place is free for the next Run.
	next := s.create(t)
	s.set(t, 2, next)
	s.wantAccepted(t, "the next value", next)
}
