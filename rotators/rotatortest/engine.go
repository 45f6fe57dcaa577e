package rotatortest

import (
	"context"
	"testing"
	"time"

	"lockstep"
	"lockstep/rotators"
)

// Within is a Guard's NotAfter that lets a call take effect for d.
func Within(d time.Duration) func(context.Context, time.Time) (time.Time, error) {
	return func(_ context.Context, now time.Time) (time.Time, error) { return now.Add(d), nil }
}

// Engine carries one Secret through Runs, as the real one does.
type Engine struct {
	Rotator rotators.Chooser
	Current lockstep.Value
	Admin   lockstep.Value
	ARN     lockstep.ARN
	Fence   uint64
}

// Request is that of a new claim.
func (e *Engine) Request(pending lockstep.Value) *rotators.Request {
	e.Fence++
	return &rotators.Request{
		ARN: e.ARN, Name: "test", Pending: pending, Current: e.Current, Admin: e.Admin,
		Guard: rotators.Guard{Fence: e.Fence, NotAfter: Within(lease)},
	}
}

// Create makes a pending value.
func (e *Engine) Create(t testing.TB) lockstep.Value {
	t.Helper()
	pending, err := e.Rotator.Create(t.Context(), e.Request(lockstep.Value{}))
	Check(t, err)
	return pending
}

// Rotate makes one Run and returns the value that was left.
func (e *Engine) Rotate(t testing.TB) (old lockstep.Value) {
	t.Helper()
	pending := e.Create(t)
	Check(t, e.Rotator.Set(t.Context(), e.Request(pending)))
	Check(t, e.Rotator.Test(t.Context(), e.Request(pending), pending))
	old, e.Current = e.Current, pending
	return old
}

// Retire removes an old value and ends its sessions.
func (e *Engine) Retire(t testing.TB, old lockstep.Value) {
	t.Helper()
	r := e.Request(lockstep.Value{})
	Check(t, e.Rotator.(rotators.Retirer).Retire(t.Context(), r, old))
	Check(t, e.Rotator.(rotators.SessionKiller).KillSessions(t.Context(), r, old))
}

// Refuses makes a set that must fail for good, with a plan that says so too.
func (e *Engine) Refuses(t testing.TB, hint string) {
	t.Helper()
	te := lockstep.AsTargetError(e.Rotator.Set(t.Context(), e.Request(e.Create(t))))
	if te.Outcome != lockstep.NotApplied || te.Fault != lockstep.FaultPermanent || te.Hint != hint {
		t.Errorf("set: %+v, want hint %q", te, hint)
	}
	e.Plans(t, hint)
}

// Plans makes a dry run that must name the hint; empty means no problem.
func (e *Engine) Plans(t testing.TB, hint string) rotators.Plan {
	t.Helper()
	plan, err := e.Rotator.(rotators.Planner).Plan(t.Context(), e.Request(lockstep.Value{}))
	Check(t, err)
	if hint == "" && len(plan.Problems) > 0 || hint != "" && (len(plan.Problems) != 1 || plan.Problems[0].Hint != hint) {
		t.Errorf("plan: %+v, want hint %q", plan.Problems, hint)
	}
	return plan
}
