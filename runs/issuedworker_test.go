package runs_test

import (
	"testing"

	"lockstep"
	"lockstep/store"
)

// The moves of a worker in the model of issued values.

func (e *issuedExplorer) worker(m issuedModel, w int) {
	me := &m.workers[w]
	switch me.pc {
	case ipIdle:
		e.claim(m, w)
	case ipIntend:
		e.write(m, w, func(m *issuedModel, me *issuedWorker) { e.intend(m, me) })
	case ipCall:
		e.call(m, w)
	case ipDeposit:
		e.deposit(m, w)
	case ipTest:
		me.pc = ipFinish
		if !m.accepts[m.pending] {
			me.pc = ipGiveUp
		}
		e.add(m)
	case ipFinish:
		e.write(m, w, func(m *issuedModel, me *issuedWorker) { e.finish(m, me) })
	case ipResume:
		e.write(m, w, func(m *issuedModel, me *issuedWorker) { e.resume(m, me) })
	case ipSweep, ipUndoSweep, ipJobSweep:
		e.revoke(&m)
		if me.pc == ipUndoSweep && me.run == m.run && m.pending != 0 && m.pending != m.current {
			m.accepts[m.pending] = false
		}
		me.pc++
		e.add(m)
	case ipSwept:
		e.write(m, w, func(m *issuedModel, me *issuedWorker) { e.settle(m); me.pc = ipIntend })
	case ipGiveUp:
		e.write(m, w, func(m *issuedModel, me *issuedWorker) { e.stop(m, me) })
	case ipUndone:
		e.write(m, w, func(m *issuedModel, _ *issuedWorker) {
			e.settle(m)
			if m.pending != 0 && m.pending != m.current {
				m.known[m.pending] = false
			}
			e.signal(m, lockstep.SignalUndone)
		})
	case ipJobSwept:
		if m.holder == int8(w+1) && m.fence == me.fence {
			e.settle(&m)
		}
		e.idle(m, w)
	}
}

func (e *issuedExplorer) claim(m issuedModel, w int) {
	if m.holder != 0 {
		return
	}
	me := issuedWorker{fence: m.fence + 1, run: m.run, pc: ipIntend}
	switch {
	case m.state.Final():
		me.pc = ipIdle
		for v := range m.intents {
			if m.intents[v] == store.IntentSwept && !m.settled[v] && !e.flying(&m, v) {
				me.pc = ipJobSweep
			}
		}
		if me.pc == ipIdle {
			return
		}
	case m.state == lockstep.RunUndo:
		me.pc = ipGiveUp
	case m.stop && !(e.one && m.state.TargetTouched()):
		me.pc = ipGiveUp
	case m.state == lockstep.RunSetting:
		me.pc = ipResume
	case m.state == lockstep.RunSet:
		me.pc = ipTest
	}
	m.fence++
	m.holder, m.workers[w] = int8(w+1), me
	e.add(m)
}

// flying tells whether the call of an intent may still take effect: the second
// search waits for that.
func (e *issuedExplorer) flying(m *issuedModel, v int) bool {
	for _, o := range m.workers {
		if o.v == int8(v) && (o.pc == ipCall || o.pc == ipDeposit) {
			return true
		}
	}
	return m.late == int8(v)
}

func (e *issuedExplorer) intend(m *issuedModel, me *issuedWorker) {
	if m.next == mostIssued {
		return
	}
	n := *m
	if n.state == lockstep.RunQueued {
		n.base = n.current
		if !e.signal(&n, lockstep.SignalCreated) || !e.signal(&n, lockstep.SignalSetBegins) {
			me.pc = ipGiveUp
			return
		}
	} else if n.stop || n.current != n.base {
		me.pc = ipGiveUp
		return
	}
	v := n.next
	n.next++
	n.intents[v], n.of[v], n.based[v] = store.IntentOpen, n.run, n.base
	*m = n
	for i := range m.workers {
		if m.workers[i] == *me {
			m.workers[i].v, m.workers[i].pc = v, ipCall
			return
		}
	}
}

// call asks; the answer comes, or is lost before or after the effect. A lease that
// is over sends nothing.
func (e *issuedExplorer) call(m issuedModel, w int) {
	v := m.workers[w].v
	if m.holder != int8(w+1) {
		e.idle(m, w)
		return
	}
	n := m
	if e.ask(&n, v) {
		n.workers[w].pc = ipDeposit
		e.add(n)
	} else { // refused in so many words
		n.intents[v], n.settled[v] = store.IntentRefused, true
		n.stop = true
		n.workers[w].pc = ipGiveUp
		e.add(n)
	}
	if m.losses > 0 && m.late == 0 {
		m.losses--
		m.late = v
		e.idle(m, w)
	}
}

// deposit needs no lease.
func (e *issuedExplorer) deposit(m issuedModel, w int) {
	me := &m.workers[w]
	v, held := me.v, m.holder == int8(w+1) && m.fence == me.fence
	mine := m.of[v] == m.run && m.pending == 0
	switch {
	case m.intents[v] == store.IntentOpen && mine && m.state == lockstep.RunSetting:
		m.pending = v
		if held {
			e.signal(&m, lockstep.SignalDeposit)
		}
	case m.intents[v] == store.IntentLost && mine && m.state == lockstep.RunLost:
		if e.signal(&m, lockstep.SignalDeposit) {
			m.pending = v
		}
		held = false
	default:
		held = false
	}
	m.known[v], m.settled[v], m.intents[v] = true, true, store.IntentDeposited
	if !held {
		e.idle(m, w)
		return
	}
	me.pc = ipTest
	e.add(m)
}

func (e *issuedExplorer) resume(m *issuedModel, me *issuedWorker) {
	if m.pending != 0 {
		if e.signal(m, lockstep.SignalDeposit) {
			me.pc = ipTest
		}
		return
	}
	if !e.facts(m).NothingIssued && e.one && !e.rules.askAgain {
		if e.signal(m, lockstep.SignalNoDeposit) {
			for v := range m.intents {
				if m.of[v] == m.run && m.intents[v] == store.IntentOpen {
					m.intents[v] = store.IntentLost
				}
			}
		}
		return
	}
	e.giveUp(m)
	me.pc = ipSweep
}

// stop ends the Run, or begins to undo it.
func (e *issuedExplorer) stop(m *issuedModel, me *issuedWorker) {
	m.stop = true
	if m.state != lockstep.RunUndo && !e.signal(m, lockstep.SignalStop) {
		if e.signal(m, lockstep.SignalProbeFailed) { // one value: forward
			me.pc = ipFinish
			return
		}
		me.pc = ipResume
		if m.state == lockstep.RunSet || m.state == lockstep.RunTested {
			me.pc = ipTest
		}
		return
	}
	if !m.state.Final() {
		e.giveUp(m)
		me.pc = ipUndoSweep
	}
}

func (e *issuedExplorer) finish(m *issuedModel, me *issuedWorker) {
	n := *m
	if n.state == lockstep.RunSet && !e.signal(&n, lockstep.SignalTestOK) || !e.signal(&n, lockstep.SignalFinish) {
		me.pc = ipGiveUp
		return
	}
	n.current = n.pending
	*m = n
}

func TestNoInterleavingOfIssuesBreaksAnInvariant(t *testing.T) {
	for name, one := range map[string]bool{"several": false, "one": true} {
		for bounds, m := range map[string]issuedModel{
			"two runs, crash and loss": {runs: 2, crashes: 1, losses: 1},
			"two losses":               {runs: 1, crashes: 1, losses: 2},
			"hands":                    {runs: 2, losses: 1, hands: 1},
			"hands and crash":          {runs: 1, crashes: 1, losses: 1, hands: 1},
		} {
			t.Run(name+", "+bounds, func(t *testing.T) {
				e := exploreIssued(one, issuedRules{}, m)
				t.Logf("%d states", len(e.seen))
				if e.broken != "" {
					t.Error(e.broken)
				}
			})
		}
	}
}

func TestEveryRuleOfIssuesIsNeeded(t *testing.T) {
	for name, c := range map[string]struct {
		one   bool
		rules issuedRules
	}{
		"search twice":     {false, issuedRules{onceOnly: true}},
		"never ask again":  {true, issuedRules{askAgain: true}},
		"a lost run halts": {true, issuedRules{noHalt: true}},
	} {
		t.Run(name, func(t *testing.T) {
			e := exploreIssued(c.one, c.rules, issuedModel{runs: 2, crashes: 1, losses: 2, hands: 0})
			if e.broken == "" {
				t.Errorf("nothing broke in %d states without it", len(e.seen))
				return
			}
			t.Log(e.broken)
		})
	}
}
