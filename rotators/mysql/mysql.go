// Package mysql rotates the passwords of accounts on MariaDB (10.4 and later)
// and MySQL 8, each in two ways:
//
//   - [Single] ("mariadb", "mysql") changes the password of one user, at each
//     of its user@host entries. For a moment, between set and finish, readers
//     of the old value fail.
//   - [Alternating] ("mariadb-alternating", "mysql-alternating") keeps two
//     users, user and user_clone, and gives the idle one a new password; the
//     other stays valid until it is retired.
//
// What differs between the two kinds of server is a [flavor]: words of SQL and
// the way of hashing. MariaDB is tested against a real server. MySQL 8 is not
// to be had where the tests run, so what is said to it is checked as text, and
// what both understand alike is tested on MariaDB.
//
// # What the server learns
//
// A hash that is computed here: SHA1(SHA1(password)) for mysql_native_password,
// a salted SHA-256-crypt for caching_sha2_password. Both servers may write down
// what they are told (general log, binary log, audit plugins), and MariaDB does
// so in clear. A server that insists on checking clear passwords
// (strict_password_validation) is therefore refused with the way out.
//
// # The change
//
// ALTER USER is no part of a transaction: it commits by itself. So the change is
// one message of several statements, which the server runs in order and leaves
// at the first that fails:
//
//  1. GET_LOCK of a name made of the user's: one change of an account at a time
//     on this server. The lock ends with the session; a call that hangs in the
//     server therefore keeps newer ones waiting, and cannot land after them.
//  2. a query that fails if another Secret's or a newer claim's marker stands in
//     the table lockstep.claims; then our own is written there.
//  3. a query that fails if the time that Guard.NotAfter gave has passed by the
//     server's clock, and the rest of that time as limit of each statement.
//  4. ALTER USER, last.
//
// The marker needs an admin that may write to the schema "lockstep", which is
// made at the first change. Where it may not, and where a user changes its own
// password, lock and time stand alone (docs/decisions/0027-mysql-guards.md).
//
// # The pair
//
// user is the model, user_clone the copy: for each entry user@host there is a
// user_clone@host with the same privileges, roles, default role, limits and TLS
// requirements, brought in line at each rotation. What a clone creates belongs
// to nobody in particular (there are no owners here); views and routines keep
// their definer, which is why a retired user is locked and never dropped.
package mysql

import (
	"fmt"
	"time"

	"lockstep"
	"lockstep/password"
	"lockstep/rotators"
)

// The names under which the wiring registers the rotators.
const (
	NameMariaDB            = "mariadb"
	NameMariaDBAlternating = "mariadb-alternating"
	NameMySQL              = "mysql"
	NameMySQLAlternating   = "mysql-alternating"
)

// Config is what each rotator needs. The zero Config is ready to use.
type Config struct {
	// Passwords is the policy of new passwords; the zero Policy means
	// password.ForRotation.
	Passwords password.Policy
	// ConnectTimeout bounds one login; zero means 10 seconds. A context with
	// an earlier deadline bounds it too.
	ConnectTimeout time.Duration
}

// base is what all rotators share.
type base struct {
	flavor
	passwords      password.Policy
	connectTimeout time.Duration
}

func newBase(f flavor, cfg Config) (base, error) {
	b := base{flavor: f, passwords: cfg.Passwords, connectTimeout: cfg.ConnectTimeout}
	if b.passwords == (password.Policy{}) {
		b.passwords = password.ForRotation()
	}
	if err := b.passwords.Validate(); err != nil {
		return base{}, fmt.Errorf("rotator for %s: %w", f.product, err)
	}
	if b.connectTimeout == 0 {
		b.connectTimeout = 10 * time.Second
	}
	if b.connectTimeout < 0 {
		return base{}, fmt.Errorf("rotator for %s: negative connect timeout: %w", f.product, lockstep.ErrInvalid)
	}
	return b, nil
}

// fresh is the value of another user with a new password.
func (b *base) fresh(r *rotators.Request, of *value, user string) (lockstep.Value, error) {
	return of.Fresh(user, b.passwords, r.Passwords)
}

// read is parse for the calls whose errors are TargetErrors.
func (b *base) read(which string, v lockstep.Value) (*value, error) {
	val, err := b.parse(v)
	if err != nil {
		return nil, b.malformed(which, err)
	}
	return val, nil
}

// malformed is the error of a value that can never work.
func (b *base) malformed(which string, err error) *lockstep.TargetError {
	return &lockstep.TargetError{
		Outcome: lockstep.NotApplied, Fault: lockstep.FaultPermanent,
		Hint: fmt.Sprintf(`put a value like {"engine":%q,"host":"…","port":3306,"username":"…","password":"…"}`, b.engines[0]),
		Err:  fmt.Errorf("read %s: %w", which, err),
	}
}
