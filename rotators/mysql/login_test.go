package mysql_test

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"lockstep"
	"lockstep/internal/localca"
	"lockstep/internal/mariadbtest"
	"lockstep/rotators"
	"lockstep/rotators/rotatortest"
)

func TestStrictPasswordValidation(t *testing.T) {
	w := newWorld(t)
	user := "pol_" + rotatortest.RandomName()
	w.Must(t, "CREATE USER "+user+" IDENTIFIED BY '"+rotatortest.FirstPassword+"'", "INSTALL SONAME 'simple_password_check'")
	defer w.Must(t, "SET GLOBAL strict_password_validation = ON", "UNINSTALL SONAME 'simple_password_check'")
	const hint = "SET GLOBAL strict_password_validation = OFF (and in the server's configuration): it still checks the passwords that people set"
	for _, r := range []rotators.Chooser{single(t), alternating(t)} {
		w.engine(t, r, user).Refuses(t, hint)
	}
	itself := w.engine(t, single(t), user)
	itself.Admin = lockstep.Value{}
	itself.Refuses(t, hint)
	w.Must(t, "SET GLOBAL strict_password_validation = OFF")
	e := w.engine(t, alternating(t), user)
	old := e.Rotate(t)
	w.Must(t, "SET GLOBAL strict_password_validation = ON")
	e.Retire(t, old)
	if w.accepts(t, w.value(t, user, rotatortest.FirstPassword)) {
		t.Error("a retired user logs in")
	}
}

func TestTLS(t *testing.T) {
	dir := t.TempDir()
	ca, err := localca.Open(dir)
	rotatortest.Check(t, err)
	// Read once by the process, at its first verification, which is here.
	t.Setenv("SSL_CERT_FILE", ca.CertPath())
	rotatortest.Check(t, ca.WritePeer(filepath.Join(dir, "maria"), nil, time.Hour))
	for path := dir; strings.HasPrefix(path, os.TempDir()+"/"); path = filepath.Dir(path) {
		rotatortest.Check(t, os.Chmod(path, 0o755)) // the server is another user
	}
	rotatortest.Check(t, errors.Join(os.Chmod(filepath.Join(dir, "maria.pem"), 0o644), os.Chmod(filepath.Join(dir, "maria-key.pem"), 0o644)))
	w := &world{Server: mariadbtest.Start(t, "--ssl-cert="+filepath.Join(dir, "maria.pem"), "--ssl-key="+filepath.Join(dir, "maria-key.pem"))}
	w.Must(t, "CREATE USER app IDENTIFIED BY '"+rotatortest.FirstPassword+"' REQUIRE SSL")
	for mode, refused := range map[string]bool{
		"disable": true, "allow": false, "prefer": false, "require": false, "verify-ca": false, "verify-full": false,
	} {
		s := w.secret("app", rotatortest.FirstPassword)
		s.SSLMode = mode
		err := single(t).Test(t.Context(), &rotators.Request{}, s.Value(t))
		te := lockstep.AsTargetError(err)
		if refused != (err != nil) || refused && (te.Fault != lockstep.FaultRefusedLogin || te.Hint == "") {
			t.Errorf("sslmode %s: %+v", mode, te)
		}
	}
	// A plain server gives no verdict to who wants TLS.
	plain := newWorld(t)
	for mode, works := range map[string]bool{"prefer": true, "require": false, "verify-full": false} {
		s := plain.secret("weak", "feeble-secret-77")
		s.SSLMode = mode
		err := single(t).Test(t.Context(), &rotators.Request{}, s.Value(t))
		if te := lockstep.AsTargetError(err); works != (err == nil) || !works && te.Fault != lockstep.FaultTransient {
			t.Errorf("sslmode %s at a plain server: %v", mode, err)
		}
	}
}

// A target that takes a connection and says nothing does not hold a call for
// longer than its context.
func TestSilentServer(t *testing.T) {
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	rotatortest.Check(t, err)
	defer l.Close()
	s := secret{Engine: "mariadb", Host: "127.0.0.1", Port: l.Addr().(*net.TCPAddr).Port, User: "app", Password: rotatortest.FirstPassword}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	r := &rotators.Request{Pending: s.Value(t), Current: s.Value(t)}
	for call, err := range map[string]error{"set": single(t).Set(ctx, r), "test": single(t).Test(ctx, r, r.Current)} {
		if te := lockstep.AsTargetError(err); err == nil || te.Outcome != lockstep.NotApplied || te.Fault != lockstep.FaultTransient {
			t.Errorf("%s: %+v", call, te)
		}
	}
}
