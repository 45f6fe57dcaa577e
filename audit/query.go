package audit

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"lockstep"
)

// slack is how much older than its file a record may be: a request is dated
// when it came in and recorded when it is answered.
const slack = 5 * time.Minute

// Query selects records. The zero value selects all.
type Query struct {
	// Secret is a name or an ARN, with or without its suffix.
	Secret string
	// Principal is an ARN, or the name of a user.
	Principal string
	// Event is an operation, for example "GetSecretValue".
	Event string
	// Since and Until bound the time; zero: no bound.
	Since, Until time.Time
	// DeniedOnly leaves out what succeeded.
	DeniedOnly bool
	// Limit keeps the newest; zero: all.
	Limit int
}

// Find reads the matching records of all chains under a directory, oldest
// first. Files whose time is out of range are not opened. It does not verify:
// what is no entry is passed over. Errors: lockstep.ErrNotFound if there is no
// log; the file system's.
func Find(dir string, q Query) ([]Record, error) {
	chains, err := Chains(dir)
	if err != nil {
		return nil, err
	}
	var out []Record
	for _, node := range sortedKeys(chains) {
		found, err := q.inChain(chains[node])
		if err != nil {
			return nil, err
		}
		out = append(out, found...)
	}
	slices.SortStableFunc(out, func(a, b Record) int { return a.Time.Compare(b.Time) })
	return q.newest(out), nil
}

func (q Query) newest(records []Record) []Record {
	if q.Limit > 0 && len(records) > q.Limit {
		return records[len(records)-q.Limit:]
	}
	return records
}

// inChain goes from the newest file back, and stops at the limit.
func (q Query) inChain(files []File) ([]Record, error) {
	var out []Record
	for i := len(files) - 1; i >= 0; i-- {
		if !q.Until.IsZero() && files[i].Begin.After(q.Until.Add(slack)) {
			continue
		}
		if i+1 < len(files) && files[i+1].Begin.Add(time.Second).Before(q.Since) {
			break
		}
		content, err := readAll(files[i].Path)
		if err != nil {
			return nil, err
		}
		out = append(q.inFile(content), out...)
		if q.Limit > 0 && len(out) >= q.Limit {
			break
		}
	}
	return out, nil
}

func (q Query) inFile(content []byte) []Record {
	var out []Record
	needles := q.needles()
	for line := range bytes.Lines(content) {
		if !containsAll(line, needles) {
			continue
		}
		if r, ok := ReadRecord(line); ok && q.matches(r) {
			out = append(out, r)
		}
	}
	return out
}

// ReadRecord reads a line of a log, with or without its line end; false if it
// is not a record. It does not verify.
func ReadRecord(line []byte) (Record, bool) {
	e, err := parse(bytes.TrimSuffix(line, []byte("\n")))
	if err != nil {
		return Record{}, false
	}
	if m, err := marksOf(e.content); err != nil || m.File != nil || m.Head != nil {
		return Record{}, false
	}
	r, err := e.record()
	return r, err == nil
}

// needles are texts that a matching line must contain: most lines need not be
// decoded.
func (q Query) needles() [][]byte {
	var out [][]byte
	for _, text := range []string{q.Secret, q.Principal, q.Event} {
		quoted, err := json.Marshal(text)
		if err != nil || text == "" {
			continue
		}
		out = append(out, quoted[1:len(quoted)-1])
	}
	return out
}

func containsAll(line []byte, needles [][]byte) bool {
	for _, n := range needles {
		if !bytes.Contains(line, n) {
			return false
		}
	}
	return true
}

func (q Query) matches(r Record) bool {
	switch {
	case q.Event != "" && r.Name != q.Event:
	case q.Principal != "" && r.Identity.ARN != q.Principal && r.Identity.Name != q.Principal:
	case !q.Since.IsZero() && r.Time.Before(q.Since):
	case !q.Until.IsZero() && !r.Time.Before(q.Until):
	case q.DeniedOnly && !r.refused():
	default:
		return q.Secret == "" || slices.ContainsFunc(r.Resources, func(at Resource) bool { return at.is(q.Secret) })
	}
	return false
}

// refused tells whether anything in the record was.
func (r Record) refused() bool {
	return r.ErrorCode != "" || slices.ContainsFunc(r.Resources, func(at Resource) bool { return at.ErrorCode != "" })
}

// is tells whether the resource is what a person calls by this name or ARN.
func (r Resource) is(name string) bool {
	if r.ARN == name {
		return true
	}
	arn, ok := lockstep.ParseSecretARN(r.ARN)
	if !ok {
		return false
	}
	if _, full := lockstep.ParseSecretARN(name); full {
		return withoutSuffix(r.ARN) == name
	}
	return arn.Resource == name || withoutSuffix(arn.Resource) == name
}

// withoutSuffix takes the random end off an ARN: a dash and six characters.
func withoutSuffix(text string) string {
	const suffix = 7
	if at := len(text) - suffix; at > 0 && text[at] == '-' && !strings.ContainsAny(text[at+1:], "/-:") {
		return text[:at]
	}
	return text
}

// LastSeq is the number of the last entry in the files of a chain; 0 if there is
// none. It does not verify.
func LastSeq(files []File) uint64 {
	if len(files) == 0 {
		return 0
	}
	last := files[len(files)-1]
	content, err := readAll(last.Path)
	if err != nil {
		return last.First
	}
	seq := last.First
	for line := range bytes.Lines(content) {
		if e, err := parse(bytes.TrimSuffix(line, []byte("\n"))); err == nil {
			seq = e.seq
		}
	}
	return seq
}
