package lockstep

import (
	"errors"
	"fmt"
)

// The sentinel errors. Match them with errors.Is; the text around them says
// what was being done and what to do next.
var (
	// ErrNotFound: there is no such thing. Check the name.
	ErrNotFound = errors.New("not found")
	// ErrExists: the name or id is taken by another thing.
	ErrExists = errors.New("already exists")
	// ErrDenied: the caller may not do this.
	ErrDenied = errors.New("access denied")
	// ErrInvalid: the input can never work. Correct it; a retry is useless.
	ErrInvalid = errors.New("invalid")
	// ErrState: the request is right but the thing is in a state that does not
	// allow it now (marked for deletion, a Run is open, …).
	ErrState = errors.New("not possible in the present state")
	// ErrVersionClaimed: the ClientRequestToken already names a Version with
	// other data.
	ErrVersionClaimed = errors.New("version id already in use for other data")
	// ErrLimit: one more of these would exceed a quota. Remove some first.
	ErrLimit = errors.New("limit exceeded")
	// ErrConflict: another writer was faster. Read again and decide anew.
	ErrConflict = errors.New("conflict")
	// ErrFenced: the lease was lost to a newer claim, or ran out. Stop at once
	// and write nothing more.
	ErrFenced = errors.New("lease lost")
	// ErrBusy: the resource is held by another; back off and try later.
	ErrBusy = errors.New("busy")
	// ErrSealed: the root key is away (HSM unreachable, passphrase missing).
	// Reads fail closed until it is back.
	ErrSealed = errors.New("root key unavailable")
	// ErrDecrypt: a ciphertext does not authenticate: it was changed, belongs
	// to another row, or another key sealed it.
	ErrDecrypt = errors.New("ciphertext does not authenticate")
	// ErrUnknownRotator: no rotator of that name is registered.
	ErrUnknownRotator = errors.New("unknown rotator")
)

// Outcome tells what a failed call did at the target. It decides what may be
// done next.
type Outcome int

const (
	// Unknown: the answer was lost; the call may have been applied, may be
	// applied later, or never. Nothing is concluded before no older call can
	// land; then the target is probed. The zero value, so that a forgotten
	// outcome is the careful one.
	Unknown Outcome = iota
	// NotApplied: the target certainly did not do it. It may be tried again.
	NotApplied
	// Applied: the target did it.
	Applied
)

// String returns the outcome's name as it stands in run histories.
func (o Outcome) String() string {
	switch o {
	case NotApplied:
		return "not-applied"
	case Applied:
		return "applied"
	default:
		return "unknown"
	}
}

// Fault says what kind of trouble a call to a target met, beside its Outcome.
type Fault int

const (
	// FaultTransient: worth another try later (unreachable, busy, starting).
	FaultTransient Fault = iota
	// FaultPermanent: no retry of this Run will help; a person must change
	// something (missing right, wrong admin password, malformed secret).
	FaultPermanent
	// FaultRefusedValue: the target explicitly refused this value (password
	// policy); another value may be accepted.
	FaultRefusedValue
	// FaultRefusedLogin: the target said that this credential does not log in.
	// It is a verdict, not a failure to ask.
	FaultRefusedLogin
)

// TargetError is what a rotator returns when a call to its target fails.
type TargetError struct {
	// Outcome is what the call did; Unknown unless it is proven.
	Outcome Outcome
	// Fault is the kind of trouble.
	Fault Fault
	// Hint is the next step for a person, without any value; may be empty.
	Hint string
	// Err holds the target's own words. It never contains a value.
	Err error
}

func (e *TargetError) Error() string {
	if e.Err == nil {
		return "call to the target failed"
	}
	return e.Err.Error()
}

// Unwrap returns the target's own error.
func (e *TargetError) Unwrap() error { return e.Err }

// AsTargetError finds the TargetError in err's chain. For any other error it
// returns one with Outcome Unknown and FaultTransient: the careful reading.
func AsTargetError(err error) *TargetError {
	var te *TargetError
	if errors.As(err, &te) {
		return te
	}
	return &TargetError{Err: err}
}

// StepError is a Step of a Run that failed, in full.
type StepError struct {
	Secret  string
	Run     RunID
	Step    Step
	Attempt int
	Outcome Outcome
	Hint    string
	Err     error
}

func (e *StepError) Error() string {
	msg := fmt.Sprintf("secret %s: step %s: %v", e.Secret, e.Step, e.Err)
	if e.Hint != "" {
		msg += " (" + e.Hint + ")"
	}
	return msg
}

// Unwrap returns the cause.
func (e *StepError) Unwrap() error { return e.Err }

// Refusal is an error whose text is meant for the caller word for word: the
// APIs show Message and choose the error's type by Kind.
type Refusal struct {
	// Kind is one of the sentinel errors above.
	Kind error
	// Message is complete and holds no value.
	Message string
}

func (e *Refusal) Error() string { return e.Message }

// Unwrap returns the kind, so that errors.Is finds the sentinel.
func (e *Refusal) Unwrap() error { return e.Kind }

// Refuse makes a Refusal.
func Refuse(kind error, format string, args ...any) error {
	return &Refusal{Kind: kind, Message: fmt.Sprintf(format, args...)}
}
