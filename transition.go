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
}

// issuedOne tells whether the class is "issued, one value", which goes
// forward only once the provider was asked.
func (f Facts) issuedOne() bool {
	return f.Traits.Chooser == Issued && f.Traits.Overlap == OneValue
}

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
	case RunSet, RunTested:
		return fromSet(s, g, f)
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
	case SignalApplied, SignalDeposit:
		return RunSet, nil
	case SignalNotApplied, SignalUnknown:
		return RunSetting, nil
	case SignalRefusedValue:
		return RunCreated, nil
	case SignalStop:
		return guarded(!f.issuedOne(), RunUndo, RunSetting, g)
	case SignalNoDeposit:
		return guarded(f.issuedOne(), RunLost, RunSetting, g)
	case SignalFinish:
		return guarded(f.CurrentIsOurs, RunSucceeded, RunSetting, g)
	}
	return RunSetting, noRow(RunSetting, g)
}

func fromSet(s RunState, g Signal, f Facts) (RunState, error) {
	switch {
	case g == SignalTestOK:
		return RunTested, nil
	case g == SignalTestRefused && f.Traits.Chooser == Issued:
		return RunUndo, nil
	case g == SignalTestRefused:
		return RunSetting, nil
	case g == SignalProbeFailed:
		return guarded(!f.issuedOne(), RunUndo, s, g)
	case g == SignalStop && f.issuedOne():
		return guarded(!f.CurrentIsBase && !f.CurrentIsOurs, RunFailed, s, g)
	case g == SignalStop:
		return RunUndo, nil
	case g == SignalNotApplied, g == SignalUnknown:
		return s, nil
	case g == SignalFinish && f.CurrentIsOurs:
		return RunSucceeded, nil
	case g == SignalFinish:
		ok := s == RunTested && f.CurrentIsBase && (f.Stop == StopNone || f.issuedOne())
		return guarded(ok, RunSucceeded, s, g)
	}
	return s, noRow(s, g)
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
