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

// written is a log of some entries in one file: the file's own, records, a
// checkpoint.
func written(t testing.TB, n int) (*rig, string) {
	t.Helper()
	r := newRig(t)
	l := r.open(t)
	appendN(t, l, 1, n)
	closeLog(t, l)
	return r, r.files(t)[0]
}

// names tells whether a finding names the entry.
func names(report audit.Report, seq uint64) bool {
	return slices.ContainsFunc(report.Findings, func(f audit.Finding) bool { return f.Seq <= seq && seq <= f.Last })
}

func exactly(report audit.Report, kind audit.Kind, seq uint64) bool {
	return slices.ContainsFunc(report.Findings, func(f audit.Finding) bool { return f.Kind == kind && f.Seq == seq && f.Last == seq })
}

func TestVerifyTellsWhatIsThere(t *testing.T) {
	r, _ := written(t, 5)
	report := r.mustVerify(t)
	want := audit.ChainReport{Node: node, First: 1, Last: 7, Entries: 7, Checkpoints: 1, Head: 6}
	if len(report.Chains) != 1 || report.Chains[0] != want {
		t.Errorf("report %+v, want %+v", report.Chains, want)
	}
	if report := r.verify(t, r.withoutMAC()); !report.OK() {
		t.Errorf("without the key of the macs: %v", report.Findings)
	}
}

// seqOf is the entry that the byte at an offset belongs to.
func seqOf(content []byte, at int) uint64 { return uint64(bytes.Count(content[:at], []byte("\n"))) + 1 }

func TestEveryByteChangedIsNamed(t *testing.T) {
	r, path := written(t, 3)
	content := read(t, path)
	for name, trust := range map[string]audit.Trust{"with the key of the macs": r.trust(), "without": r.withoutMAC()} {
		t.Run(name, func(t *testing.T) {
			f, err := os.OpenFile(path, os.O_WRONLY, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			for i, was := range content {
				put(t, f, i, was^1<<(i%8))
				report := r.verify(t, trust)
				if !names(report, seqOf(content, i)) {
					t.Fatalf("byte %d (%q) of entry %d changed: %v", i, was, seqOf(content, i), report.Findings)
				}
				put(t, f, i, was)
			}
			r.mustVerify(t)
		})
	}
}

func put(t *testing.T, f *os.File, at int, b byte) {
	t.Helper()
	if _, err := f.WriteAt([]byte{b}, int64(at)); err != nil {
		t.Fatal(err)
	}
}

func TestEveryTruncationIsNamed(t *testing.T) {
	r, path := written(t, 3)
	content := read(t, path)
	last := seqOf(content, len(content)-1)
	for n := len(content) - 1; n >= 0; n-- {
		if err := os.Truncate(path, int64(n)); err != nil {
			t.Fatal(err)
		}
		report := r.verify(t, r.trust())
		// The checkpoint itself comes after what it signs; cut off with nothing
		// torn it cannot be missed, and nothing else is lost.
		first := seqOf(content, n)
		if first == last && n > 0 && content[n-1] == '\n' {
			continue
		}
		if !names(report, first) {
			t.Fatalf("cut to %d bytes: %v", n, report.Findings)
		}
	}
	if err := os.RemoveAll(filepath.Join(r.dir, node)); err != nil {
		t.Fatal(err)
	}
	for what, remove := range map[string]string{"the chain": filepath.Join(r.dir, node), "the directory": r.dir} {
		if err := os.RemoveAll(remove); err != nil {
			t.Fatal(err)
		}
		report := r.verify(t, r.trust())
		if len(report.Findings) != 1 || report.Findings[0].Kind != audit.CutOff || report.Findings[0].Seq != 1 {
			t.Errorf("without %s: %v", what, report.Findings)
		}
	}
}

// lines are the entries of a file, with their line ends.
func lines(content []byte) [][]byte { return slices.Collect(bytes.Lines(content)) }

// TestEachRecordMishandled drops, swaps, repeats and replaces each entry in
// turn.
func TestEachRecordMishandled(t *testing.T) {
	r, path := written(t, 6)
	content := read(t, path)
	all := lines(content)
	type attack struct {
		do   func(list [][]byte, i int) [][]byte
		want audit.Kind
	}
	for what, a := range map[string]attack{
		"dropped":               {func(l [][]byte, i int) [][]byte { return slices.Delete(l, i, i+1) }, audit.Missing},
		"swapped with the next": {func(l [][]byte, i int) [][]byte { l[i], l[i+1] = l[i+1], l[i]; return l }, audit.Reordered},
		"repeated":              {func(l [][]byte, i int) [][]byte { return slices.Insert(l, i+1, l[i]) }, audit.Reordered},
		"moved to the end": {func(l [][]byte, i int) [][]byte {
			moved := l[i]
			return append(slices.Delete(l, i, i+1), moved)
		}, audit.Reordered},
		"replaced by the one before": {func(l [][]byte, i int) [][]byte { l[i] = l[max(i-1, 0)]; return l }, audit.Missing},
	} {
		for key, trust := range map[string]audit.Trust{"keyed": r.trust(), "not keyed": r.withoutMAC()} {
			// The last entry, the checkpoint, has none after it.
			for i := range len(all) - 1 {
				if what == "replaced by the one before" && i == 0 {
					continue
				}
				write(t, path, bytes.Join(a.do(slices.Clone(all), i), nil))
				report := r.verify(t, trust)
				if !names(report, uint64(i+1)) {
					t.Errorf("entry %d %s (%s): %v", i+1, what, key, report.Findings)
				}
				if what == "dropped" && i > 0 && !exactly(report, audit.Missing, uint64(i+1)) {
					t.Errorf("entry %d %s (%s) is named as %v", i+1, what, key, report.Findings)
				}
			}
		}
	}
}

// TestRewrittenWithNewHashes is the attacker who may rewrite the whole
// directory, and makes all hashes anew, but has neither key.
func TestRewrittenWithNewHashes(t *testing.T) {
	r := newRig(t)
	l := r.open(t)
	appendN(t, l, 1, 4)
	closeLog(t, l)
	l = r.open(t) // a checkpoint is in the middle now
	appendN(t, l, 5, 4)
	closeLog(t, l)
	path := r.files(t)[0]
	content := read(t, path)
	n := len(lines(content))
	for i := 1; i < n; i++ {
		seq := uint64(i + 1)
		for what, edit := range map[string]func([]audit.Forged) []audit.Forged{
			"changed": func(f []audit.Forged) []audit.Forged {
				f[i].Body = bytes.Replace(f[i].Body, []byte(`"`), []byte(`"x`), 1)
				return f
			},
			"dropped and renumbered": func(f []audit.Forged) []audit.Forged { return slices.Delete(f, i, i+1) },
		} {
			if seq == uint64(n) {
				continue // the last checkpoint: nothing is lost with it
			}
			t.Run(fmt.Sprintf("%s %d", what, seq), func(t *testing.T) {
				write(t, path, audit.Forge(content, edit))
				report := r.verify(t, r.trust())
				if !names(report, seq) || report.Findings[0].Seq != seq {
					t.Errorf("with the key of the macs: %v", report.Findings)
				}
				report = r.verify(t, r.withoutMAC())
				if !names(report, seq) {
					t.Errorf("without: %v", report.Findings)
				}
			})
		}
	}
	write(t, path, content)
	r.mustVerify(t)
}

// TestRewrittenAsAnother replaces a chain by another node's, and by one of
// another installation.
func TestRewrittenAsAnother(t *testing.T) {
	r, path := written(t, 5)
	other := newRig(t)
	l := other.open(t, func(c *audit.Config) { c.Node = node })
	appendN(t, l, 1, 9)
	closeLog(t, l)
	stolen := read(t, other.files(t)[0])
	write(t, path, stolen)
	if report := r.verify(t, r.withoutMAC()); report.OK() {
		t.Error("another installation's log passed")
	}
	l = r.open(t, func(c *audit.Config) { c.Node = "node-b" })
	appendN(t, l, 1, 9)
	closeLog(t, l)
	list, _ := filepath.Glob(filepath.Join(r.dir, "node-b", "*.jsonl"))
	write(t, path, read(t, list[0]))
	for _, trust := range []audit.Trust{r.trust(), r.withoutMAC()} {
		if report := r.verify(t, trust); report.OK() {
			t.Error("another node's log passed")
		}
	}
}

func TestHeadsAreSigned(t *testing.T) {
	r, _ := written(t, 5)
	trust := r.trust()
	trust.Heads[0].Seq = 3
	if report := r.verify(t, trust); len(report.Findings) != 1 || report.Findings[0].Kind != audit.Untrusted {
		t.Errorf("a head that was changed: %v", report.Findings)
	}
	trust = r.trust()
	trust.Public = audit.PublicKeys{r.root.ID(): newRig(t).root.Public()}
	if report := r.verify(t, trust); report.OK() {
		t.Error("signatures of another root key passed")
	}
}

// TestSeveralNodes verifies the chains of two nodes as one set.
func TestSeveralNodes(t *testing.T) {
	r := newRig(t)
	for _, name := range []string{"node-a", "node-b"} {
		l := r.open(t, func(c *audit.Config) { c.Node = name })
		appendN(t, l, 1, 3)
		closeLog(t, l)
	}
	if report := r.mustVerify(t); len(report.Chains) != 2 {
		t.Errorf("chains: %+v", report.Chains)
	}
	if err := os.RemoveAll(filepath.Join(r.dir, "node-b")); err != nil {
		t.Fatal(err)
	}
	report := r.verify(t, r.trust())
	if len(report.Findings) != 1 || report.Findings[0].Node != "node-b" || report.Findings[0].Kind != audit.CutOff {
		t.Errorf("findings: %v", report.Findings)
	}
}
