package manifest

import (
	"errors"
	"time"

	"github.com/goccy/go-yaml/ast"

	"lockstep"
	"lockstep/auth/policy"
	"lockstep/internal/yamltree"
	"lockstep/password"
)

// Secret is a secret without its value.
type Secret struct {
	Kind        string            `yaml:"kind"`
	Name        string            `yaml:"name"`
	Description *string           `yaml:"description"`
	KMSKeyID    *string           `yaml:"kmsKeyId"`
	Tags        map[string]string `yaml:"tags"`
	ValueFrom   *ValueFrom        `yaml:"valueFrom"`
}

// ValueFrom says where a value comes from: exactly one field is set.
type ValueFrom struct {
	// File is a path, relative to the manifest. A newline at its end does not
	// count.
	File string `yaml:"file"`
	// Env is the name of a variable.
	Env string `yaml:"env"`
	// Generate makes a random value, once: when the secret has none.
	Generate *Generate `yaml:"generate"`
}

// Generate are the rules of a random value; zero fields are AWS's defaults.
type Generate struct {
	Length             int64  `yaml:"length"`
	ExcludeCharacters  string `yaml:"excludeCharacters"`
	ExcludePunctuation bool   `yaml:"excludePunctuation"`
	ExcludeUppercase   bool   `yaml:"excludeUppercase"`
	ExcludeLowercase   bool   `yaml:"excludeLowercase"`
	ExcludeNumbers     bool   `yaml:"excludeNumbers"`
}

func (s *Secret) check(m *ast.MappingNode) (string, error) {
	if err := required(m, "name"); err != nil {
		return "", err
	}
	v := s.ValueFrom
	if v == nil {
		return s.Name, nil
	}
	given := 0
	for _, is := range []bool{v.File != "", v.Env != "", v.Generate != nil} {
		if is {
			given++
		}
	}
	if given != 1 {
		return "", yamltree.Fail(yamltree.ValueOf(m, "valueFrom"), "valueFrom needs exactly one of file, env and generate")
	}
	return s.Name, nil
}

// Rotation is when and how a secret rotates.
type Rotation struct {
	Kind       string      `yaml:"kind"`
	Secret     string      `yaml:"secret"`
	Rotator    *string     `yaml:"rotator"`
	Schedule   *Schedule   `yaml:"schedule"`
	Retirement *Retirement `yaml:"retirement"`
	Passwords  *Passwords  `yaml:"passwords"`
}

// Schedule is when a secret rotates.
type Schedule struct {
	Expression string `yaml:"expression"`
	AfterDays  int64  `yaml:"afterDays"`
	Window     string `yaml:"window"`
	TimeZone   string `yaml:"timeZone"`
	Jitter     string `yaml:"jitter"`
	CatchUp    string `yaml:"catchUp"`
}

// Retirement is what becomes of the old credential.
type Retirement struct {
	After string `yaml:"after"`
	Delay string `yaml:"delay"`
}

// Passwords is the secret's own policy for new passwords.
type Passwords struct {
	Length             int64  `yaml:"length"`
	ExcludeCharacters  string `yaml:"excludeCharacters"`
	ExcludeUppercase   bool   `yaml:"excludeUppercase"`
	ExcludeLowercase   bool   `yaml:"excludeLowercase"`
	ExcludeNumbers     bool   `yaml:"excludeNumbers"`
	ExcludePunctuation bool   `yaml:"excludePunctuation"`
}

// Policy is what the engine makes of it.
func (p Passwords) Policy() lockstep.PasswordPolicy {
	return lockstep.PasswordPolicy{
		Length: int(p.Length), ExcludeCharacters: p.ExcludeCharacters,
		ExcludeUppercase: p.ExcludeUppercase, ExcludeLowercase: p.ExcludeLowercase,
		ExcludeNumbers: p.ExcludeNumbers, ExcludePunctuation: p.ExcludePunctuation,
	}
}

// checkPasswords refuses what the server would refuse, with its place.
func (r *Rotation) checkPasswords(m *ast.MappingNode) error {
	if r.Passwords == nil {
		return nil
	}
	if _, err := password.ForRotation().With(r.Passwords.Policy()); err != nil {
		return yamltree.Fail(yamltree.ValueOf(m, "passwords"), "%s", err)
	}
	return nil
}

func (r *Rotation) check(m *ast.MappingNode) (string, error) {
	err := required(m, "secret")
	if r.Schedule != nil && err == nil {
		r.Schedule.Jitter, err = duration(m, "schedule", "jitter", r.Schedule.Jitter)
	}
	if r.Retirement != nil && err == nil {
		r.Retirement.Delay, err = duration(m, "retirement", "delay", r.Retirement.Delay)
	}
	if err == nil {
		err = r.checkPasswords(m)
	}
	return r.Secret, err
}

// duration checks a duration, and writes it as the server does.
func duration(m *ast.MappingNode, outer, inner, text string) (string, error) {
	if text == "" {
		return "", nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 {
		within, _ := yamltree.ValueOf(m, outer).(*ast.MappingNode) // decode has seen that it is one
		return "", yamltree.Fail(yamltree.ValueOf(within, inner), "%q is not a duration such as 90s or 1h30m", text)
	}
	if d == 0 {
		return "", nil
	}
	return d.String(), nil
}

// User is a user; groups and policies that it names are all that it has.
type User struct {
	Kind     string            `yaml:"kind"`
	Name     string            `yaml:"name"`
	Tags     map[string]string `yaml:"tags"`
	Boundary *string           `yaml:"boundary"`
	Groups   []string          `yaml:"groups"`
	Policies []string          `yaml:"policies"`
}

func (u *User) check(m *ast.MappingNode) (string, error) { return u.Name, required(m, "name") }

// Group is a group; policies that it names are all that it has.
type Group struct {
	Kind     string   `yaml:"kind"`
	Name     string   `yaml:"name"`
	Policies []string `yaml:"policies"`
}

func (g *Group) check(m *ast.MappingNode) (string, error) { return g.Name, required(m, "name") }

// Role is a role; policies that it names are all that it has.
type Role struct {
	Kind        string            `yaml:"kind"`
	Name        string            `yaml:"name"`
	Description *string           `yaml:"description"`
	Trust       JSON              `yaml:"trust"`
	Tags        map[string]string `yaml:"tags"`
	Boundary    *string           `yaml:"boundary"`
	Policies    []string          `yaml:"policies"`
}

func (r *Role) check(m *ast.MappingNode) (string, error) {
	if err := required(m, "name", "trust"); err != nil {
		return "", err
	}
	return r.Name, checkPolicy(yamltree.ValueOf(m, "trust"), r.Trust, policy.TrustPolicy)
}

// Policy is a managed identity policy.
type Policy struct {
	Kind        string  `yaml:"kind"`
	Name        string  `yaml:"name"`
	Description *string `yaml:"description"`
	Document    JSON    `yaml:"document"`
}

func (p *Policy) check(m *ast.MappingNode) (string, error) {
	if err := required(m, "name", "document"); err != nil {
		return "", err
	}
	return p.Name, checkPolicy(yamltree.ValueOf(m, "document"), p.Document, policy.IdentityPolicy)
}

// ResourcePolicy is the policy on a secret.
type ResourcePolicy struct {
	Kind     string `yaml:"kind"`
	Secret   string `yaml:"secret"`
	Document JSON   `yaml:"document"`
	// BlockPublic refuses a policy that lets in anyone.
	BlockPublic bool `yaml:"blockPublic"`
}

func (p *ResourcePolicy) check(m *ast.MappingNode) (string, error) {
	if err := required(m, "secret", "document"); err != nil {
		return "", err
	}
	return p.Secret, checkPolicy(yamltree.ValueOf(m, "document"), p.Document, policy.ResourcePolicy)
}

// checkPolicy places what is wrong at the policy: its own line and column are
// those of the JSON that was made of it, so statement and element say where.
func checkPolicy(at ast.Node, document JSON, kind policy.Kind) error {
	_, err := policy.Parse(string(document), kind)
	var syntax *policy.SyntaxError
	if errors.As(err, &syntax) {
		said := *syntax
		said.Line, said.Column = 0, 0
		return yamltree.Fail(at, "%s", said.Error())
	}
	if err != nil {
		return yamltree.Fail(at, "%v", err)
	}
	return nil
}

// required refuses a document without one of these fields, or with an empty
// one.
func required(m *ast.MappingNode, names ...string) error {
	for _, name := range names {
		v := yamltree.ValueOf(m, name)
		if v == nil {
			return yamltree.Fail(m, "the field %s is missing", name)
		}
		if s, ok := v.(*ast.StringNode); ok && s.Value == "" {
			return yamltree.Fail(v, "the field %s is empty", name)
		}
	}
	return nil
}
