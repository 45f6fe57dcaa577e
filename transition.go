package lockstep

import "fmt"

// RunState is where a Run stands.
type RunState string

// The states of a Run. ROTATION-PROTOCOL.md section 2 draws them; docs/concepts
// shows them to users.
const (
	RunQueued    RunState = "queued"
	RunCreated   RunState = "created"
	RunSetting   RunState = "setting"
	RunSet       RunState = "set"
	RunTested    RunState = "tested"
	RunUndo      RunState = "undo"
	RunSucceeded RunState = "succeeded"
	RunFailed    RunState = "failed"
	RunCancelled RunState = "cancelled"
	RunLost      RunState = "lost"
)

// RunStates lists all states, in the order in which a Run may meet them.
func RunStates() []RunState {
	return []RunState{
		RunQueued, RunCreated, RunSetting, RunSet, RunTested, RunUndo,
		RunSucceeded, RunFailed, RunCancelled, RunLost,
	}
}

// Final tells whether nothing follows this state by itself.
func (s RunState) Final() bool {
	switch s {
	case RunSucceeded, RunFailed, RunCancelled, RunLost:
		return true
	}
	return false
}

// TargetTouched tells whether a Run in this state may have changed its target.
func (s RunState) TargetTouched() bool {
	switch s {
	case RunSetting, RunSet, RunTested, RunUndo:
		return true
	}
	return false
}

// Signal is something that happens to a Run.
type Signal string

// The signals.
const (
	// SignalCreated: the pending value (or, for an issued one, the base alone)
	// is stored.
	SignalCreated Signal = "created"
	// SignalSetBegins: written down before the target is told.
	SignalSetBegins Signal = "set-begins"
	// SignalApplied: the target accepts the pending value.
	SignalApplied Signal = "applied"
	// SignalNotApplied and SignalUnknown: the call failed; try again later.
	SignalNotApplied Signal = "not-applied"
	SignalUnknown    Signal = "unknown"
	// SignalRefusedValue: the target refuses this value in so many words.
	SignalRefusedValue Signal = "refused-value"
	// SignalTestOK: the pending value logged in.
	SignalTestOK Signal = "test-ok"
	// SignalTestRefused: the target refuses the login with the pending value.
	SignalTestRefused Signal = "test-refused"
	// SignalProbeFailed: a declared permission probe fails for good.
	SignalProbeFailed Signal = "probe-failed"
	// SignalFinish: AWSCURRENT moves onto the Run's Version.
	SignalFinish Signal = "finish"
	// SignalStop: cancel, AWSCURRENT moved away, deadline, or out of attempts.
	SignalStop Signal = "stop"
	// SignalUndone: AWSCURRENT accepted, pending proven dead.
	SignalUndone Signal = "undone"
	// SignalUndoDeadline: the roll-back was tried for as long as it may be.
	SignalUndoDeadline Signal = "undo-deadline"
	// SignalNoDeposit: an issued single value whose answer never came.
	SignalNoDeposit Signal = "no-deposit"
	// SignalDeposit: the value of an intent arrived after all.
	SignalDeposit Signal = "deposit"
	// SignalTestDone: a test-only Run has its answer.
	SignalTestDone Signal = "test-done"
)

// Facts is what the guards of the table look at.
type Facts struct {
	Traits Traits
	// CurrentIsBase: AWSCURRENT still stands where it stood at create.
	CurrentIsBase bool
	// CurrentIsOurs: AWSCURRENT stands on the Run's own Version (moved there
	// by hand or by a rotation function).
	CurrentIsOurs bool
	// Stop is the Run's stop request.
	Stop StopKind
	// TestOnly is the Run's flag.
	TestOnly bool
	// OnIdleAccount: for two accounts, the pending value's account is not
	// AWSCURRENT's.
	OnIdleAccount bool
	// NothingIssued: the target said of every intent of the Run that it issued
	// nothing for it.
	NothingIssued bool
}

// issuedOne tells whether the class is "issued, one value", which goes
// forward only once the provider was asked.
func (f Facts) issuedOne() bool { return f.Traits.IssuesOne() }

// Transition is the table of ROTATION-PROTOCOL.md section 2 as a pure
// function: the state that follows s when g happens and f holds.
// Errors: ErrConflict if the guard does not hold (the caller reads again),
// ErrInvalid if the table has no such row at all (a bug).
func Transition(s RunState, g Signal, f Facts) (RunState, error) {
	switch s {
	case RunQueued:
		return fromQueued(g, f)
	case RunCreated:
		return fromCreated(g, f)
	case RunSetting:
		return fromSetting(g, f)
	case RunSet:
		return fromSet(g, f)
	case RunTested:
		return fromTested(g, f)
	case RunUndo:
		return fromUndo(g, f)
	case RunLost:
		if g == SignalDeposit {
			return guarded(f.CurrentIsBase, RunSet, s, g)
		}
	}
	return s, noRow(s, g)
}

func fromQueued(g Signal, f Facts) (RunState, error) {
	switch g {
	case SignalCreated:
		return guarded(f.Stop == StopNone && !f.TestOnly, RunCreated, RunQueued, g)
	case SignalTestDone:
		return guarded(f.TestOnly, RunSucceeded, RunQueued, g)
	case SignalStop:
		return ended(f), nil
	case SignalFinish:
		return guarded(f.CurrentIsOurs, RunSucceeded, RunQueued, g)
	}
	return RunQueued, noRow(RunQueued, g)
}

func fromCreated(g Signal, f Facts) (RunState, error) {
	switch g {
	case SignalSetBegins:
		ok := f.Stop == StopNone && f.CurrentIsBase
		if f.Traits.Chooser == Chosen && f.Traits.Overlap == TwoAccounts {
			ok = ok && f.OnIdleAccount
		}
		return guarded(ok, RunSetting, RunCreated, g)
	case SignalStop:
		return ended(f), nil
	case SignalFinish:
		return guarded(f.CurrentIsOurs, RunSucceeded, RunCreated, g)
	}
	return RunCreated, noRow(RunCreated, g)
}

func fromSetting(g Signal, f Facts) (RunState, error) {
	switch g {
	case SignalApplied:
		return RunSet, nil
	case SignalDeposit:
		return guarded(f.Traits.Chooser == Issued, RunSet, RunSetting, g)
	case SignalNotApplied, SignalUnknown:
		return RunSetting, nil
	case SignalRefusedValue:
		return guarded(f.Traits.Chooser == Chosen, RunCreated, RunSetting, g)
	case SignalStop:
		if f.issuedOne() { // as if nobody had asked the target, or forward only
			return guarded(f.NothingIssued, ended(f), RunSetting, g)
		}
		return RunUndo, nil
	case SignalNoDeposit:
		return guarded(f.issuedOne() && !f.NothingIssued, RunLost, RunSetting, g)
	case SignalFinish:
		return guarded(f.CurrentIsOurs, RunSucceeded, RunSetting, g)
	}
	return RunSetting, noRow(RunSetting, g)
}

func fromSet(g Signal, f Facts) (RunState, error) {
	switch g {
	case SignalTestOK:
		return RunTested, nil
	case SignalTestRefused:
		return afterRefusal(f), nil
	case SignalNotApplied, SignalUnknown: // the test came to no verdict
		return RunSet, nil
	case SignalProbeFailed, SignalStop:
		return turnBack(RunSet, g, f)
	case SignalFinish:
		return guarded(f.CurrentIsOurs, RunSucceeded, RunSet, g)
	}
	return RunSet, noRow(RunSet, g)
}

// afterRefusal is where a pending value leads that the target took and then
// does not let in. A chosen one is set again, an issued one revoked; where
// issuing killed the old one there is nothing to go back to, so the test is
// tried again.
func afterRefusal(f Facts) RunState {
	switch {
	case f.issuedOne():
		return RunSet
	case f.Traits.Chooser == Issued:
		return RunUndo
	}
	return RunSetting
}

func fromTested(g Signal, f Facts) (RunState, error) {
	switch g {
	case SignalProbeFailed, SignalStop:
		return turnBack(RunTested, g, f)
	case SignalFinish:
		held := f.CurrentIsBase && (f.Stop == StopNone || f.issuedOne())
		return guarded(held || f.CurrentIsOurs, RunSucceeded, RunTested, g)
	}
	return RunTested, noRow(RunTested, g)
}

// turnBack leaves a Run whose pending value the target accepts. One issued
// value goes forward only, even if it fails its test: what it replaced is dead.
// Somebody who has put another AWSCURRENT ends it.
func turnBack(s RunState, g Signal, f Facts) (RunState, error) {
	switch {
	case !f.issuedOne():
		return RunUndo, nil
	case g == SignalProbeFailed:
		return guarded(f.CurrentIsBase, RunTested, s, g)
	}
	return guarded(!f.CurrentIsBase && !f.CurrentIsOurs, RunFailed, s, g)
}

func fromUndo(g Signal, f Facts) (RunState, error) {
	switch g {
	case SignalUndone:
		return ended(f), nil
	case SignalUndoDeadline:
		return RunFailed, nil
	case SignalNotApplied, SignalUnknown:
		return RunUndo, nil
	case SignalFinish:
		return guarded(f.CurrentIsOurs, RunSucceeded, RunUndo, g)
	}
	return RunUndo, noRow(RunUndo, g)
}

// ended is the final state of a Run that ends without finishing.
func ended(f Facts) RunState {
	if f.Stop == StopCancelled || f.Stop == StopSuperseded {
		return RunCancelled
	}
	return RunFailed
}

func guarded(ok bool, next, s RunState, g Signal) (RunState, error) {
	if !ok {
		return s, fmt.Errorf("run in state %s: guard of %s does not hold: %w", s, g, ErrConflict)
	}
	return next, nil
}

func noRow(s RunState, g Signal) error {
	return fmt.Errorf("run in state %s: nothing follows from %s: %w", s, g, ErrInvalid)
}
