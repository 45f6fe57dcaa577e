package custom

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"lockstep/internal/servertest"
)

// TestSkeletons runs what `rotator new` writes, as it is: with a secret that says
// that it is an example the target is a file. The one in Go is tried in every way
// that `rotator test` knows; the others, whose SDKs start slowly, rotate once.
func TestSkeletons(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	for _, language := range []string{"python", "go", "shell"} {
		t.Run(language, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			out, errOut, code := s.server.CLI(t.Context(), "", "rotator", "new", "--kind", "exec", "--language", language, "--dir", dir)
			if code != 0 {
				t.Fatalf("rotator new: exit %d\n%s%s", code, out, errOut)
			}
			rotator, secret := language+"-skeleton", language+"/example"
			s.register(t, rotator, "--exec", skeletonCommand(t, s, language, dir))
			file := filepath.Join(dir, "target")
			s.create(t, secret, fmt.Sprintf(`{"engine":"example","file":%q,"password":"start"}`, file))
			if language == "go" {
				tried(t, s, rotator, secret)
			} else {
				s.rotate(t, secret, rotator)
				s.ended(t, secret, "succeeded")
			}
			var value struct{ Password string }
			if err := json.Unmarshal([]byte(s.value(t, secret)), &value); err != nil || value.Password == "start" || len(value.Password) != 32 {
				t.Errorf("AWSCURRENT was not rotated: %v", err)
			}
			if target, err := os.ReadFile(file); err != nil || len(strings.TrimSpace(string(target))) != 64 {
				t.Errorf("the target was not told: %v", err)
			}
			s.silent(t, value.Password)
			// Of a real target it knows nothing, and says so.
			s.create(t, secret+"/real", `{"engine":"real","password":"start"}`)
			s.rotate(t, secret+"/real", rotator)
			servertest.Eventually(t, "refusal", func() bool {
				run := s.run(t, secret+"/real")
				return strings.Contains(run.Reason, "set_secret") || strings.Contains(run.Reason, "setSecret is to be written")
			})
		})
	}
}

// skeletonCommand is what `rotator new` says to register, made ready to run.
func skeletonCommand(t *testing.T, s *stage, language, dir string) string {
	t.Helper()
	switch language {
	case "python":
		return fmt.Sprintf("'%s' rotator run-lambda rotator.handler --dir '%s' --python %s", s.server.Binary, dir, python)
	case "shell":
		return fmt.Sprintf("PATH=/usr/bin:/bin '%s/rotator.sh'", dir)
	}
	build := exec.CommandContext(t.Context(), "go", "build", "-o", filepath.Join(dir, "rotator"), filepath.Join(dir, "main.go"))
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the skeleton: %v\n%s", err, out)
	}
	return "'" + dir + "/rotator'"
}

// result is a line of `rotator test -o json`.
type result struct{ Case, Result, Detail string }

func rotatorTest(t *testing.T, s *stage, rotator, secret, timeout string) (lines []result, code int) {
	t.Helper()
	out, errOut, code := s.server.CLI(t.Context(), "", "rotator", "test", rotator, "--secret", secret, "-o", "json", "--timeout", timeout)
	if err := json.Unmarshal([]byte(out), &lines); err != nil {
		t.Fatalf("rotator test: exit %d, %v\n%s%s", code, err, out, errOut)
	}
	if !strings.Contains(errOut, "rotated three times") {
		t.Errorf("it does not say what it does to the secret: %s", errOut)
	}
	return lines, code
}

func tried(t *testing.T, s *stage, rotator, secret string) {
	t.Helper()
	lines, code := rotatorTest(t, s, rotator, secret, "3m")
	for _, l := range lines {
		if l.Result != "ok" {
			t.Errorf("%s: %s, %s", l.Case, l.Result, l.Detail)
		}
	}
	if len(lines) != 7 || code != 0 {
		t.Errorf("%d cases, exit %d", len(lines), code)
	}
}

// TestARotatorThatIsNotIdempotentIsFoundOut: functions that pass one rotation, and
// do not bear what happens to every rotator some day.
func TestARotatorThatIsNotIdempotentIsFoundOut(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	for name, row := range map[string]struct {
		before func() func(context.Context, event, *secretsmanager.Client) error
		// wrong are the cases that must fail.
		wrong string
	}{
		"sound": {func() func(context.Context, event, *secretsmanager.Client) error { return nil }, ""},
		"once-only": {func() func(context.Context, event, *secretsmanager.Client) error {
			seen := map[string]bool{}
			return func(_ context.Context, e event, _ *secretsmanager.Client) error {
				if e.Step != "createSecret" {
					return nil
				}
				if seen[e.ClientRequestToken] {
					return errors.New("I have done that already")
				}
				seen[e.ClientRequestToken] = true
				return nil
			}
		}, "each step again after it has succeeded"},
	} {
		t.Run(name, func(t *testing.T) {
			f := &function{before: row.before()}
			s.webhook(t, name, f)
			s.create(t, "tried/"+name, "start")
			if row.wrong == "" {
				f.accepted = "start"
				tried(t, s, name, "tried/"+name)
				return
			}
			// What never succeeds is tried until the time is over.
			lines, code := rotatorTest(t, s, name, "tried/"+name, "30s")
			found := map[string]result{}
			for _, l := range lines {
				found[l.Case] = l
			}
			if l := found[row.wrong]; l.Result != "failed" || !strings.Contains(l.Detail, "I have done that already") || code != 1 {
				t.Errorf("exit %d, %+v", code, lines)
			}
			if l := found["a rotation, each step once"]; l.Result != "ok" {
				t.Errorf("%+v", l)
			}
		})
	}
	_, errOut, code := s.server.CLI(t.Context(), "", "rotator", "test", "nosuch", "--secret", "tried/sound")
	if code != 1 || !strings.Contains(errOut, "no registered rotator nosuch") {
		t.Errorf("of none: exit %d, %s", code, errOut)
	}
	_, errOut, code = s.server.CLI(t.Context(), "", "rotator", "test", "once-only", "--secret", "tried/sound")
	if code != 2 || !strings.Contains(errOut, "is rotated by sound") {
		t.Errorf("another's secret: exit %d, %s", code, errOut)
	}
}
