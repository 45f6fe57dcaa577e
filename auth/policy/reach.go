package policy

import (
	"slices"
	"strings"
)

// Reach is a set of resources that can be told without looking at any of them:
// the ARNs that begin with Prefix, or with Exact the one that is Prefix.
// Prefix may stand for all ("").
type Reach struct {
	// Region is the ARN's region; empty: all.
	Region string
	// Prefix is the beginning of the ARN's last part: "secret:prod/".
	Prefix string
	// Exact says that the last part is Prefix, followed by Any single
	// characters.
	Exact bool
	// Any is how many characters are free at the end of an exact one.
	Any int
}

// ReachOf lists resources on which the set allows the principal of the request
// one of the actions, whatever the circumstances. Only the request's principal
// and service count; the Resource says which service's ARNs are meant, for
// example arn:aws:secretsmanager:::. The list leaves out what depends on
// anything else: statements with conditions, patterns whose star is not at the
// end, and all that a Deny might touch. What it names is allowed; what it does
// not name may be allowed too.
func ReachOf(r Request, set Set, actions []string) []Reach {
	q := newQuestion(&r)
	var out []Reach
	for _, action := range actions {
		for _, reach := range reachOf(set.Identity, action, q) {
			if set.survives(reach, action, q) && !slices.Contains(out, reach) {
				out = append(out, reach)
			}
		}
	}
	return out
}

// survives tells whether no Deny might touch the reach, and boundary and
// session policies allow it too.
func (set Set) survives(reach Reach, action string, q *question) bool {
	narrowing := set.Session
	if set.Boundary != nil {
		narrowing = append([]*Policy{set.Boundary}, narrowing...)
	}
	for _, p := range append(slices.Clone(set.Identity), narrowing...) {
		if p.mayDeny(reach, action, q) {
			return false
		}
	}
	if set.Boundary != nil && !covered(reach, reachOf([]*Policy{set.Boundary}, action, q)) {
		return false
	}
	return len(set.Session) == 0 || covered(reach, reachOf(set.Session, action, q))
}

func reachOf(policies []*Policy, action string, q *question) []Reach {
	var out []Reach
	for _, p := range policies {
		for i := range p.statements {
			s := &p.statements[i]
			if s.deny || s.notRes || len(s.conditions) > 0 || !s.matchesAction(strings.ToLower(action)) {
				continue
			}
			for j := range s.resources {
				if reach, ok := s.resources[j].reach(q); ok {
					out = append(out, reach)
				}
			}
		}
	}
	return out
}

// mayDeny errs on the side of yes.
func (p *Policy) mayDeny(reach Reach, action string, q *question) bool {
	for i := range p.statements {
		s := &p.statements[i]
		if !s.deny || !s.matchesAction(strings.ToLower(action)) {
			continue
		}
		if s.notRes || slices.ContainsFunc(s.resources, func(r arnPattern) bool { return r.mayMeet(reach, q) }) {
			return true
		}
	}
	return false
}

// reach turns a pattern into a Reach. It fails where the pattern says more, or
// speaks of other services or accounts.
func (p arnPattern) reach(q *question) (Reach, bool) {
	if p.any {
		return Reach{}, true
	}
	if len(p.parts) != arnParts {
		return Reach{}, false
	}
	for i, want := range []string{"arn", "aws", q.resource.part(2), "", q.principal.Account} {
		if i != 3 && !p.parts[i].match(want) {
			return Reach{}, false
		}
	}
	var out Reach
	switch region := p.parts[3]; {
	case region.isAny():
	case region.isFixed() && region.fixedPrefix() != "":
		out.Region = region.fixedPrefix()
	default:
		return Reach{}, false
	}
	last, ok := p.parts[5].resolve(q.values)
	if !ok {
		return Reach{}, false
	}
	return out, out.end(last.tokens)
}

// end reads the last part: a literal, and then nothing, question marks, or one
// star.
func (r *Reach) end(tokens []token) bool {
	if len(tokens) > 0 && tokens[0].kind == literal {
		r.Prefix, tokens = tokens[0].text, tokens[1:]
	}
	if len(tokens) == 1 && tokens[0].kind == anyRun {
		return true
	}
	r.Exact, r.Any = true, len(tokens)
	return !slices.ContainsFunc(tokens, func(t token) bool { return t.kind != anyOne })
}

// mayMeet tells whether the pattern may match something within the reach, by
// what both certainly begin with.
func (p arnPattern) mayMeet(reach Reach, q *question) bool {
	if p.any || len(p.parts) != arnParts {
		return true
	}
	last, ok := p.parts[5].resolve(q.values)
	if !ok {
		return false // it matches nothing
	}
	service := p.parts[2]
	if service.isFixed() && service.fixedPrefix() != q.resource.part(2) {
		return false
	}
	if region := p.parts[3]; reach.Region != "" && region.isFixed() && region.fixedPrefix() != reach.Region {
		return false
	}
	fixed := last.fixedPrefix()
	return strings.HasPrefix(fixed, reach.Prefix) || strings.HasPrefix(reach.Prefix, fixed)
}

// covered tells whether one of the others holds all of the reach.
func covered(reach Reach, others []Reach) bool {
	return slices.ContainsFunc(others, func(o Reach) bool {
		region := o.Region == "" || o.Region == reach.Region
		return region && (o == reach || !o.Exact && strings.HasPrefix(reach.Prefix, o.Prefix))
	})
}
