package schedule

import (
	"fmt"

	"lockstep"
)

// Error says which part of a schedule cannot work, why, and what would. It is
// a lockstep.ErrInvalid.
type Error struct {
	// Field is the part at fault: "expression", "time zone", "window",
	// "jitter", "days", "anchor", "freeze", "deadline" or "catch-up".
	Field string
	// Input is what was given, shortened.
	Input string
	// Problem is the reason, for a person.
	Problem string
	// Example is an input for the same field that works; it may be empty where
	// none is shorter than the problem.
	Example string
}

func (e *Error) Error() string {
	msg := fmt.Sprintf("schedule %s %q: %s", e.Field, e.Input, e.Problem)
	if e.Example != "" {
		msg += fmt.Sprintf("; an example that works: %s", e.Example)
	}
	return msg
}

// Is makes errors.Is(err, lockstep.ErrInvalid) true.
func (*Error) Is(target error) bool { return target == lockstep.ErrInvalid }

const shownInput = 80

// shorten keeps a hostile input from filling a log line.
func shorten(s string) string {
	if len(s) <= shownInput {
		return s
	}
	return s[:shownInput] + "…"
}

func badExpression(expr, example, format string, args ...any) *Error {
	return &Error{Field: "expression", Input: shorten(expr), Problem: fmt.Sprintf(format, args...), Example: example}
}
