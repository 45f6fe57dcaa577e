package policy

import (
	"strconv"
	"strings"
)

// MaxBytes is the largest policy document taken.
const MaxBytes = 20480

// Kind says what a policy hangs on, and so which elements it must have.
type Kind int

const (
	// IdentityPolicy hangs on a user, group or role; permissions boundaries
	// and session policies have the same form. No Principal.
	IdentityPolicy Kind = iota
	// ResourcePolicy hangs on a Secret or a key. Principal required.
	ResourcePolicy
	// TrustPolicy hangs on a role and says who may assume it. Principal
	// required, no Resource.
	TrustPolicy
)

// Policy is a parsed policy. It is immutable and safe for concurrent use. In a
// [Set], a nil *Policy is one that is not there; its methods need one that
// [Parse] made.
type Policy struct {
	kind       Kind
	source     string
	statements []statement
}

// Kind returns what the policy was parsed as.
func (p *Policy) Kind() Kind { return p.kind }

// String returns the document as it was given.
func (p *Policy) String() string { return p.source }

// StatementRef names a statement in a text for people.
type StatementRef struct {
	// Number counts from 1; 0 means that no statement decided.
	Number int
	// Sid may be empty.
	Sid string
}

// String returns the Sid in quotes or else "statement 2"; "" for none.
func (r StatementRef) String() string {
	switch {
	case r.Number == 0:
		return ""
	case r.Sid != "":
		return strconv.Quote(r.Sid)
	default:
		return "statement " + strconv.Itoa(r.Number)
	}
}

// statement is one statement, compiled.
type statement struct {
	ref        StatementRef
	offset     int // in the document
	deny       bool
	actions    []pattern // lower case
	notAction  bool
	resources  []arnPattern
	notRes     bool
	principals *principalSet // nil: identity policy
	notPrinc   bool
	conditions []condition
}

// applies decides whether the statement speaks about the request, and how
// closely it names the principal. Statements without Principal speak about
// whoever the policy hangs on.
func (s *statement) applies(q *question) grant {
	if !s.matchesAction(q.action) || !s.matchesResource(q) {
		return noGrant
	}
	named := s.matchesPrincipal(q.principal)
	if named == noGrant {
		return noGrant
	}
	for i := range s.conditions {
		if !s.conditions[i].holds(q.values) {
			return noGrant
		}
	}
	return named
}

func (s *statement) matchesAction(action string) bool {
	for i := range s.actions {
		if s.actions[i].match(action) {
			return !s.notAction
		}
	}
	return s.notAction
}

// matchesResource: an unresolved variable matches nothing. In NotResource that
// would make an Allow wider, so there the statement does not apply.
func (s *statement) matchesResource(q *question) bool {
	if s.resources == nil {
		return true // trust policies have none
	}
	for i := range s.resources {
		switch s.resources[i].match(q.resource, q.values) {
		case matches:
			return !s.notRes
		case unresolved:
			if s.notRes && !s.deny {
				return false
			}
		}
	}
	return s.notRes
}

func (s *statement) matchesPrincipal(p *Principal) grant {
	switch {
	case s.principals == nil:
		return toPrincipal
	case !s.notPrinc:
		return s.principals.names(p)
	case s.principals.exempts(p):
		return noGrant
	default:
		return toPrincipal
	}
}

// question is a request made ready for many statements.
type question struct {
	principal *Principal
	action    string // lower case
	resource  arnText
	values    keyValues
}

func newQuestion(r *Request) *question {
	resource := splitARN(r.Resource)
	return &question{
		principal: &r.Principal,
		action:    strings.ToLower(r.Action),
		resource:  resource,
		values:    keyValues{context: r.Context, principal: &r.Principal, resourceAccount: r.resourceAccount(resource)},
	}
}

// verdict is what one policy, or several of one sort, say to a question.
type verdict struct {
	deny, allow StatementRef
	denyKind    Kind
	grant       grant
}

func (v *verdict) add(p *Policy, q *question) {
	if p == nil {
		return
	}
	for i := range p.statements {
		s := &p.statements[i]
		g := s.applies(q)
		switch {
		case g == noGrant:
		case s.deny:
			v.deny, v.denyKind = s.ref, p.kind
			return
		case g > v.grant:
			v.allow, v.grant = s.ref, g
		}
	}
}
