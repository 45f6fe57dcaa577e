// Package postgres rotates the passwords of PostgreSQL roles (13 to 18), in
// two ways:
//
//   - [Single] ("postgres") changes the password of one role. For a moment,
//     between set and finish, readers of the old value fail.
//   - [Alternating] ("postgres-alternating") keeps two roles, user and
//     user_clone, and gives the idle one a new password; the other stays valid
//     until it is retired.
//
// # What the server learns
//
// A SCRAM-SHA-256 verifier, computed here. The clear password of a chosen
// value is neither sent nor found in the server's log; logins send it only as
// far as the server's pg_hba.conf asks, and in clear only over TLS.
//
// # The change
//
// is one DO block, in one message with the settings that it needs and that end
// with it, so it happens as a whole or not at all: the ALTER ROLE comes first, since it makes a concurrent one fail or wait; then
// the block raises an error if another Secret's or a newer claim's marker
// stands in the role's comment, writes its own, and at last raises an error if
// the time that Guard.NotAfter gave has passed by the server's own clock. So a
// message that was held up on its way changes nothing.
//
// The marker needs an admin (a role that may comment on the user's role). When
// the Secret names an admin ("masterarn"), the change is therefore always made
// by it: the guard is the stronger one, the state of the old password does not
// matter, and no login is tried that may fail and count towards a lock-out.
// Without an admin, Single logs in as the role itself: with the pending value
// (then it is done already), AWSCURRENT, and the rest of what may be live.
//
// # The admin's sessions
//
// are kept open for a short while and serve later changes, one call at a time:
// a login costs the server more than the change itself. How many and for how
// long, Config says; none is used for longer than five minutes after its
// login, nor for another user, password, database, address or TLS mode than it
// logged in with, nor after anything failed on it. The first thing that a
// change sends only reads (the server's clock); a session that broke meanwhile
// shows there, and a new login takes its place. What the server takes away
// from an admin counts at once, since it judges each statement; that it no
// longer lets the admin in is noticed at the next login. A login that tests a
// credential, or that changes the role's own password, is always a new one,
// and so is a plan's. Close ends what is kept.
//
// # The pair
//
// The role "user" is the owner of everything, whoever logs in: user_clone is a
// member of it and starts each session with SET ROLE user (or what user itself
// starts with). What either creates belongs to user; grants, default
// privileges and row policies for user hold for both; nothing that exists has
// to change its owner, and the statement that retires user (NOLOGIN PASSWORD
// NULL) does not touch its being a role. Attributes and settings belong to the
// login, not to the role that is set, so these are copied before each change.
// DISCARD ALL, which poolers send, keeps the SET ROLE; a client that sends SET
// ROLE NONE by itself keeps every right by membership, but what it creates from
// then on belongs to user_clone.
package postgres

import (
	"fmt"
	"time"

	"lockstep"
	"lockstep/password"
)

// The names under which cmd registers the rotators.
const (
	NameSingle      = "postgres"
	NameAlternating = "postgres-alternating"
)

// Config is what both rotators need. The zero Config is ready to use.
type Config struct {
	// Passwords is the policy of new passwords; the zero Policy means
	// password.ForRotation.
	Passwords password.Policy
	// ConnectTimeout bounds one login; zero means 10 seconds. A context with
	// an earlier deadline bounds it too.
	ConnectTimeout time.Duration
	// AdminSessions is how many idle sessions of one admin are kept for the
	// next change; zero means 16, a negative number none.
	AdminSessions int
	// AdminIdle is how long one may be idle; zero means 30 seconds. None is
	// used for longer than five minutes.
	AdminIdle time.Duration
}

// base is what both rotators share.
type base struct {
	passwords      password.Policy
	connectTimeout time.Duration
	sessions       *sessions
}

// Close closes the admins' sessions that are kept, and those in use when they
// come back. The rotator may still be used: each change logs in anew then. It
// may be called more than once.
func (b *base) Close() { b.sessions.close() }

func newBase(cfg Config) (base, error) {
	b := base{passwords: cfg.Passwords, connectTimeout: cfg.ConnectTimeout}
	if cfg.AdminSessions == 0 {
		cfg.AdminSessions = defaultAdminSessions
	}
	if cfg.AdminIdle == 0 {
		cfg.AdminIdle = defaultAdminIdle
	}
	if cfg.AdminIdle < 0 {
		return base{}, fmt.Errorf("rotator %s: negative idle time: %w", NameSingle, lockstep.ErrInvalid)
	}
	b.sessions = newSessions(cfg.AdminSessions, cfg.AdminIdle)
	if b.passwords == (password.Policy{}) {
		b.passwords = password.ForRotation()
	}
	if err := b.passwords.Validate(); err != nil {
		return base{}, fmt.Errorf("rotator %s: %w", NameSingle, err)
	}
	if b.connectTimeout == 0 {
		b.connectTimeout = 10 * time.Second
	}
	if b.connectTimeout < 0 {
		return base{}, fmt.Errorf("rotator %s: negative connect timeout: %w", NameSingle, lockstep.ErrInvalid)
	}
	return b, nil
}

// account reads a value for the Account methods, whose errors are plain.
func account(v lockstep.Value) (*value, error) {
	val, err := parse(v)
	if err != nil {
		return nil, fmt.Errorf("read secret: %w", err)
	}
	return val, nil
}

// malformed is the error of a value that can never work.
func malformed(which string, err error) *lockstep.TargetError {
	return &lockstep.TargetError{
		Outcome: lockstep.NotApplied, Fault: lockstep.FaultPermanent,
		Hint: `put a value like {"engine":"postgres","host":"…","port":5432,"dbname":"…","username":"…","password":"…"}`,
		Err:  fmt.Errorf("read %s: %w", which, err),
	}
}
