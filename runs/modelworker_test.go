package runs_test

import "lockstep"

// The moves of a worker in the model.

func (e *explorer) worker(m model, w int) {
	me := m.workers[w]
	switch me.pc {
	case pcIdle:
		e.claim(m, w)
	case pcCreate: // read AWSCURRENT, make a value
		if m.next == maxVals {
			return
		}
		v := m.next
		m.next++
		m.acct[v] = e.stage(&m)
		m.workers[w].v, m.workers[w].base, m.workers[w].pc = v, m.current, pcCreated
		if e.rules.setFirst {
			m.workers[w].pc = pcSet
		}
		e.add(m)
	case pcCreated:
		e.write(m, w, func(m *model, me *mworker) { e.created(m, me, pcSet) })
	case pcSet:
		if !e.rules.setFirst && m.state != lockstep.RunSetting {
			e.lose(m, w)
			return
		}
		e.call(m, w, mcall{v: me.v, acct: m.acct[me.v]}, pcApplied)
	case pcApplied:
		e.write(m, w, func(m *model, me *mworker) {
			if e.rules.setFirst && m.state == lockstep.RunQueued {
				e.created(m, me, pcApplied)
				return
			}
			if e.signal(m, lockstep.SignalApplied) {
				me.pc = pcTest
				return
			}
			me.pc = pcStop
		})
	case pcTest:
		m.workers[w].pc = pcStop
		if m.accepts[m.acct[me.v]] == me.v {
			m.workers[w].pc = pcFinish
		}
		e.add(m)
	default:
		e.later(m, w)
	}
}

func (e *explorer) lose(m model, w int) {
	e.free(&m, w)
	m.workers[w] = mworker{}
	e.add(m)
}

// created stores the value, and that set begins.
func (e *explorer) created(m *model, me *mworker, then int8) {
	n := *m
	n.base, n.pending = me.base, me.v
	if e.signal(&n, lockstep.SignalCreated) && e.signal(&n, lockstep.SignalSetBegins) {
		n.stored[me.v], n.live[me.v], n.doubt = true, true, true
		*m = n
		for i := range m.workers {
			if m.workers[i].run == m.run && m.workers[i].v == me.v {
				m.workers[i].pc = then
			}
		}
		return
	}
	me.pc = pcStop
}

func (e *explorer) later(m model, w int) {
	me := m.workers[w]
	switch me.pc {
	case pcFinish:
		e.write(m, w, func(m *model, me *mworker) { e.finish(m, w, me) })
	case pcUnknown: // the lease is left to run out
		e.lose(m, w)
	case pcProbe:
		e.raise(&m, w)
		if m.accepts[m.acct[m.pending]] == m.pending {
			m.workers[w].pc = pcApplied
		} else {
			m.workers[w].pc = pcSet
		}
		if m.stop {
			m.workers[w].pc = pcStop
		}
		e.add(m)
	case pcStop:
		e.write(m, w, func(m *model, me *mworker) {
			m.stop = true
			if m.state == lockstep.RunUndo || e.signal(m, lockstep.SignalStop) {
				me.pc = pcClose
				if m.state.Final() {
					e.free(m, w)
					*me = mworker{}
				}
			}
		})
	case pcClose: // undo: take the pending account away, where it has its own
		e.raise(&m, w)
		if m.pending == 0 || !e.two() || m.acct[m.pending] == m.acct[m.current] {
			m.workers[w].pc = pcCheck
			e.add(m)
			return
		}
		e.call(m, w, mcall{acct: m.acct[m.pending]}, pcCheck)
	case pcCheck:
		m.workers[w].base, m.workers[w].pc = m.current, pcRestore
		if m.accepts[m.acct[m.current]] == m.current {
			m.workers[w].pc = pcUndone
		}
		e.add(m)
	case pcRestore:
		e.call(m, w, mcall{v: me.base, acct: m.acct[me.base]}, pcCheck)
	case pcUndone:
		e.write(m, w, func(m *model, me *mworker) {
			if m.current != me.base {
				me.pc = pcCheck
				return
			}
			if e.signal(m, lockstep.SignalUndone) {
				m.live[m.pending] = false
				m.unverif = false
				e.free(m, w)
				*me = mworker{}
			}
		})
	default:
		e.verify(m, w)
	}
}

// verify looks whether AWSCURRENT logs in, and sets it again.
func (e *explorer) verify(m model, w int) {
	me := m.workers[w]
	switch me.pc {
	case pcVerify:
		e.raise(&m, w)
		m.workers[w].base, m.workers[w].pc = m.current, pcVerifySet
		if m.accepts[m.acct[m.current]] == m.current {
			m.workers[w].pc = pcVerified
		}
		e.add(m)
	case pcVerifySet:
		e.call(m, w, mcall{v: me.base, acct: m.acct[me.base]}, pcVerified)
	case pcVerified:
		if e.holds(&m, w) && m.current == me.base {
			m.unverif = false
		}
		e.lose(m, w)
	}
}

func (e *explorer) raise(m *model, w int) {
	if !e.rules.noTarget {
		m.marker = max(m.marker, m.workers[w].fence)
	}
}

func (e *explorer) finish(m *model, w int, me *mworker) {
	n := *m
	n.wronged = m.stop || m.current != m.base
	if n.state == lockstep.RunSet && !e.signal(&n, lockstep.SignalTestOK) {
		return
	}
	if !e.signal(&n, lockstep.SignalFinish) {
		me.pc = pcStop
		return
	}
	for v := range n.live { // the new value overwrote the others of its account
		if val(v) != n.pending && n.acct[v] == n.acct[n.pending] {
			n.live[v] = false
		}
	}
	n.current, n.unverif = n.pending, false
	n.workers[w] = mworker{}
	e.free(&n, w)
	*m = n
}

// claim takes the free slot for the open Run, or to verify.
func (e *explorer) claim(m model, w int) {
	if m.holder != 0 || (m.state.Final() && !m.unverif) {
		return
	}
	if !e.rules.noFence {
		m.fence++
	}
	m.holder = int8(w + 1)
	me := mworker{fence: m.fence, run: m.run, v: m.pending, base: m.base, pc: pcCreate}
	switch {
	case m.state.Final():
		me.pc = pcVerify
	case m.state == lockstep.RunUndo:
		me.pc = pcClose
	case m.stop:
		me.pc = pcStop
	case m.state == lockstep.RunSetting:
		me.pc = pcProbe
	case m.state == lockstep.RunSet:
		me.pc = pcTest
	}
	m.workers[w] = me
	e.add(m)
}
