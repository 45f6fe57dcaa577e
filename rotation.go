package lockstep

import "time"

// Rotation is the policy on a Secret: which Rotator, when, and what happens to
// the old credential.
type Rotation struct {
	Enabled bool `json:"enabled"`
	// Rotator is the registered name, for example "postgres-alternating".
	Rotator string `json:"rotator"`
	// Custom is true for a registered one, somebody else's function: values
	// come from it through the API, and nothing but it knows the target.
	Custom bool `json:"custom,omitempty"`
	// Recipe is true for a registered recipe, which is found by its name in the
	// store, and Declared are its Traits: they are needed where no recipe can be
	// read, and a recipe that a Secret names is never changed.
	Recipe   bool   `json:"recipe,omitempty"`
	Declared Traits `json:"declared,omitzero"`
	// RotatorARN is RotationLambdaARN exactly as the user gave it.
	RotatorARN string     `json:"rotatorArn"`
	Schedule   Schedule   `json:"schedule"`
	Retirement Retirement `json:"retirement"`
	// Passwords is the Secret's own policy for new values, laid over the
	// rotator's.
	Passwords PasswordPolicy `json:"passwords,omitzero"`
	// MaxAttempts bounds the failed calls of one Run before it rolls back;
	// zero means DefaultMaxAttempts.
	MaxAttempts int `json:"maxAttempts,omitempty"`
	// RunDeadline bounds the time from a Run's first claim to its roll-back;
	// zero means DefaultRunDeadline.
	RunDeadline time.Duration `json:"runDeadline,omitempty"`
	// VerifyEvery is how often AWSCURRENT is tried at the target, to find drift;
	// zero means DefaultVerifyEvery, below zero never.
	VerifyEvery time.Duration `json:"verifyEvery,omitempty"`
}

// The defaults of a Rotation's limits.
const (
	// DefaultMaxAttempts outlasts the default deadline with the engine's pauses
	// (a second doubled up to a minute): a target that is away for less than an
	// hour fails no scheduled Run. Refusals and Runs that a person started get
	// fewer.
	DefaultMaxAttempts = 60
	DefaultRunDeadline = time.Hour
	DefaultVerifyEvery = 24 * time.Hour
	// UndoDeadline bounds how long a roll-back is tried after it began.
	UndoDeadline = 24 * time.Hour
)

// Attempts returns the number of failed calls a Run may make.
func (r *Rotation) Attempts() int {
	if r.MaxAttempts > 0 {
		return r.MaxAttempts
	}
	return DefaultMaxAttempts
}

// Deadline returns how long a Run may take.
func (r *Rotation) Deadline() time.Duration {
	if r.RunDeadline > 0 {
		return r.RunDeadline
	}
	return DefaultRunDeadline
}

// VerifyInterval returns how often AWSCURRENT is tried at the target; zero means
// never.
func (r *Rotation) VerifyInterval() time.Duration {
	if r.VerifyEvery == 0 {
		return DefaultVerifyEvery
	}
	return max(r.VerifyEvery, 0)
}

// Schedule is when a Secret rotates, as the user wrote it. Package schedule
// gives it its meaning. At most one of Expression and AfterDays is set; with
// neither, the Secret rotates only when asked.
type Schedule struct {
	// Expression is rate(…), cron(…), five-field cron, a descriptor or @every.
	Expression string `json:"expression,omitempty"`
	// AfterDays is AWS's AutomaticallyAfterDays, 1 to 1000.
	AfterDays int `json:"afterDays,omitempty"`
	// Duration is the window's length as AWS writes it, for example "2h".
	Duration string `json:"duration,omitempty"`
	// TimeZone is an IANA name; empty means UTC.
	TimeZone string `json:"timeZone,omitempty"`
	// Jitter is the longest delay that is added to a fire.
	Jitter time.Duration `json:"jitter,omitempty"`
	// CatchUp is what to do with a fire missed while down: "now" (default),
	// "next-window" or "skip".
	CatchUp string `json:"catchUp,omitempty"`
	// MaxAge is how old a credential may become: a deadline that outranks the
	// window. Zero means any age.
	MaxAge time.Duration `json:"maxAge,omitempty"`
	// Anchor is where the grid of rate and @every starts.
	Anchor time.Time `json:"anchor,omitzero"`
}

// IsZero tells whether there is no schedule.
func (s Schedule) IsZero() bool { return s.Expression == "" && s.AfterDays == 0 }

// RetireAfter is when the old credential may be removed.
type RetireAfter string

// The retirement policies.
const (
	// RetireNextRun is the default and what AWS does: the old credential lives
	// until the next Run needs its place.
	RetireNextRun RetireAfter = "next-run"
	// RetireDelay removes it a fixed time after finish.
	RetireDelay RetireAfter = "delay"
	// RetireManual waits for a person.
	RetireManual RetireAfter = "manual"
)

// Retirement is the policy for the old credential. The zero value is next-run.
type Retirement struct {
	After RetireAfter   `json:"after,omitempty"`
	Delay time.Duration `json:"delay,omitempty"`
}

// PasswordPolicy is what a Secret asks of its new passwords beyond its rotator's
// own policy. The zero value asks for nothing. Package password gives it its
// meaning.
type PasswordPolicy struct {
	// Length is the number of characters; zero means the rotator's, usually 32.
	Length int `json:"length,omitempty"`
	// ExcludeCharacters do not appear, beside those that the rotator leaves out.
	ExcludeCharacters string `json:"excludeCharacters,omitempty"`
	// The classes that do not appear.
	ExcludeUppercase   bool `json:"excludeUppercase,omitempty"`
	ExcludeLowercase   bool `json:"excludeLowercase,omitempty"`
	ExcludeNumbers     bool `json:"excludeNumbers,omitempty"`
	ExcludePunctuation bool `json:"excludePunctuation,omitempty"`
}

// Chooser says who chooses the value of a credential.
type Chooser int

const (
	// Chosen: Lockstep makes the value and tells the target.
	Chosen Chooser = iota
	// Issued: the target makes the value and tells Lockstep.
	Issued
	// ValueOnly: there is no target.
	ValueOnly
)

// Overlap says how many credentials a target accepts at once.
type Overlap int

const (
	// OneValue: setting the new one kills the old one.
	OneValue Overlap = iota
	// TwoAccounts: two principals with the same rights, used in turn.
	TwoAccounts
	// TwoValues: the target accepts an old and a new value of one account.
	TwoValues
)

// Traits is what a Rotator can promise about its kind of target. The engine
// chooses its rules by them (ROTATION-PROTOCOL.md section 5).
type Traits struct {
	Chooser Chooser
	Overlap Overlap
	// Ephemeral: nobody can revoke a value, and it dies by itself. It is set by
	// the registry, for a rotator of issued values that cannot retire one.
	Ephemeral bool
}

// OverwritesOld tells whether setting a new value makes every earlier value of
// the same Account invalid.
func (t Traits) OverwritesOld() bool {
	return t.Chooser != ValueOnly && (t.Overlap == OneValue || t.Overlap == TwoAccounts)
}

// KeepsTwoValues tells whether an Account accepts, once a new value is set, that
// value and AWSCURRENT, and no earlier one.
func (t Traits) KeepsTwoValues() bool { return t.Chooser == Chosen && t.Overlap == TwoValues }

// Retires tells whether there is an old credential to remove after finish.
func (t Traits) Retires() bool {
	return t.Chooser != ValueOnly && t.Overlap != OneValue && !t.Ephemeral
}

// IssuesOne tells whether issuing a value kills the one before it: the target is
// asked once, and what it answered is kept, or the Run is lost.
func (t Traits) IssuesOne() bool { return t.Chooser == Issued && t.Overlap == OneValue }
