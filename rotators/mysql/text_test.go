package mysql

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"lockstep"
	"lockstep/rotators"
)

// What is said to MySQL 8 is checked as text: there is no such server where the
// tests run. The grammar is that of its sql_yacc.yy.
func TestWordsForMySQL(t *testing.T) {
	s := &server{flavor: mySQL()}
	r := &rotators.Request{ARN: "arn:it's", Guard: rotators.Guard{Fence: 7}}
	notAfter := time.Date(2026, 11, 22, 10, 0, 30, 500_000_000, time.UTC)
	both := []*entry{
		{user: "app", host: "%", plugin: "caching_sha2_password"},
		{user: "app", host: "local`host", plugin: "mysql_native_password"},
	}
	c := change{
		users: []string{"app", "app_clone"}, marked: true, entries: 2,
		before: []string{"BEFORE"}, last: []string{s.passwords(both, "x1") + " ACCOUNT UNLOCK"},
	}
	got := s.message(c, r, 30*time.Second, &notAfter)
	got = regexp.MustCompile(`\$A\$005\$[./0-9A-Za-z]{63}'`).ReplaceAllString(got, "<sha2>'")
	lock := lockName("app")
	const inTime = "SELECT IF(UTC_TIMESTAMP(6) <= '2026-11-22 10:00:30.500000', 1, (SELECT 1 UNION SELECT 2))"
	const left = "TIMESTAMPDIFF(MICROSECOND, UTC_TIMESTAMP(6), '2026-11-22 10:00:30.500000') / 1000000"
	want := []string{
		"SET SESSION lock_wait_timeout = GREATEST(1, FLOOR(31.000)), innodb_lock_wait_timeout = GREATEST(1, FLOOR(31.000))",
		"SELECT IF(GET_LOCK('" + lock + "', CEIL(30.000)) = 1, 1, (SELECT 1 UNION SELECT 2))",
		"SELECT IF((SELECT COUNT(*) FROM lockstep.claims WHERE user IN ('app', 'app_clone') AND (secret <> 'arn:it''s' OR fence > 7)) = 0, 1, (SELECT 1 UNION SELECT 2))",
		"REPLACE INTO lockstep.claims (user, secret, fence) VALUES ('app', 'arn:it''s', 7), ('app_clone', 'arn:it''s', 7)",
		inTime,
		"BEFORE",
		inTime,
		"SET SESSION lock_wait_timeout = GREATEST(1, FLOOR(" + left + ")), innodb_lock_wait_timeout = GREATEST(1, FLOOR(" + left + "))",
		"ALTER USER `app`@`%` IDENTIFIED WITH caching_sha2_password AS '<sha2>'," +
			" `app`@`local``host` IDENTIFIED WITH mysql_native_password AS '*6891F9D51EB5A38D1BB310DDBC6379A189A4F575' ACCOUNT UNLOCK",
		"DO RELEASE_LOCK('" + lock + "')",
	}
	if lines := strings.Split(got, ";\n"); !slices.Equal(lines, want) {
		t.Errorf("got\n%s\nwant\n%s", got, strings.Join(want, ";\n"))
	}
	if lock != lockName("app_clone") || len(lock) > 64 {
		t.Errorf("lock %q", lock)
	}
}

func TestWordsOfAnEntry(t *testing.T) {
	e := &entry{
		user: "app", host: "%", tls: "SPECIFIED", subject: "/CN=it's", cipher: "A",
		queries: "1", updates: "2", connections: "3", atOnce: "4", seconds: "5.500000",
	}
	const mySQLWants = "REQUIRE SUBJECT '/CN=it''s' AND CIPHER 'A' WITH MAX_QUERIES_PER_HOUR 1 MAX_UPDATES_PER_HOUR 2 MAX_CONNECTIONS_PER_HOUR 3 MAX_USER_CONNECTIONS 4"
	for _, want := range []struct {
		flavor             flavor
		attributes, role   string
		noRole, retirement string
	}{
		{
			mySQL(), mySQLWants, "ALTER USER `app`@`%` DEFAULT ROLE `r`@`%`",
			"ALTER USER `app`@`%` DEFAULT ROLE NONE", "",
		},
		{
			mariaDB(), mySQLWants + " MAX_STATEMENT_TIME 5.500000", "SET DEFAULT ROLE `r`@`%` FOR `app`@`%`",
			"SET DEFAULT ROLE NONE FOR `app`@`%`", "IDENTIFIED VIA mysql_native_password USING 'invalid'",
		},
	} {
		s := &server{flavor: want.flavor}
		for what, pair := range map[string][2]string{
			"attributes": {s.attributesOf(e), want.attributes},
			"role":       {s.defaultRole(e.name(), "`r`@`%`"), want.role},
			"no role":    {s.defaultRole(e.name(), ""), want.noRole},
			"dead":       {s.dead, want.retirement},
		} {
			if pair[0] != pair[1] {
				t.Errorf("%s, %s: got %q, want %q", s.product, what, pair[0], pair[1])
			}
		}
	}
}

// A text that is not exactly one of these might be taken by a server for no
// password at all.
var (
	nativeForm = regexp.MustCompile(`^\*[0-9A-F]{40}$`)
	sha2Form   = regexp.MustCompile(`^\$A\$005\$[./0-9A-Za-z]{20}[./0-9A-Za-z]{43}$`)
)

func TestHashesAreWellFormed(t *testing.T) {
	for _, p := range []string{"x", "päss", strings.Repeat("long", 40), "'\\"} {
		if h := nativeHash(p); !nativeForm.MatchString(h) {
			t.Errorf("native %q", h)
		}
		if h := sha2Hash(p); !sha2Form.MatchString(h) {
			t.Errorf("sha2 %q", h)
		}
	}
	if a, b := sha2Hash("x"), sha2Hash("x"); a == b {
		t.Error("two hashes have one salt")
	}
}

func TestMySQLWithoutAnAdmin(t *testing.T) {
	r, err := NewMySQL(Config{})
	if err != nil {
		t.Fatal(err)
	}
	v := lockstep.StringValue(`{"engine":"mysql","host":"127.0.0.1","port":1,"username":"a","password":"b"}`)
	te := lockstep.AsTargetError(r.Set(t.Context(), &rotators.Request{Pending: v, Current: v}))
	if te.Outcome != lockstep.NotApplied || te.Fault != lockstep.FaultPermanent || te.Hint == "" {
		t.Errorf("%+v", te)
	}
}

// grantsOf reads lines as a server writes them.
func readGrants(t *testing.T, lines ...string) grants {
	t.Helper()
	out := make(grants)
	for _, l := range lines {
		list, ok := parseGrant(l)
		if !ok {
			t.Fatalf("not read: %s", l)
		}
		for _, g := range list {
			out.add(g)
		}
	}
	return out
}

func TestGrants(t *testing.T) {
	const to = " TO `app`@`%`"
	for _, c := range []struct {
		name       string
		have, want []string
		missing    []string
		surplus    []string
	}{
		{name: "nothing", have: []string{"GRANT USAGE ON *.*" + to}, want: []string{"GRANT USAGE ON *.*" + to + " REQUIRE SSL"}},
		{
			name: "more and less", have: []string{"GRANT SELECT, DELETE ON `db`.*" + to}, want: []string{"GRANT SELECT, INSERT ON `db`.*" + to},
			missing: []string{"GRANT INSERT ON `db`.* TO c"}, surplus: []string{"REVOKE DELETE ON `db`.* FROM c"},
		},
		{
			name: "columns", want: []string{"GRANT SELECT (`a`, `b`), INSERT ON `db`.`t`" + to},
			missing: []string{"GRANT SELECT (`a`, `b`), INSERT ON `db`.`t` TO c"},
		},
		{
			name: "the option alone", have: []string{"GRANT SELECT ON `db`.*" + to}, want: []string{"GRANT SELECT ON `db`.*" + to + " WITH GRANT OPTION"},
			missing: []string{"GRANT USAGE ON `db`.* TO c WITH GRANT OPTION"},
		},
		{
			name: "the option is gone", want: []string{"GRANT SELECT ON `db`.*" + to}, have: []string{"GRANT SELECT ON `db`.*" + to + " WITH GRANT OPTION"},
			surplus: []string{"REVOKE GRANT OPTION ON `db`.* FROM c"},
		},
		{
			name: "global with a password and limits",
			want: []string{"GRANT SELECT, PROCESS ON *.*" + to + " IDENTIFIED BY PASSWORD '*68' REQUIRE SSL WITH GRANT OPTION MAX_USER_CONNECTIONS 3"},
			missing: []string{
				"GRANT SELECT, PROCESS ON *.* TO c WITH GRANT OPTION",
			},
		},
		{
			name: "words within quotes", want: []string{"GRANT SELECT ON `a TO b ON c``d`.*" + to + " REQUIRE SUBJECT ' WITH GRANT OPTION'"},
			missing: []string{"GRANT SELECT ON `a TO b ON c``d`.* TO c"},
		},
		{
			name: "all has the rest", have: []string{"GRANT ALL PRIVILEGES ON `db`.*" + to}, want: []string{"GRANT ALL PRIVILEGES ON `db`.*" + to},
		},
		{
			name: "all instead of some", have: []string{"GRANT SELECT ON `db`.*" + to}, want: []string{"GRANT ALL PRIVILEGES ON `db`.*" + to},
			missing: []string{"GRANT ALL PRIVILEGES ON `db`.* TO c"},
		},
		{
			name: "roles of MariaDB", have: []string{"GRANT `r2`" + to + " WITH ADMIN OPTION", "GRANT `r3`" + to}, want: []string{"GRANT `r1`" + to, "GRANT `r2`" + to},
			missing: []string{"GRANT `r1` TO c"}, surplus: []string{"REVOKE ADMIN OPTION FOR `r2` FROM c", "REVOKE `r3` FROM c"},
		},
		{
			name: "roles of MySQL", want: []string{"GRANT `r1`@`%`,`r2`@`%`" + to},
			missing: []string{"GRANT `r1`@`%` TO c", "GRANT `r2`@`%` TO c"},
		},
		{
			name: "rights of MySQL on two lines", have: []string{"GRANT SELECT ON *.*" + to, "GRANT BACKUP_ADMIN ON *.*" + to},
			want: []string{"GRANT SELECT ON *.*" + to, "GRANT BACKUP_ADMIN,ROLE_ADMIN ON *.*" + to}, missing: []string{"GRANT ROLE_ADMIN ON *.* TO c"},
		},
		{
			name: "routines", want: []string{"GRANT EXECUTE ON PROCEDURE `db`.`p`" + to}, missing: []string{"GRANT EXECUTE ON PROCEDURE `db`.`p` TO c"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			have, want := readGrants(t, c.have...), readGrants(t, c.want...)
			if got := have.missing(want, "c"); !slices.Equal(got, c.missing) {
				t.Errorf("missing %q, want %q", got, c.missing)
			}
			if got := have.surplus(want, "c"); !slices.Equal(got, c.surplus) {
				t.Errorf("surplus %q, want %q", got, c.surplus)
			}
		})
	}
	for _, bad := range []string{"", "REVOKE SELECT ON `db`.* FROM `app`@`%`", "GRANT SELECT ON `db`.*", "GRANT SELECT ON `x TO y"} {
		if _, ok := parseGrant(bad); ok {
			t.Errorf("%q was read", bad)
		}
	}
}

func TestCovers(t *testing.T) {
	mine := readGrants(t, "GRANT CREATE USER ON *.* TO a", "GRANT ALL PRIVILEGES ON `shop`.* TO a WITH GRANT OPTION", "GRANT SELECT ON `x`.`t` TO a",
		"GRANT DELETE ON `team\\_%`.* TO a", "GRANT DROP ON *.* TO a")
	for _, c := range []struct {
		need grant
		want bool
	}{
		{grant{privileges: []string{"CREATE USER"}, object: everywhere}, true},
		{grant{privileges: []string{"CREATE USER"}, object: everywhere, option: true}, false},
		{grant{privileges: []string{"SELECT (`n`)", "DELETE"}, object: "`shop`.`orders`", option: true}, true},
		{grant{privileges: []string{"EXECUTE"}, object: "PROCEDURE `shop`.`p`", option: true}, true},
		{grant{privileges: []string{"SELECT (`n`)"}, object: "`x`.`t`"}, true},
		{grant{privileges: []string{"SELECT"}, object: "`x`.*"}, false},
		{grant{privileges: []string{"SELECT"}, object: "`shopping`.*"}, false},
		{grant{privileges: []string{"DELETE", "DROP"}, object: "`team_a`.`t`"}, true},
		{grant{privileges: []string{"DELETE"}, object: "`team\\_a`.*"}, true},
		{grant{privileges: []string{"DELETE"}, object: "`teams`.*"}, false},
	} {
		if got := mine.covers(c.need); got != c.want {
			t.Errorf("%+v: %t", c.need, got)
		}
	}
}

func FuzzGrant(f *testing.F) {
	for _, s := range []string{
		"GRANT SELECT (`a`, `b`) ON `db`.`t` TO `app`@`%` WITH GRANT OPTION", "GRANT `r1`@`%`,`r2`@`%` TO `app`@`%`",
		"GRANT PROXY ON ''@'%' TO 'root'@'localhost' WITH GRANT OPTION", "GRANT ( ON ` TO '",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, line string) {
		list, ok := parseGrant(line)
		if !ok {
			return
		}
		g := make(grants)
		for _, one := range list {
			g.add(one)
		}
		if lacks := g.missing(g, "c"); len(lacks) > 0 {
			t.Errorf("%q: what it has is missing: %q", line, lacks)
		}
		if extra := g.surplus(g, "c"); len(extra) > 0 {
			t.Errorf("%q: what it wants is too much: %q", line, extra)
		}
	})
}

func TestValues(t *testing.T) {
	const good = `"host":"h","username":"u","password":"p"`
	for _, c := range []struct{ text, fault string }{
		{`{` + good + `}`, ""},
		{`{` + good + `,"engine":"mysql","port":"3307","dbname":null,"ssl":true,"other":[1]}`, ""},
		{`{` + good + `,"engine":"postgres"}`, `the field "engine" is not "mariadb"`},
		{`{"host":"h","username":"u"}`, `the secret value lacks the field "password"`},
		{`{"host":"a,b","username":"u","password":"p"}`, `the field "host" is not one host name or address`},
		{`{"host":"/run/x.sock","username":"u","password":"p"}`, `the field "host" is not one host name or address`},
		{`{` + good + `,"port":0}`, `the field "port" is not a number from 1 to 65535`},
		{`{` + good + `,"ssl":"maybe"}`, `the field "ssl" is neither true nor false`},
		{`{` + good + `,"sslmode":"on"}`, `the field "sslmode" is none of disable, allow, prefer, require, verify-ca, verify-full`},
		{`{` + good + `,"probes":"SELECT 1"}`, `the field "probes" is not a list of queries`},
		{`{` + good + `,"host":"twice"}`, `the secret value has the field "host" twice`},
		{`{"host":"h","username":"u\u0000","password":"p"}`, `the field "username" has a zero character`},
		{`{"host":"h","username":"` + strings.Repeat("ü", 81) + `","password":"p"}`, `the field "username" is longer than 80 characters`},
		{`{` + good + `} x`, "the secret value is not a JSON object"},
		{`[]`, "the secret value is not a JSON object"},
	} {
		_, err := mariaDB().parse(lockstep.StringValue(c.text))
		switch {
		case c.fault == "" && err != nil:
			t.Errorf("%s: %v", c.text, err)
		case c.fault != "" && (err == nil || !strings.HasPrefix(err.Error(), c.fault)):
			t.Errorf("%s: %v, want %s", c.text, err, c.fault)
		}
	}
}

func FuzzValue(f *testing.F) {
	f.Add(`{"host":"h","username":"u","password":"p","port":"1","ssl":"true","x":{"password":1}}`)
	f.Add(`{"password":"a","username":"b","host":"[::1]","sslmode":"verify-ca","probes":["x"]}`)
	f.Fuzz(func(t *testing.T, text string) {
		v, err := mySQL().parse(lockstep.StringValue(text))
		if err != nil {
			return
		}
		changed, err := v.With("other`user", `pass"word`)
		if err != nil {
			t.Fatal(err)
		}
		again, err := mySQL().parse(changed)
		if err != nil || again.User != "other`user" || again.Password != `pass"word` || again.Host != v.Host || again.Port != v.Port {
			t.Errorf("%q became %q: %v", text, changed.Reveal(), err)
		}
		if !json.Valid(changed.Bytes()) {
			t.Errorf("%q is no JSON", changed.Reveal())
		}
	})
}

// The entry that our own logins go through is the most specific of those that
// fit; it comes last.
func TestOrderOfEntries(t *testing.T) {
	all := []*entry{
		{host: "127.0.0.1", mine: true}, {host: "127.%", mine: true}, {host: "%", mine: true},
		{host: "10.0.0.0/255.0.0.0"}, {host: "10.1.1.1"}, {host: "other.example"},
	}
	slices.SortStableFunc(all, func(a, b *entry) int { return order(a) - order(b) })
	var got []string
	for _, e := range all {
		got = append(got, e.host)
	}
	want := []string{"10.1.1.1", "other.example", "%", "127.%", "10.0.0.0/255.0.0.0", "127.0.0.1"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
