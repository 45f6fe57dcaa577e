// Package generic makes random values that no server is told of ("generic"):
// API keys, tokens and passwords that people carry on by hand, or that the
// application itself hands out. A Run makes the value by the policy and moves
// AWSCURRENT; set and test have nobody to ask.
//
// # Which part of the value
//
// A secret that is a text is replaced as a whole. One that is a JSON object
// keeps everything but one field: the field that "rotate" names, else
// "password", else the only one of "apiKey", "api_key", "token", "secret" and
// "key" that is there. A JSON object in which this cannot be told, a JSON list
// and a binary value make the Run fail: replacing the whole of them would lose
// what else they hold.
package generic

import (
	"bytes"
	"context"
	"fmt"
	"strings"

	"lockstep"
	"lockstep/password"
	"lockstep/rotators"
	"lockstep/rotators/jsonvalue"
)

// Name is the name under which cmd registers the rotator.
const Name = "generic"

// Config is what the rotator needs. The zero Config is ready to use.
type Config struct {
	// Passwords is the policy of new values; the zero Policy means
	// password.ForRotation.
	Passwords password.Policy
}

// Rotator is the rotator "generic". It holds no state and is safe for
// concurrent use.
type Rotator struct{ passwords password.Policy }

// New makes the rotator. Errors: ErrInvalid if no value can satisfy the policy.
func New(cfg Config) (*Rotator, error) {
	if cfg.Passwords == (password.Policy{}) {
		cfg.Passwords = password.ForRotation()
	}
	if err := cfg.Passwords.Validate(); err != nil {
		return nil, fmt.Errorf("rotator %s: %w", Name, err)
	}
	return &Rotator{passwords: cfg.Passwords}, nil
}

// Traits: a value, and no target.
func (*Rotator) Traits() lockstep.Traits { return lockstep.Traits{Chooser: lockstep.ValueOnly} }

// Create is AWSCURRENT with a new random text in its place. Errors:
// FaultPermanent if it cannot be told which part is the credential.
func (r *Rotator) Create(_ context.Context, req *rotators.Request) (lockstep.Value, error) {
	object, field, err := place(req.Current)
	if err != nil {
		return lockstep.Value{}, malformed(err)
	}
	policy, err := r.passwords.With(req.Passwords)
	if err != nil {
		return lockstep.Value{}, malformed(err)
	}
	text, err := policy.Generate()
	if err != nil {
		return lockstep.Value{}, malformed(err)
	}
	if object == nil {
		return lockstep.StringValue(text), nil
	}
	v, err := object.With(field, text)
	if err != nil {
		return lockstep.Value{}, malformed(err)
	}
	return v, nil
}

// Set has nobody to tell. Errors: FaultPermanent if the value is none that
// Create makes.
func (*Rotator) Set(_ context.Context, req *rotators.Request) error { return known(req.Pending) }

// Test has nobody to ask. Errors: as Set.
func (*Rotator) Test(_ context.Context, _ *rotators.Request, v lockstep.Value) error {
	return known(v)
}

func known(v lockstep.Value) error {
	if _, _, err := place(v); err != nil {
		return malformed(err)
	}
	return nil
}

// Plan says which part of the value a Run would replace.
func (*Rotator) Plan(ctx context.Context, req *rotators.Request) (rotators.Plan, error) {
	var p rotators.Plan
	object, field, err := place(req.Current)
	if err != nil {
		te := malformed(err)
		p.Problems = append(p.Problems, rotators.Problem{Step: lockstep.StepCreate, Problem: te.Error(), Hint: te.Hint})
		return p, ctx.Err()
	}
	what := "the value"
	if object != nil {
		what = fmt.Sprintf("the field %q of the value", field)
	}
	p.Actions = []string{
		"create: replace " + what + " by a new random one",
		"set, test: nothing; this rotator knows no target. Who uses the value learns of it by the event",
	}
	return p, ctx.Err()
}

// chooser is the field that names the one to be replaced.
const chooser = "rotate"

// usual are the names of a credential, besides "password".
var usual = []string{"apiKey", "api_key", "token", "secret", "key"}

// place finds what is to be replaced: a field of an object, or, with a nil
// object, all. Errors: ErrInvalid.
func place(v lockstep.Value) (*jsonvalue.Object, string, error) {
	text := bytes.TrimSpace(v.Bytes())
	if len(text) == 0 {
		return nil, "", fmt.Errorf("the secret has no value: %w", lockstep.ErrInvalid)
	}
	if text[0] != '{' {
		return nil, "", plain(v, text)
	}
	object, err := jsonvalue.Parse(v)
	if err != nil {
		return nil, "", err
	}
	field, err := fieldOf(object)
	if err != nil {
		return nil, "", err
	}
	// Else a number or a list would become a text without a word.
	if _, err := object.Text(field, ""); err != nil {
		return nil, "", err
	}
	return object, field, nil
}

// plain refuses what is no text: a list, or bytes.
func plain(v lockstep.Value, text []byte) error {
	if v.IsBinary() {
		return fmt.Errorf("the secret value is binary: %w", lockstep.ErrInvalid)
	}
	if text[0] == '[' {
		return fmt.Errorf("the secret value is a JSON list: %w", lockstep.ErrInvalid)
	}
	return nil
}

func fieldOf(object *jsonvalue.Object) (string, error) {
	named, err := object.Text(chooser, "")
	if err != nil {
		return "", err
	}
	if named == chooser {
		return "", fmt.Errorf("the field %q names itself: %w", chooser, lockstep.ErrInvalid)
	}
	if named == "" && object.Has("password") {
		named = "password"
	}
	if named != "" {
		if !object.Has(named) {
			return "", fmt.Errorf("the secret value lacks the field that %q names: %w", chooser, lockstep.ErrInvalid)
		}
		return named, nil
	}
	var found []string
	for _, name := range usual {
		if object.Has(name) {
			found = append(found, name)
		}
	}
	if len(found) != 1 {
		return "", fmt.Errorf("the secret value has %d of the fields password, %s: %w", len(found), strings.Join(usual, ", "), lockstep.ErrInvalid)
	}
	return found[0], nil
}

// malformed is the error of a value that can never work.
func malformed(err error) *lockstep.TargetError {
	return &lockstep.TargetError{
		Outcome: lockstep.NotApplied, Fault: lockstep.FaultPermanent,
		Hint: `put a plain text, or name the field to replace: {"rotate":"apiKey","apiKey":"…"}`,
		Err:  fmt.Errorf("read the value: %w", err),
	}
}
