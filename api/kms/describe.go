package kms

import (
	"context"

	"lockstep/api/awsjson"
	"lockstep/auth"
	"lockstep/auth/policy"
	"lockstep/keys"
	"lockstep/store"
)

const (
	usageEncrypt  = "ENCRYPT_DECRYPT"
	specSymmetric = "SYMMETRIC_DEFAULT"
	originHere    = "AWS_KMS"
)

type createKeyInput struct {
	Policy      *string `json:"Policy"`
	Description *string `json:"Description"`
	Usage       *string `json:"KeyUsage"`
	OldSpec     *string `json:"CustomerMasterKeySpec"`
	Spec        *string `json:"KeySpec"`
	Origin      *string `json:"Origin"`
	CustomStore *string `json:"CustomKeyStoreId"`
	XKSKeyID    *string `json:"XksKeyId"`
	Bypass      *bool   `json:"BypassPolicyLockoutSafetyCheck"`
	MultiRegion *bool   `json:"MultiRegion"`
	Tags        []tag   `json:"Tags"`
}

func (in *createKeyInput) Check() error {
	var c checks
	c.Length(awsjson.Field{Path: "policy", Value: in.Policy, Sensitive: true}, lengthPolicy)
	c.Length(awsjson.Field{Path: "description", Value: in.Description}, lengthDescription)
	c.tags(in.Tags)
	if err := c.Err(); err != nil {
		return err
	}
	for _, one := range []struct {
		given *string
		have  string
	}{{in.Usage, usageEncrypt}, {in.OldSpec, specSymmetric}, {in.Spec, specSymmetric}, {in.Origin, originHere}} {
		if one.given != nil && *one.given != one.have {
			return awsjson.Errorf(codeUnsupported, "%s is not supported here; the one kind of key is %s, %s, of origin %s.",
				*one.given, specSymmetric, usageEncrypt, originHere)
		}
	}
	if in.CustomStore != nil || in.XKSKeyID != nil || is(in.MultiRegion) {
		return awsjson.Errorf(codeUnsupported, "Custom key stores and multi-Region keys are not supported here.")
	}
	return nil
}

func (s *Service) createKey(ctx context.Context, r *request, in *createKeyInput) (any, error) {
	tags, err := tagsOf(in.Tags)
	if err != nil {
		return nil, err
	}
	for _, t := range tags {
		r.keys = append(r.keys, auth.Key{Name: "aws:RequestTag/" + t.Key, Values: []string{t.Value}})
	}
	if err := s.mayOn(ctx, r, "*"); err != nil {
		return nil, err
	}
	owner := r.Caller.Owner()
	if in.Policy != nil {
		// Asked about a key that does not exist yet.
		future := &store.MasterKey{ID: "new", Account: owner.Account, Region: owner.Region, Tags: tags}
		if _, err := s.goodPolicy(r, future, *in.Policy, in.Bypass); err != nil {
			return nil, err
		}
	}
	k, err := s.keys.Create(ctx, keys.CreateInput{Owner: owner, Description: text(in.Description), Policy: text(in.Policy), Tags: tags})
	if err != nil {
		return nil, err
	}
	return metadataOutput{describe(k)}, nil
}

// goodPolicy reads a key policy, and refuses one after which the caller could
// not put another, unless the caller says that this is wanted.
func (s *Service) goodPolicy(r *request, k *store.MasterKey, document string, bypass *bool) (*policy.Policy, error) {
	parsed, err := policy.Parse(document, policy.ResourcePolicy)
	if err != nil {
		return nil, awsjson.Errorf(codeMalformedPolicy, "The policy is malformed: %s", err)
	}
	if is(bypass) {
		return parsed, nil
	}
	q := s.question(r.Caller, Scope+":PutKeyPolicy", k, nil)
	q.Keyed.Policy = document
	if _, locked := s.guard.LocksOut(q, parsed); locked {
		return nil, awsjson.Errorf(codeMalformedPolicy, "The new key policy will not allow you to update the key policy in the future.")
	}
	return parsed, nil
}

type metadataOutput struct {
	KeyMetadata metadata `json:"KeyMetadata"`
}

type metadata struct {
	Account     string       `json:"AWSAccountId"`
	ID          string       `json:"KeyId"`
	ARN         string       `json:"Arn"`
	Created     awsjson.Time `json:"CreationDate"`
	Enabled     bool         `json:"Enabled"`
	Description string       `json:"Description"`
	Usage       string       `json:"KeyUsage"`
	State       string       `json:"KeyState"`
	Deletion    awsjson.Time `json:"DeletionDate,omitzero"`
	Origin      string       `json:"Origin"`
	Manager     string       `json:"KeyManager"`
	OldSpec     string       `json:"CustomerMasterKeySpec"`
	Spec        string       `json:"KeySpec"`
	Algorithms  []string     `json:"EncryptionAlgorithms"`
	MultiRegion bool         `json:"MultiRegion"`
}

func describe(k *store.MasterKey) metadata {
	m := metadata{
		Account: string(k.Account), ID: k.ID, ARN: keys.ARN(k), Created: wire(k.Created), Enabled: k.State == store.KeyEnabled,
		Description: k.Description, Usage: usageEncrypt, State: string(k.State), Deletion: wire(k.DeleteAt), Origin: originHere,
		Manager: "CUSTOMER", OldSpec: specSymmetric, Spec: specSymmetric, Algorithms: []string{specSymmetric},
	}
	if k.Purpose != "" {
		m.Manager = "AWS"
		m.Description = "Default key that protects my Secrets Manager data when no other key is defined"
	}
	return m
}

type keyInput struct {
	KeyID *string `json:"KeyId"`
}

func (in *keyInput) Check() error {
	var c checks
	c.id(in.KeyID)
	return c.Err()
}

func (s *Service) describeKey(ctx context.Context, r *request, in *keyInput) (any, error) {
	k, err := s.keys.Find(ctx, s.ref(ctx, r, *in.KeyID))
	if err != nil {
		return nil, err
	}
	return metadataOutput{describe(k)}, nil
}

type descriptionInput struct {
	KeyID       *string `json:"KeyId"`
	Description *string `json:"Description"`
}

func (in *descriptionInput) Check() error {
	var c checks
	c.id(in.KeyID)
	f := awsjson.Field{Path: "description", Value: in.Description}
	c.Required(f)
	c.Length(f, lengthDescription)
	return c.Err()
}

func (s *Service) updateDescription(ctx context.Context, r *request, in *descriptionInput) (any, error) {
	if err := onlyKey(*in.KeyID); err != nil {
		return nil, err
	}
	return nil, s.keys.Describe(ctx, s.ref(ctx, r, *in.KeyID), *in.Description)
}

type listInput struct {
	Limit  *int64  `json:"Limit"`
	Marker *string `json:"Marker"`
}

func (in *listInput) Check() error {
	var c checks
	c.page(in.Limit, in.Marker)
	return c.Err()
}

type keyEntry struct {
	ID  string `json:"KeyId"`
	ARN string `json:"KeyArn"`
}

type listKeysOutput struct {
	Keys []keyEntry `json:"Keys"`
	listed
}

func (s *Service) listKeys(ctx context.Context, r *request, in *listInput) (any, error) {
	if err := s.mayOn(ctx, r, "*"); err != nil {
		return nil, err
	}
	p, err := pageOf(in.Limit, in.Marker, 100)
	if err != nil {
		return nil, err
	}
	list, err := s.keys.List(ctx, store.KeyQuery{Owner: r.Caller.Owner(), After: p.after, Limit: p.limit + 1})
	if err != nil {
		return nil, err
	}
	list, end := cut(list, p, func(k *store.MasterKey) string { return k.ID })
	out := listKeysOutput{Keys: []keyEntry{}, listed: end}
	for _, k := range list {
		out.Keys = append(out.Keys, keyEntry{k.ID, keys.ARN(k)})
	}
	return out, nil
}
