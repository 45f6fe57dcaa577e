package mysql_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"lockstep"
	"lockstep/internal/localca"
	"lockstep/rotators"
)

func TestStrictPasswordValidation(t *testing.T) {
	w := newWorld(t)
	w.Must(t, "CREATE USER app IDENTIFIED BY '"+firstPassword+"'", "INSTALL SONAME 'simple_password_check'")
	const hint = "SET GLOBAL strict_password_validation = OFF (and in the server's configuration): it still checks the passwords that people set"
	for _, r := range []rotators.Rotator{single(t), alternating(t)} {
		w.engine(t, r, "app").refuses(t, hint)
	}
	itself := w.engine(t, single(t), "app")
	itself.admin = lockstep.Value{}
	itself.refuses(t, hint)
	w.Must(t, "SET GLOBAL strict_password_validation = OFF")
	e := w.engine(t, alternating(t), "app")
	old := e.rotate(t)
	w.Must(t, "SET GLOBAL strict_password_validation = ON")
	e.retire(t, old)
	if w.accepts(t, w.value(t, "app", firstPassword)) {
		t.Error("a retired user logs in")
	}
}

func TestTLS(t *testing.T) {
	dir := t.TempDir()
	ca, err := localca.Open(dir)
	check(t, err)
	// Read once by the process, at its first verification, which is here.
	t.Setenv("SSL_CERT_FILE", ca.CertPath())
	check(t, ca.WritePeer(filepath.Join(dir, "maria"), nil, time.Hour))
	for path := dir; strings.HasPrefix(path, os.TempDir()+"/"); path = filepath.Dir(path) {
		check(t, os.Chmod(path, 0o755)) // the server is another user
	}
	check(t, errors.Join(os.Chmod(filepath.Join(dir, "maria.pem"), 0o644), os.Chmod(filepath.Join(dir, "maria-key.pem"), 0o644)))
	w := newWorld(t, "--ssl-cert="+filepath.Join(dir, "maria.pem"), "--ssl-key="+filepath.Join(dir, "maria-key.pem"))
	w.Must(t, "CREATE USER app IDENTIFIED BY '"+firstPassword+"' REQUIRE SSL")
	for mode, refused := range map[string]bool{
		"disable": true, "allow": false, "prefer": false, "require": false, "verify-ca": false, "verify-full": false,
	} {
		s := w.secret("app", firstPassword)
		s.SSLMode = mode
		err := single(t).Test(t.Context(), &rotators.Request{}, s.value(t))
		te := lockstep.AsTargetError(err)
		if refused != (err != nil) || refused && (te.Fault != lockstep.FaultRefusedLogin || te.Hint == "") {
			t.Errorf("sslmode %s: %+v", mode, te)
		}
	}
	// A plain server gives no verdict to who wants TLS.
	plain := newWorld(t, "--skip-ssl")
	for mode, works := range map[string]bool{"prefer": true, "require": false, "verify-full": false} {
		s := plain.secret("weak", "feeble-secret-77")
		s.SSLMode = mode
		err := single(t).Test(t.Context(), &rotators.Request{}, s.value(t))
		if te := lockstep.AsTargetError(err); works != (err == nil) || !works && te.Fault != lockstep.FaultTransient {
			t.Errorf("sslmode %s at a plain server: %v", mode, err)
		}
	}
}
