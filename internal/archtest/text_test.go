package archtest

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"testing"
)

// leftovers finds what belongs to one person's machine or to unfinished work,
// and not into a repository.
func leftovers() map[string]*regexp.Regexp {
	return map[string]*regexp.Regexp{
		"a path of somebody's machine": regexp.MustCompile(`(^|[\s"'=(:])/(home|root|work|Users)/[a-z]`),
		"a note about unfinished work": regexp.MustCompile(`\b(TO` + `DO|FIX` + `ME|X` + `XX)\b`),
		"a conflict marker":            regexp.MustCompile(`(?m)^(<{7}|>{7}) `),
		"a private key":                regexp.MustCompile(`-----BEGIN [A-Z ]*PRIVATE` + ` KEY-----\n[A-Za-z0-9+/]{16}`),
	}
}

// notOurs lists what a checkout may hold that is not part of the project.
func notOurs() []string { return []string{".git", ".cache", "bin", "lockstep-data"} }

func TestNoLeftovers(t *testing.T) {
	root := os.DirFS("../..")
	err := fs.WalkDir(root, ".", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && slices.Contains(notOurs(), path):
			return fs.SkipDir
		case !d.Type().IsRegular() || filepath.Base(path) == "go.sum":
			return nil
		}
		text, err := fs.ReadFile(root, path)
		if err != nil {
			return err
		}
		if bytes.IndexByte(text, 0) >= 0 {
			return nil // a binary that a build left
		}
		for what, pattern := range leftovers() {
			if found := pattern.Find(text); found != nil {
				t.Errorf("%s holds %s: %q", path, what, found)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
