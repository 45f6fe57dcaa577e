package mysql_test

import (
	"testing"

	"lockstep"
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
