package runs_test

import (
	"fmt"

	"lockstep"
	"lockstep/store"
)

// A second explorer, for values that the target makes: two workers, a scheduler, a
// user, calls that are lost and land later, deposits that come late.

// issuedRules are those that can be switched off.
type issuedRules struct {
	onceOnly bool // the target is searched once, while a call may still land
	askAgain bool // one value: asked again instead of lost
	noHalt   bool // a lost Run halts nothing
}

const mostIssued = 6

// issuedModel is the world; the number of a value is that of its intent.
type issuedModel struct {
	accepts                      [mostIssued]bool
	spent                        [mostIssued]bool // one value: it was used to ask
	intents                      [mostIssued]store.IntentState
	settled                      [mostIssued]bool
	of                           [mostIssued]int8 // the Run of an intent
	based                        [mostIssued]int8 // the value that asked
	known                        [mostIssued]bool // a Version has it and it may be live
	late                         int8             // a call on its way
	next                         int8
	current                      int8
	pending                      int8
	base                         int8
	run                          int8
	state                        lockstep.RunState
	stop                         bool
	holder                       int8
	fence                        int8
	replay                       bool
	workers                      [2]issuedWorker
	runs, crashes, losses, hands int8
}

type issuedWorker struct {
	pc    int8
	fence int8
	run   int8
	v     int8
}

const (
	ipIdle int8 = iota
	ipIntend
	ipCall
	ipDeposit
	ipTest
	ipFinish
	ipResume
	ipSweep
	ipSwept
	ipGiveUp
	ipUndoSweep
	ipUndone
	ipJobSweep
	ipJobSwept
)

type issuedExplorer struct {
	one    bool
	rules  issuedRules
	seen   map[issuedModel]struct{}
	queue  []issuedModel
	broken string
}

func exploreIssued(one bool, r issuedRules, m issuedModel) *issuedExplorer {
	e := &issuedExplorer{one: one, rules: r, seen: make(map[issuedModel]struct{})}
	m.current, m.next, m.state = 1, 2, lockstep.RunFailed
	m.accepts[1], m.known[1], m.settled[1] = true, true, true
	e.add(m)
	for len(e.queue) > 0 && e.broken == "" {
		m := e.queue[len(e.queue)-1]
		e.queue = e.queue[:len(e.queue)-1]
		e.scheduler(m)
		e.user(m)
		e.land(m)
		for w := range m.workers {
			e.worker(m, w)
			if m.workers[w].pc != ipIdle && m.crashes > 0 {
				n := m
				n.crashes--
				e.idle(n, w)
			}
			if m.losses > 0 && m.holder == int8(w+1) { // its lease runs out under it
				n := m
				n.losses--
				n.holder = 0
				e.add(n)
			}
		}
	}
	return e
}

func (e *issuedExplorer) add(m issuedModel) {
	if _, ok := e.seen[m]; ok {
		return
	}
	e.seen[m] = struct{}{}
	if why := e.check(m); why != "" && e.broken == "" {
		e.broken = fmt.Sprintf("%s in %+v", why, m)
	}
	e.queue = append(e.queue, m)
}

func (e *issuedExplorer) check(m issuedModel) string {
	for v := int8(1); v < m.next; v++ {
		if m.accepts[v] && !m.known[v] && m.settled[v] {
			return fmt.Sprintf("the target accepts %d, which no version has and nobody looks for", v)
		}
		if m.accepts[v] && m.known[v] && !e.one && m.intents[v] == store.IntentSwept && m.current == v {
			return fmt.Sprintf("AWSCURRENT %d is to be revoked", v)
		}
	}
	if m.replay {
		return "a spent value asked again"
	}
	excused := e.one && (m.state == lockstep.RunLost || !m.state.Final() && m.state.TargetTouched())
	if !m.accepts[m.current] && !excused {
		return "the target refuses AWSCURRENT"
	}
	return ""
}

func (e *issuedExplorer) facts(m *issuedModel) lockstep.Facts {
	f := lockstep.Facts{CurrentIsBase: m.current == m.base, OnIdleAccount: true}
	f.Traits = lockstep.Traits{Chooser: lockstep.Issued, Overlap: lockstep.TwoValues}
	if e.one {
		f.Traits.Overlap = lockstep.OneValue
	}
	if m.stop {
		f.Stop = lockstep.StopCancelled
	}
	f.NothingIssued = true
	for v := range m.intents {
		if m.of[v] == m.run && m.intents[v] == store.IntentOpen {
			f.NothingIssued = false
		}
	}
	return f
}

func (e *issuedExplorer) signal(m *issuedModel, g lockstep.Signal) bool {
	next, err := lockstep.Transition(m.state, g, e.facts(m))
	if err != nil {
		return false
	}
	m.state = next
	return true
}

func (e *issuedExplorer) scheduler(m issuedModel) {
	halted := m.state == lockstep.RunLost && m.current == m.base && !e.rules.noHalt
	if m.runs == 0 || !m.state.Final() || halted {
		return
	}
	m.runs--
	m.run, m.state, m.pending, m.base, m.stop = m.run+1, lockstep.RunQueued, 0, 0, false
	e.add(m)
}

// user cancels, or gets a value from the provider and puts it.
func (e *issuedExplorer) user(m issuedModel) {
	if m.hands == 0 {
		return
	}
	m.hands--
	if !m.state.Final() && !m.stop {
		n := m
		n.stop = true
		e.add(n)
	}
	if m.next == mostIssued {
		return
	}
	v := m.next
	m.next++
	e.make(&m, v)
	m.known[v], m.settled[v], m.current = true, true, v
	if !m.state.Final() {
		m.stop = true
	}
	e.add(m)
}

// make is the provider's work.
func (e *issuedExplorer) make(m *issuedModel, v int8) {
	if e.one {
		m.accepts = [mostIssued]bool{}
	}
	m.accepts[v] = true
}

// ask is a call that arrives: a credential that is dead gets nothing.
func (e *issuedExplorer) ask(m *issuedModel, v int8) bool {
	b := m.based[v]
	if e.one && m.spent[b] {
		m.replay = true
	}
	if !m.accepts[b] {
		return false
	}
	m.spent[b] = true
	e.make(m, v)
	return true
}

func (e *issuedExplorer) land(m issuedModel) {
	if m.late != 0 {
		e.ask(&m, m.late)
		m.late = 0
		e.add(m)
	}
}

func (e *issuedExplorer) idle(m issuedModel, w int) {
	if m.holder == int8(w+1) {
		m.holder = 0
	}
	m.workers[w] = issuedWorker{}
	e.add(m)
}

// write is one write under the lease, about the worker's Run.
func (e *issuedExplorer) write(m issuedModel, w int, fn func(m *issuedModel, me *issuedWorker)) {
	if m.holder != int8(w+1) || m.fence != m.workers[w].fence || m.run != m.workers[w].run || m.state.Final() {
		e.idle(m, w)
		return
	}
	fn(&m, &m.workers[w])
	if m.state.Final() {
		m.pending, m.holder, m.workers[w] = 0, 0, issuedWorker{}
		e.giveUp(&m)
	}
	e.add(m)
}

func (e *issuedExplorer) giveUp(m *issuedModel) {
	for v := range m.intents {
		if m.of[v] == m.run && m.intents[v] == store.IntentOpen {
			m.intents[v] = store.IntentSwept
		}
	}
}

// revoke is a search of the target.
func (e *issuedExplorer) revoke(m *issuedModel) {
	for v := range m.intents {
		if m.intents[v] == store.IntentSwept && !m.settled[v] && !e.one {
			m.accepts[v] = false
		}
	}
}

// settle ends what was searched for once no call can land.
func (e *issuedExplorer) settle(m *issuedModel) {
	for v := range m.intents {
		if m.intents[v] == store.IntentSwept && (e.rules.onceOnly || !e.flying(m, v) && !m.accepts[v]) {
			m.settled[v] = true
		}
	}
}
