package client

import (
	"fmt"
	"strings"

	"lockstep"
)

// rest stands for one part of a name or more.
const rest = "**"

// pattern selects Secrets by name. It is a name whose parts may hold "*", which
// stands for any characters within one part: "prod/db/*", "prod/*-db/main".
// The part "**" stands for one part or more: "prod/**". The empty pattern and
// "**" select all.
type pattern struct {
	parts []string
	// literal is true if there is nothing to match that the subject does not
	// match already.
	literal bool
}

// parsePattern checks a pattern. Errors: ErrInvalid.
func parsePattern(s string) (pattern, error) {
	if s == "" {
		s = rest
	}
	for _, r := range s {
		if !nameRune(r) && r != '*' {
			return pattern{}, fmt.Errorf("pattern %q: %q stands in no secret's name (give a name, not an ARN; * and ** are wildcards): %w", s, r, lockstep.ErrInvalid)
		}
	}
	p := pattern{parts: strings.Split(s, "/"), literal: true}
	for i, part := range p.parts {
		switch {
		case part == rest && i == len(p.parts)-1, part == "*", !strings.Contains(part, "*"):
		case part != rest && strings.Contains(part, rest):
			return pattern{}, fmt.Errorf("pattern %q: ** must be a whole part: %w", s, lockstep.ErrInvalid)
		default:
			p.literal = false
		}
	}
	return p, nil
}

// nameRune tells whether r may stand in a Secret's name.
func nameRune(r rune) bool {
	return (r >= 'a' && r <= 'z') || (r >= 'A' && r <= 'Z') || (r >= '0' && r <= '9') || strings.ContainsRune("/_+=.@-", r)
}

// key is the narrowest NATS subject for what the pattern selects, as the tail
// of an event subject. It may select more: ask matches too.
func (p pattern) key() string {
	tokens := make([]string, 0, len(p.parts))
	for _, part := range p.parts {
		switch {
		case part == rest:
			return strings.Join(append(tokens, ">"), ".")
		case strings.Contains(part, "*"):
			tokens = append(tokens, "*")
		default:
			tokens = append(tokens, lockstep.SecretKey(part))
		}
	}
	return strings.Join(tokens, ".")
}

// matches tells whether the pattern selects a name.
func (p pattern) matches(name string) bool {
	return p.literal || matchParts(p.parts, strings.Split(name, "/"))
}

func matchParts(pattern, name []string) bool {
	for i, part := range pattern {
		if part == rest {
			for skip := i + 1; skip <= len(name); skip++ {
				if matchParts(pattern[i+1:], name[skip:]) {
					return true
				}
			}
			return false
		}
		if i >= len(name) || !matchPart(part, name[i]) {
			return false
		}
	}
	return len(pattern) == len(name)
}

// matchPart compares one part; each * takes as little as it can, which is
// enough when only * is a wildcard.
func matchPart(pattern, part string) bool {
	pieces := strings.Split(pattern, "*")
	if len(pieces) == 1 {
		return pattern == part
	}
	part, ok := strings.CutPrefix(part, pieces[0])
	if !ok {
		return false
	}
	last := len(pieces) - 1
	for _, piece := range pieces[1:last] {
		_, after, found := strings.Cut(part, piece)
		if !found {
			return false
		}
		part = after
	}
	return strings.HasSuffix(part, pieces[last])
}
