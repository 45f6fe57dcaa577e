package rotatortest

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"lockstep"
	"lockstep/rotators"
)

// IssuerFixture is one rotator whose target makes the values, and that target.
type IssuerFixture struct {
	Rotator rotators.Issuer
	// New makes a Secret's account anew.
	New func(t *testing.T) IssuerTarget
}

// IssuerTarget is one Secret's account at a target that issues values. Of Target,
// Refused, Session, Parts and Marks have no meaning here.
type IssuerTarget struct {
	Target
	// Valid counts the credentials that the target accepts now.
	Valid func(t *testing.T) int
	// Malformed lists values beside the usual ones that the rotator cannot use.
	Malformed []lockstep.Value
}

// RunIssuer runs the suite of rotators whose target makes the values.
func RunIssuer(t *testing.T, f IssuerFixture) {
	for _, one := range []struct {
		name string
		test func(*testing.T, *issuing)
	}{
		{"issue gives a value that is accepted beside AWSCURRENT", testIssuer},
		{"test gives verdicts", testIssuerVerdicts},
		{"malformed values are permanent", testIssuerMalformed},
		{"a late call issues nothing", testIssueLate},
		{"a lost lease issues nothing", testIssueLostLease},
		{"a lost message is told, and what was issued is found", testIssueLost},
		{"a wrong admin is named", testIssuerWrongAdmin},
		{"a missing right is permanent and named", testIssuerNoRight},
		{"a target that is away issues nothing", testIssuerAway},
		{"retire leaves exactly the right value", testIssuerRetire},
		{"orphans are found by their marker and revoked", testOrphans},
		{"plan is true and issues nothing", testIssuerPlan},
		{"no clear credential in the target's log", testIssuerLog},
	} {
		t.Run(one.name, func(t *testing.T) {
			target := f.New(t)
			one.test(t, &issuing{suite: &suite{Target: target.Target}, rotator: f.Rotator, valid: target.Valid, malformed: target.Malformed})
		})
	}
}

// issuing is one test's state.
type issuing struct {
	*suite
	rotator   rotators.Issuer
	valid     func(t *testing.T) int
	malformed []lockstep.Value
}

// intent is the request of one more claim, with its marker.
func (s *issuing) intent() *rotators.Request {
	s.fence++
	r := s.request(s.fence, lockstep.Value{})
	r.Marker = lockstep.NewMarker(s.ARN, "run-0123456789abcdef", s.fence)
	return r
}

func (s *issuing) issue(t *testing.T) lockstep.Value {
	t.Helper()
	v, err := s.rotator.Issue(t.Context(), s.intent())
	if err != nil {
		t.Fatalf("issue: %v", err)
	}
	return v
}

// pending is the request in which a value is the Run's.
func (s *issuing) pending(v lockstep.Value) *rotators.Request { return s.request(s.fence, v) }

func (s *issuing) wantValid(t *testing.T, what string, n int) {
	t.Helper()
	if got := s.valid(t); got != n {
		t.Errorf("%s: %d credentials are accepted, want %d", what, got, n)
	}
}

func testIssuer(t *testing.T, s *issuing) {
	for round := range 3 {
		s.wantValid(t, "before", 1+round)
		v := s.issue(t)
		s.wantAccepted(t, "the value that was issued", v)
		s.wantAccepted(t, "the old value", s.Current)
		if s.Clear(t, v) == s.Clear(t, s.Current) {
			t.Error("the same value was issued twice")
		}
		if err := s.rotator.Test(t.Context(), s.pending(v), v); err != nil {
			t.Errorf("test: %v", err)
		}
		s.finish(v)
	}
}

func testIssuerVerdicts(t *testing.T, s *issuing) {
	r := s.request(1, lockstep.Value{})
	if err := s.rotator.Test(t.Context(), r, s.Current); err != nil {
		t.Errorf("AWSCURRENT: %v", err)
	}
	wantError(t, s.rotator.Test(t.Context(), r, s.Wrong(t, s.Current)), lockstep.NotApplied, lockstep.FaultRefusedLogin)
}

func testIssuerMalformed(t *testing.T, s *issuing) {
	values := append([]lockstep.Value{
		{}, lockstep.StringValue("planted-marker"), lockstep.StringValue("[]"),
	}, s.malformed...)
	for i, v := range values {
		r := s.intent()
		r.Current = v
		_, err := s.rotator.Issue(t.Context(), r)
		te := wantError(t, err, lockstep.NotApplied, lockstep.FaultPermanent)
		if strings.Contains(te.Error()+te.Hint, "planted-marker") {
			t.Errorf("issue of value %d shows it: %v", i, err)
		}
	}
	wantError(t, s.rotator.Test(t.Context(), s.request(1, lockstep.Value{}), lockstep.StringValue("{}")), lockstep.NotApplied, lockstep.FaultPermanent)
	s.wantValid(t, "after malformed values", 1)
}

func testIssueLate(t *testing.T, s *issuing) {
	r := s.intent()
	r.Guard.NotAfter = tooLate
	_, err := s.rotator.Issue(t.Context(), r)
	wantError(t, err, lockstep.NotApplied, lockstep.FaultTransient)
	s.wantValid(t, "after a late call", 1)
}

func testIssueLostLease(t *testing.T, s *issuing) {
	r := s.intent()
	r.Guard.NotAfter = lost
	_, err := s.rotator.Issue(t.Context(), r)
	wantError(t, err, lockstep.NotApplied, lockstep.FaultTransient)
	s.wantValid(t, "after a call without a lease", 1)
}

// testIssueLost breaks the connection at each message of Issue in turn. What
// Issue says it did has to be true, and the sweep has to find the rest.
func testIssueLost(t *testing.T, s *issuing) {
	need(t, s.Through != nil, "address of its own")
	for _, how := range []cut{beforeSending, beforeAnswer} {
		done := false
		for n := int64(1); !done; n++ {
			if n > mostMessages {
				t.Fatalf("an issue of more than %d messages", mostMessages)
			}
			done = s.loseIssue(t, how, n)
		}
	}
}

func (s *issuing) loseIssue(t *testing.T, how cut, n int64) (fewer bool) {
	t.Helper()
	before := s.valid(t)
	p := startProxy(t, s.Address, how, n)
	r := s.intent()
	r.Current = s.Through(t, r.Current, p.address())
	if !r.Admin.IsZero() {
		r.Admin = s.Through(t, r.Admin, p.address())
	}
	v, err := s.rotator.Issue(t.Context(), r)
	p.stop()
	te := lockstep.AsTargetError(err)
	switch {
	case err == nil:
		s.wantAccepted(t, "a value that was issued", v)
	case te.Fault != lockstep.FaultTransient:
		t.Errorf("message %d lost: fault %d, want a passing one: %v", n, te.Fault, err)
	case te.Outcome == lockstep.NotApplied:
		s.wantValid(t, fmt.Sprintf("issued nothing (message %d lost, way %d: %v)", n, how, err), before)
	default:
		s.sweep(t, r.Marker)
		if _, finds := s.rotator.(rotators.OrphanFinder); finds {
			s.wantValid(t, "after the sweep", before)
		}
	}
	s.wantAccepted(t, "AWSCURRENT", s.Current)
	return p.seen.Load() < n
}

// sweep revokes what bears a marker, as the engine does; it does nothing where
// orphans end by themselves.
func (s *issuing) sweep(t *testing.T, marker lockstep.Marker) {
	t.Helper()
	finder, ok := s.rotator.(rotators.OrphanFinder)
	if !ok {
		return
	}
	r := s.request(s.fence, lockstep.Value{})
	marked, err := finder.Marked(t.Context(), r)
	if err != nil {
		t.Fatalf("list: %v", err)
	}
	for _, m := range marked {
		if m.Marker != marker {
			continue
		}
		for range 2 {
			if err := finder.Revoke(t.Context(), r, m); err != nil {
				t.Fatalf("revoke: %v", err)
			}
		}
	}
}

func testIssuerWrongAdmin(t *testing.T, s *issuing) {
	need(t, !s.WrongAdmin.IsZero(), "admin")
	r := s.intent()
	r.Admin = s.WrongAdmin
	s.wantUseless(t, r, lockstep.FaultRefusedLogin)
	s.wantProblem(t, r)
}

func testIssuerNoRight(t *testing.T, s *issuing) {
	need(t, !s.NoRight.IsZero(), "admin without the right")
	r := s.intent()
	r.Admin = s.NoRight
	s.wantUseless(t, r, lockstep.FaultPermanent)
}

func (s *issuing) wantUseless(t *testing.T, r *rotators.Request, f lockstep.Fault) {
	t.Helper()
	_, err := s.rotator.Issue(t.Context(), r)
	if te := wantError(t, err, lockstep.NotApplied, f); te.Hint == "" {
		t.Errorf("no hint: %v", te)
	}
	s.wantValid(t, "after an admin that cannot", 1)
	if retirer, ok := s.rotator.(rotators.Retirer); ok && f == lockstep.FaultPermanent {
		v := s.issue(t)
		old := s.finish(v)
		r.Current = v
		wantError(t, retirer.Retire(t.Context(), r, old), lockstep.NotApplied, lockstep.FaultPermanent)
		s.wantAccepted(t, "the old value, which this admin cannot revoke", old)
	}
}

// wantProblem checks that a plan tells beforehand what issue failed with.
func (s *issuing) wantProblem(t *testing.T, r *rotators.Request) {
	t.Helper()
	planner, ok := s.rotator.(rotators.Planner)
	_, finds := s.rotator.(rotators.OrphanFinder)
	if !ok || !finds { // without a list there is nothing to ask as the admin
		return
	}
	plan, err := planner.Plan(t.Context(), r)
	if err != nil || len(plan.Problems) == 0 || plan.Problems[0].Problem == "" {
		t.Fatalf("plan saw no problem: %+v, %v", plan, err)
	}
}

func testIssuerAway(t *testing.T, s *issuing) {
	need(t, s.Away != nil && s.Back != nil, "way to be away")
	s.Away(t)
	ctx, cancel := context.WithTimeout(t.Context(), awayPatience)
	defer cancel()
	_, err := s.rotator.Issue(ctx, s.intent())
	wantError(t, err, lockstep.NotApplied, lockstep.FaultTransient)
	wantError(t, s.rotator.Test(ctx, s.request(1, lockstep.Value{}), s.Current), lockstep.NotApplied, lockstep.FaultTransient)
	if planner, ok := s.rotator.(rotators.Planner); ok {
		if plan, err := planner.Plan(ctx, s.request(1, lockstep.Value{})); err != nil || len(plan.Problems) == 0 {
			t.Errorf("plan of a target that is away: %+v, %v", plan, err)
		}
	}
	s.Back(t)
	s.wantValid(t, "after the target was away", 1)
	s.wantAccepted(t, "the next value", s.issue(t))
}

func testIssuerRetire(t *testing.T, s *issuing) {
	retirer, ok := s.rotator.(rotators.Retirer)
	need(t, ok, "old value to retire")
	v := s.issue(t)
	wantError(t, retirer.Retire(t.Context(), s.request(s.fence, lockstep.Value{}), s.Current), lockstep.NotApplied, lockstep.FaultPermanent)
	s.wantAccepted(t, "AWSCURRENT, which is not to be retired", s.Current)
	old := s.finish(v)
	late := s.request(s.fence, lockstep.Value{})
	late.Guard.NotAfter = tooLate
	wantError(t, retirer.Retire(t.Context(), late, old), lockstep.NotApplied, lockstep.FaultTransient)
	s.wantAccepted(t, "the old value after a late retire", old)
	for range 2 {
		if err := retirer.Retire(t.Context(), s.request(s.fence, lockstep.Value{}), old); err != nil {
			t.Fatalf("retire: %v", err)
		}
		s.wantRefused(t, "the retired value", old)
		s.wantAccepted(t, "AWSCURRENT", s.Current)
		s.wantValid(t, "after retire", 1)
	}
	wantError(t, s.rotator.Test(t.Context(), s.request(s.fence, lockstep.Value{}), old), lockstep.NotApplied, lockstep.FaultRefusedLogin)
}

func testOrphans(t *testing.T, s *issuing) {
	finder, ok := s.rotator.(rotators.OrphanFinder)
	need(t, ok, "list")
	kept := s.issue(t)
	first := s.fence
	orphan := s.intent()
	v, err := s.rotator.Issue(t.Context(), orphan)
	if err != nil {
		t.Fatal(err)
	}
	foreign := s.intent()
	foreign.ARN += "-another"
	foreign.Marker = lockstep.NewMarker(foreign.ARN, "run-0123456789abcdef", 1)
	theirs, err := s.rotator.Issue(t.Context(), foreign)
	if err != nil {
		t.Fatal(err)
	}
	marked, err := finder.Marked(t.Context(), s.request(s.fence, lockstep.Value{}))
	if err != nil || len(marked) != 2 {
		t.Fatalf("marked: %+v, %v; want those of fences %d and %d", marked, err, first, first+1)
	}
	s.sweep(t, orphan.Marker)
	s.wantRefused(t, "the orphan", v)
	s.wantAccepted(t, "the value with another marker", kept)
	s.wantAccepted(t, "another secret's value", theirs)
	s.wantAccepted(t, "AWSCURRENT", s.Current)
	late := s.request(s.fence, lockstep.Value{})
	late.Guard.NotAfter = lost
	wantError(t, finder.Revoke(t.Context(), late, marked[0]), lockstep.NotApplied, lockstep.FaultTransient)
	s.wantAccepted(t, "what was not revoked without a lease", kept)
}

func testIssuerPlan(t *testing.T, s *issuing) {
	planner, ok := s.rotator.(rotators.Planner)
	need(t, ok, "plan")
	for round := range 2 {
		plan, err := planner.Plan(t.Context(), s.request(s.fence, lockstep.Value{}))
		if err != nil || len(plan.Problems) != 0 || len(plan.Actions) == 0 {
			t.Fatalf("plan: %+v, %v", plan, err)
		}
		for _, a := range plan.Actions {
			if strings.Contains(a, s.Clear(t, s.Current)) {
				t.Error("a plan shows AWSCURRENT")
			}
		}
		s.wantValid(t, "after a plan", 1+round)
		s.finish(s.issue(t))
	}
}

func testIssuerLog(t *testing.T, s *issuing) {
	need(t, s.Log != nil, "log")
	v := s.issue(t)
	if err := s.rotator.Test(t.Context(), s.pending(v), v); err != nil {
		t.Fatal(err)
	}
	old := s.finish(v)
	if r, ok := s.rotator.(rotators.Retirer); ok {
		if err := r.Retire(t.Context(), s.request(s.fence, lockstep.Value{}), old); err != nil {
			t.Fatal(err)
		}
	}
	log := s.Log(t)
	if log == "" {
		t.Fatal("the target's log is empty: nothing is proven")
	}
	for what, v := range map[string]lockstep.Value{"new": v, "old": old} {
		if strings.Contains(log, s.Clear(t, v)) {
			t.Errorf("the target's log shows the %s credential", what)
		}
	}
}
