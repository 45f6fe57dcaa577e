package audit

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"lockstep"
)

// Kind says what is wrong with a log.
type Kind string

// The kinds of findings.
const (
	// Changed: an entry is not what was written. A range, if the hashes after it
	// were made anew and no key of the macs is at hand.
	Changed Kind = "changed"
	// Missing: entries between others are gone.
	Missing Kind = "missing"
	// Reordered: an entry stands in another's place, or twice.
	Reordered Kind = "reordered"
	// Inserted: something stands between two entries that was never written.
	Inserted Kind = "inserted"
	// CutOff: the end of a chain is gone.
	CutOff Kind = "cut off"
	// Torn: the last write of a server that was killed. The next start sets it
	// aside; nobody was answered on the strength of it.
	Torn Kind = "torn"
	// Untrusted: a signature is not by a root key that is known.
	Untrusted Kind = "untrusted"
)

// Finding is one thing that is wrong.
type Finding struct {
	Node string `json:"node"`
	Kind Kind   `json:"kind"`
	// Seq is the entry, or the first, and Last the last of several.
	Seq  uint64 `json:"seq"`
	Last uint64 `json:"last"`
	// File is where it shows; empty if nothing is there.
	File   string `json:"file,omitempty"`
	Detail string `json:"detail,omitempty"`
}

// String is a line for people.
func (f Finding) String() string {
	what := fmt.Sprintf("record %d", f.Seq)
	if f.Last > f.Seq {
		what = fmt.Sprintf("records %d to %d", f.Seq, f.Last)
	}
	out := fmt.Sprintf("%s: %s %s", f.Node, what, f.Kind)
	if f.Detail != "" {
		out += ": " + f.Detail
	}
	if f.File != "" {
		out += " (" + f.File + ")"
	}
	return out
}

// ChainReport tells of one chain that was verified.
type ChainReport struct {
	Node string `json:"node"`
	// First and Last are the entries that are there.
	First uint64 `json:"first"`
	Last  uint64 `json:"last"`
	// Entries counts them; Checkpoints those whose signature is right.
	Entries     uint64 `json:"entries"`
	Checkpoints uint64 `json:"checkpoints"`
	// Head is the newest entry that a head outside of the log vouches for.
	Head uint64 `json:"head"`
}

// Report is what Verify found.
type Report struct {
	Chains   []ChainReport `json:"chains"`
	Findings []Finding     `json:"findings"`
	// More counts the findings beyond MaxFindings.
	More uint64 `json:"more,omitempty"`
}

// OK tells whether every chain is what was written.
func (r Report) OK() bool { return len(r.Findings) == 0 }

// MaxFindings bounds the findings of one chain.
const MaxFindings = 1000

// Trust is what a verification rests on. It comes from outside of the log's
// directory.
type Trust struct {
	// MACKey is the key of the macs. Without it a record that was changed
	// together with all hashes after it is named by the range between two
	// checkpoints alone.
	MACKey []byte
	// Public are the root keys that may have signed.
	Public PublicKeys
	// Heads are the newest heads known, from any source, several a chain perhaps.
	Heads []Head
}

// Verify reads every chain under the directories and compares it with what is
// trusted. A chain that a head names and no directory has is reported as cut
// off. The error means that the log could not be read, not that it is wrong.
func Verify(dirs []string, trust Trust) (Report, error) {
	report := Report{Chains: []ChainReport{}, Findings: []Finding{}}
	seen := make(map[string]bool)
	for _, dir := range dirs {
		chains, err := Chains(dir)
		if err != nil && !errors.Is(err, lockstep.ErrNotFound) {
			return report, err
		}
		for _, node := range sortedKeys(chains) {
			seen[node] = true
			v := newVerifier(node, trust)
			if err := v.chain(filepath.Join(dir, node), chains[node]); err != nil {
				return report, err
			}
			report.add(v)
		}
	}
	for _, h := range trust.Heads {
		if !seen[h.Node] {
			seen[h.Node] = true
			v := newVerifier(h.Node, trust)
			v.finish()
			report.add(v)
		}
	}
	if len(seen) == 0 {
		return report, fmt.Errorf("no audit log in %v: %w", dirs, lockstep.ErrNotFound)
	}
	return report, nil
}

func (r *Report) add(v *verifier) {
	r.Chains = append(r.Chains, v.report)
	r.Findings = append(r.Findings, v.findings...)
	r.More += v.more
}

func sortedKeys(m map[string][]File) []string {
	var out []string
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}
