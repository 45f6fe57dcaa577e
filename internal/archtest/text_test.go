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

// leftover is what belongs to one person's machine or to unfinished work, and
// not into a repository.
type leftover struct {
	what string
	// words are looked for first, since that is much quicker; the pattern then
	// tells whether it is one.
	words   []string
	pattern *regexp.Regexp
}

func leftovers() []leftover {
	return []leftover{
		{"a path of somebody's machine", []string{"/home/", "/root/", "/work/", "/Users/"}, regexp.MustCompile(`(^|[\s"'=(:])/(home|root|work|Users)/[a-z]`)},
		{"a note about unfinished work", []string{"TO" + "DO", "FIX" + "ME", "X" + "XX"}, regexp.MustCompile(`\b(TO` + `DO|FIX` + `ME|X` + `XX)\b`)},
		{"a conflict marker", []string{"<<<<<<" + "<", ">>>>>>" + ">"}, regexp.MustCompile(`(?m)^(<{7}|>{7}) `)},
		{"a private key", []string{"PRIVATE" + " KEY"}, regexp.MustCompile(`-----BEGIN [A-Z ]*PRIVATE` + ` KEY-----\n[A-Za-z0-9+/]{16}`)},
	}
}

// in finds it in a text; nil: it is not there.
func (l leftover) in(text []byte) []byte {
	if !slices.ContainsFunc(l.words, func(w string) bool { return bytes.Contains(text, []byte(w)) }) {
		return nil
	}
	return l.pattern.Find(text)
}

// notOurs lists what a checkout may hold that is not part of the project.
func notOurs() []string { return []string{".git", ".cache", "bin", "lockstep-data"} }

func TestNoLeftovers(t *testing.T) {
	root := os.DirFS("../..")
	all := leftovers()
	err := fs.WalkDir(root, ".", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && slices.Contains(notOurs(), path):
			return fs.SkipDir
		case slices.Contains(notOurs(), path):
			return nil // .git is a file in a further working tree
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
		for _, l := range all {
			if found := l.in(text); found != nil {
				t.Errorf("%s holds %s: %q", path, l.what, found)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
