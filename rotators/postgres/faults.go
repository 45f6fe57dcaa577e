package postgres

import (
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"lockstep"
)

// The SQLSTATEs that decide something. Those that begin with LK are raised by
// our own DO block.
const (
	codeLate        = "LK001"
	codeOtherSecret = "LK002"
	codeNewerClaim  = "LK003"

	codeInvalidPassword      = "28P01"
	codeInvalidAuthorization = "28000"
	codeNoDatabase           = "3D000"
	codePermission           = "42501"
	codeInvalidParameter     = "22023"
	codeRaised               = "P0001"
	codeNoObject             = "42704"
	codeNotSupported         = "0A000"
	codeTooManyConnections   = "53300"
)

// routineOfLogin is the function of the server that checks, after the
// password, whether a role may log in at all. The same SQLSTATE from another
// one (pg_hba.conf) says nothing about the credential.
const routineOfLogin = "InitializeSessionUserId"

// said is an error with words of our choice and the whole chain below.
type said struct {
	text  string
	cause error
}

func (e *said) Error() string { return e.text }
func (e *said) Unwrap() error { return e.cause }

// wording is an error of the driver or the server on one line. What PgError
// knows beside message and detail (the statement, its place) is left out.
func wording(doing string, err error) error {
	text := err.Error()
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok {
		text = pg.Error()
		if pg.Detail != "" {
			text += ": " + pg.Detail
		}
	}
	return &said{text: doing + ": " + strings.Join(strings.Fields(text), " "), cause: err}
}

// loginFault reads a failed login. Nothing was changed by it.
func loginFault(v *value, err error) *lockstep.TargetError {
	te := &lockstep.TargetError{Outcome: lockstep.NotApplied}
	pg := verdict(err)
	if pg == nil {
		te.Err = wording(fmt.Sprintf("log in to %s as %q", v.Address(), v.User), err)
		return te
	}
	te.Err = wording(fmt.Sprintf("log in to %s as %q", v.Address(), v.User), pg)
	switch pg.Code {
	case codeInvalidPassword:
		te.Fault = lockstep.FaultRefusedLogin
	case codeInvalidAuthorization:
		if pg.Routine == routineOfLogin {
			te.Fault = lockstep.FaultRefusedLogin
			break
		}
		te.Hint = fmt.Sprintf("let role %s log in to database %s in the server's pg_hba.conf", quote(v.User), quote(v.Database))
	case codeNoDatabase:
		te.Fault = lockstep.FaultPermanent
		te.Hint = `correct the field "dbname" of the secret`
	case codePermission:
		te.Fault = lockstep.FaultPermanent
		te.Hint = fmt.Sprintf("GRANT CONNECT ON DATABASE %s TO %s", quote(v.Database), quote(v.User))
	case codeTooManyConnections:
		te.Hint = "the server or the role is out of connections"
	}
	return te
}

// verdict picks the server's error that decides a login. There may be several:
// with sslmode prefer, the driver tries again without TLS.
func verdict(err error) *pgconn.PgError {
	var all []*pgconn.PgError
	collect(err, &all)
	var last *pgconn.PgError
	for _, pg := range all {
		last = pg
		refused := pg.Code == codeInvalidPassword ||
			pg.Code == codeInvalidAuthorization && pg.Routine == routineOfLogin
		if refused {
			break
		}
	}
	return last
}

func collect(err error, into *[]*pgconn.PgError) {
	if pg, ok := err.(*pgconn.PgError); ok {
		*into = append(*into, pg)
		return
	}
	switch e := err.(type) {
	case interface{ Unwrap() error }:
		collect(e.Unwrap(), into)
	case interface{ Unwrap() []error }:
		for _, one := range e.Unwrap() {
			collect(one, into)
		}
	}
}

// askFault reads the failure of a query that changes nothing.
func askFault(doing string, err error) *lockstep.TargetError {
	te := &lockstep.TargetError{Outcome: lockstep.NotApplied, Err: wording(doing, err)}
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok && pg.Code == codePermission {
		te.Fault = lockstep.FaultPermanent
	}
	return te
}

// changeFault reads the failure of a DO block.
func changeFault(doing string, err error) *lockstep.TargetError {
	te := &lockstep.TargetError{Err: wording(doing, err)}
	pg, ok := errors.AsType[*pgconn.PgError](err)
	if !ok {
		// Without an answer it may still happen. The driver's word that nothing
		// was sent (SafeToRetry) does not count: it gives it also for a
		// connection that broke while it waited for the answer.
		return te
	}
	// FATAL and PANIC end the session, perhaps after the commit.
	if severity(pg) == "ERROR" {
		te.Outcome = lockstep.NotApplied
	}
	switch {
	case pg.Code == codeOtherSecret:
		te.Fault = lockstep.FaultPermanent
		te.Hint = "let one secret alone manage this role; if the other one is gone, remove its [lockstep …] marker from the role's comment"
	case pg.Code == codePermission:
		te.Fault = lockstep.FaultPermanent
	case pg.Code == codeNotSupported:
		te.Fault = lockstep.FaultPermanent
		te.Hint = "the server refuses this statement; if it demands clear passwords, allow SCRAM-SHA-256 verifiers"
	case pg.Code == codeInvalidParameter, pg.Code == codeRaised, strings.HasPrefix(pg.Code, "28"):
		// What passwordcheck and its relatives raise. Our block raises none of
		// these by itself.
		te.Fault = lockstep.FaultRefusedValue
		te.Hint = "make the password policy of the secret fit the server's"
	}
	return te
}

// severity is the untranslated severity where the server gives it (since 9.6).
func severity(pg *pgconn.PgError) string {
	if pg.SeverityUnlocalized != "" {
		return pg.SeverityUnlocalized
	}
	return pg.Severity
}

// adminFault turns a refused login of the admin into what it means for the
// Secret: a person has to mend the admin's secret.
func adminFault(err error, arn string) error {
	te := lockstep.AsTargetError(err)
	if te.Fault != lockstep.FaultRefusedLogin {
		return err
	}
	return &lockstep.TargetError{
		Outcome: lockstep.NotApplied, Fault: lockstep.FaultPermanent,
		Hint: "correct the admin credential in " + arn, Err: te.Err,
	}
}

// quote writes a name as an SQL identifier.
func quote(name string) string { return pgx.Identifier{name}.Sanitize() }

// literal writes a text as an SQL literal; standard_conforming_strings is on
// in every session that we send one in.
func literal(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }
