package runs_test

import (
	"fmt"

	"lockstep"
)

// The explorer walks every interleaving, within bounds, of two workers, a
// scheduler and a user over lockstep.Transition and a small model of a target.
// A worker makes the moves of package workers at the grain of its store writes
// and its calls; a call may be lost (the worker dies or hears nothing) and land
// at any later time. Each rule can be switched off, and then the explorer must
// find a state that breaks an invariant.

// rules are the guards that can be switched off.
type rules struct {
	noBase     bool // AWSCURRENT = base at finish
	noCancel   bool // the stop request at finish and set
	ownAccount bool // two accounts: the pending value may be AWSCURRENT's account
	noFence    bool // the number of a claim, in the store and at the target
	noTarget   bool // NOT-AFTER and marker: a late call lands whenever it comes
	setFirst   bool // the pending value is stored after the target is told
}

// val is a value: 0 none, else its number. Each is of one account.
type val = int8

const maxVals = 6

// mcall is a change on its way to the target.
type mcall struct {
	on    bool
	v     val // 0: close the account
	acct  int8
	fence int8
}

// mworker is one worker: what it believes, and where it is in its code.
type mworker struct {
	pc    int8 // 0: idle
	fence int8
	run   int8 // the number of the Run that it carries
	v     val  // the value that it read or made
	base  val  // AWSCURRENT as it read it
}

// model is the whole world; comparable, so that it can be a map's key.
type model struct {
	// The target: what each account accepts, and its marker.
	accepts [2]val
	marker  int8
	// The store.
	current   val
	acct      [maxVals]int8 // the account of each value
	stored    [maxVals]bool // sealed in the store
	live      [maxVals]bool // in M
	next      val
	holder    int8 // 0: free; else worker+1
	fence     int8
	run       int8 // number of the open or last Run
	state     lockstep.RunState
	pending   val
	base      val
	stop      bool
	doubt     bool
	unverif   bool
	wronged   bool // a finish went against the wish of a hand
	workers   [2]mworker
	late      [2]mcall
	runsLeft  int8
	crashes   int8
	losses    int8
	handsLeft int8
}

// The places in a worker's code: before each store write or call.
const (
	pcIdle int8 = iota
	pcCreate
	pcCreated
	pcSet
	pcApplied
	pcTest
	pcFinish
	pcProbe
	pcStop
	pcClose
	pcCheck
	pcRestore
	pcUndone
	pcUnknown
	pcVerify
	pcVerifySet
	pcVerified
)

type explorer struct {
	traits lockstep.Traits
	rules  rules
	seen   map[model]struct{}
	queue  []model
	broken string
	moves  int // of the state at hand
}

func (e *explorer) two() bool { return e.traits.Overlap == lockstep.TwoAccounts }

func explore(traits lockstep.Traits, r rules, bounds model) *explorer {
	e := &explorer{traits: traits, rules: r, seen: make(map[model]struct{})}
	m := bounds
	m.current, m.next, m.state = 1, 2, lockstep.RunFailed
	m.stored[1], m.live[1] = true, true
	m.accepts[0] = 1
	e.add(m)
	for len(e.queue) > 0 && e.broken == "" {
		m := e.queue[len(e.queue)-1]
		e.queue = e.queue[:len(e.queue)-1]
		e.moves = 0
		e.steps(m)
		if e.moves == 0 && !m.state.Final() && m.next < maxVals && e.broken == "" {
			e.broken = fmt.Sprintf("the run is stuck in %+v", m)
		}
	}
	return e
}

func (e *explorer) add(m model) {
	e.moves++
	if _, ok := e.seen[m]; ok {
		return
	}
	e.seen[m] = struct{}{}
	if why := e.check(m); why != "" && e.broken == "" {
		e.broken = fmt.Sprintf("%s in %+v", why, m)
	}
	e.queue = append(e.queue, m)
}

// check is what must hold in every state.
func (e *explorer) check(m model) string {
	if m.wronged {
		return "a run finished though it was cancelled, or over a value put by hand"
	}
	for a, v := range m.accepts {
		if v != 0 && (!m.stored[v] || !(m.live[v] || v == m.current)) {
			return fmt.Sprintf("account %d accepts value %d, which is not in M", a, v)
		}
	}
	works := m.accepts[m.acct[m.current]] == m.current
	if works || m.unverif {
		return ""
	}
	open := !m.state.Final() && m.state.TargetTouched()
	sameAccount := m.pending != 0 && m.acct[m.pending] == m.acct[m.current]
	if open && sameAccount && (!e.two() || m.stop) {
		return "" // between set and finish of one value, or a hand put another
	}
	return "the target refuses AWSCURRENT"
}

func (e *explorer) steps(m model) {
	e.scheduler(m)
	e.user(m)
	e.network(m)
	for w := range m.workers {
		e.worker(m, w)
		e.crash(m, w)
	}
}

func (e *explorer) scheduler(m model) {
	if m.runsLeft == 0 || !m.state.Final() {
		return
	}
	m.runsLeft--
	m.run, m.state, m.pending, m.base = m.run+1, lockstep.RunQueued, 0, 0
	m.stop, m.doubt = false, false
	e.add(m)
}

// user cancels, or puts AWSCURRENT by hand for the account that it has now.
func (e *explorer) user(m model) {
	if m.handsLeft == 0 {
		return
	}
	m.handsLeft--
	c := m
	if !c.state.Final() && !c.stop {
		c.stop = true
		e.endUntouched(&c)
		e.add(c)
	}
	if m.next == maxVals {
		return
	}
	v := m.next
	m.next++
	m.stored[v], m.live[v], m.acct[v] = true, true, m.acct[m.current]
	m.current, m.unverif = v, true
	if !m.state.Final() {
		m.stop = true
		e.endUntouched(&m)
	}
	e.add(m)
}

// endUntouched: a Run that nobody holds and whose target was never told ends at once.
func (e *explorer) endUntouched(m *model) {
	if m.holder == 0 && !m.state.TargetTouched() {
		e.signal(m, lockstep.SignalStop)
	}
}

// signal asks the real table.
func (e *explorer) signal(m *model, g lockstep.Signal) bool {
	f := lockstep.Facts{
		Traits: e.traits, CurrentIsBase: m.current == m.base || e.rules.noBase,
		OnIdleAccount: e.rules.ownAccount || m.pending == 0 || m.acct[m.pending] != m.acct[m.current],
	}
	if m.stop && !(e.rules.noCancel && (g == lockstep.SignalFinish || g == lockstep.SignalSetBegins)) {
		f.Stop = lockstep.StopCancelled
	}
	next, err := lockstep.Transition(m.state, g, f)
	if err != nil {
		return false
	}
	m.state = next
	return true
}

// network lands calls that were held up.
func (e *explorer) network(m model) {
	for i, c := range m.late {
		if !c.on {
			continue
		}
		n := m
		n.late[i] = mcall{}
		if e.rules.noTarget || (c.fence >= m.marker && m.fence == c.fence && m.holder != 0) {
			e.land(&n, c)
		}
		e.add(n)
	}
}

func (e *explorer) land(m *model, c mcall) {
	m.accepts[c.acct] = c.v
	if !e.rules.noTarget {
		m.marker = max(m.marker, c.fence)
	}
}

// crash kills a worker between two moves; its lease runs out.
func (e *explorer) crash(m model, w int) {
	if m.crashes == 0 || m.workers[w].pc == pcIdle {
		return
	}
	m.crashes--
	e.free(&m, w)
	m.workers[w] = mworker{}
	e.add(m)
}

func (e *explorer) free(m *model, w int) {
	if m.holder == int8(w+1) {
		m.holder = 0
	}
}

// holds is the lease in the WHERE of each write.
func (e *explorer) holds(m *model, w int) bool {
	return e.rules.noFence || (m.holder == int8(w+1) && m.fence == m.workers[w].fence)
}

// write is one store write of a worker: under its lease, and about its Run.
func (e *explorer) write(m model, w int, fn func(m *model, me *mworker)) {
	if !e.holds(&m, w) || m.run != m.workers[w].run || m.state.Final() {
		e.free(&m, w)
		m.workers[w] = mworker{}
		e.add(m)
		return
	}
	fn(&m, &m.workers[w])
	e.add(m)
}

// call is one change at the target: done and answered, or lost (then it may
// land later, and the worker settles without a verdict).
func (e *explorer) call(m model, w int, c mcall, answered int8) {
	c.on, c.fence = true, m.workers[w].fence
	if !e.holds(&m, w) { // the lease is extended before the call is sent
		e.lose(m, w)
		return
	}
	if e.rules.noTarget || c.fence >= m.marker {
		n := m
		e.land(&n, c)
		n.workers[w].pc = answered
		e.add(n)
	}
	for i := range m.late {
		if m.losses > 0 && !m.late[i].on {
			n := m
			n.losses--
			n.late[i] = c
			n.workers[w].pc = pcUnknown
			e.add(n)
			break
		}
	}
	// The lease runs out while the worker stands before the call: paused.
	if m.losses > 0 && m.holder == int8(w+1) {
		n := m
		n.losses--
		n.holder = 0
		e.add(n)
	}
}

// stage is the account that a new value is for.
func (e *explorer) stage(m *model) int8 {
	if e.two() && !e.rules.ownAccount {
		return 1 - m.acct[m.current]
	}
	return m.acct[m.current]
}
