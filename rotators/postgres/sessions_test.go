package postgres_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"lockstep"
	"lockstep/rotators"
	"lockstep/rotators/postgres"
	"lockstep/rotators/rotatortest"
)

// TestAdminSessions: an admin's session serves the next change too, and what
// happens to it between two uses harms neither.
func TestAdminSessions(t *testing.T) {
	w := newWorld(t)
	for name, test := range map[string]func(*testing.T, *world){
		"one login serves many changes":                testReuse,
		"the target restarts between uses":             testRestarted,
		"a session is terminated while it is idle":     testTerminated,
		"a session hangs while it is idle":             testHanging,
		"the admin's secret is wrong from now on":      testWrongFromNowOn,
		"the admin's password is changed on both ends": testAdminRotated,
		"a failed change costs its session":            testThrownAway,
		"a refused login puts the sessions in doubt":   testDoubt,
		"two calls never share one":                    testConcurrentSessions,
		"idle ones are closed in time":                 testIdleTime,
		"Close closes them":                            testClose,
		"nothing is left behind in one":                testNothingLeft,
		"a plan logs in anew":                          testPlanLogsIn,
	} {
		t.Run(name, func(t *testing.T) { test(t, w) })
	}
}

// ownAdmin gives an engine an admin that no other test uses, so that its
// sessions can be told apart.
func (w *world) ownAdmin(t *testing.T, r rotators.Chooser, settings ...string) (e *rotatortest.Engine, admin string) {
	t.Helper()
	admin = "adm_" + rotatortest.RandomName()
	w.Must(t, "CREATE ROLE "+admin+" SUPERUSER LOGIN PASSWORD '"+rotatortest.PasswordOfAdmin+"'")
	for _, s := range settings {
		w.Must(t, "ALTER ROLE "+admin+" SET "+s)
	}
	e = w.engine(t, r, "app_"+rotatortest.RandomName())
	e.Admin = w.value(t, admin, rotatortest.PasswordOfAdmin)
	return e, admin
}

// backends are the processes of a role's open sessions.
func (w *world) backends(t *testing.T, user string) (pids []int) {
	t.Helper()
	rows, err := w.Admin(t, "postgres").Query(t.Context(),
		"SELECT pid FROM pg_stat_activity WHERE usename = $1 AND application_name = 'lockstep' ORDER BY pid", user)
	rotatortest.Check(t, err)
	pids, err = pgx.CollectRows(rows, pgx.RowTo[int])
	rotatortest.Check(t, err)
	return pids
}

// awaitBackends waits until a role has n open sessions.
func (w *world) awaitBackends(t *testing.T, user string, n int) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for range 500 {
		if len(w.backends(t, user)) == n {
			return
		}
		<-tick.C
	}
	t.Fatalf("%s has sessions %v, want %d", user, w.backends(t, user), n)
}

// one checks that exactly one session is open and returns it.
func (w *world) one(t *testing.T, user string) int {
	t.Helper()
	pids := w.backends(t, user)
	if len(pids) != 1 {
		t.Fatalf("%s has sessions %v, want one", user, pids)
	}
	return pids[0]
}

func testReuse(t *testing.T, w *world) {
	for name, r := range map[string]rotators.Chooser{"single": single(t), "alternating": alternating(t)} {
		e, admin := w.ownAdmin(t, r)
		e.Rotate(t)
		pid := w.one(t, admin)
		for range 3 {
			e.Rotate(t)
			_, err := r.(rotators.Fencer).Raise(t.Context(), e.Request(lockstep.Value{}))
			rotatortest.Check(t, err)
		}
		if again := w.one(t, admin); again != pid {
			t.Errorf("%s: the admin logged in again", name)
		}
		if left := w.backends(t, rotatortest.Read[secret](t, e.Current).User); len(left) != 0 {
			t.Errorf("%s: sessions that tested a credential are still open: %v", name, left)
		}
	}
}

func testRestarted(t *testing.T, w *world) {
	e, admin := w.ownAdmin(t, single(t))
	e.Rotate(t)
	rotatortest.Check(t, w.Restart(t.Context()))
	e.Rotate(t)
	w.one(t, admin)
}

func testTerminated(t *testing.T, w *world) {
	e, admin := w.ownAdmin(t, alternating(t))
	e.Rotate(t)
	pid := w.one(t, admin)
	w.Must(t, fmt.Sprintf("SELECT pg_terminate_backend(%d, 10000)", pid))
	e.Rotate(t)
	if w.one(t, admin) == pid {
		t.Error("the dead session was used")
	}
}

func testHanging(t *testing.T, w *world) {
	e, admin := w.ownAdmin(t, single(t))
	e.Rotate(t)
	pid := w.one(t, admin)
	rotatortest.Check(t, w.Freeze(pid))
	defer func() { rotatortest.Check(t, w.Thaw(pid)) }()
	e.Rotate(t)
}

func testWrongFromNowOn(t *testing.T, w *world) {
	e, admin := w.ownAdmin(t, single(t))
	e.Rotate(t)
	e.Admin = w.value(t, admin, "not-the-password-1")
	pending, err := e.Rotator.Create(t.Context(), e.Request(lockstep.Value{}))
	rotatortest.Check(t, err)
	te := lockstep.AsTargetError(e.Rotator.Set(t.Context(), e.Request(pending)))
	if te.Outcome != lockstep.NotApplied || te.Fault != lockstep.FaultPermanent || !strings.Contains(te.Hint, rotatortest.AdminARN) {
		t.Errorf("a wrong admin's password gives %+v", te)
	}
	if w.accepts(t, pending) {
		t.Error("the change was made by a session of the former password")
	}
}

func testAdminRotated(t *testing.T, w *world) {
	e, admin := w.ownAdmin(t, single(t))
	e.Rotate(t)
	pid := w.one(t, admin)
	w.Must(t, "ALTER ROLE "+admin+" PASSWORD 'boss-secret-next-1'")
	e.Admin = w.value(t, admin, "boss-secret-next-1")
	e.Rotate(t)
	pids := w.backends(t, admin)
	if len(pids) != 2 || (pids[0] != pid && pids[1] != pid) {
		t.Errorf("sessions %v, want %d and one by the new password", pids, pid)
	}
}

func testThrownAway(t *testing.T, w *world) {
	e, admin := w.ownAdmin(t, single(t))
	e.Rotate(t)
	pending, err := e.Rotator.Create(t.Context(), e.Request(lockstep.Value{}))
	rotatortest.Check(t, err)
	late := e.Request(pending)
	late.Guard.Fence = 0 // older than what stands at the target
	if err := e.Rotator.Set(t.Context(), late); err == nil {
		t.Fatal("an older claim was let through")
	}
	w.awaitBackends(t, admin, 0)
	e.Rotate(t)
}

func testDoubt(t *testing.T, w *world) {
	e, admin := w.ownAdmin(t, single(t))
	e.Rotate(t)
	w.one(t, admin)
	stranger := w.value(t, rotatortest.Read[secret](t, e.Current).User, "nobody-knows-this-1")
	if err := e.Rotator.Test(t.Context(), e.Request(lockstep.Value{}), stranger); err == nil {
		t.Fatal("a wrong password was accepted")
	}
	w.awaitBackends(t, admin, 0)
}

func testConcurrentSessions(t *testing.T, w *world) {
	const calls = 12
	r, err := postgres.NewSingle(postgres.Config{AdminSessions: 3})
	rotatortest.Check(t, err)
	t.Cleanup(r.Close)
	first, admin := w.ownAdmin(t, r)
	engines := []*rotatortest.Engine{first}
	for range calls - 1 {
		e := w.engine(t, r, "app_"+rotatortest.RandomName())
		e.Admin = first.Admin
		engines = append(engines, e)
	}
	var wg sync.WaitGroup
	for _, e := range engines {
		wg.Go(func() {
			for range 4 {
				pending, err := r.Create(t.Context(), e.Request(lockstep.Value{}))
				if err == nil {
					err = r.Set(t.Context(), e.Request(pending))
				}
				if err == nil {
					err = r.Test(t.Context(), e.Request(pending), pending)
				}
				if err != nil {
					t.Error(err)
					return
				}
				e.Current = pending
			}
		})
	}
	wg.Wait()
	for _, e := range engines {
		if !w.accepts(t, e.Current) {
			t.Error("a credential does not log in")
		}
	}
	w.awaitBackends(t, admin, 3)
}

func testIdleTime(t *testing.T, w *world) {
	r, err := postgres.NewSingle(postgres.Config{AdminIdle: 50 * time.Millisecond})
	rotatortest.Check(t, err)
	t.Cleanup(r.Close)
	e, admin := w.ownAdmin(t, r)
	for range 2 {
		e.Rotate(t)
		w.awaitBackends(t, admin, 0)
	}
}

func testClose(t *testing.T, w *world) {
	r := single(t)
	e, admin := w.ownAdmin(t, r)
	e.Rotate(t)
	w.one(t, admin)
	r.Close()
	r.Close()
	w.awaitBackends(t, admin, 0)
	e.Rotate(t) // it still works, and keeps nothing
	w.awaitBackends(t, admin, 0)
}

// testNothingLeft: the admin starts as another role, read-only and with a
// search path of its own. A session that was used has all that still.
func testNothingLeft(t *testing.T, w *world) {
	group := "grp_" + rotatortest.RandomName()
	w.Must(t, "CREATE ROLE "+group)
	e, admin := w.ownAdmin(t, single(t), "role TO "+group, "search_path TO odd", "statement_timeout TO '77s'",
		"lock_timeout TO '78s'", "default_transaction_read_only TO on", "standard_conforming_strings TO off")
	e.Rotate(t)
	pid := w.one(t, admin)
	seen := e.Rotator.(*postgres.Single).SettingsOfKept(t)
	want := []string{group, "odd", "77s", "78s", "on", "off"}
	if strings.Join(seen, " ") != strings.Join(want, " ") {
		t.Errorf("settings after a change are %q, want %q", seen, want)
	}
	e.Rotate(t)
	if w.one(t, admin) != pid {
		t.Error("the session was not used again")
	}
}

func testPlanLogsIn(t *testing.T, w *world) {
	e, admin := w.ownAdmin(t, single(t))
	e.Rotate(t)
	w.Must(t, "ALTER ROLE "+admin+" PASSWORD 'changed-behind-our-back-1'")
	plan, err := e.Rotator.(rotators.Planner).Plan(t.Context(), e.Request(lockstep.Value{}))
	rotatortest.Check(t, err)
	if len(plan.Problems) != 1 || !strings.Contains(plan.Problems[0].Hint, rotatortest.AdminARN) {
		t.Errorf("the plan does not tell that the admin can no longer log in: %+v", plan.Problems)
	}
}
