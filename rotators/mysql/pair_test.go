package mysql_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"lockstep"
	"lockstep/rotators"
	"lockstep/rotators/mysql"
	"lockstep/rotators/rotatortest"
)

func TestPair(t *testing.T) {
	w := newWorld(t)
	for name, test := range map[string]func(*testing.T, *world){
		"every entry is copied and kept in step": testCopied,
		"odd names":                              testOddNames,
		"a foreign clone":                        testForeignClone,
		"an entry without a model":               testStray,
		"no admin":                               testNoAdmin,
		"the model is gone":                      testNoModel,
		"rights the admin lacks":                 testRightsLacking,
		"definers work after retire":             testDefiner,
		"sessions cannot be seen":                testSessionsUnseen,
		"a clone made by hand":                   testCloneByHand,
		"another plugin is told":                 testOtherPlugin,
		"the admin is for another":               testOtherServer,
		"probes":                                 testProbes,
		"the server is the other one":            testWrongFlavor,
		"a replica gives no verdict":             testReplica,
	} {
		t.Run(name, func(t *testing.T) { test(t, w) })
	}
}

// about are the accounts of a user as the server lists them, without the user's
// name and the password.
func (w *world) about(t *testing.T, user string) []string {
	t.Helper()
	var out []string
	for _, host := range w.Text(t, fmt.Sprintf("SELECT Host FROM mysql.user WHERE User = '%s' ORDER BY Host", user)) {
		account := fmt.Sprintf("`%s`@`%s`", user, host)
		lines := append(w.Text(t, "SHOW CREATE USER "+account), w.Text(t, "SHOW GRANTS FOR "+account)...)
		for _, line := range lines {
			line = strings.ReplaceAll(line, account, "`user`@`"+host+"`")
			if from, rest, ok := strings.Cut(line, "IDENTIFIED BY PASSWORD '"); ok {
				_, rest, _ = strings.Cut(rest, "'")
				line = from + rest
			}
			out = append(out, line)
		}
	}
	slices.Sort(out)
	return out
}

func (w *world) wantAlike(t *testing.T, user string) {
	t.Helper()
	a, b := w.about(t, user), w.about(t, user+mysql.CloneSuffix)
	if !slices.Equal(a, b) {
		t.Errorf("the clone differs:\n%s\n--\n%s", strings.Join(a, "\n"), strings.Join(b, "\n"))
	}
}

func testCopied(t *testing.T, w *world) {
	user := "cop_" + rotatortest.RandomName()
	w.Must(t,
		"CREATE ROLE reader_"+user, "CREATE ROLE writer_"+user,
		"GRANT reader_"+user+" TO lockadmin WITH ADMIN OPTION", "GRANT writer_"+user+" TO lockadmin WITH ADMIN OPTION",
		"GRANT SELECT ON shop.* TO reader_"+user,
		"CREATE PROCEDURE shop.p_"+user+"() SELECT 1",
		"CREATE USER "+user+"@'%' IDENTIFIED BY '"+rotatortest.FirstPassword+"' WITH MAX_USER_CONNECTIONS 7 MAX_QUERIES_PER_HOUR 100000 MAX_STATEMENT_TIME 12.5",
		"CREATE USER "+user+"@'localhost' IDENTIFIED BY '"+rotatortest.FirstPassword+"' REQUIRE SSL",
		"CREATE USER "+user+"@'10.%' IDENTIFIED BY '"+rotatortest.FirstPassword+"' REQUIRE SUBJECT '/CN=it''s \" \\\\ here' AND ISSUER '/CN=ca'",
		"GRANT reader_"+user+" TO "+user+"@'%'", "GRANT writer_"+user+" TO "+user+"@'%' WITH ADMIN OPTION",
		"SET DEFAULT ROLE reader_"+user+" FOR "+user+"@'%'",
		"GRANT SELECT (n), INSERT (n, note), DELETE ON shop.orders TO "+user+"@'%'",
		"GRANT EXECUTE ON PROCEDURE shop.p_"+user+" TO "+user+"@'%'",
		"GRANT SELECT ON shop.* TO "+user+"@'localhost' WITH GRANT OPTION")
	e := w.engine(t, alternating(t), user)
	e.Plans(t, "")
	e.Rotate(t)
	w.wantAlike(t, user)
	for _, account := range []string{"%", "10.%", "localhost"} {
		if got := w.Text(t, fmt.Sprintf("SHOW CREATE USER %s@'%s'", user+mysql.CloneSuffix, account)); strings.Contains(got[0], "ACCOUNT LOCK") {
			t.Errorf("locked: %s", got)
		}
	}
	// What a person changes follows: gains at once, losses at the clone's turn.
	w.Must(t, "GRANT UPDATE ON shop.* TO "+user+"@'localhost'", "REVOKE DELETE ON shop.orders FROM "+user+"@'%'",
		"REVOKE ADMIN OPTION FOR writer_"+user+" FROM "+user+"@'%'", "REVOKE GRANT OPTION ON shop.* FROM "+user+"@'localhost'",
		"SET DEFAULT ROLE NONE FOR "+user+"@'%'", "ALTER USER "+user+"@'%' WITH MAX_USER_CONNECTIONS 9 MAX_STATEMENT_TIME 0",
		"ALTER USER "+user+"@'localhost' REQUIRE NONE", "CREATE USER "+user+"@'192.168.0.0/255.255.0.0' IDENTIFIED BY 'x'",
		"REVOKE reader_"+user+" FROM "+user+"@'%'")
	e.Rotate(t)
	if got := strings.Join(w.about(t, user+mysql.CloneSuffix), "\n"); !strings.Contains(got, "SELECT, UPDATE ON `shop`.*") {
		t.Errorf("the clone in use did not gain a right:\n%s", got)
	}
	e.Rotate(t)
	w.wantAlike(t, user)
	// A right on more covers: nothing is done twice.
	if plan := e.Plans(t, ""); strings.Contains(strings.Join(plan.Actions, " "), "take from") {
		t.Errorf("a plan of what is done already: %q", plan.Actions)
	}
}

func testOddNames(t *testing.T, w *world) {
	for _, name := range []string{"a`b", "it's", `back\slash`, "with space", "ümläut-" + rotatortest.RandomName(), "x_clone_y", "%", `"`, "a TO b", "-- x"} {
		quoted := "`" + strings.ReplaceAll(name, "`", "``") + "`"
		w.Must(t, "CREATE USER "+quoted+"@'%' IDENTIFIED BY '"+rotatortest.FirstPassword+"'", "GRANT SELECT ON shop.* TO "+quoted+"@'%'")
		for _, r := range []rotators.Chooser{single(t), alternating(t)} {
			e := w.engine(t, r, name)
			e.Plans(t, "")
			for range 2 {
				e.Rotate(t)
				if !w.accepts(t, e.Current) {
					t.Errorf("%q does not log in", name)
				}
			}
			w.Must(t, "ALTER USER "+quoted+"@'%' IDENTIFIED BY '"+rotatortest.FirstPassword+"'", "DELETE FROM lockstep.claims")
		}
	}
}

func testForeignClone(t *testing.T, w *world) {
	user := "for_" + rotatortest.RandomName()
	w.Must(t, "CREATE USER "+user+" IDENTIFIED BY '"+rotatortest.FirstPassword+"'", "GRANT SELECT ON shop.* TO "+user,
		"CREATE USER "+user+"_clone IDENTIFIED BY 'somebody-else-1'", "GRANT SELECT, DELETE ON shop.* TO "+user+"_clone")
	e := w.engine(t, alternating(t), user)
	e.Refuses(t, "if it is meant to be the clone, take that right away by hand: REVOKE DELETE ON `shop`.* FROM `"+user+"_clone`@`%`")
	if !w.accepts(t, w.value(t, user+"_clone", "somebody-else-1")) {
		t.Error("somebody's password was changed")
	}
}

func testStray(t *testing.T, w *world) {
	user := "str_" + rotatortest.RandomName()
	w.Must(t, "CREATE USER "+user+"@'%' IDENTIFIED BY '"+rotatortest.FirstPassword+"'", "CREATE USER "+user+"@'10.1.1.1' IDENTIFIED BY '"+rotatortest.FirstPassword+"'")
	e := w.engine(t, alternating(t), user)
	e.Rotate(t)
	w.Must(t, "DROP USER "+user+"@'10.1.1.1'")
	e.Rotate(t)
	e.Rotate(t)
	if got := w.Text(t, "SHOW CREATE USER "+user+"_clone@'10.1.1.1'"); !strings.Contains(got[0], "ACCOUNT LOCK") {
		t.Errorf("an entry without a model is open: %s", got)
	}
}

func testNoAdmin(t *testing.T, w *world) {
	user := "noa_" + rotatortest.RandomName()
	w.Must(t, "CREATE USER "+user+" IDENTIFIED BY '"+rotatortest.FirstPassword+"'")
	e := w.engine(t, alternating(t), user)
	e.Admin = lockstep.Value{}
	e.Refuses(t, "name an admin's secret in the field masterarn")
}

func testNoModel(t *testing.T, w *world) {
	user := "nom_" + rotatortest.RandomName()
	for _, r := range []rotators.Chooser{single(t), alternating(t)} {
		w.engine(t, r, user).Refuses(t, `correct the field "username" of the secret, or create the user`)
	}
}

func testRightsLacking(t *testing.T, w *world) {
	user := "lac_" + rotatortest.RandomName()
	w.Must(t, "CREATE DATABASE vault_"+user, "CREATE USER "+user+" IDENTIFIED BY '"+rotatortest.FirstPassword+"'", "GRANT SELECT ON vault_"+user+".* TO "+user)
	e := w.engine(t, alternating(t), user)
	const grant = "GRANT SELECT ON `vault_%s`.* TO `lockadmin`@`%%` WITH GRANT OPTION"
	e.Plans(t, fmt.Sprintf(grant, user))
	pending, err := e.Rotator.Create(t.Context(), e.Request(lockstep.Value{}))
	rotatortest.Check(t, err)
	te := lockstep.AsTargetError(e.Rotator.Set(t.Context(), e.Request(pending)))
	if te.Outcome != lockstep.NotApplied || te.Fault != lockstep.FaultPermanent || te.Hint == "" || w.accepts(t, pending) {
		t.Errorf("set: %+v", te)
	}
	w.Must(t, fmt.Sprintf(grant, user))
	e.Plans(t, "")
	e.Rotate(t)
	w.wantAlike(t, user)
}

func testDefiner(t *testing.T, w *world) {
	user := "def_" + rotatortest.RandomName()
	w.Must(t, "CREATE USER "+user+" IDENTIFIED BY '"+rotatortest.FirstPassword+"'", "GRANT ALL ON shop.* TO "+user)
	e := w.engine(t, alternating(t), user)
	e.Retire(t, e.Rotate(t))
	made := rotatortest.Read[secret](t, e.Current)
	_, conn, err := w.conn(t.Context(), made)
	rotatortest.Check(t, err)
	_, err = conn.ExecContext(t.Context(), "CREATE VIEW shop.v_"+user+" AS SELECT n FROM shop.orders")
	rotatortest.Check(t, err)
	e.Retire(t, e.Rotate(t)) // the definer of the view is locked now
	_, conn, err = w.conn(t.Context(), rotatortest.Read[secret](t, e.Current))
	rotatortest.Check(t, err)
	var n int
	rotatortest.Check(t, conn.QueryRowContext(t.Context(), "SELECT n FROM shop.v_"+user).Scan(&n))
}

func testSessionsUnseen(t *testing.T, w *world) {
	user := "uns_" + rotatortest.RandomName()
	w.Must(t, "CREATE USER "+user+" IDENTIFIED BY '"+rotatortest.FirstPassword+"'",
		"CREATE USER blind_"+user+" IDENTIFIED BY 'blind-secret-9'", "GRANT CREATE USER ON *.* TO blind_"+user,
		"GRANT SELECT, UPDATE ON mysql.* TO blind_"+user, "GRANT ALL ON lockstep.* TO blind_"+user)
	e := w.engine(t, alternating(t), user)
	e.Admin = w.value(t, "blind_"+user, "blind-secret-9")
	old := e.Rotate(t)
	rotatortest.Check(t, e.Rotator.(rotators.Retirer).Retire(t.Context(), e.Request(lockstep.Value{}), old))
	te := lockstep.AsTargetError(e.Rotator.(rotators.SessionKiller).KillSessions(t.Context(), e.Request(lockstep.Value{}), old))
	if want := "GRANT PROCESS, CONNECTION ADMIN ON *.* TO `blind_" + user + "`@`%`"; te.Hint != want || te.Fault != lockstep.FaultPermanent {
		t.Errorf("end sessions: %+v, want hint %q", te, want)
	}
	if w.accepts(t, old) || !w.accepts(t, e.Current) {
		t.Error("the old user is not locked, or AWSCURRENT is")
	}
}

func testCloneByHand(t *testing.T, w *world) {
	user := "han_" + rotatortest.RandomName()
	w.Must(t, "CREATE USER "+user+" IDENTIFIED BY '"+rotatortest.FirstPassword+"'", "GRANT SELECT, INSERT ON shop.* TO "+user,
		"CREATE USER "+user+"_clone IDENTIFIED BY 'by-hand-1'", "GRANT SELECT ON shop.* TO "+user+"_clone")
	e := w.engine(t, alternating(t), user)
	e.Plans(t, "")
	e.Rotate(t)
	w.wantAlike(t, user)
}

func testOtherPlugin(t *testing.T, w *world) {
	user := "plu_" + rotatortest.RandomName()
	w.Must(t, "CREATE USER "+user+" IDENTIFIED VIA unix_socket")
	e := w.engine(t, single(t), user)
	if plan := e.Plans(t, ""); !strings.Contains(strings.Join(plan.Actions, " "), "its plugin unix_socket is replaced") {
		t.Errorf("plan: %q", plan.Actions)
	}
	e.Rotate(t)
}

func testOtherServer(t *testing.T, w *world) {
	user := "oth_" + rotatortest.RandomName()
	w.Must(t, "CREATE USER "+user+" IDENTIFIED BY '"+rotatortest.FirstPassword+"'")
	e := w.engine(t, single(t), user)
	elsewhere := rotatortest.Read[secret](t, e.Admin)
	elsewhere.Host = "localhost"
	e.Admin = elsewhere.Value(t)
	e.Refuses(t, "let both secrets name the server by the same host and port")
}

func testProbes(t *testing.T, w *world) {
	user := "pro_" + rotatortest.RandomName()
	w.Must(t, "CREATE USER "+user+" IDENTIFIED BY '"+rotatortest.FirstPassword+"'", "GRANT SELECT, INSERT ON shop.* TO "+user)
	test := func(database string, probes ...string) *lockstep.TargetError {
		s := w.secret(user, rotatortest.FirstPassword)
		s.Database, s.Probes = database, probes
		err := single(t).Test(t.Context(), &rotators.Request{}, s.Value(t))
		if err == nil {
			return nil
		}
		return lockstep.AsTargetError(err)
	}
	if te := test("shop", "SELECT n FROM orders"); te != nil {
		t.Errorf("a probe that works: %v", te)
	}
	for _, bad := range []string{"SELECT * FROM mysql.user", "INSERT INTO orders VALUES (2, '')", "SELECT 1; SELECT 2", "nonsense"} {
		if te := test("shop", bad); te == nil || te.Fault != lockstep.FaultPermanent || te.Hint == "" {
			t.Errorf("probe %q: %+v", bad, te)
		}
	}
	for _, database := range []string{"nowhere", "mysql"} {
		if te := test(database); te == nil || te.Fault != lockstep.FaultPermanent || te.Hint == "" {
			t.Errorf("database %s: %+v", database, te)
		}
	}
	if got := w.Text(t, "SELECT COUNT(*) FROM shop.orders WHERE n = 2"); got[0] != "0" {
		t.Error("a probe wrote")
	}
}

func testWrongFlavor(t *testing.T, w *world) {
	user := "fla_" + rotatortest.RandomName()
	w.Must(t, "CREATE USER "+user+" IDENTIFIED BY '"+rotatortest.FirstPassword+"'")
	my, err := mysql.NewMySQL(mysql.Config{})
	rotatortest.Check(t, err)
	e := w.engine(t, my, user)
	for _, v := range []*lockstep.Value{&e.Current, &e.Admin} {
		s := rotatortest.Read[secret](t, *v)
		s.Engine = "mysql"
		*v = s.Value(t)
	}
	e.Refuses(t, "choose the rotator for this server: those for MariaDB and those for MySQL are different ones")
}

func testReplica(t *testing.T, w *world) {
	user := "rep_" + rotatortest.RandomName()
	w.Must(t, "CREATE USER "+user+" IDENTIFIED BY '"+rotatortest.FirstPassword+"'")
	e := w.engine(t, alternating(t), user)
	pending, err := e.Rotator.Create(t.Context(), e.Request(lockstep.Value{}))
	rotatortest.Check(t, err)
	w.Must(t, "SET GLOBAL read_only = ON")
	setErr := e.Rotator.Set(t.Context(), e.Request(pending))
	testErr := e.Rotator.Test(t.Context(), e.Request(lockstep.Value{}), e.Current)
	w.Must(t, "SET GLOBAL read_only = OFF")
	for _, err := range []error{setErr, testErr} {
		if te := lockstep.AsTargetError(err); err == nil || te.Outcome != lockstep.NotApplied || te.Fault != lockstep.FaultTransient {
			t.Errorf("at a replica: %+v", te)
		}
	}
}
