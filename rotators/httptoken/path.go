package httptoken

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
)

// path says where something stands in a JSON answer: names with dots between,
// positions in brackets, "$" for the whole: "result.tokens[0].id". A name with
// other characters stands in quotes: `"x.y".id`.
type path struct {
	text  string
	steps []step
}

// step is one name, or one position where name is nil.
type step struct {
	name *string
	at   int
}

// maxSteps bounds the depth of a path, maxPosition a position in it.
const (
	maxSteps    = 32
	maxPosition = 9999
)

// parsePath reads a path. The error says what is wrong with it.
func parsePath(text string) (path, error) {
	p, rest := path{text: text}, strings.TrimPrefix(text, "$")
	bare := rest == text // without "$" the first name has no dot before it
	if text == "" {
		return p, fmt.Errorf(`a path is empty; "$" is the whole answer`)
	}
	for rest != "" {
		if len(p.steps) == maxSteps {
			return p, fmt.Errorf("the path %q has more than %d parts", text, maxSteps)
		}
		s, after, err := parseStep(rest, bare && len(p.steps) == 0)
		if err != nil {
			return p, fmt.Errorf("the path %q: %w", text, err)
		}
		p.steps, rest = append(p.steps, s), after
	}
	return p, nil
}

func parseStep(text string, first bool) (s step, rest string, err error) {
	if inner, ok := strings.CutPrefix(text, "["); ok {
		return parsePosition(inner)
	}
	after, dotted := strings.CutPrefix(text, ".")
	if !dotted && !first || dotted && first {
		return s, "", fmt.Errorf("want a dot or a bracket before %q", text)
	}
	if strings.HasPrefix(after, `"`) {
		return parseQuoted(after)
	}
	end := strings.IndexFunc(after, func(r rune) bool { return !isNameRune(r) })
	if end < 0 {
		end = len(after)
	}
	if end == 0 {
		return s, "", fmt.Errorf("want a name before %q; one with other characters than letters, digits, - and _ stands in quotes", after)
	}
	name := after[:end]
	return step{name: &name}, after[end:], nil
}

func isNameRune(r rune) bool {
	return r == '_' || r == '-' || '0' <= r && r <= '9' || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z'
}

func parsePosition(inner string) (s step, rest string, err error) {
	digits, rest, closed := strings.Cut(inner, "]")
	at, err := strconv.ParseUint(digits, 10, 16)
	if !closed || err != nil || at > maxPosition {
		return s, "", fmt.Errorf("want a position from 0 to %d in brackets", maxPosition)
	}
	return step{at: int(at)}, rest, nil
}

func parseQuoted(text string) (s step, rest string, err error) {
	quoted, rest, ok := cutQuoted(text)
	if !ok {
		return s, "", fmt.Errorf("a quoted name has no end, or a character that cannot stand in it")
	}
	return step{name: &quoted}, rest, nil
}

// cutQuoted takes a JSON string off the front of a text.
func cutQuoted(text string) (value, rest string, ok bool) {
	dec := json.NewDecoder(strings.NewReader(text))
	if dec.Decode(&value) != nil {
		return "", "", false
	}
	return value, text[dec.InputOffset():], true
}

// find is what stands there; nil if nothing does, or null.
func (p path) find(answer json.RawMessage) json.RawMessage {
	at := answer
	for _, s := range p.steps {
		if at = s.into(at); at == nil {
			return nil
		}
	}
	if string(at) == "null" {
		return nil
	}
	return at
}

func (s step) into(at json.RawMessage) json.RawMessage {
	if s.name != nil {
		var fields map[string]json.RawMessage
		if json.Unmarshal(at, &fields) != nil {
			return nil
		}
		return fields[*s.name]
	}
	var list []json.RawMessage
	if json.Unmarshal(at, &list) != nil || s.at >= len(list) {
		return nil
	}
	return list[s.at]
}

// textOf is a JSON string, number or truth as a text; false for anything else.
func textOf(raw json.RawMessage) (string, bool) {
	var s string
	if json.Unmarshal(raw, &s) == nil && string(raw) != "null" {
		return s, true
	}
	switch {
	case len(raw) == 0, string(raw) == "null", raw[0] == '{', raw[0] == '[':
		return "", false
	}
	return string(raw), true
}
