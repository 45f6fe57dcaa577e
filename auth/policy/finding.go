package policy

// Check is the name of what a Finding is about. It is stable: APIs show it as
// CheckName.
type Check string

// The checks. CheckLockout is for callers of [Policy.LocksOut], which returns
// a Decision and no Finding.
const (
	CheckSyntax             Check = "MALFORMED_POLICY"
	CheckUnknownAction      Check = "UNKNOWN_ACTION"
	CheckUnknownKey         Check = "UNKNOWN_CONDITION_KEY"
	CheckMalformedARN       Check = "MALFORMED_ARN"
	CheckNoEffect           Check = "STATEMENT_WITHOUT_EFFECT"
	CheckDeadVariable       Check = "VARIABLE_NOT_SUBSTITUTED"
	CheckWildcardNotLike    Check = "WILDCARD_WITHOUT_LIKE"
	CheckVacuousForAll      Check = "FOR_ALL_VALUES_WITHOUT_NULL_CHECK"
	CheckPublic             Check = "PUBLIC_ACCESS"
	CheckUnrestrictedIssuer Check = "WEB_IDENTITY_WITHOUT_SUBJECT"
	CheckLockout            Check = "OWNER_LOCKED_OUT"
)

// Severity says what to make of a Finding.
type Severity int

const (
	// Warning: the policy works, but perhaps not as meant.
	Warning Severity = iota
	// Fault: the policy cannot be meant like this.
	Fault
)

// String returns "warning" or "error".
func (s Severity) String() string {
	if s == Fault {
		return "error"
	}
	return "warning"
}

// Finding is one thing to know about a policy.
type Finding struct {
	Check     Check
	Severity  Severity
	Statement StatementRef
	// Line and Column count from 1; 0: the whole document.
	Line, Column int
	Message      string
}

func (p *Policy) finding(s *statement, check Check, severity Severity, message string) Finding {
	line, column := position([]byte(p.source), s.offset)
	return Finding{Check: check, Severity: severity, Statement: s.ref, Line: line, Column: column, Message: message}
}
