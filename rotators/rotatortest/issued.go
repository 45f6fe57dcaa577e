package rotatortest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"lockstep"
	"lockstep/rotators"
)

// IssuedFixture is one rotator whose target makes the values, and its target.
type IssuedFixture struct {
	Rotator rotators.Issuer
	// New makes a Secret's account anew, with one value that works.
	New func(t *testing.T) IssuedTarget
}

// IssuedTarget is one Secret's account at a real provider. Of Target, these are
// asked for: ARN, Current, Admin, Accepts and Wrong; NoRight, Away and Back,
// Address and Through, Clear and Log where the provider has them.
type IssuedTarget struct {
	Target
	// Count is how many credentials of the account work, those of other names too.
	Count func(t *testing.T) int
	// Named makes a credential with a name at the provider, as others do. Nil if
	// it keeps no names.
	Named func(t *testing.T, name string)
	// Malformed lists values, beside those that no rotator can use, that this one
	// cannot.
	Malformed []lockstep.Value
}

// RunIssued runs the suite for a rotator whose target makes the values.
func RunIssued(t *testing.T, f IssuedFixture) {
	for _, one := range []struct {
		name string
		test func(*testing.T, *issuedSuite)
	}{
		{"each issue brings another value", testEachIssue},
		{"test gives verdicts", testIssuedVerdicts},
		{"malformed values are permanent", testIssuedMalformed},
		{"a lost lease sends nothing", testIssuedLostLease},
		{"a late call sends nothing", testIssuedLate},
		{"a lost message is told, found and revoked", testIssuedLost},
		{"other names are left alone", testForeignNames},
		{"a wrong admin is named", testIssuedWrongAdmin},
		{"a missing right is permanent and named", testIssuedNoRight},
		{"a target that is away gives no verdict", testIssuedAway},
		{"retire leaves exactly the right credential", testIssuedRetire},
		{"the end of a value is told", testExpires},
		{"plan is true", testIssuedPlan},
		{"no clear credential in the target's log", testIssuedLog},
	} {
		t.Run(one.name, func(t *testing.T) {
			target := f.New(t)
			one.test(t, &issuedSuite{
				suite: suite{Target: target.Target}, IssuedTarget: target, rotator: f.Rotator,
				one: f.Rotator.Traits().Overlap == lockstep.OneValue,
			})
		})
	}
}

// issuedSuite is one test's state; the suite in it looks at values.
type issuedSuite struct {
	suite
	IssuedTarget
	rotator rotators.Issuer
	one     bool
	claims  uint64
}

// suiteRun is the Run that the suite plays.
const suiteRun lockstep.RunID = "run-00112233445566778899aabbccddeeff"

// ask is the request of a new claim, with a marker of its own.
func (s *issuedSuite) ask() *rotators.Request {
	s.claims++
	r := s.suite.request(s.claims, lockstep.Value{})
	r.Marker = lockstep.NewMarker(r.ARN, suiteRun, s.claims)
	return r
}

// plain is a request that issues nothing.
func (s *issuedSuite) plain() *rotators.Request { return s.suite.request(s.claims+1, lockstep.Value{}) }

func (s *issuedSuite) issue(t *testing.T) (lockstep.Value, lockstep.Marker) {
	t.Helper()
	r := s.ask()
	v, err := s.rotator.Issue(t.Context(), r)
	if err != nil || v.IsZero() {
		t.Fatalf("issue: %v", err)
	}
	return v, r.Marker
}

// marked is how often each marker is found.
func (s *issuedSuite) marked(t *testing.T) map[lockstep.Marker]rotators.Marked {
	t.Helper()
	finder, ok := s.rotator.(rotators.OrphanFinder)
	need(t, ok, "way to find orphans")
	list, err := finder.Marked(t.Context(), s.plain())
	if err != nil {
		t.Fatalf("marked: %v", err)
	}
	out := make(map[lockstep.Marker]rotators.Marked)
	for _, m := range list {
		if _, twice := out[m.Marker]; twice || m.ID == "" || !m.Marker.Of(s.suite.ARN) {
			t.Errorf("found %+v, %d of its marker before", m, len(out))
		}
		out[m.Marker] = m
	}
	return out
}

func testEachIssue(t *testing.T, s *issuedSuite) {
	first, one := s.issue(t)
	s.wantAccepted(t, "the issued value", first)
	if err := s.rotator.Test(t.Context(), s.plain(), first); err != nil {
		t.Errorf("test: %v", err)
	}
	if first.Equal(s.suite.Current) {
		t.Error("the value issued is AWSCURRENT")
	}
	if s.one {
		s.wantRefused(t, "the value before", s.suite.Current)
		s.finish(first)
		next, _ := s.issue(t)
		s.wantAccepted(t, "the next value", next)
		s.wantRefused(t, "the value before it", first)
		return
	}
	s.wantAccepted(t, "AWSCURRENT beside the issued value", s.suite.Current)
	second, two := s.issue(t)
	s.wantAccepted(t, "the second issued value", second)
	s.wantAccepted(t, "the first beside it", first)
	if second.Equal(first) {
		t.Error("two calls brought the same value")
	}
	if _, ok := s.rotator.(rotators.OrphanFinder); ok {
		if found := s.marked(t); found[one].ID == "" || found[two].ID == "" || len(found) != 2 {
			t.Errorf("%d are found by their markers, want 2: %v", len(found), found)
		}
	}
}

func testIssuedVerdicts(t *testing.T, s *issuedSuite) {
	r := s.plain()
	if err := s.rotator.Test(t.Context(), r, s.suite.Current); err != nil {
		t.Errorf("AWSCURRENT: %v", err)
	}
	wantError(t, s.rotator.Test(t.Context(), r, s.suite.Wrong(t, s.suite.Current)), lockstep.NotApplied, lockstep.FaultRefusedLogin)
}

func testIssuedMalformed(t *testing.T, s *issuedSuite) {
	before := s.Count(t)
	values := map[string]lockstep.Value{
		"nothing": {}, "no JSON": lockstep.StringValue("planted-marker"), "lacks all": lockstep.StringValue("{}"), "a list": lockstep.StringValue("[]"),
	}
	for i, v := range s.Malformed {
		r := s.ask()
		r.Current = v
		_, err := s.rotator.Issue(t.Context(), r)
		if te := wantError(t, err, lockstep.NotApplied, lockstep.FaultPermanent); strings.Contains(te.Error()+te.Hint, "planted-marker") {
			t.Errorf("issue of malformed value %d shows it: %v", i, err)
		}
	}
	for name, v := range values {
		r := s.ask()
		r.Current = v
		_, err := s.rotator.Issue(t.Context(), r)
		for call, err := range map[string]error{"issue": err, "test": s.rotator.Test(t.Context(), r, v)} {
			te := wantError(t, err, lockstep.NotApplied, lockstep.FaultPermanent)
			if strings.Contains(te.Error()+te.Hint, "planted-marker") {
				t.Errorf("%s of %s shows the value: %v", call, name, err)
			}
		}
	}
	s.unchanged(t, before)
}

// unchanged asserts that AWSCURRENT works, and as many credentials as before.
func (s *issuedSuite) unchanged(t *testing.T, before int) {
	t.Helper()
	s.wantAccepted(t, "AWSCURRENT", s.suite.Current)
	if n := s.Count(t); n != before {
		t.Errorf("%d credentials work, %d before", n, before)
	}
}

func testIssuedLostLease(t *testing.T, s *issuedSuite) {
	before := s.Count(t)
	r := s.ask()
	r.Guard.NotAfter = lost
	_, err := s.rotator.Issue(t.Context(), r)
	wantError(t, err, lockstep.NotApplied, lockstep.FaultTransient)
	if !errors.Is(err, errLost) {
		t.Errorf("the lease's own error is gone: %v", err)
	}
	s.unchanged(t, before)
}

func testIssuedLate(t *testing.T, s *issuedSuite) {
	before := s.Count(t)
	r := s.ask()
	r.Guard.NotAfter = tooLate
	_, err := s.rotator.Issue(t.Context(), r)
	wantError(t, err, lockstep.NotApplied, lockstep.FaultTransient)
	s.unchanged(t, before)
}

// testIssuedLost breaks the connection at each message of an issue in turn.
func testIssuedLost(t *testing.T, s *issuedSuite) {
	need(t, s.suite.Through != nil, "address of its own")
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

// loseIssue makes an issue whose nth message is lost; true if it has fewer.
func (s *issuedSuite) loseIssue(t *testing.T, how cut, n int64) (fewer bool) {
	t.Helper()
	p := startProxy(t, s.suite.Address, how, n)
	defer p.stop()
	before := s.Count(t)
	r := s.ask()
	current := r.Current
	r.Current = s.suite.Through(t, current, p.address())
	if !r.Admin.IsZero() {
		r.Admin = s.suite.Through(t, r.Admin, p.address())
	}
	v, err := s.rotator.Issue(t.Context(), r)
	what := fmt.Sprintf("message %d lost, way %d: %v", n, how, err)
	te := lockstep.AsTargetError(err)
	switch {
	case err == nil:
		s.wantAccepted(t, "a value that was issued", v)
		s.finish(s.direct(t, v))
		return p.seen.Load() < n
	case te.Fault != lockstep.FaultTransient:
		t.Errorf("%s: fault %d, want a passing one", what, te.Fault)
	case te.Outcome == lockstep.NotApplied:
		s.unchanged(t, before)
	case s.one:
		s.remake(t)
	default:
		s.revokeLost(t, r.Marker, before, what)
	}
	return p.seen.Load() < n
}

// direct is a value with the target's own address again.
func (s *issuedSuite) direct(t *testing.T, v lockstep.Value) lockstep.Value {
	return s.suite.Through(t, v, s.suite.Address)
}

// remake does what a person does after a lost Run, where the test can: if
// AWSCURRENT still works, nothing is to be done.
func (s *issuedSuite) remake(t *testing.T) {
	t.Helper()
	if !s.suite.Accepts(t, s.suite.Current) {
		t.Skip("the only value is lost, as it must be; the rest needs another")
	}
}

// revokeLost finds what a lost answer left, and revokes it, twice.
func (s *issuedSuite) revokeLost(t *testing.T, m lockstep.Marker, before int, what string) {
	t.Helper()
	finder, ok := s.rotator.(rotators.OrphanFinder)
	if !ok {
		return // it dies by itself
	}
	orphan, there := s.marked(t)[m]
	if now := s.Count(t); there != (now == before+1) {
		t.Errorf("%s: found %t, %d credentials work, %d before", what, there, now, before)
	}
	if !there {
		return
	}
	for range 2 {
		if err := finder.Revoke(t.Context(), s.plain(), orphan); err != nil {
			t.Fatalf("%s: revoke the orphan: %v", what, err)
		}
		s.unchanged(t, before)
	}
	if _, there := s.marked(t)[m]; there {
		t.Errorf("%s: a revoked orphan is found again", what)
	}
}

func testForeignNames(t *testing.T, s *issuedSuite) {
	need(t, s.Named != nil, "names")
	mine := lockstep.NewMarker(s.suite.ARN, suiteRun, 1000)
	for _, name := range []string{"ci token", "lockstep", string(mine) + "-copy", string(lockstep.NewMarker(s.suite.ARN+"x", suiteRun, 1))} {
		s.Named(t, name)
	}
	if found := s.marked(t); len(found) != 0 {
		t.Errorf("found %v", found)
	}
	s.Named(t, string(mine))
	if found := s.marked(t); len(found) != 1 || found[mine].ID == "" {
		t.Errorf("found %v, want %s", found, mine)
	}
}

// testIssuedWrongAdmin: who can list what was issued tells of it beforehand, too.
func testIssuedWrongAdmin(t *testing.T, s *issuedSuite) {
	need(t, !s.suite.WrongAdmin.IsZero(), "admin")
	before := s.Count(t)
	r := s.ask()
	r.Admin = s.suite.WrongAdmin
	_, err := s.rotator.Issue(t.Context(), r)
	if te := wantError(t, err, lockstep.NotApplied, lockstep.FaultRefusedLogin); te.Hint == "" {
		t.Errorf("no hint: %v", te)
	}
	s.unchanged(t, before)
	planner, plans := s.rotator.(rotators.Planner)
	if _, lists := s.rotator.(rotators.OrphanFinder); !plans || !lists {
		return
	}
	plan, err := planner.Plan(t.Context(), r)
	if err != nil || len(plan.Problems) == 0 || plan.Problems[0].Problem == "" {
		t.Errorf("plan saw no problem: %+v, %v", plan, err)
	}
}

func testIssuedNoRight(t *testing.T, s *issuedSuite) {
	need(t, !s.suite.NoRight.IsZero(), "credential without the right")
	before := s.Count(t)
	r := s.ask()
	if r.Admin.IsZero() {
		r.Current = s.suite.NoRight
	} else {
		r.Admin = s.suite.NoRight
	}
	_, err := s.rotator.Issue(t.Context(), r)
	if te := wantError(t, err, lockstep.NotApplied, lockstep.FaultPermanent); te.Hint == "" {
		t.Errorf("no hint: %v", te)
	}
	s.unchanged(t, before)
}

func testIssuedAway(t *testing.T, s *issuedSuite) {
	need(t, s.suite.Away != nil && s.suite.Back != nil, "way to be away")
	s.suite.Away(t)
	ctx, cancel := context.WithTimeout(t.Context(), awayPatience)
	defer cancel()
	_, err := s.rotator.Issue(ctx, s.ask())
	wantError(t, err, lockstep.NotApplied, lockstep.FaultTransient)
	wantError(t, s.rotator.Test(ctx, s.plain(), s.suite.Current), lockstep.NotApplied, lockstep.FaultTransient)
	if planner, ok := s.rotator.(rotators.Planner); ok {
		if plan, err := planner.Plan(ctx, s.plain()); err != nil || len(plan.Problems) == 0 {
			t.Errorf("plan of a target that is away: %+v, %v", plan, err)
		}
	}
	s.suite.Back(t)
	s.wantAccepted(t, "AWSCURRENT", s.suite.Current)
	v, _ := s.issue(t)
	s.wantAccepted(t, "the issued value", v)
}

func testIssuedRetire(t *testing.T, s *issuedSuite) {
	retirer, ok := s.rotator.(rotators.Retirer)
	need(t, ok && !s.one, "old credential to retire")
	before := s.Count(t)
	pending, _ := s.issue(t)
	if err := retirer.Retire(t.Context(), s.plain(), s.suite.Current); err == nil {
		t.Error("AWSCURRENT was retired")
	}
	s.wantAccepted(t, "AWSCURRENT, which is not to be retired", s.suite.Current)
	old := s.finish(pending)
	late := s.plain()
	late.Guard.NotAfter = lost
	wantError(t, retirer.Retire(t.Context(), late, old), lockstep.NotApplied, lockstep.FaultTransient)
	s.wantAccepted(t, "the old value after a retire that was not sent", old)
	for range 2 {
		if err := retirer.Retire(t.Context(), s.plain(), old); err != nil {
			t.Fatalf("retire: %v", err)
		}
		s.wantRefused(t, "the retired value", old)
		s.unchanged(t, before)
	}
}

func testExpires(t *testing.T, s *issuedSuite) {
	expirer, ok := s.rotator.(rotators.Expirer)
	need(t, ok, "end of its values")
	v, _ := s.issue(t)
	at, err := expirer.Expires(v)
	if err != nil || !at.IsZero() && !at.After(time.Now()) {
		t.Errorf("a value just issued expires at %v: %v", at, err)
	}
	if _, err := expirer.Expires(lockstep.StringValue("[]")); !errors.Is(err, lockstep.ErrInvalid) {
		t.Errorf("the end of a malformed value: %v", err)
	}
}

func testIssuedPlan(t *testing.T, s *issuedSuite) {
	planner, ok := s.rotator.(rotators.Planner)
	need(t, ok, "plan")
	before := s.Count(t)
	plan, err := planner.Plan(t.Context(), s.plain())
	if err != nil || len(plan.Problems) != 0 || len(plan.Actions) == 0 {
		t.Fatalf("plan: %+v, %v", plan, err)
	}
	s.unchanged(t, before)
	s.issue(t)
}

func testIssuedLog(t *testing.T, s *issuedSuite) {
	need(t, s.suite.Log != nil, "log")
	v, _ := s.issue(t)
	if strings.Contains(s.suite.Log(t), s.suite.Clear(t, v)) {
		t.Error("the target's log shows the issued credential")
	}
}
