package lockstep_test

import (
	"errors"
	"fmt"
	"testing"

	"lockstep"
)

// The classes of target, by their names in the protocol.
var (
	oneValue      = lockstep.Traits{Chooser: lockstep.Chosen, Overlap: lockstep.OneValue}
	twoAccounts   = lockstep.Traits{Chooser: lockstep.Chosen, Overlap: lockstep.TwoAccounts}
	twoValues     = lockstep.Traits{Chooser: lockstep.Chosen, Overlap: lockstep.TwoValues}
	issuedSeveral = lockstep.Traits{Chooser: lockstep.Issued, Overlap: lockstep.TwoValues}
	issuedOne     = lockstep.Traits{Chooser: lockstep.Issued, Overlap: lockstep.OneValue}
)

// A fact is one thing that is so when the signal comes.
type fact func(*lockstep.Facts)

func class(t lockstep.Traits) fact { return func(f *lockstep.Facts) { f.Traits = t } }
func base(f *lockstep.Facts)       { f.CurrentIsBase = true }
func ours(f *lockstep.Facts)       { f.CurrentIsOurs = true }
func idle(f *lockstep.Facts)       { f.OnIdleAccount = true }
func testOnly(f *lockstep.Facts)   { f.TestOnly = true }
func cancelled(f *lockstep.Facts)  { f.Stop = lockstep.StopCancelled }
func superseded(f *lockstep.Facts) { f.Stop = lockstep.StopSuperseded }
func refusedAll(f *lockstep.Facts) { f.NothingIssued = true }
func gaveUp(f *lockstep.Facts)     { f.Stop = lockstep.StopFailed }

func when(facts ...fact) lockstep.Facts {
	var f lockstep.Facts
	for _, fact := range facts {
		fact(&f)
	}
	return f
}

// held means that the row exists and its guard does not hold.
const held = lockstep.RunState("")

const (
	queued    = lockstep.RunQueued
	created   = lockstep.RunCreated
	setting   = lockstep.RunSetting
	set       = lockstep.RunSet
	tested    = lockstep.RunTested
	undo      = lockstep.RunUndo
	succeeded = lockstep.RunSucceeded
	failed    = lockstep.RunFailed
	ended     = lockstep.RunCancelled
	lost      = lockstep.RunLost
)

type row struct {
	from  lockstep.RunState
	event lockstep.Signal
	facts lockstep.Facts
	next  lockstep.RunState
}

// rows are those of the protocol's table of Run states, with each guard once
// holding and once not.
func rows() []row {
	return []row{
		{queued, lockstep.SignalCreated, when(base), created},
		{queued, lockstep.SignalCreated, when(cancelled), held},
		{queued, lockstep.SignalCreated, when(testOnly), held},
		{queued, lockstep.SignalTestDone, when(testOnly), succeeded},
		{queued, lockstep.SignalTestDone, when(), held},

		{created, lockstep.SignalSetBegins, when(base), setting},
		{created, lockstep.SignalSetBegins, when(base, cancelled), held},
		{created, lockstep.SignalSetBegins, when(), held},
		{created, lockstep.SignalSetBegins, when(base, class(twoAccounts), idle), setting},
		{created, lockstep.SignalSetBegins, when(base, class(twoAccounts)), held},
		{created, lockstep.SignalSetBegins, when(base, class(twoValues)), setting},
		{created, lockstep.SignalSetBegins, when(base, class(issuedOne)), setting},

		{setting, lockstep.SignalApplied, when(), set},
		{setting, lockstep.SignalUnknown, when(), setting},
		{setting, lockstep.SignalNotApplied, when(), setting},
		{setting, lockstep.SignalRefusedValue, when(class(oneValue)), created},
		{setting, lockstep.SignalRefusedValue, when(class(issuedOne)), held},
		{setting, lockstep.SignalDeposit, when(class(issuedOne)), set},
		{setting, lockstep.SignalDeposit, when(class(issuedSeveral)), set},
		{setting, lockstep.SignalDeposit, when(class(oneValue)), held},
		{setting, lockstep.SignalNoDeposit, when(class(issuedOne)), lost},
		{setting, lockstep.SignalNoDeposit, when(class(issuedOne), refusedAll), held},
		{setting, lockstep.SignalNoDeposit, when(class(issuedSeveral)), held},
		{setting, lockstep.SignalNoDeposit, when(class(oneValue)), held},

		{set, lockstep.SignalTestOK, when(), tested},
		{set, lockstep.SignalTestRefused, when(class(oneValue)), setting},
		{set, lockstep.SignalTestRefused, when(class(issuedSeveral)), undo},
		{set, lockstep.SignalTestRefused, when(class(issuedOne)), set}, // forward only
		{set, lockstep.SignalUnknown, when(), set},                     // no verdict
		{set, lockstep.SignalNotApplied, when(), set},
		{set, lockstep.SignalProbeFailed, when(), undo},
		{set, lockstep.SignalProbeFailed, when(class(issuedOne), base), tested}, // finish, warn
		{set, lockstep.SignalProbeFailed, when(class(issuedOne)), held},
		{tested, lockstep.SignalProbeFailed, when(), undo},
		{tested, lockstep.SignalProbeFailed, when(class(issuedOne), base), tested},
		{tested, lockstep.SignalProbeFailed, when(class(issuedOne)), held},

		{tested, lockstep.SignalFinish, when(base), succeeded},
		{tested, lockstep.SignalFinish, when(), held}, // a newer value put by hand
		{tested, lockstep.SignalFinish, when(base, cancelled), held},
		{tested, lockstep.SignalFinish, when(base, cancelled, class(issuedSeveral)), held},
		{tested, lockstep.SignalFinish, when(base, cancelled, class(issuedOne)), succeeded},
		{tested, lockstep.SignalFinish, when(cancelled, class(issuedOne)), held},
		{set, lockstep.SignalFinish, when(base), held}, // not tested

		// Whichever call moves AWSCURRENT onto the pending Version finishes.
		{queued, lockstep.SignalFinish, when(ours), succeeded},
		{created, lockstep.SignalFinish, when(ours), succeeded},
		{setting, lockstep.SignalFinish, when(ours), succeeded},
		{set, lockstep.SignalFinish, when(ours), succeeded},
		{tested, lockstep.SignalFinish, when(ours), succeeded},
		{tested, lockstep.SignalFinish, when(ours, cancelled), succeeded},
		{undo, lockstep.SignalFinish, when(ours), succeeded},
		{queued, lockstep.SignalFinish, when(base), held},
		{created, lockstep.SignalFinish, when(base), held},
		{setting, lockstep.SignalFinish, when(base), held},
		{undo, lockstep.SignalFinish, when(base), held},

		{queued, lockstep.SignalStop, when(cancelled), ended},
		{queued, lockstep.SignalStop, when(superseded), ended},
		{queued, lockstep.SignalStop, when(gaveUp), failed},
		{queued, lockstep.SignalStop, when(), failed},
		{created, lockstep.SignalStop, when(cancelled), ended},
		{created, lockstep.SignalStop, when(superseded), ended},
		{created, lockstep.SignalStop, when(gaveUp), failed},
		{setting, lockstep.SignalStop, when(cancelled), undo},
		{setting, lockstep.SignalStop, when(cancelled, class(issuedSeveral)), undo},
		{setting, lockstep.SignalStop, when(cancelled, class(issuedOne)), held},
		{setting, lockstep.SignalStop, when(cancelled, class(issuedOne), refusedAll), ended},
		{setting, lockstep.SignalStop, when(gaveUp, class(issuedOne), refusedAll), failed},
		{set, lockstep.SignalStop, when(gaveUp), undo},
		{tested, lockstep.SignalStop, when(superseded), undo},
		{set, lockstep.SignalStop, when(superseded, class(issuedOne)), failed},
		{tested, lockstep.SignalStop, when(superseded, class(issuedOne)), failed},
		{set, lockstep.SignalStop, when(cancelled, base, class(issuedOne)), held},
		{set, lockstep.SignalStop, when(cancelled, ours, class(issuedOne)), held},

		{undo, lockstep.SignalUndone, when(cancelled), ended},
		{undo, lockstep.SignalUndone, when(superseded), ended},
		{undo, lockstep.SignalUndone, when(gaveUp), failed},
		{undo, lockstep.SignalUndoDeadline, when(cancelled), failed},
		{undo, lockstep.SignalUnknown, when(), undo},
		{undo, lockstep.SignalNotApplied, when(), undo},

		{lost, lockstep.SignalDeposit, when(base, class(issuedOne)), set},
		{lost, lockstep.SignalDeposit, when(class(issuedOne)), held},
	}
}

func TestTransition(t *testing.T) {
	for _, r := range rows() {
		t.Run(fmt.Sprintf("%s/%s/%+v", r.from, r.event, r.facts), func(t *testing.T) {
			next, err := lockstep.Transition(r.from, r.event, r.facts)
			if r.next == held {
				if !errors.Is(err, lockstep.ErrConflict) || next != r.from {
					t.Fatalf("got %s, %v; want the guard to hold it in %s", next, err, r.from)
				}
				return
			}
			if err != nil || next != r.next {
				t.Fatalf("got %s, %v; want %s", next, err, r.next)
			}
		})
	}
}

var (
	allStates  = []lockstep.RunState{queued, created, setting, set, tested, undo, succeeded, failed, ended, lost, "", "nonsense"}
	allSignals = []lockstep.Signal{
		lockstep.SignalCreated, lockstep.SignalSetBegins, lockstep.SignalApplied, lockstep.SignalNotApplied,
		lockstep.SignalUnknown, lockstep.SignalRefusedValue, lockstep.SignalTestOK, lockstep.SignalTestRefused,
		lockstep.SignalProbeFailed, lockstep.SignalFinish, lockstep.SignalStop, lockstep.SignalUndone,
		lockstep.SignalUndoDeadline, lockstep.SignalNoDeposit, lockstep.SignalDeposit, lockstep.SignalTestDone, "nonsense",
	}
)

// everyFacts is each combination of facts.
func everyFacts() []lockstep.Facts {
	flags := []fact{base, ours, testOnly, idle, refusedAll}
	var out []lockstep.Facts
	for _, traits := range []lockstep.Traits{oneValue, twoAccounts, twoValues, issuedSeveral, issuedOne} {
		for _, stop := range []lockstep.StopKind{lockstep.StopNone, lockstep.StopCancelled, lockstep.StopSuperseded, lockstep.StopFailed} {
			for bits := range 1 << len(flags) {
				f := lockstep.Facts{Traits: traits, Stop: stop}
				for i, flag := range flags {
					if bits&(1<<i) != 0 {
						flag(&f)
					}
				}
				out = append(out, f)
			}
		}
	}
	return out
}

// TestTransitionRefusesEveryOtherPair walks all states, signals and facts: a
// pair without a row is refused whatever the facts, and no row leads anywhere
// that the table does not name.
func TestTransitionRefusesEveryOtherPair(t *testing.T) {
	type pair struct {
		from  lockstep.RunState
		event lockstep.Signal
	}
	named := map[pair]map[lockstep.RunState]bool{}
	for _, r := range rows() {
		p := pair{r.from, r.event}
		if named[p] == nil {
			named[p] = map[lockstep.RunState]bool{}
		}
		named[p][r.next] = true
	}
	for _, from := range allStates {
		for _, event := range allSignals {
			for _, f := range everyFacts() {
				next, err := lockstep.Transition(from, event, f)
				leads := named[pair{from, event}]
				switch {
				case leads == nil && (!errors.Is(err, lockstep.ErrInvalid) || next != from):
					t.Errorf("%s + %s %+v: got %s, %v; the table has no such row", from, event, f, next, err)
				case leads != nil && err == nil && !leads[next]:
					t.Errorf("%s + %s %+v leads to %s, which the table does not name", from, event, f, next)
				case leads != nil && err != nil && (!errors.Is(err, lockstep.ErrConflict) || next != from):
					t.Errorf("%s + %s %+v: got %s, %v", from, event, f, next, err)
				}
			}
		}
	}
}

// TestTransitionKeepsThePromises states over all facts what the table is for.
func TestTransitionKeepsThePromises(t *testing.T) {
	for _, from := range allStates {
		for _, event := range allSignals {
			for _, f := range everyFacts() {
				next, err := lockstep.Transition(from, event, f)
				if err != nil {
					continue
				}
				at := fmt.Sprintf("%s + %s %+v -> %s", from, event, f, next)
				one := f.Traits == issuedOne
				if from.Final() && from != lost {
					t.Errorf("%s: something follows a final state", at)
				}
				if next == succeeded && !f.CurrentIsOurs && !f.TestOnly && from != tested {
					t.Errorf("%s: a value succeeds that was never tested", at)
				}
				if next == setting && from == created && f.Stop != lockstep.StopNone {
					t.Errorf("%s: set begins though the Run was stopped", at)
				}
				if from.TargetTouched() && from != undo && (next == failed || next == ended) && !one {
					t.Errorf("%s: a Run that may have told its target ends without undo", at)
				}
				if one && next == undo && from != undo {
					t.Errorf("%s: one issued value goes back", at)
				}
			}
		}
	}
}

func TestRunStates(t *testing.T) {
	for state, is := range map[lockstep.RunState]struct{ final, touched bool }{
		queued: {}, created: {},
		setting: {touched: true}, set: {touched: true}, tested: {touched: true}, undo: {touched: true},
		succeeded: {final: true}, failed: {final: true}, ended: {final: true}, lost: {final: true},
	} {
		if state.Final() != is.final || state.TargetTouched() != is.touched {
			t.Errorf("%s: final %v, touched %v", state, state.Final(), state.TargetTouched())
		}
	}
}
