package secretsmanager

import (
	"context"
	"encoding/json"

	"lockstep"
	"lockstep/api/awsjson"
	"lockstep/auth"
	"lockstep/auth/policy"
	"lockstep/keeper"
)

type putPolicyInput struct {
	SecretID          *string `json:"SecretId"`
	ResourcePolicy    *string `json:"ResourcePolicy"`
	BlockPublicPolicy *bool   `json:"BlockPublicPolicy"`
}

func (c *checks) policy(document *string) {
	f := awsjson.Field{Path: "resourcePolicy", Value: document, Sensitive: true}
	c.Required(f)
	c.Length(f, lengthPolicy)
}

func (in *putPolicyInput) Check() error {
	var c checks
	c.secretID(in.SecretID)
	c.policy(in.ResourcePolicy)
	return c.done(in.SecretID)
}

func (s *Service) putPolicy(ctx context.Context, r *request, in *putPolicyInput) (any, error) {
	parsed, err := policy.Parse(*in.ResourcePolicy, policy.ResourcePolicy)
	if err != nil {
		return nil, awsjson.Errorf(codeMalformedPolicy, "This resource policy contains a syntax error: %s", err)
	}
	if is(in.BlockPublicPolicy) && policy.IsPublic(parsed) {
		return nil, awsjson.Errorf(codePublicPolicy, "You can't attach this resource policy: it grants broad access to the secret, and BlockPublicPolicy is set.")
	}
	ref := s.ref(ctx, r, in.SecretID)
	may := ref.Allow
	ref.Allow = func(sec *lockstep.Secret) error {
		if err := may(sec); err != nil {
			return err
		}
		return s.keepsOwner(r, parsed, sec)
	}
	d, err := s.keeper.PutPolicy(ctx, ref, *in.ResourcePolicy)
	if err != nil {
		return nil, err
	}
	return named(d.Secret), nil
}

// keepsOwner refuses a policy after which not even the account's root user
// could put another one from where the caller is.
func (s *Service) keepsOwner(r *request, p *policy.Policy, sec *lockstep.Secret) error {
	owner := r.Caller
	owner.Principal = auth.Principal{ARN: auth.RootARN(sec.Account), Account: sec.Account}
	const action = TargetPrefix + ":PutResourcePolicy"
	by, locked := s.guard.LocksOut(auth.Question{Caller: owner, Action: action, Resource: string(sec.ARN), Secret: sec}, p)
	if !locked {
		return nil
	}
	return lockstep.Refuse(lockstep.ErrInvalid,
		"This resource policy would lock the owner of the secret out: %s denies the root user %s.", by, action)
}

type getPolicyInput struct {
	SecretID *string `json:"SecretId"`
}

func (in *getPolicyInput) Check() error { return checkOnlyID(in.SecretID) }

type policyOutput struct {
	secretOutput
	ResourcePolicy string `json:"ResourcePolicy,omitempty"`
}

func (s *Service) getPolicy(ctx context.Context, r *request, in *getPolicyInput) (any, error) {
	d, err := s.keeper.Describe(ctx, s.ref(ctx, r, in.SecretID))
	if err != nil {
		return nil, err
	}
	if d.Secret.Deleted() {
		return nil, keeper.ErrMarkedForDeletion // Terraform takes this for "gone"
	}
	return policyOutput{named(d.Secret), d.Secret.ResourcePolicy}, nil
}

type deletePolicyInput struct {
	SecretID *string `json:"SecretId"`
}

func (in *deletePolicyInput) Check() error { return checkOnlyID(in.SecretID) }

func (s *Service) deletePolicy(ctx context.Context, r *request, in *deletePolicyInput) (any, error) {
	d, err := s.keeper.DeletePolicy(ctx, s.ref(ctx, r, in.SecretID))
	if err != nil {
		return nil, err
	}
	return named(d.Secret), nil
}

type validatePolicyInput struct {
	SecretID       *string `json:"SecretId"`
	ResourcePolicy *string `json:"ResourcePolicy"`
}

func (in *validatePolicyInput) Check() error {
	var c checks
	if in.SecretID != nil {
		c.secretID(in.SecretID)
	}
	c.policy(in.ResourcePolicy)
	if err := c.Err(); err != nil || in.SecretID == nil {
		return err
	}
	return checkSecretID(in.SecretID)
}

type validationError struct {
	CheckName    string `json:"CheckName"`
	ErrorMessage string `json:"ErrorMessage"`
}

type validatePolicyOutput struct {
	Passed bool              `json:"PolicyValidationPassed"`
	Errors []validationError `json:"ValidationErrors"`
}

func (s *Service) validatePolicy(ctx context.Context, r *request, in *validatePolicyInput) (any, error) {
	if err := s.mayValidate(ctx, r, in.SecretID); err != nil {
		return nil, err
	}
	// What is no JSON object is no policy at all, as AWS has it; what is wrong
	// inside of one is a finding.
	var object map[string]json.RawMessage
	if json.Unmarshal([]byte(*in.ResourcePolicy), &object) != nil || object == nil {
		return nil, awsjson.Errorf(codeMalformedPolicy, "This resource policy contains invalid JSON.")
	}
	parsed, findings := policy.Validate(*in.ResourcePolicy, policy.ResourcePolicy)
	if parsed != nil {
		findings = append(findings, parsed.Public()...)
	}
	out := validatePolicyOutput{Passed: true, Errors: []validationError{}}
	for _, f := range findings {
		if f.Severity == policy.Fault {
			out.Passed = false
		}
		out.Errors = append(out.Errors, validationError{string(f.Check), f.Message})
	}
	return out, nil
}

func (s *Service) mayValidate(ctx context.Context, r *request, id *string) error {
	if id == nil {
		return s.mayOn(ctx, r, "*")
	}
	_, err := s.keeper.Describe(ctx, s.ref(ctx, r, id))
	return err
}
