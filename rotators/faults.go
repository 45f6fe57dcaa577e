package rotators

import (
	"fmt"

	"lockstep"
)

// Permanent is the error of a call that changed nothing and that only a person
// can mend; hint says how, and may be empty.
func Permanent(hint, format string, args ...any) *lockstep.TargetError {
	return &lockstep.TargetError{
		Outcome: lockstep.NotApplied, Fault: lockstep.FaultPermanent, Hint: hint, Err: fmt.Errorf(format, args...),
	}
}

// Transient is the error of a call that changed nothing and may be made again.
func Transient(format string, args ...any) *lockstep.TargetError {
	return &lockstep.TargetError{Outcome: lockstep.NotApplied, Err: fmt.Errorf(format, args...)}
}
