package rotatortest

import (
	"strings"
	"testing"

	"lockstep"
	"lockstep/rotators"
)

func testCreate(t *testing.T, s *suite) {
	a, b := s.create(t), s.create(t)
	if a.Equal(b) || a.Equal(s.Current) {
		t.Error("create gave the same value twice")
	}
	s.wantAccepted(t, "AWSCURRENT", s.Current)
	s.wantRefused(t, "a value that was created only", a)
	id, ok := s.rotator.(rotators.Identifier)
	if !ok {
		return
	}
	current, err := id.Account(s.Current)
	if err != nil {
		t.Fatal(err)
	}
	pending, err := id.Account(a)
	if err != nil {
		t.Fatal(err)
	}
	two := s.rotator.Traits().Overlap == lockstep.TwoAccounts
	if (current != pending) != two {
		t.Errorf("AWSCURRENT is %v, pending %v; two accounts: %v", current, pending, two)
	}
	for _, v := range []lockstep.Value{s.Current, a} {
		all, err := id.Accounts(v)
		if err != nil || len(all) == 0 || len(all) > 2 || (len(all) == 2) != two {
			t.Errorf("accounts: %v, %v", all, err)
		}
	}
}

func testSet(t *testing.T, s *suite) {
	pending := s.create(t)
	for range 3 {
		s.set(t, 1, pending)
		s.wantAccepted(t, "the value that was set", pending)
		if err := s.rotator.Test(t.Context(), s.request(1, pending), pending); err != nil {
			t.Errorf("test: %v", err)
		}
	}
	if s.rotator.Traits().Overlap == lockstep.OneValue {
		s.wantRefused(t, "the old value", s.Current)
	} else {
		s.wantAccepted(t, "the old value", s.Current)
	}
	// The other way round, as the next Run does.
	old := s.finish(pending)
	next := s.create(t)
	for range 2 {
		if err := s.rotator.Set(t.Context(), s.after(2, next, old)); err != nil {
			t.Fatalf("set of the next run: %v", err)
		}
	}
	s.wantAccepted(t, "the next value", next)
	if s.rotator.Traits().Overlap == lockstep.TwoValues {
		s.wantAccepted(t, "AWSCURRENT beside the next value", pending)
		s.wantRefused(t, "the value of the run before", old)
		// What is set again is AWSCURRENT itself: nothing else is touched.
		s.restore(t, 3, pending, next)
		s.wantAccepted(t, "the pending value after AWSCURRENT was set again", next)
	}
}

// restore sets AWSCURRENT again, as undo and verify do.
func (s *suite) restore(t *testing.T, fence uint64, current, live lockstep.Value) {
	t.Helper()
	if err := s.rotator.Set(t.Context(), s.after(fence, current, live)); err != nil {
		t.Fatalf("set AWSCURRENT again: %v", err)
	}
	s.wantAccepted(t, "AWSCURRENT that was set again", current)
}

// testPolicy asks for passwords that only this policy makes; a policy that
// nothing can satisfy is refused for good.
func testPolicy(t *testing.T, s *suite) {
	need(t, s.Clear != nil, "clear credential")
	r := s.request(1, lockstep.Value{})
	r.Passwords = lockstep.PasswordPolicy{
		Length: 44, ExcludeCharacters: "0123456", ExcludeUppercase: true, ExcludeLowercase: true, ExcludePunctuation: true,
	}
	v, err := s.rotator.Create(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	if got := s.Clear(t, v); len(got) != 44 || strings.Trim(got, "789") != "" {
		t.Errorf("a password of %d characters, not 44 of 7, 8 and 9", len(got))
	}
	r.Passwords.ExcludeNumbers = true
	_, err = s.rotator.Create(t.Context(), r)
	wantError(t, err, lockstep.NotApplied, lockstep.FaultPermanent)
}

func testVerdicts(t *testing.T, s *suite) {
	need(t, s.Accepts != nil, "target")
	r := s.request(1, lockstep.Value{})
	if err := s.rotator.Test(t.Context(), r, s.Current); err != nil {
		t.Errorf("AWSCURRENT: %v", err)
	}
	wantError(t, s.rotator.Test(t.Context(), r, s.Wrong(t, s.Current)), lockstep.NotApplied, lockstep.FaultRefusedLogin)
	pending := s.create(t)
	wantError(t, s.rotator.Test(t.Context(), r, pending), lockstep.NotApplied, lockstep.FaultRefusedLogin)
}

func testMalformed(t *testing.T, s *suite) {
	for name, v := range map[string]lockstep.Value{
		"nothing":     {},
		"no JSON":     lockstep.StringValue("planted-marker"),
		"lacks all":   lockstep.StringValue("{}"),
		"a list":      lockstep.StringValue("[]"),
		"wrong types": lockstep.StringValue(`{"host":1,"username":"planted-marker","password":[]}`),
	} {
		if s.PlainText && name == "no JSON" {
			continue
		}
		r := s.request(1, v)
		r.Current = v
		_, err := s.rotator.Create(t.Context(), r)
		for call, err := range map[string]error{
			"create": err, "set": s.rotator.Set(t.Context(), r), "test": s.rotator.Test(t.Context(), r, v),
		} {
			te := wantError(t, err, lockstep.NotApplied, lockstep.FaultPermanent)
			if strings.Contains(te.Error()+te.Hint, "planted-marker") {
				t.Errorf("%s of %s shows the value: %v", call, name, err)
			}
		}
	}
	s.wantAccepted(t, "AWSCURRENT", s.Current)
}

func testPlan(t *testing.T, s *suite) {
	planner, ok := s.rotator.(rotators.Planner)
	need(t, ok, "plan")
	for range 2 { // a first Run, and one after it
		plan, err := planner.Plan(t.Context(), s.request(1, lockstep.Value{}))
		if err != nil || len(plan.Problems) != 0 || len(plan.Actions) == 0 {
			t.Fatalf("plan: %+v, %v", plan, err)
		}
		s.wantAccepted(t, "AWSCURRENT after a plan", s.Current)
		pending := s.create(t)
		s.wantRefused(t, "pending after a plan", pending)
		s.set(t, 1, pending)
		if err := s.rotator.Test(t.Context(), s.request(1, pending), pending); err != nil {
			t.Fatalf("plan had no problem, test had: %v", err)
		}
		s.finish(pending)
	}
}

// wantProblem checks that plan tells beforehand what set then failed with.
func (s *suite) wantProblem(t *testing.T, r *rotators.Request) {
	t.Helper()
	planner, ok := s.rotator.(rotators.Planner)
	if !ok {
		return
	}
	plan, err := planner.Plan(t.Context(), r)
	if err != nil || len(plan.Problems) == 0 {
		t.Fatalf("plan saw no problem: %+v, %v", plan, err)
	}
	for _, p := range plan.Problems {
		if p.Problem == "" || p.Step == "" {
			t.Errorf("a problem without words: %+v", p)
		}
	}
}

func testLog(t *testing.T, s *suite) {
	need(t, s.Log != nil, "log")
	pending := s.create(t)
	s.set(t, 1, pending)
	if err := s.rotator.Test(t.Context(), s.request(1, pending), pending); err != nil {
		t.Fatal(err)
	}
	old := s.finish(pending)
	if r, ok := s.rotator.(rotators.Retirer); ok {
		if err := r.Retire(t.Context(), s.request(1, lockstep.Value{}), old); err != nil {
			t.Fatal(err)
		}
	}
	log := s.Log(t)
	if log == "" {
		t.Fatal("the target's log is empty: nothing is proven")
	}
	for what, v := range map[string]lockstep.Value{"pending": pending, "old": old, "admin": s.Admin} {
		if !v.IsZero() && strings.Contains(log, s.Clear(t, v)) {
			t.Errorf("the target's log shows the %s credential", what)
		}
	}
}
