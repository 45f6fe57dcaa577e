package mysql_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"lockstep"
	"lockstep/rotators"
	"lockstep/rotators/mysql"
	"lockstep/rotators/rotatortest"
)

// An admin that may not write to our schema keeps no markers: the suite then
// holds with lock and time alone.
func TestAdminWithoutMarkers(t *testing.T) {
	w := newWorld(t)
	w.Must(t, "CREATE OR REPLACE USER plain IDENTIFIED BY 'plain-secret-55'",
		"GRANT CREATE USER, PROCESS, CONNECTION ADMIN ON *.* TO plain", "GRANT SELECT, UPDATE ON mysql.* TO plain",
		"GRANT ALL ON shop.* TO plain WITH GRANT OPTION")
	fixture := func(t *testing.T) rotatortest.Target {
		target := w.target(t)
		target.Admin, target.Marks = w.value(t, "plain", "plain-secret-55"), false
		target.Away = nil
		return target
	}
	rotatortest.Run(t, rotatortest.Fixture{Rotator: alternating(t), New: fixture})
	target := fixture(t)
	_, err := single(t).Raise(t.Context(), &rotators.Request{ARN: target.ARN, Current: target.Current, Admin: target.Admin})
	te := lockstep.AsTargetError(err)
	if te.Fault != lockstep.FaultPermanent || te.Outcome != lockstep.NotApplied || te.Hint != "GRANT ALL ON lockstep.* TO `plain`@`%`" {
		t.Errorf("raise: %+v", te)
	}
}

// guarded is one Secret whose calls are held up.
type guarded struct {
	*world
	rotator rotators.Chooser
	target  rotatortest.Target
}

func (g *guarded) request(fence uint64, pending lockstep.Value, time time.Duration) *rotators.Request {
	return &rotators.Request{
		ARN: g.target.ARN, Pending: pending, Current: g.target.Current, Admin: g.target.Admin,
		Guard: rotators.Guard{Fence: fence, NotAfter: rotatortest.Within(time)},
	}
}

func (g *guarded) create(t *testing.T) lockstep.Value {
	t.Helper()
	v, err := g.rotator.Create(t.Context(), g.request(0, lockstep.Value{}, 0))
	rotatortest.Check(t, err)
	return v
}

func TestGuards(t *testing.T) {
	w := newWorld(t)
	for _, kind := range []struct {
		name    string
		rotator rotators.Chooser
		admin   bool
	}{
		{mysql.NameMariaDB, single(t), true},
		{mysql.NameMariaDB + " as itself", single(t), false},
		{mysql.NameMariaDBAlternating, alternating(t), true},
	} {
		t.Run(kind.name, func(t *testing.T) {
			tests := map[string]func(*testing.T, *guarded){
				"the whole server is locked":    testServerLocked,
				"another change holds the lock": testLockHeld,
			}
			if kind.admin { // who changes itself keeps no marker
				tests["an older call waits for a newer"] = testOlderWaits
			}
			for name, test := range tests {
				t.Run(name, func(t *testing.T) {
					g := &guarded{world: w, rotator: kind.rotator, target: w.target(t)}
					if !kind.admin {
						g.target.Admin, g.target.Marks = lockstep.Value{}, false
					}
					test(t, g)
				})
			}
		})
	}
}

// shortTime is enough for a call that nobody holds up.
const shortTime = 700 * time.Millisecond

// A backup takes FLUSH TABLES WITH READ LOCK: what waits for it must not land
// when it is over, if the call's time is.
func testServerLocked(t *testing.T, g *guarded) {
	rotatortest.Check(t, g.rotator.Set(t.Context(), g.request(1, g.create(t), time.Minute))) // makes table and clone
	before, after := g.target.Current, g.create(t)
	if g.target.Admin.IsZero() {
		before = after // what was set above is gone from the test's hands
	}
	backup := g.Connect(t, "root", g.RootPassword())
	_, err := backup.ExecContext(t.Context(), "FLUSH TABLES WITH READ LOCK")
	rotatortest.Check(t, err)
	te := lockstep.AsTargetError(g.rotator.Set(t.Context(), g.request(2, after, shortTime)))
	if te.Outcome == lockstep.Applied || te.Fault == lockstep.FaultRefusedValue {
		t.Errorf("set under a global lock: %+v", te)
	}
	_, err = backup.ExecContext(t.Context(), "UNLOCK TABLES")
	rotatortest.Check(t, err)
	g.settled(t)
	if g.accepts(t, after) {
		t.Error("a call landed after its time")
	}
	if g.rotator.Traits().Overlap == lockstep.TwoAccounts && !g.accepts(t, before) {
		t.Error("AWSCURRENT is gone")
	}
}

// settled returns when no call of ours is left in the server.
func (w *world) settled(t *testing.T) {
	t.Helper()
	late := time.After(time.Minute)
	for {
		left := w.Text(t, "SELECT ID FROM information_schema.PROCESSLIST WHERE COMMAND = 'Query' AND ID <> CONNECTION_ID() AND USER <> 'root' AND INFO NOT LIKE '%SLEEP%'")
		if len(left) == 0 {
			return
		}
		select {
		case <-late:
			t.Fatalf("calls are left in the server: %v", left)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// A call that hangs in the server has the lock; a newer one is kept waiting and
// tells that nothing was changed.
func testLockHeld(t *testing.T, g *guarded) {
	hung := g.Connect(t, "root", g.RootPassword())
	user := rotatortest.Read[secret](t, g.target.Current).User
	_, err := hung.ExecContext(t.Context(), fmt.Sprintf("DO GET_LOCK('%s', 0)", mysql.LockName(user)))
	rotatortest.Check(t, err)
	pending := g.create(t)
	te := lockstep.AsTargetError(g.rotator.Set(t.Context(), g.request(1, pending, shortTime)))
	if te.Outcome != lockstep.NotApplied || te.Fault != lockstep.FaultTransient {
		t.Errorf("set beside a change that hangs: %+v", te)
	}
	if g.accepts(t, pending) || !g.accepts(t, g.target.Current) {
		t.Error("the set was made without the lock")
	}
	_, err = hung.ExecContext(t.Context(), fmt.Sprintf("DO RELEASE_LOCK('%s')", mysql.LockName(user)))
	rotatortest.Check(t, err)
	rotatortest.Check(t, g.rotator.Set(t.Context(), g.request(1, pending, time.Minute)))
}

// An older call waits in the server while a newer claim raises its marker: it
// changes nothing when its turn comes.
func testOlderWaits(t *testing.T, g *guarded) {
	if !g.target.Marks {
		t.Fatal("the admin's login keeps no marker")
	}
	fencer := g.rotator.(rotators.Fencer)
	first := g.create(t)
	rotatortest.Check(t, g.rotator.Set(t.Context(), g.request(1, first, time.Minute)))
	hung := g.Connect(t, "root", g.RootPassword())
	user := rotatortest.Read[secret](t, g.target.Current).User
	_, err := hung.ExecContext(t.Context(), fmt.Sprintf("DO GET_LOCK('%s', 0)", mysql.LockName(user)))
	rotatortest.Check(t, err)
	older := g.create(t)
	var olderErr error
	var wg sync.WaitGroup
	wg.Go(func() { olderErr = g.rotator.Set(t.Context(), g.request(2, older, time.Minute)) })
	g.waits(t)
	// The newer claim's marker is written by hand: its own call would queue
	// behind the older one, which is the other way to be safe.
	g.Must(t, fmt.Sprintf("UPDATE lockstep.claims SET fence = 3 WHERE user LIKE '%s%%'", user))
	_, err = hung.ExecContext(t.Context(), fmt.Sprintf("DO RELEASE_LOCK('%s')", mysql.LockName(user)))
	rotatortest.Check(t, err)
	wg.Wait()
	te := lockstep.AsTargetError(olderErr)
	if olderErr == nil || te.Outcome != lockstep.NotApplied || te.Fault != lockstep.FaultTransient {
		t.Errorf("the older call: %v", olderErr)
	}
	if g.accepts(t, older) || !g.accepts(t, first) {
		t.Error("the older call landed")
	}
	if held, err := fencer.Raise(t.Context(), g.request(2, lockstep.Value{}, time.Minute)); err != nil || held != 3 {
		t.Errorf("raise: %d, %v", held, err)
	}
}

// waits returns when a session waits for a lock by name.
func (w *world) waits(t *testing.T) {
	t.Helper()
	late := time.After(time.Minute)
	for len(w.Text(t, "SELECT ID FROM information_schema.PROCESSLIST WHERE STATE = 'User lock'")) == 0 {
		select {
		case <-late:
			t.Fatal("no call waits for the lock")
		case <-time.After(20 * time.Millisecond):
		}
	}
}
