package lockstep

import (
	"math"
	"strings"
	"testing"
)

func TestMarker(t *testing.T) {
	const mine, other ARN = "arn:aws:secretsmanager:us-east-1:123456789012:secret:a-AbCdEf", "arn:aws:secretsmanager:us-east-1:123456789012:secret:a-AbCdEg"
	id, err := NewID("run")
	if err != nil {
		t.Fatal(err)
	}
	seen := make(map[Marker]bool)
	for _, arn := range []ARN{mine, other} {
		for _, fence := range []uint64{0, 1, 10, math.MaxUint64} {
			m := NewMarker(arn, RunID(id), fence)
			if len(m) > 63 || seen[m] {
				t.Errorf("%s: too long, or used twice", m)
			}
			seen[m] = true
			if got, ok := ParseMarker(string(m)); !ok || got != m {
				t.Errorf("%s is not read as a marker", m)
			}
			if m.Of(mine) != (arn == mine) || m.Of(other) != (arn == other) {
				t.Errorf("%s is taken for another secret's", m)
			}
		}
	}
}

func TestForeignNames(t *testing.T) {
	good := string(NewMarker("a", "run-0123456789abcdef0123456789abcdef", 12))
	for _, name := range []string{
		"", "ci token", "lockstep", "lockstep-", "lockstep-a-b-1", good + "-", good + "-copy", good + " ", " " + good,
		strings.ToUpper(good), strings.TrimSuffix(good, "12") + "012", strings.TrimSuffix(good, "12") + "+12", strings.TrimSuffix(good, "12"),
		strings.TrimSuffix(good, "12") + "18446744073709551616",
	} {
		if m, ok := ParseMarker(name); ok {
			t.Errorf("%q is read as the marker %s", name, m)
		}
	}
}

func FuzzParseMarker(f *testing.F) {
	f.Add(string(NewMarker("a", "run-0123456789abcdef0123456789abcdef", 12)))
	f.Add("lockstep-token")
	f.Fuzz(func(t *testing.T, name string) {
		if m, ok := ParseMarker(name); ok && (string(m) != name || len(m) > 63) {
			t.Fatalf("%q is read as %q", name, m)
		}
	})
}
