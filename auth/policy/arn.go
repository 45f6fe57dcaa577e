package policy

import (
	"errors"
	"strings"
)

// arnParts is how many parts an ARN has: arn, partition, service, region,
// account and resource. Only the resource may hold colons.
const arnParts = 6

// arnText is a text split at its first colons.
type arnText struct {
	full   string
	starts [arnParts]int
	parts  int
}

func splitARN(s string) arnText {
	a := arnText{full: s, parts: 1}
	for i := 0; i < len(s) && a.parts < arnParts; i++ {
		if s[i] == ':' {
			a.starts[a.parts] = i + 1
			a.parts++
		}
	}
	return a
}

// part returns part i alone; the last one reaches to the end.
func (a arnText) part(i int) string {
	if i == a.parts-1 {
		return a.rest(i)
	}
	return a.full[a.starts[i] : a.starts[i+1]-1]
}

// rest returns everything from part i on.
func (a arnText) rest(i int) string { return a.full[a.starts[i]:] }

// account returns the fifth part, or "" if s is no ARN.
func (a arnText) account() string {
	if a.parts < arnParts {
		return ""
	}
	return a.part(4)
}

// arnPattern matches ARNs part by part, so that a star stays inside its part.
// Only in the last part may it reach over colons.
type arnPattern struct {
	any   bool // "*"
	parts []pattern
}

var errARN = errors.New(`must be an ARN or "*"`)

func parseARNPattern(s string, syntax syntaxSet) (arnPattern, error) {
	p, err := parsePattern(s, syntax)
	if err != nil {
		return arnPattern{}, err
	}
	if p.isAny() {
		return arnPattern{any: true}, nil
	}
	parts := p.splitAtColons()
	if !parts[0].isFixed() || parts[0].fixedPrefix() != "arn" {
		return arnPattern{}, errARN
	}
	// Fewer parts are an ARN only if the last one can stand for the others.
	if last := parts[len(parts)-1].tokens; len(parts) < arnParts && (len(last) == 0 || last[len(last)-1].kind != anyRun) {
		return arnPattern{}, errARN
	}
	return arnPattern{parts: parts}, nil
}

// splitAtColons cuts the pattern at its first five literal colons.
func (p pattern) splitAtColons() []pattern {
	parts := make([]pattern, 1, arnParts)
	for _, t := range p.tokens {
		for t.kind == literal && len(parts) < arnParts {
			before, after, found := strings.Cut(t.text, ":")
			if !found {
				break
			}
			if before != "" {
				parts[len(parts)-1].add(token{kind: literal, text: before})
			}
			parts = append(parts, pattern{})
			t.text = after
		}
		if t.kind != literal || t.text != "" {
			parts[len(parts)-1].add(t)
		}
	}
	return parts
}

// matchResult is the answer of a pattern that may hold variables.
type matchResult int

const (
	differs matchResult = iota
	matches
	// unresolved: a variable has no value, so there is nothing to compare with.
	unresolved
)

func (p arnPattern) match(a arnText, values keyValues) matchResult {
	if p.any {
		return matches
	}
	fits := a.parts >= len(p.parts)
	for i, part := range p.parts {
		resolved, ok := part.resolve(values)
		if !ok {
			return unresolved
		}
		if !fits {
			continue
		}
		text := ""
		if i == len(p.parts)-1 {
			text = a.rest(i)
		} else {
			text = a.part(i)
		}
		fits = resolved.match(text)
	}
	if fits {
		return matches
	}
	return differs
}

// isAccountID reports whether s is an account's twelve digits.
func isAccountID(s string) bool {
	if len(s) != 12 {
		return false
	}
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}
