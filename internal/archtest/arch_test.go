package archtest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
)

const module = "lockstep"

// listed is what `go list -json` says of a package.
type listed struct {
	ImportPath string
	Doc        string
	Standard   bool
	GoFiles    []string
	CgoFiles   []string
	Imports    []string
	Deps       []string
	Module     *struct{ Path string }
}

// golang runs the go command at the module's root, without cgo, so that what
// is seen is the build that everybody gets.
func golang(args ...string) ([]byte, error) {
	cmd := exec.Command("go", args...)
	cmd.Dir = "../.."
	cmd.Env = append(cmd.Environ(), "CGO_ENABLED=0")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go %s: %w\n%s", strings.Join(args, " "), err, stderr.Bytes())
	}
	return out, nil
}

// fields are those of listed: what else `go list` could say takes it long.
const fields = "-json=ImportPath,Doc,Standard,GoFiles,CgoFiles,Imports,Module"

// all is what `go list` says of this module's packages and of all that they
// need, by import path. It is asked once for all tests.
var all = sync.OnceValues(func() (map[string]listed, error) {
	raw, err := golang("list", "-deps", fields, "./...")
	if err != nil {
		return nil, err
	}
	out := make(map[string]listed)
	for dec := json.NewDecoder(bytes.NewReader(raw)); ; {
		var p listed
		switch err := dec.Decode(&p); {
		case errors.Is(err, io.EOF):
			return out, nil
		case err != nil:
			return nil, err
		}
		out[p.ImportPath] = p
	}
})

// needed is a package of this module and all that it needs. (`go list` could
// tell, in so many words that reading them takes longer than finding out.)
func needed(t *testing.T, path string) []listed {
	t.Helper()
	packages, err := all()
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{path: true}
	out := []listed{packages[path]}
	for i := 0; i < len(out); i++ {
		for _, path := range out[i].Imports {
			// What the standard library keeps of others has another name there.
			if p, ok := packages[path]; ok && !seen[path] {
				seen[path] = true
				out = append(out, p)
			}
		}
	}
	return out
}

// ours lists this module's packages.
func ours(t *testing.T) []listed {
	t.Helper()
	packages, err := all()
	if err != nil {
		t.Fatal(err)
	}
	var out []listed
	for path, p := range packages {
		if _, ok := folderOf(path); ok {
			out = append(out, p)
		}
	}
	slices.SortFunc(out, func(a, b listed) int { return strings.Compare(a.ImportPath, b.ImportPath) })
	return out
}

// folderOf is a package's path inside the module; ok is false for others.
func folderOf(importPath string) (folder string, ok bool) {
	if importPath == module {
		return "", true
	}
	return strings.CutPrefix(importPath, module+"/")
}

// within tells whether a folder is another or lies below it.
func within(folder, parent string) bool {
	return folder == parent || (parent != "" && strings.HasPrefix(folder, parent+"/"))
}

// ruleOf finds the rule with the longest folder that fits.
func ruleOf(folder string) (best rule, ok bool) {
	for _, r := range rules() {
		if within(folder, r.folder) && (!ok || len(r.folder) > len(best.folder)) {
			best, ok = r, true
		}
	}
	return best, ok
}

// allowed judges one import of this module by the table.
func allowed(r rule, to string) bool {
	if to == "" || slices.Contains(r.may, everything) {
		return true
	}
	if r.folder != "" && within(to, r.folder) {
		return true
	}
	return slices.ContainsFunc(r.may, func(f string) bool { return within(to, f) })
}

func TestImportsFollowThePlan(t *testing.T) {
	for _, p := range ours(t) {
		from, _ := folderOf(p.ImportPath)
		r, ok := ruleOf(from)
		if !ok {
			t.Errorf("%s: no rule for this folder; add one to rules_test.go and say why in docs/decisions", from)
			continue
		}
		for _, path := range p.Imports {
			if to, mine := folderOf(path); mine && !allowed(r, to) {
				t.Errorf("%s imports %s: the plan of the house has no such arrow (rules_test.go)", from, to)
			}
		}
	}
}

func TestTheDomainImportsTheStandardLibraryAlone(t *testing.T) {
	for _, p := range needed(t, module) {
		if !p.Standard && p.ImportPath != module {
			t.Errorf("the root package depends on %s", p.ImportPath)
		}
	}
}

func TestTheMovingPartsAreApart(t *testing.T) {
	for _, p := range ours(t) {
		from, _ := folderOf(p.ImportPath)
		for _, d := range needed(t, p.ImportPath) {
			to, mine := folderOf(d.ImportPath)
			if mine && meet(from, to) {
				t.Errorf("%s depends on %s, directly or not; they are to know each other by small interfaces", from, to)
			}
		}
	}
}

// meet tells whether the two folders belong to different ones of apart, or the
// second is the concrete store.
func meet(from, to string) bool {
	in := func(folder string) int {
		return slices.IndexFunc(apart(), func(a string) bool { return within(folder, a) })
	}
	a, b := in(from), in(to)
	return a >= 0 && ((b >= 0 && a != b) || within(to, "store/sqlstore"))
}

// forTests tells whether a package exists for tests; these are named …test.
func forTests(folder string) bool { return strings.HasSuffix(folder, "test") }

func TestTestPackagesStayInTests(t *testing.T) {
	for _, p := range ours(t) {
		from, _ := folderOf(p.ImportPath)
		for _, path := range p.Imports {
			if to, mine := folderOf(path); mine && forTests(to) && !forTests(from) {
				t.Errorf("%s imports %s, which is for tests", from, to)
			}
		}
	}
}

func TestOnlyTheWiringKnowsConcreteParts(t *testing.T) {
	for _, p := range ours(t) {
		from, _ := folderOf(p.ImportPath)
		for part, knowers := range concrete() {
			if forTests(from) || within(from, part) || slices.Contains(knowers, from) {
				continue
			}
			if slices.ContainsFunc(p.Imports, func(path string) bool { to, mine := folderOf(path); return mine && within(to, part) }) {
				t.Errorf("%s imports %s, which is for %v", from, part, knowers)
			}
		}
	}
}

func TestTheClientPullsInLittle(t *testing.T) {
	clients := slices.DeleteFunc(ours(t), func(p listed) bool {
		folder, _ := folderOf(p.ImportPath)
		return !within(folder, "client") || forTests(folder)
	})
	for _, c := range clients {
		for _, p := range needed(t, c.ImportPath) {
			if p.Module != nil && slices.Contains(notForApplications(), p.Module.Path) {
				t.Errorf("%s brings %s into every application", c.ImportPath, p.ImportPath)
			}
		}
	}
}

func TestEveryPackageIsExplained(t *testing.T) {
	for _, p := range ours(t) {
		if len(p.GoFiles) > 0 && len(strings.Fields(p.Doc)) < 4 {
			t.Errorf("%s: no doc comment that says what lives there", p.ImportPath)
		}
	}
}

func TestTheDefaultBuildNeedsNoCgo(t *testing.T) {
	for _, p := range ours(t) {
		if len(p.CgoFiles) > 0 {
			t.Errorf("%s: files with cgo in the default build: %v", p.ImportPath, p.CgoFiles)
		}
	}
}

func TestPinnedDependenciesStay(t *testing.T) {
	const form = "{{.Version}}{{with .Replace}} => {{.Path}} {{.Version}}{{end}}"
	for path, want := range pins() {
		raw, err := golang("list", "-m", "-f", form, path)
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.TrimSpace(string(raw)); got != want {
			t.Errorf("%s is at %s, pinned to %s; docs/dependencies.md says why", path, got, want)
		}
	}
}

// TestTheRulesThemselves shows that a breach would be seen.
func TestTheRulesThemselves(t *testing.T) {
	for _, c := range []struct {
		from, to string
		ok       bool
	}{
		{"scheduler", "", true},
		{"scheduler", "store", false},
		{"scheduler", "runs", false},
		{"runs", "keeper", true},
		{"keeper", "runs", false},
		{"store", "keys", false},
		{"store/sqlstore", "store", true},
		{"rotators/postgres", "rotators", true},
		{"rotators/postgres", "runs", false},
		{"auth", "auth/sigv4", true},
		{"auth/sigv4", "auth", false},
		{"auth/sigv4", "store", false},
		{"client", "auth/sigv4", true},
		{"client", "auth", false},
		{"client/pgxsecret", "client", true},
		{"internal/localca", "internal/node", false},
		{"internal/node", "store/sqlstore", true},
		{"cmd/lockstep", "internal/node", true},
	} {
		r, found := ruleOf(c.from)
		if !found || allowed(r, c.to) != c.ok {
			t.Errorf("%s -> %s: rule %+v, want allowed %v", c.from, c.to, r, c.ok)
		}
	}
	if _, found := ruleOf("somewhere/new"); found {
		t.Error("a folder without a rule passes")
	}
	if !meet("api/v1", "workers") || !meet("events", "store/sqlstore") || meet("api/v1", "api/awsjson") {
		t.Error("the parts that are to be apart are not told from others")
	}
}
