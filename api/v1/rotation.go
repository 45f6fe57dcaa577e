package v1

import (
	"context"
	"errors"
	"io"
	"time"

	"lockstep"
	"lockstep/api/awsjson"
	"lockstep/runs"
)

// scheduleBody is a Schedule on the wire.
type scheduleBody struct {
	Expression string `json:"expression,omitempty"`
	AfterDays  int64  `json:"afterDays,omitempty"`
	Duration   string `json:"duration,omitempty"`
	TimeZone   string `json:"timeZone,omitempty"`
	Jitter     string `json:"jitter,omitempty"`
	CatchUp    string `json:"catchUp,omitempty"`
	MaxAge     string `json:"maxAge,omitempty"`
}

// schedule reads it.
func (b *scheduleBody) schedule() (lockstep.Schedule, error) {
	out := lockstep.Schedule{
		Expression: b.Expression, AfterDays: int(b.AfterDays), Duration: b.Duration, TimeZone: b.TimeZone, CatchUp: b.CatchUp,
	}
	var err error
	if out.Jitter, err = durationOf("schedule.jitter", b.Jitter); err != nil {
		return out, err
	}
	out.MaxAge, err = durationOf("schedule.maxAge", b.MaxAge)
	return out, err
}

// retirementBody is a Retirement on the wire.
type retirementBody struct {
	After string `json:"after,omitempty"`
	Delay string `json:"delay,omitempty"`
}

// passwordsBody is a PasswordPolicy as it comes.
type passwordsBody struct {
	Length             int64  `json:"length"`
	ExcludeCharacters  string `json:"excludeCharacters"`
	ExcludeUppercase   bool   `json:"excludeUppercase"`
	ExcludeLowercase   bool   `json:"excludeLowercase"`
	ExcludeNumbers     bool   `json:"excludeNumbers"`
	ExcludePunctuation bool   `json:"excludePunctuation"`
}

// policy reads it; nil stays nil.
func (b *passwordsBody) policy() *lockstep.PasswordPolicy {
	if b == nil {
		return nil
	}
	return &lockstep.PasswordPolicy{
		Length: int(b.Length), ExcludeCharacters: b.ExcludeCharacters,
		ExcludeUppercase: b.ExcludeUppercase, ExcludeLowercase: b.ExcludeLowercase,
		ExcludeNumbers: b.ExcludeNumbers, ExcludePunctuation: b.ExcludePunctuation,
	}
}

type rotationOutput struct {
	Secret     secretName      `json:"secret"`
	Enabled    bool            `json:"enabled"`
	Rotator    string          `json:"rotator,omitempty"`
	RotatorARN string          `json:"rotatorArn,omitempty"`
	Schedule   *scheduleBody   `json:"schedule,omitempty"`
	Retirement *retirementBody `json:"retirement,omitempty"`
	// Passwords is absent where the rotator's own policy holds alone.
	Passwords *lockstep.PasswordPolicy `json:"passwords,omitempty"`
	// VerifyEvery is how often AWSCURRENT is tried at the target; "off" for never.
	VerifyEvery  string    `json:"verifyEvery,omitempty"`
	NextRotation time.Time `json:"nextRotation,omitzero"`
	LastRotated  time.Time `json:"lastRotated,omitzero"`
}

func showRotation(s *lockstep.Secret) rotationOutput {
	out := rotationOutput{Secret: nameOf(s), LastRotated: s.LastRotated.UTC()}
	r := s.Rotation
	if r == nil {
		return out
	}
	out.Enabled, out.Rotator, out.RotatorARN = r.Enabled, r.Rotator, r.RotatorARN
	after := r.Retirement.After
	if after == "" {
		after = lockstep.RetireNextRun
	}
	out.Retirement = &retirementBody{After: string(after), Delay: durationText(r.Retirement.Delay)}
	if own := r.Passwords; own != (lockstep.PasswordPolicy{}) {
		out.Passwords = &own
	}
	if plan := r.Schedule; !plan.IsZero() {
		out.Schedule = &scheduleBody{
			Expression: plan.Expression, AfterDays: int64(plan.AfterDays), Duration: plan.Duration,
			TimeZone: plan.TimeZone, Jitter: durationText(plan.Jitter), CatchUp: plan.CatchUp,
			MaxAge: durationText(plan.MaxAge),
		}
	}
	out.VerifyEvery = verifyText(r.VerifyInterval())
	if r.Enabled {
		out.NextRotation = s.NextRotation.UTC()
	}
	return out
}

// verifyOff stands for no look at the target at all.
const verifyOff = "off"

func verifyText(d time.Duration) string {
	if d == 0 {
		return verifyOff
	}
	return d.String()
}

func verifyOf(given string) (time.Duration, error) {
	if given == verifyOff {
		return -1, nil
	}
	return durationOf("verifyEvery", given)
}

func durationText(d time.Duration) string {
	if d == 0 {
		return ""
	}
	return d.String()
}

func (a *API) getRotation(ctx context.Context, c call) (any, error) {
	ref, err := a.ref(ctx, c)
	if err != nil {
		return nil, err
	}
	d, err := a.config.Secrets.Describe(ctx, ref)
	if err != nil {
		return nil, err
	}
	return showRotation(d.Secret), nil
}

// rotationInput is what PUT sets. What is absent stays as it is; a schedule or
// retirement or password policy that is there replaces the stored one as a whole.
type rotationInput struct {
	Rotator    *string         `json:"rotator"`
	Schedule   *scheduleBody   `json:"schedule"`
	Retirement *retirementBody `json:"retirement"`
	// Passwords replaces the stored policy as a whole; {} asks for nothing.
	Passwords *passwordsBody `json:"passwords"`
	// VerifyEvery is a duration, "off", or empty for once a day.
	VerifyEvery *string `json:"verifyEvery"`
}

func (a *API) putRotation(ctx context.Context, c call) (any, error) {
	ref, err := a.ref(ctx, c)
	if err != nil {
		return nil, err
	}
	in, err := readRotation(c)
	if err != nil {
		return nil, err
	}
	s, err := a.config.Rotations.Configure(ctx, ref, in)
	if err != nil {
		return nil, err
	}
	return showRotation(s), nil
}

func readRotation(c call) (runs.RotateInput, error) {
	body, err := io.ReadAll(c.Body) // in memory already, under the signature's limit
	if err != nil {
		return runs.RotateInput{}, err
	}
	var in rotationInput
	if err := awsjson.DecodeKnown(body, &in); err != nil {
		return runs.RotateInput{}, unreadable(err)
	}
	out := runs.RotateInput{RotatorARN: in.Rotator, Passwords: in.Passwords.policy()}
	if in.Schedule != nil {
		s, err := in.Schedule.schedule()
		if err != nil {
			return out, err
		}
		out.Schedule = &s
	}
	if in.VerifyEvery != nil {
		every, err := verifyOf(*in.VerifyEvery)
		if err != nil {
			return out, err
		}
		out.VerifyEvery = &every
	}
	if in.Retirement != nil {
		delay, err := durationOf("retirement.delay", in.Retirement.Delay)
		if err != nil {
			return out, err
		}
		out.Retirement = &lockstep.Retirement{After: lockstep.RetireAfter(in.Retirement.After), Delay: delay}
	}
	return out, nil
}

func unreadable(err error) error {
	var bad *awsjson.Error
	if errors.As(err, &bad) {
		return invalid(bad.Message, "")
	}
	return err
}

func durationOf(field, given string) (time.Duration, error) {
	if given == "" {
		return 0, nil
	}
	d, err := time.ParseDuration(given)
	if err != nil || d < 0 {
		return 0, invalid("The field \""+field+"\" is not a duration.", "Write it as \"90s\" or \"1h30m\".")
	}
	return d, nil
}
