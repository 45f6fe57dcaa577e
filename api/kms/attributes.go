package kms

import (
	"context"

	"lockstep/api/awsjson"
	"lockstep/auth"
	"lockstep/keys"
	"lockstep/store"
)

// policyName is the one name that a key policy has.
const policyName = "default"

type policyInput struct {
	KeyID *string `json:"KeyId"`
	Name  *string `json:"PolicyName"`
}

func (in *policyInput) Check() error {
	var c checks
	c.id(in.KeyID)
	if err := c.Err(); err != nil {
		return err
	}
	return checkPolicyName(in.Name)
}

func checkPolicyName(name *string) error {
	if name != nil && *name != policyName {
		return awsjson.Errorf(codeNotFound, "No such policy exists")
	}
	return nil
}

type policyOutput struct {
	Policy string `json:"Policy"`
	Name   string `json:"PolicyName"`
}

func (s *Service) getPolicy(ctx context.Context, r *request, in *policyInput) (any, error) {
	if err := onlyKey(*in.KeyID); err != nil {
		return nil, err
	}
	k, err := s.keys.Find(ctx, s.ref(ctx, r, *in.KeyID))
	if err != nil {
		return nil, err
	}
	return policyOutput{keys.PolicyOf(k), policyName}, nil
}

type listPoliciesOutput struct {
	Names []string `json:"PolicyNames"`
	listed
}

func (s *Service) listPolicies(ctx context.Context, r *request, in *keyInput) (any, error) {
	if err := onlyKey(*in.KeyID); err != nil {
		return nil, err
	}
	if _, err := s.keys.Find(ctx, s.ref(ctx, r, *in.KeyID)); err != nil {
		return nil, err
	}
	return listPoliciesOutput{Names: []string{policyName}}, nil
}

type putPolicyInput struct {
	KeyID  *string `json:"KeyId"`
	Name   *string `json:"PolicyName"`
	Policy *string `json:"Policy"`
	Bypass *bool   `json:"BypassPolicyLockoutSafetyCheck"`
}

func (in *putPolicyInput) Check() error {
	var c checks
	c.id(in.KeyID)
	f := awsjson.Field{Path: "policy", Value: in.Policy, Sensitive: true}
	c.Required(f)
	c.Length(f, lengthPolicy)
	if err := c.Err(); err != nil {
		return err
	}
	return checkPolicyName(in.Name)
}

func (s *Service) putPolicy(ctx context.Context, r *request, in *putPolicyInput) (any, error) {
	if err := onlyKey(*in.KeyID); err != nil {
		return nil, err
	}
	r.keys = append(r.keys, auth.Key{Name: "kms:BypassPolicyLockoutSafetyCheck", Values: []string{boolText(is(in.Bypass))}})
	ref := s.ref(ctx, r, *in.KeyID)
	may := ref.Allow
	ref.Allow = func(k *store.MasterKey) error {
		if err := may(k); err != nil {
			return err
		}
		_, err := s.goodPolicy(r, k, *in.Policy, in.Bypass)
		return err
	}
	return nil, s.keys.PutPolicy(ctx, ref, *in.Policy)
}

func boolText(b bool) string {
	if b {
		return "true"
	}
	return "false"
}

type tagInput struct {
	KeyID *string `json:"KeyId"`
	Tags  []tag   `json:"Tags"`
}

func (in *tagInput) Check() error {
	var c checks
	c.id(in.KeyID)
	if in.Tags == nil {
		c.Required(awsjson.Field{Path: "tags"})
	}
	c.tags(in.Tags)
	return c.Err()
}

func (s *Service) tag(ctx context.Context, r *request, in *tagInput) (any, error) {
	tags, err := tagsOf(in.Tags)
	if err == nil {
		err = onlyKey(*in.KeyID)
	}
	if err != nil {
		return nil, err
	}
	for _, t := range tags {
		r.keys = append(r.keys, auth.Key{Name: "aws:RequestTag/" + t.Key, Values: []string{t.Value}})
	}
	return nil, s.keys.Tag(ctx, s.ref(ctx, r, *in.KeyID), tags)
}

type untagInput struct {
	KeyID   *string  `json:"KeyId"`
	TagKeys []string `json:"TagKeys"`
}

func (in *untagInput) Check() error {
	var c checks
	c.id(in.KeyID)
	if in.TagKeys == nil {
		c.Required(awsjson.Field{Path: "tagKeys"})
	}
	return c.Err()
}

func (s *Service) untag(ctx context.Context, r *request, in *untagInput) (any, error) {
	if err := onlyKey(*in.KeyID); err != nil {
		return nil, err
	}
	return nil, s.keys.Untag(ctx, s.ref(ctx, r, *in.KeyID), in.TagKeys)
}

type tagEntry struct {
	Key   string `json:"TagKey"`
	Value string `json:"TagValue"`
}

type listTagsOutput struct {
	Tags []tagEntry `json:"Tags"`
	listed
}

func (s *Service) listTags(ctx context.Context, r *request, in *keyInput) (any, error) {
	if err := onlyKey(*in.KeyID); err != nil {
		return nil, err
	}
	k, err := s.keys.Find(ctx, s.ref(ctx, r, *in.KeyID))
	if err != nil {
		return nil, err
	}
	out := listTagsOutput{Tags: []tagEntry{}} // at most fifty: always one page
	for _, t := range k.Tags {
		out.Tags = append(out.Tags, tagEntry(t))
	}
	return out, nil
}
