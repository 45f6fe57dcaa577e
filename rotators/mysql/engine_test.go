package mysql_test

import (
	"testing"

	"lockstep/rotators"
	"lockstep/rotators/rotatortest"
)

// engine makes the Secret of a user that is there, with the password
// rotatortest.FirstPassword.
func (w *world) engine(t testing.TB, r rotators.Chooser, user string) *rotatortest.Engine {
	return &rotatortest.Engine{
		Rotator: r, Current: w.value(t, user, rotatortest.FirstPassword), Admin: w.admin, ARN: rotatortest.ARN(rotatortest.RandomName()),
	}
}
