package mysql

import (
	"database/sql/driver"
	"errors"
	"fmt"
	"slices"
	"strings"

	"lockstep"
)

// The numbers of the servers' errors that decide something.
const (
	codeTooManyConnections = 1040
	codeDatabaseDenied     = 1044
	codeAccessDenied       = 1045
	codeNoDatabase         = 1049
	codeHostNotAllowed     = 1130
	codeTableDenied        = 1142
	codeColumnDenied       = 1143
	codeNoTable            = 1146
	codeLockWait           = 1205
	codeRightMissing       = 1227
	codeGuard              = 1242 // a guard of ours: its subquery returns two rows
	codeOption             = 1290
	codeRoutineDenied      = 1370
	codeOperationFailed    = 1396
	codeMayNotCreateUser   = 1410
	codeDeadlock           = 1213
	codeNoSuchThread       = 1094
	codeNotOwner           = 1095
	codeMustSetPassword    = 1820
	codePolicy             = 1819
	codePasswordExpired    = 1862
	codeReadOnlyMode       = 1836
	codeNoPasswordDenied   = 1698
	codeLockedMySQL        = 3118
	codeHistory            = 3638
	codeLockedMariaDB      = 4151
	codeReused             = 4165
	codeSyntax             = 1064
)

// said is an error with words of our choice and the whole chain below.
type said struct {
	text  string
	cause error
}

func (e *said) Error() string { return e.text }
func (e *said) Unwrap() error { return e.cause }

// wording is an error of the driver or the server on one line. A complaint
// about syntax quotes our statement, which holds a hash: its text is left out.
func wording(doing string, err error) error {
	text := err.Error()
	if number(err) == codeSyntax {
		text = "the server does not understand the statement (error 1064)"
	}
	return &said{text: doing + ": " + strings.Join(strings.Fields(text), " "), cause: err}
}

// loginFault reads a failed login. Nothing was changed by it.
func (b *base) loginFault(v *value, err error) *lockstep.TargetError {
	te := &lockstep.TargetError{
		Outcome: lockstep.NotApplied, Err: wording(fmt.Sprintf("log in to %s as %q", v.Address(), v.User), err),
	}
	switch number(err) {
	case codeAccessDenied, codeNoPasswordDenied:
		te.Fault = lockstep.FaultRefusedLogin
		te.Hint = "if the account demands TLS, set sslmode to require"
	case codeLockedMariaDB, codeLockedMySQL:
		te.Fault = lockstep.FaultRefusedLogin
	case codeDatabaseDenied:
		te.Fault = lockstep.FaultPermanent
		te.Hint = fmt.Sprintf("grant the user a right in database %s", quote(v.Database))
	case codeNoDatabase:
		te.Fault = lockstep.FaultPermanent
		te.Hint = `correct the field "dbname" of the secret`
	case codePasswordExpired, codeMustSetPassword:
		te.Fault = lockstep.FaultPermanent
		te.Hint = "the password has expired: ALTER USER … PASSWORD EXPIRE NEVER, since it is rotated here"
	case codeHostNotAllowed:
		te.Hint = "no account lets this host in: create one for it, or run the worker elsewhere"
	case codeTooManyConnections:
		te.Hint = "the server is out of connections"
	}
	return te
}

// denials are the words of a server for a right that is missing.
func denied(err error) bool {
	return slices.Contains([]uint16{
		codeDatabaseDenied, codeAccessDenied, codeTableDenied, codeColumnDenied, codeRightMissing,
		codeRoutineDenied, codeMayNotCreateUser, codeNoPasswordDenied,
	}, number(err))
}

// askFault reads the failure of a query that changes nothing.
func askFault(doing string, err error) *lockstep.TargetError {
	te := &lockstep.TargetError{Outcome: lockstep.NotApplied, Err: wording(doing, err)}
	if denied(err) {
		te.Fault = lockstep.FaultPermanent
	}
	return te
}

// changeFault reads the failure of a guarded message; entries is how many
// accounts its last statement changes.
func changeFault(doing string, err error, entries int) *lockstep.TargetError {
	te := &lockstep.TargetError{Err: wording(doing, err)}
	code := number(err)
	switch {
	case code == 0:
		// Without an answer it may still happen, unless nothing was sent.
		if errors.Is(err, driver.ErrBadConn) {
			te.Outcome = lockstep.NotApplied
		}
	case denied(err):
		te.Outcome, te.Fault = lockstep.NotApplied, lockstep.FaultPermanent
	case code == codePolicy, code == codeHistory, code == codeReused:
		te.Outcome, te.Fault = lockstep.NotApplied, lockstep.FaultRefusedValue
		te.Hint = "make the password policy of the secret fit the server's"
	case code == codeSyntax:
		te.Outcome, te.Fault = lockstep.NotApplied, lockstep.FaultPermanent
		te.Hint = "this version of the server is not supported"
	case slices.Contains([]uint16{codeGuard, codeLockWait, codeDeadlock, codeOption, codeReadOnlyMode}, code):
		te.Outcome = lockstep.NotApplied
	case code == codeOperationFailed && entries == 1:
		te.Outcome = lockstep.NotApplied
		te.Hint = "does the account still exist?"
	}
	// The rest (an interruption, a shutdown, one of several entries that
	// failed) may have been applied, in whole or in part.
	return te
}

// adminFault turns a refused login of the admin into what it means for the
// Secret: a person has to mend the admin's secret.
func adminFault(err error, arn string) error {
	te := lockstep.AsTargetError(err)
	if te.Fault != lockstep.FaultRefusedLogin {
		return err
	}
	return permanentBy(te.Err, "correct the admin credential in "+arn)
}

func permanentBy(err error, hint string) *lockstep.TargetError {
	return &lockstep.TargetError{Outcome: lockstep.NotApplied, Fault: lockstep.FaultPermanent, Hint: hint, Err: err}
}
