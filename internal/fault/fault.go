// Package fault breaks a server on purpose, for the fault suite. It wraps the
// things that a Run touches (store, target, stream, function) so that call number
// n fails, loses its answer, or ends the process by SIGKILL.
//
// It exists only in binaries built with the tag "faults". In all others the
// functions here return what they are given: a server that is shipped has no
// way to be told to fail.
//
// A faulty server listens on the unix socket that $LOCKSTEP_FAULTS names and
// takes one line a connection:
//
//	arm MODE N   starts counting calls and breaks call N (0: none)
//	held         answers with the name of the call that is held; empty if none is
//	go           lets it go on
//	stop         ends it and answers with the calls that were seen, one a line
//	clock D      steps the clock of an embedded store by D, as in -1h
package fault

import (
	"context"

	"lockstep"
	"lockstep/rotators"
)

// Finder finds rotation functions.
type Finder interface {
	Function(ctx context.Context, account lockstep.AccountID, name string) (rotators.Function, error)
}

// The ways to break a call.
const (
	// ModeFail: the call is not made and returns an error.
	ModeFail = "fail"
	// ModeLose: the call is made, and its answer is lost.
	ModeLose = "lose"
	// ModeKillBefore: the process ends by SIGKILL instead of making the call.
	ModeKillBefore = "kill-before"
	// ModeKillAfter: the call is made, and the process ends by SIGKILL.
	ModeKillAfter = "kill-after"
	// ModeHold: the call waits for the word to go on. Meanwhile whoever arms
	// the fault may stop the process or take away what it needs.
	ModeHold = "hold"
	// ModeHoldAfter: the call is made, and its answer is held back.
	ModeHoldAfter = "hold-after"
)

// Modes lists those that need no hand from outside.
func Modes() []string { return []string{ModeFail, ModeLose, ModeKillBefore, ModeKillAfter} }
