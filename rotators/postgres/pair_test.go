package postgres_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"lockstep"
	"lockstep/rotators"
	"lockstep/rotators/rotatortest"
)

func (w *world) engine(t testing.TB, r rotators.Chooser, user string) *rotatortest.Engine {
	const first = "first-secret-1x"
	w.Must(t, "CREATE ROLE "+pgx.Identifier{user}.Sanitize()+" LOGIN PASSWORD '"+first+"'")
	return &rotatortest.Engine{
		Rotator: r, Current: w.value(t, user, first), Admin: w.admin, ARN: rotatortest.ARN(rotatortest.RandomName()),
	}
}

// as runs SQL logged in with v and returns the last row's first column.
func (w *world) as(t *testing.T, v lockstep.Value, sql ...string) string {
	t.Helper()
	conn, err := w.connect(t.Context(), rotatortest.Read[secret](t, v))
	rotatortest.Check(t, err)
	defer conn.Close(t.Context())
	last := ""
	for _, s := range sql {
		results, err := conn.PgConn().Exec(t.Context(), s).ReadAll()
		if err != nil {
			t.Fatalf("%s: %v", s, err)
		}
		for _, r := range results {
			if len(r.Rows) > 0 {
				last = string(r.Rows[0][0])
			}
		}
	}
	return last
}

func TestPair(t *testing.T) {
	w := newWorld(t)
	for name, test := range map[string]func(*testing.T, *world){
		"ownership is kept":           testOwnership,
		"rights and settings":         testRights,
		"odd names":                   testOddNames,
		"a foreign clone":             testForeignClone,
		"superuser admin":             testSuperuserAdmin,
		"clone made by AWS":           testCloneOfAWS,
		"settings cannot inject":      testSettingsInjection,
		"the role's own start role":   testStartRole,
		"no admin":                    testNoAdmin,
		"the owner is gone":           testNoOwner,
		"admin's rights are returned": testBorrowed,
	} {
		t.Run(name, func(t *testing.T) { test(t, w) })
	}
}

func testOwnership(t *testing.T, w *world) {
	user := "own_" + rotatortest.RandomName()
	e := w.engine(t, alternating(t), user)
	rotatortest.Check(t, w.ExecIn(t.Context(), w.database, "CREATE SCHEMA "+user+" AUTHORIZATION "+user))
	w.as(t, e.Current, "CREATE TABLE "+user+".t0 (n int)", "INSERT INTO "+user+".t0 VALUES (0)")
	for i := 1; i <= 6; i++ {
		old := e.Rotate(t)
		e.Retire(t, old)
		if want := user + strings.Repeat("_clone", i%2); rotatortest.Read[secret](t, e.Current).User != want {
			t.Fatalf("rotation %d came to %s, want %s", i, rotatortest.Read[secret](t, e.Current).User, want)
		}
		// Each account alters what each account made, also after a pooler's reset.
		w.as(t, e.Current, "DISCARD ALL", fmt.Sprintf("CREATE TABLE %s.t%d (n int)", user, i))
		for j := range i + 1 {
			w.as(t, e.Current,
				fmt.Sprintf("ALTER TABLE %s.t%d ADD COLUMN c%d int", user, j, i),
				fmt.Sprintf("INSERT INTO %s.t%d (n) VALUES (%d)", user, j, i))
		}
	}
	owners := w.as(t, e.Current, "SELECT string_agg(DISTINCT tableowner, ',') FROM pg_tables WHERE schemaname = '"+user+"'")
	if owners != user {
		t.Errorf("the tables belong to %s, want %s alone", owners, user)
	}
	if got := w.as(t, e.Current, "SELECT current_user"); got != user {
		t.Errorf("sessions act as %s", got)
	}
}

func testRights(t *testing.T, w *world) {
	user := "rig_" + rotatortest.RandomName()
	e := w.engine(t, alternating(t), user)
	w.Must(t, "CREATE ROLE group_"+user, "GRANT group_"+user+" TO "+user,
		"ALTER ROLE "+user+" CREATEDB CONNECTION LIMIT 7 VALID UNTIL '2100-01-01'",
		"ALTER ROLE "+user+" SET search_path TO \"$user\", 'Odd, name', public, ''",
		"ALTER ROLE "+user+" SET statement_timeout TO '90s'",
		"ALTER ROLE "+user+" SET my.custom TO 'it''s \\ here'",
		"ALTER ROLE "+user+" IN DATABASE "+w.database+" SET work_mem TO '5MB'")
	rotatortest.Check(t, w.ExecIn(t.Context(), w.database, "CREATE TABLE via_"+user+" (n int)",
		"GRANT SELECT ON via_"+user+" TO group_"+user))
	// The lesser admin may not set a custom parameter, and both say so.
	plan, err := alternating(t).Plan(t.Context(), e.Request(lockstep.Value{}))
	rotatortest.Check(t, err)
	pending, err := e.Rotator.Create(t.Context(), e.Request(lockstep.Value{}))
	rotatortest.Check(t, err)
	te := lockstep.AsTargetError(e.Rotator.Set(t.Context(), e.Request(pending)))
	const hint = `GRANT SET ON PARAMETER "my"."custom" TO "lockadmin"`
	if len(plan.Problems) != 1 || plan.Problems[0].Hint != hint || te.Fault != lockstep.FaultPermanent || te.Hint != hint {
		t.Errorf("plan %+v, set %+v", plan.Problems, te)
	}
	w.Must(t, hint)
	before := e.Current
	e.Rotate(t)
	for _, q := range []string{
		"SHOW search_path", "SHOW statement_timeout", "SHOW work_mem", "SHOW my.custom", "SELECT current_user",
		"SELECT count(*) FROM via_" + user,
		"SELECT rolcreatedb::text || rolconnlimit || rolvaliduntil FROM pg_roles WHERE rolname = session_user",
	} {
		if a, b := w.as(t, before, q), w.as(t, e.Current, q); a != b {
			t.Errorf("%s: %q as the first, %q as the second", q, a, b)
		}
	}
	// What changes at the first is there at the next change of the second.
	w.Must(t, "ALTER ROLE "+user+" NOCREATEDB CONNECTION LIMIT 9", "ALTER ROLE "+user+" RESET statement_timeout",
		"ALTER ROLE "+user+" SET search_path TO public")
	e.Rotate(t)
	first := e.Current
	e.Rotate(t)
	for _, q := range []string{"SHOW search_path", "SHOW statement_timeout",
		"SELECT rolcreatedb::text || rolconnlimit FROM pg_roles WHERE rolname = session_user"} {
		if a, b := w.as(t, first, q), w.as(t, e.Current, q); a != b {
			t.Errorf("later: %s: %q as the first, %q as the second", q, a, b)
		}
	}
}

func testOddNames(t *testing.T, w *world) {
	for _, user := range []string{
		`Mixed Case`, `quo"te`, `apo'strophe`, `$lk$ END`, `back\slash`, `ünïcode`, `semi;colon--`, `select`, `%s%I`,
		strings.Repeat("x", 57),
	} {
		e := w.engine(t, alternating(t), user)
		e.Retire(t, e.Rotate(t))
		e.Retire(t, e.Rotate(t))
		if !w.accepts(t, e.Current) || rotatortest.Read[secret](t, e.Current).User != user {
			t.Errorf("%s: does not log in", user)
		}
		s := &rotatortest.Engine{Rotator: single(t), Current: e.Current, Admin: e.Admin, ARN: e.ARN, Fence: e.Fence}
		s.Rotate(t)
		s.Admin = lockstep.Value{}
		s.Rotate(t)
	}
	long := &rotators.Request{Current: w.value(t, strings.Repeat("x", 58), "p")}
	if _, err := alternating(t).Create(t.Context(), long); lockstep.AsTargetError(err).Fault != lockstep.FaultPermanent {
		t.Errorf("a name without room for the suffix: %v", err)
	}
}

func testForeignClone(t *testing.T, w *world) {
	user := "for_" + rotatortest.RandomName()
	e := w.engine(t, alternating(t), user)
	w.Must(t, "CREATE ROLE "+user+"_clone LOGIN PASSWORD 'somebody-elses-1'")
	pending, err := e.Rotator.Create(t.Context(), e.Request(lockstep.Value{}))
	rotatortest.Check(t, err)
	te := lockstep.AsTargetError(e.Rotator.Set(t.Context(), e.Request(pending)))
	if te.Outcome != lockstep.NotApplied || te.Fault != lockstep.FaultPermanent || te.Hint == "" {
		t.Errorf("got %+v", te)
	}
	if !w.accepts(t, w.value(t, user+"_clone", "somebody-elses-1")) {
		t.Error("another's role was taken over")
	}
	plan, err := alternating(t).Plan(t.Context(), e.Request(lockstep.Value{}))
	if err != nil || len(plan.Problems) != 1 {
		t.Errorf("plan: %+v, %v", plan, err)
	}
}

func testSuperuserAdmin(t *testing.T, w *world) {
	user := "sup_" + rotatortest.RandomName()
	e := w.engine(t, alternating(t), user)
	w.Must(t, "ALTER ROLE "+user+" SUPERUSER REPLICATION BYPASSRLS")
	plan, err := alternating(t).Plan(t.Context(), e.Request(lockstep.Value{}))
	if err != nil || len(plan.Problems) == 0 {
		t.Errorf("plan with a lesser admin: %+v, %v", plan, err)
	}
	e.Admin = w.value(t, "postgres", w.Password())
	e.Retire(t, e.Rotate(t))
	if got := w.as(t, e.Current, "SELECT (rolsuper AND rolreplication AND rolbypassrls)::text FROM pg_roles WHERE rolname = session_user"); got != "true" {
		t.Errorf("the clone lacks attributes: %s", got)
	}
}

func testCloneOfAWS(t *testing.T, w *world) {
	user := "aws_" + rotatortest.RandomName()
	e := w.engine(t, alternating(t), user)
	w.Must(t, "CREATE ROLE "+user+"_clone WITH LOGIN PASSWORD 'from-the-function-1'", "GRANT "+user+" TO "+user+"_clone")
	e.Retire(t, e.Rotate(t))
	if got := w.as(t, e.Current, "SELECT current_user"); got != user {
		t.Errorf("acts as %s", got)
	}
}

func testSettingsInjection(t *testing.T, w *world) {
	user := "inj_" + rotatortest.RandomName()
	e := w.engine(t, alternating(t), user)
	// A role may store any text as its own search_path.
	w.as(t, e.Current,
		`SELECT set_config('search_path', 'public, "x; ALTER ROLE weak SUPERUSER; --"', false)`,
		`ALTER ROLE `+user+` SET search_path FROM CURRENT`)
	w.Must(t, `ALTER ROLE `+user+` SET my.x TO $v$'; ALTER ROLE weak SUPERUSER; --$v$`)
	pending, err := e.Rotator.Create(t.Context(), e.Request(lockstep.Value{}))
	rotatortest.Check(t, err)
	w.Must(t, "GRANT SET ON PARAMETER my.x TO lockadmin")
	rotatortest.Check(t, e.Rotator.Set(t.Context(), e.Request(pending)))
	if got := w.as(t, pending, "SHOW my.x"); got != "'; ALTER ROLE weak SUPERUSER; --" {
		t.Errorf("the clone's setting is %q", got)
	}
	if got := w.as(t, w.value(t, "postgres", w.Password()), "SELECT rolsuper::text FROM pg_roles WHERE rolname = 'weak'"); got != "false" {
		t.Fatal("a setting was run as SQL with the admin's rights")
	}
}

func testStartRole(t *testing.T, w *world) {
	user := "sta_" + rotatortest.RandomName()
	e := w.engine(t, alternating(t), user)
	w.Must(t, "CREATE ROLE boss_"+user, "GRANT boss_"+user+" TO "+user, "ALTER ROLE "+user+" SET role TO 'boss_"+user+"'")
	e.Retire(t, e.Rotate(t))
	if got := w.as(t, e.Current, "SELECT current_user"); got != "boss_"+user {
		t.Errorf("the clone starts as %s", got)
	}
	// A session that starts as another role can still change its own password.
	s := &rotatortest.Engine{Rotator: single(t), Current: e.Current, ARN: e.ARN, Fence: e.Fence}
	s.Rotate(t)
}

func testNoAdmin(t *testing.T, w *world) {
	e := w.engine(t, alternating(t), "noa_"+rotatortest.RandomName())
	pending, err := e.Rotator.Create(t.Context(), e.Request(lockstep.Value{}))
	rotatortest.Check(t, err)
	for what, admin := range map[string]lockstep.Value{
		"none": {}, "the role itself": e.Current,
		"of another server": secret{Host: "localhost", Port: w.Port(), User: "lockadmin", Password: rotatortest.PasswordOfAdmin}.Value(t),
		"malformed":         lockstep.StringValue("{}"),
	} {
		e.Admin = admin
		te := lockstep.AsTargetError(e.Rotator.Set(t.Context(), e.Request(pending)))
		if te.Outcome != lockstep.NotApplied || te.Fault != lockstep.FaultPermanent || te.Hint == "" {
			t.Errorf("%s: got %+v", what, te)
		}
	}
}

func testNoOwner(t *testing.T, w *world) {
	user := "gon_" + rotatortest.RandomName()
	e := w.engine(t, alternating(t), user+"_clone")
	pending, err := e.Rotator.Create(t.Context(), e.Request(lockstep.Value{}))
	rotatortest.Check(t, err)
	te := lockstep.AsTargetError(e.Rotator.Set(t.Context(), e.Request(pending)))
	if te.Fault != lockstep.FaultPermanent || te.Hint == "" {
		t.Errorf("got %+v", te)
	}
}

func testBorrowed(t *testing.T, w *world) {
	e := w.engine(t, alternating(t), "bor_"+rotatortest.RandomName())
	old := e.Rotate(t)
	ended := w.session(t, old)
	e.Retire(t, old)
	<-ended
	admin := w.as(t, w.admin, "SELECT count(*) FROM pg_auth_members WHERE member = 'lockadmin'::regrole")
	if admin != "0" {
		t.Errorf("the admin kept %s memberships", admin)
	}
}

// TestPairComments: what a person wrote around the marker stays.
func TestCommentsAndGuards(t *testing.T) {
	w := newWorld(t)
	t.Run("comment", func(t *testing.T) {
		user := "com_" + rotatortest.RandomName()
		e := w.engine(t, single(t), user)
		w.Must(t, "COMMENT ON ROLE "+user+" IS 'owned by team 7, it''s \\ & fine'")
		e.Rotate(t)
		w.Must(t, "UPDATE pg_shdescription SET description = description || ' and more' WHERE objoid = '"+user+"'::regrole")
		e.Rotate(t)
		e.Rotate(t)
		got := w.as(t, w.admin, "SELECT shobj_description('"+user+"'::regrole, 'pg_authid')")
		want := fmt.Sprintf(`owned by team 7, it's \ & fine [lockstep fence=%d secret=%s] and more`, e.Fence-1, e.ARN)
		if got != want {
			t.Errorf("comment is\n%s\nwant\n%s", got, want)
		}
	})
	t.Run("raise waits for a call that is under way", func(t *testing.T) { testRaiseWaits(t, w) })
	t.Run("an answer that is lost is unknown", func(t *testing.T) { testLostAnswer(t, w) })
	t.Run("a server that is shut down amid the change", func(t *testing.T) { testKilled(t, w) })
}

// testRaiseWaits: a late call has altered the role and read the marker, but
// not committed. A raise that succeeds now would be overtaken by it.
func testRaiseWaits(t *testing.T, w *world) {
	user := "rai_" + rotatortest.RandomName()
	e := w.engine(t, single(t), user)
	late := w.Admin(t, "postgres")
	tx, err := late.Begin(t.Context())
	rotatortest.Check(t, err)
	_, err = tx.Exec(t.Context(), "ALTER ROLE "+user+" CONNECTION LIMIT 3")
	rotatortest.Check(t, err)
	raised := make(chan error, 1)
	go func() {
		_, err := e.Rotator.(rotators.Fencer).Raise(t.Context(), e.Request(lockstep.Value{}))
		raised <- err
	}()
	w.awaitBlocked(t)
	rotatortest.Check(t, tx.Commit(t.Context()))
	te := lockstep.AsTargetError(<-raised)
	if te.Err == nil || te.Outcome != lockstep.NotApplied || te.Fault != lockstep.FaultTransient {
		t.Errorf("raise over a call under way: %+v", te)
	}
	if _, err := e.Rotator.(rotators.Fencer).Raise(t.Context(), e.Request(lockstep.Value{})); err != nil {
		t.Error(err)
	}
}

// awaitBlocked waits until a session of ours waits for a lock.
func (w *world) awaitBlocked(t *testing.T) (pid int) {
	t.Helper()
	admin := w.Admin(t, "postgres")
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for range 500 {
		err := admin.QueryRow(t.Context(), `SELECT pid FROM pg_stat_activity
			WHERE application_name = 'lockstep' AND wait_event_type = 'Lock'`).Scan(&pid)
		if err == nil {
			return pid
		}
		<-tick.C
	}
	t.Fatal("nobody waits for a lock")
	return 0
}

// blockedSet starts a set that waits for a lock, and returns its end.
func (w *world) blockedSet(t *testing.T, e *rotatortest.Engine, pending lockstep.Value) (release func(), ended <-chan error) {
	tx, err := w.Admin(t, "postgres").Begin(t.Context())
	rotatortest.Check(t, err)
	_, err = tx.Exec(t.Context(), "ALTER ROLE "+rotatortest.Read[secret](t, pending).User+" CONNECTION LIMIT 3")
	rotatortest.Check(t, err)
	done := make(chan error, 1)
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	t.Cleanup(cancel)
	go func() { done <- e.Rotator.Set(ctx, e.Request(pending)) }()
	return func() { rotatortest.Check(t, tx.Rollback(t.Context())) }, done
}

func testLostAnswer(t *testing.T, w *world) {
	e := w.engine(t, single(t), "los_"+rotatortest.RandomName())
	pending, err := e.Rotator.Create(t.Context(), e.Request(lockstep.Value{}))
	rotatortest.Check(t, err)
	release, ended := w.blockedSet(t, e, pending)
	pid := w.awaitBlocked(t)
	rotatortest.Check(t, w.Freeze(pid)) // the answer does not come in time
	te := lockstep.AsTargetError(<-ended)
	if te.Err == nil || te.Outcome != lockstep.Unknown {
		t.Errorf("got %+v", te)
	}
	release()
	rotatortest.Check(t, w.Thaw(pid))
}

func testKilled(t *testing.T, w *world) {
	e := w.engine(t, single(t), "kil_"+rotatortest.RandomName())
	pending, err := e.Rotator.Create(t.Context(), e.Request(lockstep.Value{}))
	rotatortest.Check(t, err)
	release, ended := w.blockedSet(t, e, pending)
	pid := w.awaitBlocked(t)
	w.Must(t, fmt.Sprintf("SELECT pg_terminate_backend(%d)", pid))
	te := lockstep.AsTargetError(<-ended)
	if te.Err == nil || te.Outcome != lockstep.Unknown || te.Fault != lockstep.FaultTransient {
		t.Errorf("got %+v", te)
	}
	release()
	if !w.accepts(t, e.Current) {
		t.Error("AWSCURRENT is gone")
	}
}

func TestPlanChangesNothing(t *testing.T) {
	w := newWorld(t)
	e := w.engine(t, alternating(t), "pla_"+rotatortest.RandomName())
	const all = "SELECT md5(string_agg(a::text, '' ORDER BY oid)) FROM pg_authid a"
	admin := w.value(t, "postgres", w.Password())
	before := w.as(t, admin, all)
	plan, err := alternating(t).Plan(t.Context(), e.Request(lockstep.Value{}))
	rotatortest.Check(t, err)
	if w.as(t, admin, all) != before {
		t.Error("plan changed a role")
	}
	if !slices.ContainsFunc(plan.Actions, func(a string) bool { return strings.Contains(a, "create role") }) {
		t.Errorf("plan does not tell that the clone will be made: %q", plan.Actions)
	}
}
