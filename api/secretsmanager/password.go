package secretsmanager

import (
	"context"

	"lockstep/api/awsjson"
	"lockstep/password"
)

type passwordInput struct {
	Length             *int64  `json:"PasswordLength"`
	Exclude            *string `json:"ExcludeCharacters"`
	ExcludeNumbers     *bool   `json:"ExcludeNumbers"`
	ExcludePunctuation *bool   `json:"ExcludePunctuation"`
	ExcludeUppercase   *bool   `json:"ExcludeUppercase"`
	ExcludeLowercase   *bool   `json:"ExcludeLowercase"`
	IncludeSpace       *bool   `json:"IncludeSpace"`
	RequireEach        *bool   `json:"RequireEachIncludedType"`
}

func (in *passwordInput) Check() error {
	var c checks
	c.text("excludeCharacters", in.Exclude, awsjson.Length{Min: 0, Max: password.MaxExclude})
	c.Range("passwordLength", in.Length, 1, password.MaxLength)
	return c.Err()
}

func (in *passwordInput) policy() password.Policy {
	p := password.Policy{
		Exclude: text(in.Exclude), ExcludeNumbers: is(in.ExcludeNumbers), ExcludePunctuation: is(in.ExcludePunctuation),
		ExcludeUpper: is(in.ExcludeUppercase), ExcludeLower: is(in.ExcludeLowercase), IncludeSpace: is(in.IncludeSpace),
		RequireEachIncludedType: in.RequireEach == nil || *in.RequireEach,
	}
	if in.Length != nil {
		p.Length = int(*in.Length)
	}
	return p
}

// is tells whether a flag was given and set.
func is(flag *bool) bool { return flag != nil && *flag }

type passwordOutput struct {
	RandomPassword string `json:"RandomPassword"`
}

func (s *Service) randomPassword(ctx context.Context, r *request, in *passwordInput) (any, error) {
	if err := s.mayOn(ctx, r, "*"); err != nil {
		return nil, err
	}
	made, err := in.policy().Generate()
	if err != nil {
		return nil, err
	}
	return passwordOutput{made}, nil
}
