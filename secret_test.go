package lockstep_test

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"lockstep"
)

func TestTouchGrowsStrictly(t *testing.T) {
	at := func(s string) time.Time {
		v, err := time.Parse(time.RFC3339Nano, s)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	for _, c := range []struct{ rule, changed, now, want string }{
		{"time passed", "2026-01-01T00:00:00.001Z", "2026-01-01T00:00:09.5Z", "2026-01-01T00:00:09.5Z"},
		{"the wire shows milliseconds", "2026-01-01T00:00:00.001Z", "2026-01-01T00:00:00.0029Z", "2026-01-01T00:00:00.002Z"},
		{"the same millisecond", "2026-01-01T00:00:00.001Z", "2026-01-01T00:00:00.0019Z", "2026-01-01T00:00:00.002Z"},
		{"the clock stepped back", "2026-01-01T00:00:00.001Z", "2025-01-01T00:00:00Z", "2026-01-01T00:00:00.002Z"},
		{"always UTC", "2026-01-01T00:00:00Z", "2026-01-01T10:00:00+02:00", "2026-01-01T08:00:00Z"},
	} {
		s := lockstep.Secret{Changed: at(c.changed)}
		s.Touch(at(c.now))
		if s.Changed != at(c.want) {
			t.Errorf("%s: %v, want %s", c.rule, s.Changed, c.want)
		}
	}
	s := lockstep.Secret{}
	now := at("2026-01-01T00:00:00Z")
	for i := range 1000 {
		before := s.Changed
		s.Touch(now.Add(time.Duration(i) * 300 * time.Microsecond))
		if s.Changed.UnixMilli() <= before.UnixMilli() && i > 0 {
			t.Fatalf("change %d: %v after %v", i, s.Changed, before)
		}
	}
}

func TestSecretClone(t *testing.T) {
	s := &lockstep.Secret{
		Tags: []lockstep.Tag{{Key: "a"}}, Replicas: []lockstep.Replica{{Region: "eu-west-1"}},
		Rotation: &lockstep.Rotation{Rotator: "x"},
	}
	c := s.Clone()
	c.Tags[0].Key, c.Replicas[0].Region, c.Rotation.Rotator = "b", "b", "b"
	if s.Tags[0].Key != "a" || s.Replicas[0].Region != "eu-west-1" || s.Rotation.Rotator != "x" {
		t.Error("the copy shares what it changed")
	}
}

func TestSecretARN(t *testing.T) {
	form := regexp.MustCompile(`^arn:aws:secretsmanager:us-east-1:000000000000:secret:prod/db-[A-Za-z0-9]{6}$`)
	seen := map[lockstep.ARN]bool{}
	for range 50 {
		arn, err := lockstep.NewSecretARN("us-east-1", "000000000000", "prod/db")
		if err != nil || !form.MatchString(string(arn)) || seen[arn] {
			t.Fatalf("%s (seen %v): %v", arn, seen[arn], err)
		}
		seen[arn] = true
	}
	got, ok := lockstep.ParseSecretARN("arn:aws:secretsmanager:us-east-1:000000000000:secret:prod/db-AbCdEf")
	if want := (lockstep.SecretARN{Region: "us-east-1", Account: "000000000000", Resource: "prod/db-AbCdEf"}); !ok || got != want {
		t.Errorf("got %+v, %v", got, ok)
	}
	for _, text := range []string{
		"", "prod/db", "arn:aws:secretsmanager:us-east-1:000000000000:secret:", "arn:aws:secretsmanager:us-east-1:000000000000:secret",
		"arn:aws:kms:us-east-1:000000000000:secret:x", "urn:aws:secretsmanager:us-east-1:000000000000:secret:x",
	} {
		if got, ok := lockstep.ParseSecretARN(text); ok {
			t.Errorf("%q is no secret ARN, got %+v", text, got)
		}
	}
}

func FuzzParseSecretARN(f *testing.F) {
	f.Add("arn:aws:secretsmanager:us-east-1:000000000000:secret:prod/db-AbCdEf")
	f.Add("prod/db")
	f.Fuzz(func(t *testing.T, text string) {
		got, ok := lockstep.ParseSecretARN(text)
		if !ok {
			return
		}
		tail := fmt.Sprintf(":secretsmanager:%s:%s:secret:%s", got.Region, got.Account, got.Resource)
		if got.Resource == "" || !strings.HasPrefix(text, "arn:") || !strings.HasSuffix(text, tail) {
			t.Fatalf("%q was read as %+v", text, got)
		}
	})
}

func TestIDs(t *testing.T) {
	uuid := regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)
	v, err := lockstep.NewVersionID()
	if err != nil || !uuid.MatchString(string(v)) {
		t.Errorf("%q is no UUID of version 4: %v", v, err)
	}
	id, err := lockstep.NewID("run")
	if err != nil || !regexp.MustCompile(`^run-[0-9a-f]{32}$`).MatchString(id) {
		t.Errorf("%q: %v", id, err)
	}
}

func TestErrors(t *testing.T) {
	cause := errors.New("connection reset")
	if te := lockstep.AsTargetError(fmt.Errorf("call: %w", cause)); te.Outcome != lockstep.Unknown || te.Fault != lockstep.FaultTransient || !errors.Is(te, cause) {
		t.Errorf("an error that nobody classified must be read with care, got %+v", te)
	}
	applied := &lockstep.TargetError{Outcome: lockstep.Applied, Fault: lockstep.FaultPermanent, Err: cause}
	if te := lockstep.AsTargetError(fmt.Errorf("call: %w", applied)); te != applied {
		t.Errorf("got %+v", te)
	}
	if text := (&lockstep.TargetError{}).Error(); text == "" {
		t.Error("an error without a cause must still say something")
	}
	step := &lockstep.StepError{Secret: "prod/db", Step: lockstep.StepSet, Hint: "grant it", Err: cause}
	if got, want := step.Error(), "secret prod/db: step set: connection reset (grant it)"; got != want || !errors.Is(step, cause) {
		t.Errorf("got %q, want %q", got, want)
	}
	refusal := lockstep.Refuse(lockstep.ErrState, "No %s.", "thing")
	if refusal.Error() != "No thing." || !errors.Is(refusal, lockstep.ErrState) {
		t.Errorf("got %v", refusal)
	}
}

func TestTraits(t *testing.T) {
	for _, c := range []struct {
		class               string
		traits              lockstep.Traits
		overwrites, retires bool
		two                 bool
	}{
		{"chosen, one value", lockstep.Traits{Chooser: lockstep.Chosen, Overlap: lockstep.OneValue}, true, false, false},
		{"chosen, two accounts", lockstep.Traits{Chooser: lockstep.Chosen, Overlap: lockstep.TwoAccounts}, true, true, false},
		{"chosen, two values", lockstep.Traits{Chooser: lockstep.Chosen, Overlap: lockstep.TwoValues}, false, true, true},
		{"issued, several", lockstep.Traits{Chooser: lockstep.Issued, Overlap: lockstep.TwoValues}, false, true, false},
		{"issued, one", lockstep.Traits{Chooser: lockstep.Issued, Overlap: lockstep.OneValue}, true, false, false},
		{"no target", lockstep.Traits{Chooser: lockstep.ValueOnly, Overlap: lockstep.TwoValues}, false, false, false},
	} {
		if c.traits.OverwritesOld() != c.overwrites || c.traits.Retires() != c.retires || c.traits.KeepsTwoValues() != c.two {
			t.Errorf("%s: overwrites %v, retires %v, two %v", c.class, c.traits.OverwritesOld(), c.traits.Retires(), c.traits.KeepsTwoValues())
		}
	}
}
