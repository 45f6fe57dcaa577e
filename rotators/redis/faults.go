package redis

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/redis/go-redis/v9"

	"lockstep"
)

// The first word of a server's error is its code; these decide something.
const (
	codeWrongPassword = "WRONGPASS"
	codeNoAuth        = "NOAUTH"
	codeNoPermission  = "NOPERM"
	codeError         = "ERR"
	codeExecAbort     = "EXECABORT"
)

// passing are the codes that may be gone at the next try.
var passing = []string{"LOADING", "BUSY", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN", "READONLY", "OOM", "MISCONF", "NOREPLICAS", "UNBLOCKED"}

// elsewhere are the codes of a cluster's node whose key lives on another. The
// server judges the user's right before the key's place.
var elsewhere = []string{"MOVED", "ASK", "CROSSSLOT"}

// code is the code of a server's error; empty for any other error, a missing
// value (redis.Nil) and an EXEC that did nothing (redis.TxFailedErr).
func code(err error) string {
	said, ok := errors.AsType[redis.Error](err)
	if !ok || errors.Is(err, redis.Nil) || errors.Is(err, redis.TxFailedErr) {
		return ""
	}
	word, _, _ := strings.Cut(said.Error(), " ")
	return strings.TrimSuffix(word, ":")
}

// loginFault reads a failed connection or login. Nothing was changed by it.
func loginFault(as *value, addr string, err error) *lockstep.TargetError {
	te := &lockstep.TargetError{
		Outcome: lockstep.NotApplied, Err: fmt.Errorf("log in to %s as %q: %w", addr, as.user, err),
	}
	switch code(err) {
	case codeWrongPassword:
		te.Fault = lockstep.FaultRefusedLogin
	case "DENIED":
		te.Hint = "the server is in protected mode: let it listen for the workers"
	}
	return te
}

// askFault reads the failure of a command that changes nothing.
func askFault(doing string, as *value, err error) *lockstep.TargetError {
	te := &lockstep.TargetError{Outcome: lockstep.NotApplied, Err: fmt.Errorf("%s: %w", doing, err)}
	if code(err) == codeNoPermission {
		te.Fault = lockstep.FaultPermanent
		te.Hint = rights(as.user)
	}
	return te
}

// rights is what a person has to run for an admin that lacks something.
func rights(admin string) string {
	return "ACL SETUSER " + admin + " " + strings.Join(adminRules, " ")
}

// adminRules are all that the admin needs.
var adminRules = []string{
	"~lockstep:*", "+acl|setuser", "+acl|getuser", "+acl|save", "+config|get", "+config|rewrite",
	"+cluster|nodes", "+readonly", "+role", "+info", "+time", "+watch", "+multi", "+exec", "+get", "+set",
	"+client|id", "+client|list", "+client|kill",
}

// changeFault reads the failure of a command that may have changed something.
func changeFault(doing string, as *value, err error) *lockstep.TargetError {
	te := &lockstep.TargetError{Err: fmt.Errorf("%s: %w", doing, err)}
	switch c := code(err); {
	case errors.Is(err, redis.TxFailedErr):
		te.Outcome = lockstep.NotApplied
		te.Err = fmt.Errorf("%s: the change came too late, or a newer claim was faster: %w", doing, err)
	case c == "": // the answer is lost
	case c == codeNoPermission, c == codeExecAbort:
		te.Outcome, te.Fault, te.Hint = lockstep.NotApplied, lockstep.FaultPermanent, rights(as.user)
	default:
		te.Outcome = lockstep.NotApplied
	}
	return te
}

// saveFault reads a failed ACL SAVE or CONFIG REWRITE.
func saveFault(as *value, addr string, err error) *lockstep.TargetError {
	te := askFault("save the users of "+addr, as, err)
	if code(err) == codeError {
		te.Fault = lockstep.FaultPermanent
		te.Hint = "let the server write its ACL file or its configuration file: a restart would forget the new password"
	}
	return te
}

func probeFault(doing string, as *value, err error) *lockstep.TargetError {
	te := &lockstep.TargetError{Outcome: lockstep.NotApplied, Err: fmt.Errorf("%s: %w", doing, err)}
	if c := code(err); c != "" && !slices.Contains(passing, c) {
		te.Fault = lockstep.FaultPermanent
		te.Hint = fmt.Sprintf("give user %s what the probe needs, or correct the probe", as.user)
	}
	return te
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
