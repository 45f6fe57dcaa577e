package audit_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"lockstep/audit"
)

// crashed is a copy of a chain as a crash of the machine left it: the file as
// edit makes it of what it would have been, the journal as it is.
func crashed(t *testing.T, r *rig, edit func(content []byte) []byte) *rig {
	t.Helper()
	again := &rig{dir: filepath.Join(t.TempDir(), "audit"), root: r.root, heads: newElsewhere()}
	for _, h := range r.heads.all() {
		again.heads.heads[h.Node] = h
	}
	chain := filepath.Join(again.dir, node)
	if err := os.MkdirAll(chain, 0o700); err != nil {
		t.Fatal(err)
	}
	path := r.files(t)[0]
	write(t, filepath.Join(chain, filepath.Base(path)), edit(bytes.Clone(read(t, path))))
	write(t, filepath.Join(chain, "journal"), read(t, filepath.Join(r.dir, node, "journal")))
	return again
}

// emptied is content without its page of 4096 bytes at an offset.
func emptied(content []byte, at int) []byte {
	clear(content[at:min(at+4096, len(content))])
	return content
}

// TestPowerLost starts again after a crash that took what the file had not
// synced yet: everything that was acknowledged is there.
func TestPowerLost(t *testing.T) {
	const n = 40
	r := newRig(t)
	l := r.open(t)
	appendN(t, l, 1, n)
	var want []string
	for i := range n {
		want = append(want, fmt.Sprintf("request-%d", i+1))
	}
	first := bytes.IndexByte(read(t, r.files(t)[0]), '\n') + 1
	for what, edit := range map[string]func([]byte) []byte{
		"all of it":             func(c []byte) []byte { return c[:first] },
		"to the middle":         func(c []byte) []byte { return c[:len(c)/2] },
		"one byte":              func(c []byte) []byte { return c[:len(c)-1] },
		"nothing":               func(c []byte) []byte { return c },
		"a page":                func(c []byte) []byte { return emptied(c, 8192) },
		"the last page":         func(c []byte) []byte { return emptied(c, len(c)-100) },
		"a page and the end":    func(c []byte) []byte { return emptied(c, 4096)[:len(c)-4000] },
		"what stands in a line": func(c []byte) []byte { return append(c[:len(c)-200], "something else"...) },
	} {
		t.Run(what, func(t *testing.T) {
			again := crashed(t, r, edit)
			l := again.open(t)
			appendN(t, l, n+1, 1)
			if got := requests(t, again.dir); !slices.Equal(got, append(slices.Clone(want), fmt.Sprintf("request-%d", n+1))) {
				t.Errorf("there are %v", got)
			}
			closeLog(t, l)
			again.mustVerify(t)
			told, err := audit.Find(again.dir, audit.Query{Event: "RepairAuditLog"})
			if err != nil || (len(told) == 0) != (what == "nothing") {
				t.Errorf("the repair is recorded as %v (%v)", told, err)
			}
		})
	}
}

// TestJournalGoesRound fills the journal several times over, and loses what the
// file is not yet known to hold.
func TestJournalGoesRound(t *testing.T) {
	r := newRig(t)
	l := r.open(t)
	const batch, batches = 150, 30
	held := 0 // how long the file is when the journal begins its last half
	for i := range batches {
		if i == batches-8 {
			held = len(read(t, r.files(t)[0]))
		}
		if err := l.Append(t.Context(), records(i*batch, batch)...); err != nil {
			t.Fatal(err)
		}
	}
	again := crashed(t, r, func(c []byte) []byte { return c[:held] })
	closeLog(t, again.open(t))
	again.mustVerify(t)
	if got := requests(t, again.dir); len(got) != batch*batches {
		t.Errorf("%d records, want %d", len(got), batch*batches)
	}
	if report := again.mustVerify(t); report.Chains[0].Entries <= batch*batches {
		t.Errorf("report %+v", report)
	}
}

// TestJournalIsNotNeededAfterClose: what is done to a log that was closed is not
// mended by what the journal still knew.
func TestJournalIsNotNeededAfterClose(t *testing.T) {
	r := newRig(t)
	l := r.open(t)
	appendN(t, l, 1, 3)
	journal := filepath.Join(r.dir, node, "journal")
	if err := os.Remove(journal); err != nil {
		t.Fatal(err)
	}
	appendN(t, l, 4, 1)
	closeLog(t, l)
	if _, err := os.Stat(journal); !os.IsNotExist(err) {
		t.Errorf("the journal after Close: %v", err)
	}
	r.mustVerify(t)
}
