package lockstep_test

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	"lockstep"
)

// labels reads "AWSCURRENT=b AWSPREVIOUS=a".
func labels(text string) lockstep.Stages {
	out := lockstep.Stages{}
	for _, f := range strings.Fields(text) {
		stage, version, _ := strings.Cut(f, "=")
		out[lockstep.Stage(stage)] = lockstep.VersionID(version)
	}
	return out
}

func TestPlace(t *testing.T) {
	for _, c := range []struct {
		rule, before, stage, on, after string
	}{
		{"the first AWSCURRENT", "", "AWSCURRENT", "a", "AWSCURRENT=a"},
		{"AWSPREVIOUS follows AWSCURRENT", "AWSCURRENT=a", "AWSCURRENT", "b", "AWSCURRENT=b AWSPREVIOUS=a"},
		{"AWSPREVIOUS leaves its former holder", "AWSCURRENT=b AWSPREVIOUS=a", "AWSCURRENT", "c", "AWSCURRENT=c AWSPREVIOUS=b"},
		{"back to the previous version swaps", "AWSCURRENT=b AWSPREVIOUS=a", "AWSCURRENT", "a", "AWSCURRENT=a AWSPREVIOUS=b"},
		{"AWSPENDING stays where it is", "AWSCURRENT=a AWSPENDING=b", "AWSCURRENT", "b", "AWSCURRENT=b AWSPENDING=b AWSPREVIOUS=a"},
		{"a label stands on one version", "one=a", "one", "b", "one=b"},
		{"labels are free", "AWSCURRENT=a", "AWSSOMETHING", "a", "AWSCURRENT=a AWSSOMETHING=a"},
		{"where it stands already", "AWSCURRENT=b AWSPREVIOUS=a", "AWSCURRENT", "b", "AWSCURRENT=b AWSPREVIOUS=a"},
		{"other labels do not touch AWSPREVIOUS", "AWSCURRENT=a", "AWSPENDING", "b", "AWSCURRENT=a AWSPENDING=b"},
		{"nothing is both current and previous", "AWSPREVIOUS=a", "AWSCURRENT", "a", "AWSCURRENT=a"},
	} {
		s := labels(c.before)
		s.Place(lockstep.Stage(c.stage), lockstep.VersionID(c.on))
		if !maps.Equal(s, labels(c.after)) {
			t.Errorf("%s: %v, want %s", c.rule, s, c.after)
		}
	}
}

func TestMove(t *testing.T) {
	const refused = "refused"
	for _, c := range []struct {
		rule, before, stage, from, to, after string
	}{
		{"onto another, naming the holder", "AWSCURRENT=a", "AWSCURRENT", "a", "b", "AWSCURRENT=b AWSPREVIOUS=a"},
		{"onto another, not naming the holder", "AWSCURRENT=a", "AWSCURRENT", "", "b", refused},
		{"onto another, naming the wrong holder", "AWSCURRENT=a", "AWSCURRENT", "c", "b", refused},
		{"where it stands", "AWSCURRENT=a", "AWSCURRENT", "", "a", "AWSCURRENT=a"},
		{"where it stands, from there", "AWSCURRENT=a", "AWSCURRENT", "a", "a", "AWSCURRENT=a"},
		{"where it stands, from elsewhere", "AWSCURRENT=a", "AWSCURRENT", "b", "a", refused},
		{"a new label", "AWSCURRENT=a", "one", "", "a", "AWSCURRENT=a one=a"},
		{"a new label from where it is not", "AWSCURRENT=a", "one", "b", "a", refused},
		{"taken off", "AWSCURRENT=a AWSPENDING=b", "AWSPENDING", "b", "", "AWSCURRENT=a"},
		{"taken off where it is not", "AWSCURRENT=a AWSPENDING=b", "AWSPENDING", "a", "", refused},
		{"taken off though nowhere", "AWSCURRENT=a", "one", "a", "", refused},
		{"AWSCURRENT taken off", "AWSCURRENT=a", "AWSCURRENT", "a", "", refused},
		{"neither from nor to", "AWSCURRENT=a", "AWSCURRENT", "", "", refused},
		{"neither from nor to, label nowhere", "", "one", "", "", refused},
		{"back", "AWSCURRENT=b AWSPREVIOUS=a", "AWSCURRENT", "b", "a", "AWSCURRENT=a AWSPREVIOUS=b"},
	} {
		s := labels(c.before)
		err := s.Move(lockstep.Stage(c.stage), lockstep.VersionID(c.from), lockstep.VersionID(c.to))
		want := c.after
		if want == refused {
			want = c.before
			if !errors.Is(err, lockstep.ErrInvalid) || !strings.HasSuffix(err.Error(), ".") {
				t.Errorf("%s: got %v, want a sentence that refuses", c.rule, err)
			}
		} else if err != nil {
			t.Errorf("%s: %v", c.rule, err)
		}
		if !maps.Equal(s, labels(want)) {
			t.Errorf("%s: %v, want %s", c.rule, s, want)
		}
	}
}

func TestMoveNamesTheHolderInAWSWords(t *testing.T) {
	err := labels("AWSCURRENT=aaaa").Move(lockstep.Current, "", "bbbb")
	const want = "The parameter RemoveFromVersionId can't be empty. Staging label AWSCURRENT is currently attached to version aaaa, so you must explicitly reference that version in RemoveFromVersionId."
	if err == nil || err.Error() != want {
		t.Errorf("got %v", err)
	}
}

func TestStagesOf(t *testing.T) {
	s := labels("zeta=a AWSPREVIOUS=a alpha=a AWSCURRENT=a AWSPENDING=a other=b")
	want := []lockstep.Stage{"AWSCURRENT", "AWSPENDING", "AWSPREVIOUS", "alpha", "zeta"}
	if got := s.Of("a"); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	by := s.ByVersion()
	if len(by) != 2 || !slices.Equal(by["a"], want) || !slices.Equal(by["b"], []lockstep.Stage{"other"}) {
		t.Errorf("by version: %v", by)
	}
	if got := s.Of("nobody"); got != nil {
		t.Errorf("of a version without labels: %v", got)
	}
}

func TestStagesClone(t *testing.T) {
	s := labels("AWSCURRENT=a")
	c := s.Clone()
	c.Place(lockstep.Current, "b")
	if s[lockstep.Current] != "a" {
		t.Error("the copy changed the original")
	}
	if lockstep.Stages(nil).Clone() == nil {
		t.Error("a copy of nothing must take labels")
	}
}
