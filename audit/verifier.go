package audit

import (
	"bytes"
	"cmp"
	"fmt"
	"path/filepath"
	"slices"
)

// verifier goes through one chain, entry by entry.
type verifier struct {
	trust    Trust
	sealer   *sealer
	heads    []Head // of this chain, signed by a known root key
	anchors  []Head
	report   ChainReport
	findings []Finding
	more     uint64
	// file is the one that is read.
	file string
	// expect is the number that is due. after are the hashes that the entry
	// before it may have: one, or two if it was changed; none if not known.
	expect uint64
	after  []digest
	// garbage: bytes that are no entry stand before the next one.
	garbage bool
	// signed is the last entry that a checkpoint vouches for.
	signed uint64
	// recent are the hashes of the entries from base on.
	recent []digest
	base   uint64
}

// maxRecent is how many entries a checkpoint may point back.
const maxRecent = 1 << 20

func newVerifier(node string, trust Trust) *verifier {
	v := &verifier{trust: trust, sealer: newSealer(node, trust.MACKey), expect: 1, after: []digest{{}}}
	v.report.Node = node
	for _, h := range trust.Heads {
		if h.Node != node {
			continue
		}
		if err := trust.Public.check(forHead, h); err != nil {
			v.find(Finding{Kind: Untrusted, Seq: h.Seq, Detail: "the head that was kept elsewhere: " + err.Error()})
			continue
		}
		v.heads = append(v.heads, h)
		v.report.Head = max(v.report.Head, h.Seq)
	}
	return v
}

func (v *verifier) find(f Finding) {
	f.Node, f.Last = v.report.Node, max(f.Last, f.Seq)
	if len(v.findings) >= MaxFindings {
		v.more++
		return
	}
	v.findings = append(v.findings, f)
}

// named tells whether something in a range was named already.
func (v *verifier) named(first, last uint64) bool {
	return slices.ContainsFunc(v.findings, func(f Finding) bool { return f.Last >= first && f.Seq <= last })
}

// chain verifies all files of a chain.
func (v *verifier) chain(dir string, files []File) error {
	var err error
	if v.anchors, err = anchorsIn(dir); err != nil {
		v.find(Finding{Kind: Changed, File: anchorsName, Detail: err.Error()})
	}
	for i, f := range files {
		content, err := readAll(f.Path)
		if err != nil {
			return err
		}
		v.file = filepath.Base(f.Path)
		if i == 0 {
			v.begin(f.First)
		}
		torn := v.lines(content)
		if i == len(files)-1 {
			v.end(torn)
		}
	}
	v.finish()
	return nil
}

// begin looks for the anchor of what was pruned before the first file.
func (v *verifier) begin(first uint64) {
	for _, a := range v.anchors {
		if a.Seq+1 != first || a.Node != v.report.Node || len(a.Hash) != len(digest{}) {
			continue
		}
		if err := v.trust.Public.check(forAnchor, a); err != nil {
			v.find(Finding{Kind: Untrusted, Seq: a.Seq, File: anchorsName, Detail: err.Error()})
			continue
		}
		v.expect, v.signed, v.after = first, a.Seq, []digest{digest(a.Hash)}
		return
	}
}

// lines verifies one file and tells whether its last line is not whole and the
// only thing there that is no entry.
func (v *verifier) lines(content []byte) (torn bool) {
	for len(content) > 0 {
		line, rest, whole := bytes.Cut(content, []byte{'\n'})
		e, err := parse(line)
		switch {
		case !whole:
			torn, v.garbage = !v.garbage, true
		case err != nil || v.misnumbered(e, rest):
			v.garbage = true
		case !v.sealer.authentic(e):
			v.forged(e)
		case e.seq < v.expect:
			v.reordered(e)
		default:
			v.entry(e)
		}
		content = rest
	}
	return torn
}

// misnumbered tells, where no mac can, whether the number of an entry was
// changed: the entry after it is in its right place.
func (v *verifier) misnumbered(e entry, rest []byte) bool {
	if e.seq == v.expect || v.sealer.mac != nil {
		return false
	}
	line, _, _ := bytes.Cut(rest, []byte{'\n'})
	next, err := parse(line)
	return err == nil && next.seq == v.expect+1
}

// forged takes an entry whose mac is wrong. With the number that is due, it is
// that entry, changed; with another it is anything.
func (v *verifier) forged(e entry) {
	if e.seq != v.expect {
		v.garbage = true
		return
	}
	v.inserted()
	v.changed(e)
	v.pass(e)
}

// inserted names bytes before the entry that is due and there.
func (v *verifier) inserted() {
	if v.garbage {
		v.find(Finding{Kind: Inserted, Seq: v.expect, File: v.file, Detail: "before it stand bytes that are no record"})
	}
	v.garbage = false
}

// changed names an entry. The next one may follow its stated hash, if the
// content was changed, or its true one, if the hash was.
func (v *verifier) changed(e entry) {
	v.find(Finding{Kind: Changed, Seq: e.seq, File: v.file})
	may := []digest{e.hash}
	for _, prev := range v.after {
		may = append(may, v.sealer.hashOf(prev, e.sealed))
	}
	v.after = may
}

// reordered names an entry that stands after a later one; it is not missing
// then.
func (v *verifier) reordered(e entry) {
	var kept []Finding
	for _, f := range v.findings {
		if f.Kind != Missing || e.seq < f.Seq || e.seq > f.Last {
			kept = append(kept, f)
			continue
		}
		before, after := f, f
		before.Last, after.Seq = e.seq-1, e.seq+1
		for _, part := range []Finding{before, after} {
			if part.Seq <= part.Last {
				kept = append(kept, part)
			}
		}
	}
	v.findings = kept
	v.find(Finding{Kind: Reordered, Seq: e.seq, File: v.file, Detail: "it stands after a later record, or twice"})
}

// entry takes an entry that is authentic as far as its mac tells, and due or
// later.
func (v *verifier) entry(e entry) {
	if e.seq == v.expect {
		v.inserted()
	} else {
		v.gap(e.seq)
	}
	follows := len(v.after) == 0
	for _, prev := range v.after {
		follows = follows || v.sealer.follows(prev, e)
	}
	if follows {
		v.after = []digest{e.hash}
	} else {
		v.changed(e)
	}
	v.pass(e)
	v.checkpoint(e)
}

// gap names what is missing before the entry that is there.
func (v *verifier) gap(there uint64) {
	if v.garbage {
		v.find(Finding{Kind: Changed, Seq: v.expect, File: v.file})
		v.expect++
	}
	if v.expect < there {
		v.find(Finding{Kind: Missing, Seq: v.expect, Last: there - 1, File: v.file})
	}
	v.garbage, v.after, v.recent = false, nil, nil
}

// pass goes on behind an entry, and compares it with the heads.
func (v *verifier) pass(e entry) {
	v.expect = e.seq + 1
	if v.report.First == 0 {
		v.report.First = e.seq
	}
	v.report.Last = e.seq
	v.report.Entries++
	if len(v.recent) >= maxRecent {
		v.recent = append([]digest(nil), v.recent[maxRecent/2:]...)
		v.base += maxRecent / 2
	}
	if len(v.recent) == 0 {
		v.base = e.seq
	}
	v.recent = append(v.recent, e.hash)
	for _, h := range v.heads {
		if h.Seq == e.seq {
			v.compare(h, "the newest head, which was kept elsewhere,")
		}
	}
}

// compare holds a signed statement against the chain. It tells whether they
// agree.
func (v *verifier) compare(h Head, who string) bool {
	if h.Seq < v.base || h.Seq >= v.base+uint64(len(v.recent)) {
		return false
	}
	if bytes.Equal(v.recent[h.Seq-v.base][:], h.Hash) {
		return true
	}
	if first := min(v.signed+1, h.Seq); !v.named(first, h.Seq) {
		v.find(Finding{Kind: Changed, Seq: first, Last: h.Seq, File: v.file,
			Detail: who + " was signed over other records"})
	}
	return false
}

// checkpoint looks at an entry that may be one.
func (v *verifier) checkpoint(e entry) {
	m, err := marksOf(e.content)
	if err != nil {
		v.find(Finding{Kind: Changed, Seq: e.seq, File: v.file, Detail: "it is no checkpoint that can be read"})
		return
	}
	if m.Head == nil {
		return
	}
	h := *m.Head
	if err := v.trust.Public.check(forHead, h); err != nil {
		v.find(Finding{Kind: Untrusted, Seq: e.seq, File: v.file, Detail: err.Error()})
		return
	}
	if h.Node != v.report.Node || h.Seq >= e.seq {
		v.find(Finding{Kind: Changed, Seq: v.signed + 1, Last: e.seq, File: v.file,
			Detail: fmt.Sprintf("a checkpoint of record %d of %s stands in their place", h.Seq, h.Node)})
		return
	}
	if v.compare(h, "a checkpoint") {
		v.report.Checkpoints++
		v.signed = max(v.signed, h.Seq)
	}
}

// end says what bytes at the very end are.
func (v *verifier) end(torn bool) {
	switch {
	case torn:
		v.find(Finding{Kind: Torn, Seq: v.expect, File: v.file, Detail: "the last write was not finished"})
	case v.garbage:
		v.find(Finding{Kind: Changed, Seq: v.expect, File: v.file})
		v.expect++
	}
	v.garbage = false
}

// finish looks for the end that the heads promise.
func (v *verifier) finish() {
	if v.report.Head >= v.expect {
		v.find(Finding{Kind: CutOff, Seq: v.expect, Last: v.report.Head, Detail: "a signed head vouches for them"})
	}
	slices.SortStableFunc(v.findings, func(a, b Finding) int { return cmp.Compare(a.Seq, b.Seq) })
}
