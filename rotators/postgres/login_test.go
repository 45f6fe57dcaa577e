package postgres_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"lockstep"
	"lockstep/rotators"
	"lockstep/rotators/postgres"
	"lockstep/rotators/rotatortest"
)

// TestVerdicts: what the server says at login, and what it means.
func TestVerdicts(t *testing.T) {
	w := newWorld(t)
	const pw = "first-secret-1x"
	w.Must(t,
		"CREATE ROLE good LOGIN PASSWORD '"+pw+"'",
		"CREATE ROLE nologin NOLOGIN PASSWORD '"+pw+"'",
		"CREATE ROLE nopassword LOGIN",
		"CREATE ROLE expired LOGIN PASSWORD '"+pw+"' VALID UNTIL '2001-01-01'",
		"CREATE ROLE trusted LOGIN PASSWORD '"+pw+"'",
		"CREATE ROLE banned LOGIN PASSWORD '"+pw+"'",
		"CREATE ROLE clear LOGIN PASSWORD '"+pw+"'",
		"CREATE ROLE tlsonly LOGIN PASSWORD '"+pw+"'",
		"CREATE ROLE full LOGIN PASSWORD '"+pw+"' CONNECTION LIMIT 0",
		"CREATE DATABASE closed", "REVOKE CONNECT ON DATABASE closed FROM PUBLIC",
		"SET password_encryption = 'md5'; CREATE ROLE old_md5 LOGIN PASSWORD '"+pw+"'",
	)
	const accepted = -1
	for _, c := range []struct {
		name  string
		fault lockstep.Fault
		with  func(*secret)
	}{
		{"right", accepted, func(*secret) {}},
		{"right, TLS if there is any", accepted, func(s *secret) { s.SSLMode = "prefer" }},
		{"IPv6", accepted, func(s *secret) { s.Host = "::1" }},
		{"IPv6 in brackets", accepted, func(s *secret) { s.Host = "[::1]" }},
		{"by name", accepted, func(s *secret) { s.Host = "localhost" }},
		{"wrong password", lockstep.FaultRefusedLogin, func(s *secret) { s.Password = "wrong" }},
		{"wrong password, TLS if there is any", lockstep.FaultRefusedLogin, func(s *secret) { s.Password, s.SSLMode = "wrong", "prefer" }},
		{"no such role", lockstep.FaultRefusedLogin, func(s *secret) { s.User = "nobody_here" }},
		{"role may not log in", lockstep.FaultRefusedLogin, func(s *secret) { s.User = "nologin" }},
		{"role may not log in, TLS if there is any", lockstep.FaultRefusedLogin, func(s *secret) { s.User, s.SSLMode = "nologin", "prefer" }},
		{"role has no password", lockstep.FaultRefusedLogin, func(s *secret) { s.User = "nopassword" }},
		{"password has expired", lockstep.FaultRefusedLogin, func(s *secret) { s.User = "expired" }},
		{"server asks for no password", lockstep.FaultTransient, func(s *secret) { s.User = "trusted" }},
		{"server asks for no password, wrong one", lockstep.FaultTransient, func(s *secret) { s.User, s.Password = "trusted", "wrong" }},
		{"server wants it in clear, no TLS", lockstep.FaultTransient, func(s *secret) { s.User = "clear" }},
		{"pg_hba.conf rejects", lockstep.FaultTransient, func(s *secret) { s.User = "banned" }},
		{"no TLS where it is demanded", lockstep.FaultTransient, func(s *secret) { s.User = "tlsonly" }},
		{"TLS demanded, server has none", lockstep.FaultTransient, func(s *secret) { s.SSLMode = "require" }},
		{"no connection left for the role", lockstep.FaultTransient, func(s *secret) { s.User = "full" }},
		{"no such database", lockstep.FaultPermanent, func(s *secret) { s.Database = "absent" }},
		{"database closed to the role", lockstep.FaultPermanent, func(s *secret) { s.Database = "closed" }},
		{"nobody listens", lockstep.FaultTransient, func(s *secret) { s.Port = 1 }},
		{"host does not exist", lockstep.FaultTransient, func(s *secret) { s.Host = "no.such.host.invalid" }},
		{"probe allowed", accepted, func(s *secret) { s.Probes = []string{"SELECT 1", "SELECT count(*) FROM pg_class"} }},
		{"probe not allowed", lockstep.FaultPermanent, func(s *secret) { s.Probes = []string{"SELECT 1", "SELECT * FROM pg_authid"} }},
		{"probe of no table", lockstep.FaultPermanent, func(s *secret) { s.Probes = []string{"SELECT * FROM absent"} }},
		{"probe writes", lockstep.FaultPermanent, func(s *secret) { s.Probes = []string{"CREATE TEMP TABLE x (n int); COMMIT"} }},
		{"probe that is shut out", lockstep.FaultTransient, func(s *secret) {
			s.Probes = []string{"SELECT pg_terminate_backend(pg_backend_pid())"}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := w.secret("good", pw)
			c.with(&s)
			err := single(t).Test(t.Context(), &rotators.Request{}, s.Value(t))
			if c.fault == accepted {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			te := lockstep.AsTargetError(err)
			if te.Err == nil || te.Fault != c.fault || te.Outcome != lockstep.NotApplied {
				t.Fatalf("got fault %d, %v: %v; want %d", te.Fault, te.Outcome, te.Err, c.fault)
			}
			if text := te.Error() + te.Hint; strings.Contains(text, pw) || strings.Contains(text, "\n") {
				t.Errorf("bad wording: %q", text)
			}
		})
	}
	t.Run("a server that does not answer", func(t *testing.T) { testSilent(t, w) })
	t.Run("what is set can be read by md5 rules too", func(t *testing.T) {
		e := &rotatortest.Engine{Rotator: single(t), Current: w.value(t, "old_md5", pw), ARN: "arn:x"}
		if _, err := w.connect(t.Context(), rotatortest.Read[secret](t, e.Current)); err == nil {
			t.Fatal("scram-sha-256 let an md5 password in")
		}
		e.Admin = w.admin
		e.Rotate(t)
	})
}

func testSilent(t *testing.T, w *world) {
	var lc net.ListenConfig
	l, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0") // it accepts and never speaks
	rotatortest.Check(t, err)
	defer l.Close()
	s := w.secret("good", "x")
	s.Port = l.Addr().(*net.TCPAddr).Port
	r, err := postgres.NewSingle(postgres.Config{ConnectTimeout: 100 * time.Millisecond})
	rotatortest.Check(t, err)
	te := lockstep.AsTargetError(r.Test(t.Context(), &rotators.Request{}, s.Value(t)))
	if te.Err == nil || te.Fault != lockstep.FaultTransient || te.Outcome != lockstep.NotApplied {
		t.Errorf("got %+v", te)
	}
}

// TestSelfOrder: without an admin, the pending value is tried first, then
// AWSCURRENT, then the rest, and each password once.
func TestSelfOrder(t *testing.T) {
	w := newWorld(t)
	user := "self_" + rotatortest.RandomName()
	e := w.engine(t, single(t), user)
	e.Admin = lockstep.Value{}
	pending, err := e.Rotator.Create(t.Context(), e.Request(lockstep.Value{}))
	rotatortest.Check(t, err)

	r := e.Request(pending)
	r.Current = w.value(t, user, "not-this-one-1")
	r.Live = []lockstep.Value{r.Current, w.value(t, "somebody", "else-entirely-1"), e.Current}
	before := w.refusals(t, user)
	rotatortest.Check(t, e.Rotator.Set(t.Context(), r))
	if n := w.refusals(t, user) - before; n != 2 { // pending and Current, once each
		t.Errorf("%d refused logins, want 2", n)
	}
	if !w.accepts(t, pending) {
		t.Error("the value was not set")
	}
	// Again: the pending value logs in, nothing is sent, NotAfter is not asked.
	again := e.Request(pending)
	again.Guard.NotAfter = func(context.Context, time.Time) (time.Time, error) {
		t.Error("asked for time with nothing to do")
		return time.Time{}, context.Canceled
	}
	rotatortest.Check(t, e.Rotator.Set(t.Context(), again))

	// Nothing that is known logs in.
	e.Current = w.value(t, user, "unknown-by-all-1")
	fresh, err := e.Rotator.Create(t.Context(), e.Request(lockstep.Value{}))
	rotatortest.Check(t, err)
	te := lockstep.AsTargetError(e.Rotator.Set(t.Context(), e.Request(fresh)))
	if te.Outcome != lockstep.NotApplied || te.Fault != lockstep.FaultPermanent || te.Hint == "" {
		t.Errorf("got %+v", te)
	}
}

// refusals counts refused logins in the log.
func (w *world) refusals(t *testing.T, user string) int {
	t.Helper()
	log, err := os.ReadFile(w.LogPath())
	rotatortest.Check(t, err)
	return strings.Count(string(log), fmt.Sprintf("password authentication failed for user %q", user))
}
