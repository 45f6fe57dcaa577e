package auth

import (
	"errors"
	"strings"
	"sync"

	"lockstep"
)

// Trail collects what one request was about, for the audit log: it travels in
// the Caller, the Guard notes each thing that it is asked about, and services
// add the Versions that were read or made. All methods may be called on a nil
// Trail, which collects nothing, and concurrently.
type Trail struct {
	mu      sync.Mutex
	action  string
	touched []Touched
}

// maxTouched bounds the memory of a Trail; no request reads or changes more.
const maxTouched = 100

// Touched is one thing that a request was about.
type Touched struct {
	ARN string
	// Version is the one that was read or made; empty if none was.
	Version lockstep.VersionID
	// Denied tells that the caller may not do it.
	Denied bool
}

// Act notes what the caller wants to do, for example "lockstep:ListRuns".
func (t *Trail) Act(action string) {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.action = action
}

// Action is what Act noted; empty if nothing was.
func (t *Trail) Action() string {
	if t == nil {
		return ""
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.action
}

// Touch notes a thing by its ARN, and the Version of it that was read or made.
// An ARN that was noted without its random suffix becomes the whole one.
func (t *Trail) Touch(arn lockstep.ARN, version lockstep.VersionID) {
	t.note(Touched{ARN: string(arn), Version: version})
}

// Touched lists what was noted, each thing once.
func (t *Trail) Touched() []Touched {
	if t == nil {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return append([]Touched(nil), t.touched...)
}

// asked notes what the Guard was asked, and what it said.
func (t *Trail) asked(q Question, verdict error) {
	if q.Resource != "" && q.Resource != "*" {
		t.note(Touched{ARN: q.Resource, Denied: errors.Is(verdict, lockstep.ErrDenied)})
	}
}

func (t *Trail) note(n Touched) {
	if t == nil || n.ARN == "" {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := range t.touched {
		there := &t.touched[i]
		if !sameThing(there.ARN, n.ARN) || (there.Version != "" && n.Version != "" && there.Version != n.Version) {
			continue
		}
		if len(n.ARN) > len(there.ARN) {
			there.ARN = n.ARN
		}
		if n.Version != "" {
			there.Version = n.Version
		}
		there.Denied = there.Denied || n.Denied
		return
	}
	if len(t.touched) < maxTouched {
		t.touched = append(t.touched, n)
	}
}

// sameThing tells whether two ARNs name one thing: they are equal, or one
// lacks the suffix of the other.
func sameThing(a, b string) bool {
	if len(a) > len(b) {
		a, b = b, a
	}
	const suffix = 7 // a dash and six characters
	if a == b {
		return true
	}
	rest, ok := strings.CutPrefix(b, a)
	return ok && len(rest) == suffix && rest[0] == '-' && !strings.ContainsAny(rest[1:], "-/:")
}
