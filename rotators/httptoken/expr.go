package httptoken

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// The names that templates may use beside the fields of the two values.
const (
	ofSecret = "secret"
	ofAdmin  = "admin"
	ofMarker = "marker"
	ofPage   = "page"
	ofSize   = "size"
	ofNow    = "now"
	ofUnix   = "unix"
	nothing  = "nothing"
)

// plainNames are those without a field.
var plainNames = []string{ofMarker, ofPage, ofSize, ofNow, ofUnix}

// expr is what stands between "${" and "}": terms of which the first that has
// something is taken.
type expr struct{ terms []term }

// term is one of: a name (of is set), a call (call is set), a literal.
type term struct {
	of, field string
	call      *function
	args      []expr
	literal   *string
}

// optional tells whether the last word is nothing: what it stands for is then
// left out.
func (e expr) optional() bool {
	last := e.terms[len(e.terms)-1]
	return last.of == nothing
}

// maxNesting bounds how deep calls stand in calls.
const maxNesting = 8

// scanner reads an expression.
type scanner struct {
	rest  string
	depth int
}

// parseExpr reads an expression off the front of text, up to its "}".
func parseExpr(text string) (e expr, rest string, err error) {
	s := &scanner{rest: text}
	if e, err = s.expr(); err != nil {
		return e, "", err
	}
	if !s.take("}") {
		return e, "", fmt.Errorf(`want "}" %s`, s.here())
	}
	return e, s.rest, nil
}

func (s *scanner) space() { s.rest = strings.TrimLeft(s.rest, " ") }

func (s *scanner) take(what string) bool {
	s.space()
	after, ok := strings.CutPrefix(s.rest, what)
	if ok {
		s.rest = after
	}
	return ok
}

// here says where the scanner is, for an error.
func (s *scanner) here() string {
	s.space()
	if s.rest == "" {
		return "at the end"
	}
	shown := []rune(s.rest)
	return fmt.Sprintf("before %q", string(shown[:min(len(shown), 20)]))
}

func (s *scanner) word() string {
	s.space()
	end := strings.IndexFunc(s.rest, func(r rune) bool { return !isNameRune(r) })
	if end < 0 {
		end = len(s.rest)
	}
	word := s.rest[:end]
	s.rest = s.rest[end:]
	return word
}

func (s *scanner) expr() (expr, error) {
	if s.depth++; s.depth > maxNesting {
		return expr{}, fmt.Errorf("calls stand more than %d deep", maxNesting)
	}
	defer func() { s.depth-- }()
	var e expr
	for {
		t, err := s.term()
		if err != nil {
			return e, err
		}
		e.terms = append(e.terms, t)
		before := s.rest
		if s.word() != "or" {
			s.rest = before
			return e, nil
		}
		if t.of == nothing {
			return e, fmt.Errorf("nothing stands last, if at all")
		}
	}
}

func (s *scanner) term() (term, error) {
	s.space()
	if strings.HasPrefix(s.rest, `"`) {
		text, rest, ok := cutQuoted(s.rest)
		if !ok {
			return term{}, fmt.Errorf("a text in quotes has no end, or a character that cannot stand in it")
		}
		s.rest = rest
		return term{literal: &text}, nil
	}
	word := s.word()
	switch {
	case word == "":
		return term{}, fmt.Errorf("want a name %s", s.here())
	case s.take("("):
		return s.callOf(word)
	case word == ofSecret || word == ofAdmin:
		field := ""
		if s.take(".") {
			field = s.word()
		}
		if field == "" {
			return term{}, fmt.Errorf("want %s.FIELD %s", word, s.here())
		}
		return term{of: word, field: field}, nil
	case word == nothing || slices.Contains(plainNames, word):
		return term{of: word}, nil
	}
	return term{}, fmt.Errorf("there is no %q; there are secret.FIELD, admin.FIELD, %s, and functions", word, strings.Join(plainNames, ", "))
}

func (s *scanner) callOf(name string) (term, error) {
	fn := functionNamed(name)
	if fn == nil {
		return term{}, fmt.Errorf("there is no function %q; there are %s", name, functionNames())
	}
	t := term{call: fn}
	for !s.take(")") {
		if len(t.args) > 0 && !s.take(",") {
			return t, fmt.Errorf(`want "," or ")" %s`, s.here())
		}
		arg, err := s.expr()
		if err != nil {
			return t, err
		}
		t.args = append(t.args, arg)
	}
	if len(t.args) != len(fn.takes) {
		return t, fmt.Errorf("%s takes %d arguments (%s), not %d", fn.name, len(fn.takes), strings.Join(fn.takes, ", "), len(t.args))
	}
	return t, fn.checkArgs(t.args)
}

// each calls do for the expression's terms and those of its calls.
func (e expr) each(do func(term)) {
	for _, t := range e.terms {
		do(t)
		for _, a := range t.args {
			a.each(do)
		}
	}
}

// eval is the first term that has something, as JSON; nil if that is nothing.
// Errors: errLacks for a field that is not there.
func (e expr) eval(s *scope) (json.RawMessage, error) {
	var first error
	for _, t := range e.terms {
		raw, err := t.eval(s)
		if err == nil {
			return raw, nil
		}
		if !isLacking(err) {
			return nil, err
		}
		if first == nil {
			first = err
		}
	}
	return nil, first
}

func (t term) eval(s *scope) (json.RawMessage, error) {
	switch {
	case t.literal != nil:
		return quote(*t.literal)
	case t.of == nothing:
		return nil, nil
	case t.call == nil:
		return s.look(t.of, t.field)
	}
	args := make([]string, len(t.args))
	for i, a := range t.args {
		var err error
		if args[i], err = a.text(s); err != nil {
			return nil, err
		}
	}
	return s.called(t.call, args)
}

// text evaluates to a text. Errors: those of eval, and one for a list, for
// fields, and for nothing.
func (e expr) text(s *scope) (string, error) {
	raw, err := e.eval(s)
	if err != nil {
		return "", err
	}
	text, ok := textOf(raw)
	if !ok {
		return "", unusable("a list, fields or nothing stands where a text is wanted (%s)", e.name())
	}
	return text, nil
}

// name is what the expression is about, for an error.
func (e expr) name() string {
	t := e.terms[0]
	switch {
	case t.call != nil:
		return t.call.name
	case t.field != "":
		return t.of + "." + t.field
	}
	return t.of
}

// quote is a text as JSON, with nothing escaped that need not be.
func quote(text string) (json.RawMessage, error) {
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(text); err != nil {
		return nil, fmt.Errorf("write JSON: %w", err)
	}
	return json.RawMessage(strings.TrimSuffix(b.String(), "\n")), nil
}
