package httptoken

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"lockstep"
	"lockstep/rotators/jsonvalue"
)

// scope is what the names of a template stand for in one request.
type scope struct {
	secret, admin *jsonvalue.Object
	// over holds fields that stand over the secret's; nil ones are not there.
	over   map[string]json.RawMessage
	marker lockstep.Marker
	page   int
	size   int
	now    time.Time
	// derived collects what functions made of credentials, to be cut out of
	// texts that are shown.
	derived []lockstep.Value
}

// errLacks: a value lacks a field; unlike other errors, "or" goes on after it.
type errLacks struct{ of, field string }

func (e *errLacks) Error() string {
	if e.of == ofAdmin && e.field == "" {
		return "the secret's value names no admin secret (masterarn)"
	}
	return fmt.Sprintf("the %s's value lacks the field %q", e.of, e.field)
}

func isLacking(err error) bool {
	var lacks *errLacks
	return errors.As(err, &lacks)
}

// unusable is the error of a value that a template cannot take.
func unusable(format string, args ...any) error {
	return fmt.Errorf(format+": %w", append(args, lockstep.ErrInvalid)...)
}

// look finds what a name stands for.
func (s *scope) look(of, field string) (json.RawMessage, error) {
	switch of {
	case ofMarker:
		return quote(string(s.marker))
	case ofPage:
		return json.RawMessage(strconv.Itoa(s.page)), nil
	case ofSize:
		return json.RawMessage(strconv.Itoa(s.size)), nil
	case ofNow:
		return quote(s.now.UTC().Format(time.RFC3339))
	case ofUnix:
		return json.RawMessage(strconv.FormatInt(s.now.Unix(), 10)), nil
	case ofAdmin:
		if s.admin == nil {
			return nil, &errLacks{of: of}
		}
		return fieldOf(s.admin, of, field)
	}
	if raw, laid := s.over[field]; laid {
		if raw == nil {
			return nil, &errLacks{of, field}
		}
		return raw, nil
	}
	return fieldOf(s.secret, of, field)
}

// fieldOf reads a field; an empty text is none.
func fieldOf(o *jsonvalue.Object, of, field string) (json.RawMessage, error) {
	raw := o.JSON(field)
	if string(raw) == "null" || string(raw) == `""` {
		return nil, &errLacks{of, field}
	}
	return raw, nil
}

// called calls a function and remembers what it made.
func (s *scope) called(fn *function, args []string) (json.RawMessage, error) {
	out, err := fn.do(s, args)
	if err != nil {
		return nil, unusable("%s: %w", fn.name, err)
	}
	if fn.number {
		return json.RawMessage(out), nil
	}
	s.derived = append(s.derived, lockstep.StringValue(out))
	return quote(out)
}
