package mysql_test

import (
	"testing"
	"time"

	"lockstep"
	"lockstep/rotators"
)

// engine carries one Secret through Runs, as the real one does.
type engine struct {
	rotator rotators.Chooser
	current lockstep.Value
	admin   lockstep.Value
	arn     lockstep.ARN
	fence   uint64
}

func (e *engine) request(pending lockstep.Value) *rotators.Request {
	e.fence++
	return &rotators.Request{
		ARN: e.arn, Name: "test", Pending: pending, Current: e.current, Admin: e.admin,
		Guard: rotators.Guard{Fence: e.fence, NotAfter: within(30 * time.Second)},
	}
}

// rotate makes one Run and returns the value that was left.
func (e *engine) rotate(t testing.TB) (old lockstep.Value) {
	t.Helper()
	pending, err := e.rotator.Create(t.Context(), e.request(lockstep.Value{}))
	check(t, err)
	check(t, e.rotator.Set(t.Context(), e.request(pending)))
	check(t, e.rotator.Test(t.Context(), e.request(pending), pending))
	old, e.current = e.current, pending
	return old
}

func (e *engine) retire(t testing.TB, old lockstep.Value) {
	t.Helper()
	check(t, e.rotator.(rotators.Retirer).Retire(t.Context(), e.request(lockstep.Value{}), old))
}

// refuses makes a set that must fail for good, with a plan that says so too.
func (e *engine) refuses(t testing.TB, hint string) {
	t.Helper()
	pending, err := e.rotator.Create(t.Context(), e.request(lockstep.Value{}))
	check(t, err)
	te := lockstep.AsTargetError(e.rotator.Set(t.Context(), e.request(pending)))
	if te.Outcome != lockstep.NotApplied || te.Fault != lockstep.FaultPermanent || te.Hint != hint {
		t.Errorf("set: %+v, want hint %q", te, hint)
	}
	e.plans(t, hint)
}

// plans makes a dry run that must name the hint; empty means no problem.
func (e *engine) plans(t testing.TB, hint string) rotators.Plan {
	t.Helper()
	plan, err := e.rotator.(rotators.Planner).Plan(t.Context(), e.request(lockstep.Value{}))
	check(t, err)
	if hint == "" && len(plan.Problems) > 0 || hint != "" && (len(plan.Problems) != 1 || plan.Problems[0].Hint != hint) {
		t.Errorf("plan: %+v, want hint %q", plan.Problems, hint)
	}
	return plan
}

// engine makes the Secret of a user that is there, with the password
// firstPassword.
func (w *world) engine(t testing.TB, r rotators.Chooser, user string) *engine {
	return &engine{
		rotator: r, current: w.value(t, user, firstPassword), admin: w.admin,
		arn: lockstep.ARN("arn:aws:secretsmanager:us-east-1:000000000000:secret:" + randomName()),
	}
}
