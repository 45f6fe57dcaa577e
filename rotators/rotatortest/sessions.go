package rotatortest

import (
	"testing"
	"time"

	"lockstep"
	"lockstep/rotators"
)

// sight is a question about sessions, AWSCURRENT being in force since then.
func (s *suite) sight(since time.Time) *rotators.Request {
	r := s.request(1, lockstep.Value{})
	r.Since = since
	return r
}

// sessions asks the witness.
func (s *suite) sessions(t *testing.T, v lockstep.Value, since time.Time) []rotators.Session {
	t.Helper()
	found, err := s.rotator.(rotators.Witness).Sessions(t.Context(), s.sight(since), v)
	if err != nil {
		t.Fatalf("list sessions: %v", err)
	}
	return found
}

// settled waits until the target tells an old value's session from what comes
// now, and returns that time: some targets count in seconds.
func (s *suite) settled(t *testing.T, old lockstep.Value) time.Time {
	t.Helper()
	since := time.Now()
	await(t, "the old value's session in the witness's list", func() bool {
		return len(s.sessions(t, old, since)) == 1
	})
	return since
}

// wantSessions checks what the witness says about one session of an old value
// beside one of AWSCURRENT.
func (s *suite) wantSessions(t *testing.T, old lockstep.Value, since time.Time) {
	t.Helper()
	await(t, "one session of each value", func() bool {
		was, is := s.sessions(t, old, since), s.sessions(t, s.Current, since)
		return len(was) == 1 && was[0].Count == 1 && was[0].Certain && was[0].Address != "" && len(is) == 1
	})
}

// wantKilled ends the sessions of an old value, twice.
func (s *suite) wantKilled(t *testing.T, old lockstep.Value, since time.Time) {
	t.Helper()
	killer := s.rotator.(rotators.SessionKiller)
	await(t, "no session of the old value", func() bool {
		if err := killer.KillSessions(t.Context(), s.sight(since), old); err != nil {
			t.Fatalf("end sessions: %v", err)
		}
		return len(s.sessions(t, old, since)) == 0
	})
	if err := killer.KillSessions(t.Context(), s.sight(since), old); err != nil {
		t.Errorf("end sessions where there are none: %v", err)
	}
	if got := s.sessions(t, s.Current, since); len(got) != 1 || got[0].Count != 1 {
		t.Errorf("sessions of AWSCURRENT: %+v", got)
	}
}

// conditionTime bounds the waiting on a machine that is busy with many tests.
const conditionTime = 2 * time.Minute

// await waits for a condition.
func await(t *testing.T, what string, holds func() bool) {
	t.Helper()
	late := time.After(conditionTime)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-late:
			t.Fatalf("waited in vain for %s", what)
		case <-tick.C:
		}
	}
}
