package postgres_test

import (
	"strings"
	"testing"

	"lockstep"
	"lockstep/internal/pgserver"
	"lockstep/rotators"
	"lockstep/rotators/jsonvalue"
	"lockstep/rotators/rotatortest"
)

// reached is a value with endpoints.
type reached struct {
	secret
	Endpoints   []jsonvalue.Endpoint `json:"endpoints"`
	Propagation string               `json:"propagation,omitempty"`
}

// TestReplica: a new password counts once the replica knows it too; until then
// the primary's verdict stands, and the replica's is none.
func TestReplica(t *testing.T) {
	w := newWorld(t)
	replica := w.Replica(t)
	for _, r := range []rotators.Chooser{single(t), alternating(t)} {
		tester := r.(rotators.EndpointTester)
		e := w.engine(t, r, "rep_"+rotatortest.RandomName())
		e.Current = rotatortest.Written(t, reached{
			rotatortest.Read[secret](t, e.Current),
			[]jsonvalue.Endpoint{{Host: pgserver.Host, Port: replica.Port(), Kind: jsonvalue.Replica}}, "20s",
		})
		e.Rotate(t)
		rotatortest.Check(t, tester.TestEndpoints(t.Context(), e.Request(e.Current), e.Current))

		replica.Must(t, "SELECT pg_wal_replay_pause()")
		e.Rotate(t) // the primary alone
		impatient := rotatortest.Read[reached](t, e.Current)
		impatient.Propagation = "200ms"
		err := tester.TestEndpoints(t.Context(), e.Request(e.Current), rotatortest.Written(t, impatient))
		te := lockstep.AsTargetError(err)
		if err == nil || te.Fault != lockstep.FaultTransient || te.Outcome != lockstep.NotApplied || te.Hint == "" ||
			!strings.Contains(te.Error(), "replica "+jsonvalue.Endpoint{Host: pgserver.Host, Port: replica.Port()}.Address()) {
			t.Errorf("a replica that lags: %+v", te)
		}
		done := make(chan error, 1)
		go func() { done <- tester.TestEndpoints(t.Context(), e.Request(e.Current), e.Current) }()
		replica.Must(t, "SELECT pg_wal_replay_resume()")
		rotatortest.Check(t, <-done)
	}
}
