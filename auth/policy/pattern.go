package policy

import (
	"errors"
	"strings"
	"unicode/utf8"
)

type tokenKind int

const (
	literal  tokenKind = iota
	anyRun             // *
	anyOne             // ?
	variable           // ${key} or ${key, 'default'}
)

type token struct {
	kind tokenKind
	// text is the literal, or the variable's key in lower case.
	text string
	// fallback is the variable's default; hasFallback tells an empty default
	// from none.
	fallback    string
	hasFallback bool
}

// pattern is a text with wildcards and variables, in tokens. Two literals never
// stand side by side.
type pattern struct {
	tokens  []token
	hasVars bool
}

// syntaxSet says what is special in a pattern's text.
type syntaxSet struct{ wildcards, variables bool }

var errVariable = errors.New("malformed policy variable: write ${key} or ${key, 'default'}, and ${$} for a dollar sign")

func parsePattern(s string, syntax syntaxSet) (pattern, error) {
	var p pattern
	for i := 0; i < len(s); {
		switch {
		case syntax.wildcards && s[i] == '*':
			p.add(token{kind: anyRun})
			i++
		case syntax.wildcards && s[i] == '?':
			p.add(token{kind: anyOne})
			i++
		case syntax.variables && strings.HasPrefix(s[i:], "${"):
			end := strings.IndexByte(s[i:], '}')
			if end < 0 {
				return pattern{}, errVariable
			}
			t, err := parseVariable(s[i+2 : i+end])
			if err != nil {
				return pattern{}, err
			}
			p.add(t)
			i += end + 1
		default:
			p.add(token{kind: literal, text: s[i : i+1]})
			i++
		}
	}
	return p, nil
}

func parseVariable(s string) (token, error) {
	if s == "*" || s == "?" || s == "$" {
		return token{kind: literal, text: s}, nil
	}
	key, rest, hasDefault := strings.Cut(s, ",")
	t := token{kind: variable, text: strings.ToLower(strings.TrimSpace(key)), hasFallback: hasDefault}
	if !strings.Contains(t.text, ":") || strings.ContainsAny(t.text, "${'") {
		return token{}, errVariable
	}
	if hasDefault {
		quoted := strings.TrimSpace(rest)
		if len(quoted) < 2 || quoted[0] != '\'' || quoted[len(quoted)-1] != '\'' {
			return token{}, errVariable
		}
		t.fallback = quoted[1 : len(quoted)-1]
	}
	return t, nil
}

// add appends t and joins it with the last token where they are one.
func (p *pattern) add(t token) {
	if n := len(p.tokens); n > 0 {
		last := &p.tokens[n-1]
		if t.kind == literal && last.kind == literal {
			last.text += t.text
			return
		}
		if t.kind == anyRun && last.kind == anyRun {
			return
		}
	}
	p.hasVars = p.hasVars || t.kind == variable
	p.tokens = append(p.tokens, t)
}

// isAny reports whether p matches everything.
func (p pattern) isAny() bool { return len(p.tokens) == 1 && p.tokens[0].kind == anyRun }

// isFixed reports whether p stands for one text only.
func (p pattern) isFixed() bool {
	return len(p.tokens) == 0 || len(p.tokens) == 1 && p.tokens[0].kind == literal
}

// fixedPrefix is the literal text that everything p matches begins with.
func (p pattern) fixedPrefix() string {
	if len(p.tokens) == 0 || p.tokens[0].kind != literal {
		return ""
	}
	return p.tokens[0].text
}

// resolve puts values in the place of variables, as literals: a wildcard in a
// value is not one. It fails when a variable has neither value nor default.
func (p pattern) resolve(values keyValues) (pattern, bool) {
	if !p.hasVars {
		return p, true
	}
	out := pattern{tokens: make([]token, 0, len(p.tokens))}
	for _, t := range p.tokens {
		if t.kind == variable {
			text, ok := values.single(t.text)
			if !ok && !t.hasFallback {
				return pattern{}, false
			}
			if !ok {
				text = t.fallback
			}
			t = token{kind: literal, text: text}
		}
		out.add(t)
	}
	return out, true
}

// match compares the whole of s. p holds no variables any more. It goes back
// to the last star only, so the time is at most len(p) times len(s).
func (p pattern) match(s string) bool {
	at, tok := 0, 0
	starAt, starTok := 0, -1
	for {
		switch {
		case tok == len(p.tokens):
			if at == len(s) {
				return true
			}
		case p.tokens[tok].kind == anyRun:
			tok++
			if tok == len(p.tokens) {
				return true
			}
			starAt, starTok = at, tok
			continue
		case p.tokens[tok].kind == anyOne && at < len(s):
			at += runeLen(s[at:])
			tok++
			continue
		case p.tokens[tok].kind == literal && strings.HasPrefix(s[at:], p.tokens[tok].text):
			at += len(p.tokens[tok].text)
			tok++
			continue
		}
		if starTok < 0 || starAt == len(s) {
			return false
		}
		starAt += runeLen(s[starAt:])
		at, tok = starAt, starTok
	}
}

func runeLen(s string) int {
	_, n := utf8.DecodeRuneInString(s)
	return n
}
