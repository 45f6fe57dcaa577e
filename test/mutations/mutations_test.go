// Package mutations breaks rules of our own code, one at a time, and looks
// whether the tests notice. A rule that can be taken away without a failing test
// is a rule that the next change takes away.
//
// Each mutation is a few exact replacements in source files, and the smallest
// tests that have to fail by them. That the replacements still apply is seen in
// each run of the tests; `make mutations` builds each mutation and runs its tests
// (the go command takes the changed files as an overlay, so that the tree stays
// as it is).
package mutations

import (
	"bytes"
	"encoding/json"
	"flag"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const root = "../.."

var (
	run  = flag.Bool("mutate", false, "build each mutation and run the tests that have to fail")
	only = flag.String("mutation", "", "only those whose name contains this")
)

// apply returns the mutated files by path. Each old text has to be in its file
// exactly once.
func (m *mutation) apply(t *testing.T) map[string][]byte {
	t.Helper()
	out := make(map[string][]byte)
	for _, e := range m.edits {
		text, ok := out[e.file]
		if !ok {
			var err error
			if text, err = os.ReadFile(filepath.Join(root, e.file)); err != nil { // #nosec G304 -- our own sources
				t.Fatal(err)
			}
		}
		if n := bytes.Count(text, []byte(e.old)); n != 1 {
			t.Fatalf("%s: %d times, not once, there is:\n%s\nThe code has changed: write the mutation anew.", e.file, n, e.old)
		}
		out[e.file] = bytes.Replace(text, []byte(e.old), []byte(e.new), 1)
	}
	for file, text := range out {
		if _, err := parser.ParseFile(token.NewFileSet(), file, text, 0); err != nil {
			t.Fatalf("the mutation is no Go: %v", err)
		}
	}
	return out
}

// exists tells whether the tests that have to fail are there.
func (m *mutation) exists(t *testing.T) {
	t.Helper()
	for _, s := range m.caughtBy {
		name, _, _ := strings.Cut(strings.Trim(s.run, "^$"), "/")
		name = strings.Trim(name, "^$")
		files, err := filepath.Glob(filepath.Join(root, s.pkg, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		found := false
		for _, f := range files {
			text, err := os.ReadFile(f) // #nosec G304 -- our own sources
			if err != nil {
				t.Fatal(err)
			}
			found = found || regexp.MustCompile(`(?m)^func `+regexp.QuoteMeta(name)+`\(`).Match(text)
		}
		if !found {
			t.Errorf("%s has no %s", s.pkg, name)
		}
	}
}

// TestMutationsApply is cheap.
func TestMutationsApply(t *testing.T) {
	for _, m := range all() {
		t.Run(m.name, func(t *testing.T) {
			m.apply(t)
			m.exists(t)
		})
	}
}

// TestMutationsAreCaught: every one of the tests that a mutation names fails by
// it, and not since it does not build.
func TestMutationsAreCaught(t *testing.T) {
	if !*run {
		t.Log("make mutations runs this")
		return
	}
	for _, m := range all() {
		if !strings.Contains(m.name, *only) {
			continue
		}
		t.Run(m.name, func(t *testing.T) {
			env := append(os.Environ(), "GOFLAGS=-overlay="+overlay(t, m.apply(t)))
			for _, s := range m.caughtBy {
				build := exec.Command("go", "test", "-run", "^$", "./"+s.pkg) // #nosec G204 -- our own table
				build.Dir, build.Env = root, env
				if out, err := build.CombinedOutput(); err != nil {
					t.Fatalf("the mutation does not build: %v\n%s", err, out)
				}
				test := exec.Command("go", "test", "-count=1", "-timeout=15m", "-run", s.run, "./"+s.pkg) // #nosec G204 -- our own table
				test.Args = append(test.Args, s.args...)
				test.Dir, test.Env = root, env
				out, err := test.CombinedOutput()
				if err == nil {
					t.Errorf("not caught by %s of %s", s.run, s.pkg)
					continue
				}
				t.Logf("caught by %s: %s", s.pkg, firstFailure(out))
			}
		})
	}
}

// overlay writes the changed files where the go command finds them.
func overlay(t *testing.T, files map[string][]byte) string {
	t.Helper()
	dir := t.TempDir()
	where := struct{ Replace map[string]string }{make(map[string]string)}
	for file, text := range files {
		path, err := filepath.Abs(filepath.Join(root, file))
		if err != nil {
			t.Fatal(err)
		}
		mutated := filepath.Join(dir, strings.ReplaceAll(file, "/", "-"))
		if err := os.WriteFile(mutated, text, 0o600); err != nil {
			t.Fatal(err)
		}
		where.Replace[path] = mutated
	}
	raw, err := json.Marshal(where)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(path, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

var failedTest = regexp.MustCompile(`(?m)^ *--- FAIL: (\S+)`)

// firstFailure is the innermost test that failed first, and what it said.
func firstFailure(out []byte) string {
	names := failedTest.FindAllSubmatch(out, -1)
	if len(names) == 0 {
		return strings.TrimSpace(string(out[max(0, len(out)-300):]))
	}
	longest := ""
	for _, n := range names {
		if len(n[1]) > len(longest) {
			longest = string(n[1])
		}
	}
	return longest
}
