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
)

// engine carries one Secret through Runs, as the real one does.
type engine struct {
	rotator rotators.Chooser
	current lockstep.Value
	admin   lockstep.Value
	arn     lockstep.ARN
	fence   uint64
}

func (e *engine) request(pending lockstep.Value) *rotators.Request {
	e.fence++
	return &rotators.Request{
		ARN: e.arn, Name: "test", Pending: pending, Current: e.current, Admin: e.admin,
		Guard: rotators.Guard{Fence: e.fence, NotAfter: func(_ context.Context, now time.Time) (time.Time, error) {
			return now.Add(30 * time.Second), nil
		}},
	}
}

// rotate makes one Run and returns the value that was left.
func (e *engine) rotate(t testing.TB) (old lockstep.Value) {
	t.Helper()
	pending, err := e.rotator.Create(t.Context(), e.request(lockstep.Value{}))
	check(t, err)
	check(t, e.rotator.Set(t.Context(), e.request(pending)))
	check(t, e.rotator.Test(t.Context(), e.request(pending), pending))
	old, e.current = e.current, pending
	return old
}

func (e *engine) retire(t testing.TB, old lockstep.Value) {
	t.Helper()
	check(t, e.rotator.(rotators.Retirer).Retire(t.Context(), e.request(lockstep.Value{}), old))
}

func (w *world) engine(t testing.TB, r rotators.Chooser, user string) *engine {
	const first = "first-secret-1x"
	w.Must(t, "CREATE ROLE "+pgx.Identifier{user}.Sanitize()+" LOGIN PASSWORD '"+first+"'")
	return &engine{
		rotator: r, current: w.value(t, user, first), admin: w.admin,
		arn: lockstep.ARN("arn:aws:secretsmanager:us-east-1:000000000000:secret:" + randomName()),
	}
}

// as runs SQL logged in with v and returns the last row's first column.
func (w *world) as(t *testing.T, v lockstep.Value, sql ...string) string {
	t.Helper()
	conn, err := w.connect(t.Context(), read(t, v))
	check(t, err)
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
	user := "own_" + randomName()
	e := w.engine(t, alternating(t), user)
	check(t, w.ExecIn(t.Context(), w.database, "CREATE SCHEMA "+user+" AUTHORIZATION "+user))
	w.as(t, e.current, "CREATE TABLE "+user+".t0 (n int)", "INSERT INTO "+user+".t0 VALUES (0)")
	for i := 1; i <= 6; i++ {
		old := e.rotate(t)
		e.retire(t, old)
		if want := user + strings.Repeat("_clone", i%2); read(t, e.current).User != want {
			t.Fatalf("rotation %d came to %s, want %s", i, read(t, e.current).User, want)
		}
		// Each account alters what each account made, also after a pooler's reset.
		w.as(t, e.current, "DISCARD ALL", fmt.Sprintf("CREATE TABLE %s.t%d (n int)", user, i))
		for j := range i + 1 {
			w.as(t, e.current,
				fmt.Sprintf("ALTER TABLE %s.t%d ADD COLUMN c%d int", user, j, i),
				fmt.Sprintf("INSERT INTO %s.t%d (n) VALUES (%d)", user, j, i))
		}
	}
	owners := w.as(t, e.current, "SELECT string_agg(DISTINCT tableowner, ',') FROM pg_tables WHERE schemaname = '"+user+"'")
	if owners != user {
		t.Errorf("the tables belong to %s, want %s alone", owners, user)
	}
	if got := w.as(t, e.current, "SELECT current_user"); got != user {
		t.Errorf("sessions act as %s", got)
	}
}

func testRights(t *testing.T, w *world) {
	user := "rig_" + randomName()
	e := w.engine(t, alternating(t), user)
	w.Must(t, "CREATE ROLE group_"+user, "GRANT group_"+user+" TO "+user,
		"ALTER ROLE "+user+" CREATEDB CONNECTION LIMIT 7 VALID UNTIL '2100-01-01'",
		"ALTER ROLE "+user+" SET search_path TO \"$user\", 'Odd, name', public, ''",
		"ALTER ROLE "+user+" SET statement_timeout TO '90s'",
		"ALTER ROLE "+user+" SET my.custom TO 'it''s \\ here'",
		"ALTER ROLE "+user+" IN DATABASE "+w.database+" SET work_mem TO '5MB'")
	check(t, w.ExecIn(t.Context(), w.database, "CREATE TABLE via_"+user+" (n int)",
		"GRANT SELECT ON via_"+user+" TO group_"+user))
	// The lesser admin may not set a custom parameter, and both say so.
	plan, err := alternating(t).Plan(t.Context(), e.request(lockstep.Value{}))
	check(t, err)
	pending, err := e.rotator.Create(t.Context(), e.request(lockstep.Value{}))
	check(t, err)
	te := lockstep.AsTargetError(e.rotator.Set(t.Context(), e.request(pending)))
	const hint = `GRANT SET ON PARAMETER "my"."custom" TO "lockadmin"`
	if len(plan.Problems) != 1 || plan.Problems[0].Hint != hint || te.Fault != lockstep.FaultPermanent || te.Hint != hint {
		t.Errorf("plan %+v, set %+v", plan.Problems, te)
	}
	w.Must(t, hint)
	before := e.current
	e.rotate(t)
	for _, q := range []string{
		"SHOW search_path", "SHOW statement_timeout", "SHOW work_mem", "SHOW my.custom", "SELECT current_user",
		"SELECT count(*) FROM via_" + user,
		"SELECT rolcreatedb::text || rolconnlimit || rolvaliduntil FROM pg_roles WHERE rolname = session_user",
	} {
		if a, b := w.as(t, before, q), w.as(t, e.current, q); a != b {
			t.Errorf("%s: %q as the first, %q as the second", q, a, b)
		}
	}
	// What changes at the first is there at the next change of the second.
	w.Must(t, "ALTER ROLE "+user+" NOCREATEDB CONNECTION LIMIT 9", "ALTER ROLE "+user+" RESET statement_timeout",
		"ALTER ROLE "+user+" SET search_path TO public")
	e.rotate(t)
	first := e.current
	e.rotate(t)
	for _, q := range []string{"SHOW search_path", "SHOW statement_timeout",
		"SELECT rolcreatedb::text || rolconnlimit FROM pg_roles WHERE rolname = session_user"} {
		if a, b := w.as(t, first, q), w.as(t, e.current, q); a != b {
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
		e.retire(t, e.rotate(t))
		e.retire(t, e.rotate(t))
		if !w.accepts(t, e.current) || read(t, e.current).User != user {
			t.Errorf("%s: does not log in", user)
		}
		s := &engine{rotator: single(t), current: e.current, admin: e.admin, arn: e.arn, fence: e.fence}
		s.rotate(t)
		s.admin = lockstep.Value{}
		s.rotate(t)
	}
	long := &rotators.Request{Current: w.value(t, strings.Repeat("x", 58), "p")}
	if _, err := alternating(t).Create(t.Context(), long); lockstep.AsTargetError(err).Fault != lockstep.FaultPermanent {
		t.Errorf("a name without room for the suffix: %v", err)
	}
}

func testForeignClone(t *testing.T, w *world) {
	user := "for_" + randomName()
	e := w.engine(t, alternating(t), user)
	w.Must(t, "CREATE ROLE "+user+"_clone LOGIN PASSWORD 'somebody-elses-1'")
	pending, err := e.rotator.Create(t.Context(), e.request(lockstep.Value{}))
	check(t, err)
	te := lockstep.AsTargetError(e.rotator.Set(t.Context(), e.request(pending)))
	if te.Outcome != lockstep.NotApplied || te.Fault != lockstep.FaultPermanent || te.Hint == "" {
		t.Errorf("got %+v", te)
	}
	if !w.accepts(t, w.value(t, user+"_clone", "somebody-elses-1")) {
		t.Error("another's role was taken over")
	}
	plan, err := alternating(t).Plan(t.Context(), e.request(lockstep.Value{}))
	if err != nil || len(plan.Problems) != 1 {
		t.Errorf("plan: %+v, %v", plan, err)
	}
}

func testSuperuserAdmin(t *testing.T, w *world) {
	user := "sup_" + randomName()
	e := w.engine(t, alternating(t), user)
	w.Must(t, "ALTER ROLE "+user+" SUPERUSER REPLICATION BYPASSRLS")
	plan, err := alternating(t).Plan(t.Context(), e.request(lockstep.Value{}))
	if err != nil || len(plan.Problems) == 0 {
		t.Errorf("plan with a lesser admin: %+v, %v", plan, err)
	}
	e.admin = w.value(t, "postgres", w.Password())
	e.retire(t, e.rotate(t))
	if got := w.as(t, e.current, "SELECT (rolsuper AND rolreplication AND rolbypassrls)::text FROM pg_roles WHERE rolname = session_user"); got != "true" {
		t.Errorf("the clone lacks attributes: %s", got)
	}
}

func testCloneOfAWS(t *testing.T, w *world) {
	user := "aws_" + randomName()
	e := w.engine(t, alternating(t), user)
	w.Must(t, "CREATE ROLE "+user+"_clone WITH LOGIN PASSWORD 'from-the-function-1'", "GRANT "+user+" TO "+user+"_clone")
	e.retire(t, e.rotate(t))
	if got := w.as(t, e.current, "SELECT current_user"); got != user {
		t.Errorf("acts as %s", got)
	}
}

func testSettingsInjection(t *testing.T, w *world) {
	user := "inj_" + randomName()
	e := w.engine(t, alternating(t), user)
	// A role may store any text as its own search_path.
	w.as(t, e.current,
		`SELECT set_config('search_path', 'public, "x; ALTER ROLE weak SUPERUSER; --"', false)`,
		`ALTER ROLE `+user+` SET search_path FROM CURRENT`)
	w.Must(t, `ALTER ROLE `+user+` SET my.x TO $v$'; ALTER ROLE weak SUPERUSER; --$v$`)
	pending, err := e.rotator.Create(t.Context(), e.request(lockstep.Value{}))
	check(t, err)
	w.Must(t, "GRANT SET ON PARAMETER my.x TO lockadmin")
	check(t, e.rotator.Set(t.Context(), e.request(pending)))
	if got := w.as(t, pending, "SHOW my.x"); got != "'; ALTER ROLE weak SUPERUSER; --" {
		t.Errorf("the clone's setting is %q", got)
	}
	if got := w.as(t, w.value(t, "postgres", w.Password()), "SELECT rolsuper::text FROM pg_roles WHERE rolname = 'weak'"); got != "false" {
		t.Fatal("a setting was run as SQL with the admin's rights")
	}
}

func testStartRole(t *testing.T, w *world) {
	user := "sta_" + randomName()
	e := w.engine(t, alternating(t), user)
	w.Must(t, "CREATE ROLE boss_"+user, "GRANT boss_"+user+" TO "+user, "ALTER ROLE "+user+" SET role TO 'boss_"+user+"'")
	e.retire(t, e.rotate(t))
	if got := w.as(t, e.current, "SELECT current_user"); got != "boss_"+user {
		t.Errorf("the clone starts as %s", got)
	}
	// A session that starts as another role can still change its own password.
	s := &engine{rotator: single(t), current: e.current, arn: e.arn, fence: e.fence}
	s.rotate(t)
}

func testNoAdmin(t *testing.T, w *world) {
	e := w.engine(t, alternating(t), "noa_"+randomName())
	pending, err := e.rotator.Create(t.Context(), e.request(lockstep.Value{}))
	check(t, err)
	for what, admin := range map[string]lockstep.Value{
		"none": {}, "the role itself": e.current,
		"of another server": secret{Host: "localhost", Port: w.Port(), User: "lockadmin", Password: passwordOfAdmin}.value(t),
		"malformed":         lockstep.StringValue("{}"),
	} {
		e.admin = admin
		te := lockstep.AsTargetError(e.rotator.Set(t.Context(), e.request(pending)))
		if te.Outcome != lockstep.NotApplied || te.Fault != lockstep.FaultPermanent || te.Hint == "" {
			t.Errorf("%s: got %+v", what, te)
		}
	}
}

func testNoOwner(t *testing.T, w *world) {
	user := "gon_" + randomName()
	e := w.engine(t, alternating(t), user+"_clone")
	pending, err := e.rotator.Create(t.Context(), e.request(lockstep.Value{}))
	check(t, err)
	te := lockstep.AsTargetError(e.rotator.Set(t.Context(), e.request(pending)))
	if te.Fault != lockstep.FaultPermanent || te.Hint == "" {
		t.Errorf("got %+v", te)
	}
}

func testBorrowed(t *testing.T, w *world) {
	e := w.engine(t, alternating(t), "bor_"+randomName())
	old := e.rotate(t)
	ended := w.session(t, old)
	e.retire(t, old)
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
		user := "com_" + randomName()
		e := w.engine(t, single(t), user)
		w.Must(t, "COMMENT ON ROLE "+user+" IS 'owned by team 7, it''s \\ & fine'")
		e.rotate(t)
		w.Must(t, "UPDATE pg_shdescription SET description = description || ' and more' WHERE objoid = '"+user+"'::regrole")
		e.rotate(t)
		e.rotate(t)
		got := w.as(t, w.admin, "SELECT shobj_description('"+user+"'::regrole, 'pg_authid')")
		want := fmt.Sprintf(`owned by team 7, it's \ & fine [lockstep fence=%d secret=%s] and more`, e.fence-1, e.arn)
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
	user := "rai_" + randomName()
	e := w.engine(t, single(t), user)
	late := w.Admin(t, "postgres")
	tx, err := late.Begin(t.Context())
	check(t, err)
	_, err = tx.Exec(t.Context(), "ALTER ROLE "+user+" CONNECTION LIMIT 3")
	check(t, err)
	raised := make(chan error, 1)
	go func() {
		_, err := e.rotator.(rotators.Fencer).Raise(t.Context(), e.request(lockstep.Value{}))
		raised <- err
	}()
	w.awaitBlocked(t)
	check(t, tx.Commit(t.Context()))
	te := lockstep.AsTargetError(<-raised)
	if te.Err == nil || te.Outcome != lockstep.NotApplied || te.Fault != lockstep.FaultTransient {
		t.Errorf("raise over a call under way: %+v", te)
	}
	if _, err := e.rotator.(rotators.Fencer).Raise(t.Context(), e.request(lockstep.Value{})); err != nil {
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
func (w *world) blockedSet(t *testing.T, e *engine, pending lockstep.Value) (release func(), ended <-chan error) {
	tx, err := w.Admin(t, "postgres").Begin(t.Context())
	check(t, err)
	_, err = tx.Exec(t.Context(), "ALTER ROLE "+read(t, pending).User+" CONNECTION LIMIT 3")
	check(t, err)
	done := make(chan error, 1)
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	t.Cleanup(cancel)
	go func() { done <- e.rotator.Set(ctx, e.request(pending)) }()
	return func() { check(t, tx.Rollback(t.Context())) }, done
}

func testLostAnswer(t *testing.T, w *world) {
	e := w.engine(t, single(t), "los_"+randomName())
	pending, err := e.rotator.Create(t.Context(), e.request(lockstep.Value{}))
	check(t, err)
	release, ended := w.blockedSet(t, e, pending)
	pid := w.awaitBlocked(t)
	check(t, w.Freeze(pid)) // the answer does not come in time
	te := lockstep.AsTargetError(<-ended)
	if te.Err == nil || te.Outcome != lockstep.Unknown {
		t.Errorf("got %+v", te)
	}
	release()
	check(t, w.Thaw(pid))
}

func testKilled(t *testing.T, w *world) {
	e := w.engine(t, single(t), "kil_"+randomName())
	pending, err := e.rotator.Create(t.Context(), e.request(lockstep.Value{}))
	check(t, err)
	release, ended := w.blockedSet(t, e, pending)
	pid := w.awaitBlocked(t)
	w.Must(t, fmt.Sprintf("SELECT pg_terminate_backend(%d)", pid))
	te := lockstep.AsTargetError(<-ended)
	if te.Err == nil || te.Outcome != lockstep.Unknown || te.Fault != lockstep.FaultTransient {
		t.Errorf("got %+v", te)
	}
	release()
	if !w.accepts(t, e.current) {
		t.Error("AWSCURRENT is gone")
	}
}

func TestPlanChangesNothing(t *testing.T) {
	w := newWorld(t)
	e := w.engine(t, alternating(t), "pla_"+randomName())
	const all = "SELECT md5(string_agg(a::text, '' ORDER BY oid)) FROM pg_authid a"
	admin := w.value(t, "postgres", w.Password())
	before := w.as(t, admin, all)
	plan, err := alternating(t).Plan(t.Context(), e.request(lockstep.Value{}))
	check(t, err)
	if w.as(t, admin, all) != before {
		t.Error("plan changed a role")
	}
	if !slices.ContainsFunc(plan.Actions, func(a string) bool { return strings.Contains(a, "create role") }) {
		t.Errorf("plan does not tell that the clone will be made: %q", plan.Actions)
	}
}
