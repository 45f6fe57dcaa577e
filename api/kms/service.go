// Package kms is AWS's Key Management Service API (version 2014-11-01) over
// package keys, as far as it is about symmetric keys: it reads and checks each
// action's input as AWS does, asks key policy and identity policies, has the
// work done, and writes the output with the fields that AWS sends.
//
// A key policy must allow whatever is done with a key, be it by naming the
// account's root user, which lets identity policies decide. The condition keys
// kms:CallerAccount, kms:EncryptionContext:…, kms:EncryptionContextKeys,
// kms:RequestAlias and aws:ResourceTag/… are known, and for what the secrets
// service does with a key for its caller, kms:ViaService ([Service.Via]).
//
// Not built: asymmetric and HMAC keys, imported material, custom key stores,
// grants, replication to other regions (UnsupportedOperationException).
package kms

import (
	"context"
	"errors"
	"fmt"

	"lockstep"
	"lockstep/api/awsjson"
	"lockstep/auth"
	"lockstep/auth/policy"
	"lockstep/keys"
	"lockstep/store"
)

// TargetPrefix stands before the action in X-Amz-Target, Scope in the scope of
// the credentials, and before the action's name in policies.
const (
	TargetPrefix = "TrentService"
	Scope        = "kms"
)

// Catalogue makes keys and tells of them; keys.Service does.
type Catalogue interface {
	Create(ctx context.Context, in keys.CreateInput) (*store.MasterKey, error)
	Find(ctx context.Context, ref keys.Ref) (*store.MasterKey, error)
	Known(ctx context.Context, owner store.Owner, ref string) (*store.MasterKey, error)
	List(ctx context.Context, q store.KeyQuery) ([]*store.MasterKey, error)
	Describe(ctx context.Context, ref keys.Ref, description string) error
	Tag(ctx context.Context, ref keys.Ref, tags []lockstep.Tag) error
	Untag(ctx context.Context, ref keys.Ref, tagKeys []string) error
	PutPolicy(ctx context.Context, ref keys.Ref, document string) error
}

// Lifecycle turns keys on and off; keys.Service does.
type Lifecycle interface {
	Enable(ctx context.Context, ref keys.Ref) error
	Disable(ctx context.Context, ref keys.Ref) error
	ScheduleDeletion(ctx context.Context, ref keys.Ref, days int) (*store.MasterKey, error)
	CancelDeletion(ctx context.Context, ref keys.Ref) (*store.MasterKey, error)
	SetRotation(ctx context.Context, ref keys.Ref, days int) error
	StopRotation(ctx context.Context, ref keys.Ref) error
	Rotate(ctx context.Context, ref keys.Ref) (*store.MasterKey, error)
}

// Aliases gives keys second names; keys.Service does.
type Aliases interface {
	CreateAlias(ctx context.Context, alias string, to keys.Ref) error
	MoveAlias(ctx context.Context, alias string, to keys.Ref, allow func(*store.MasterKey) error) error
	DeleteAlias(ctx context.Context, ref keys.Ref) error
	Aliases(ctx context.Context, q store.KeyQuery) ([]*store.KeyAlias, error)
	DefaultKey(ctx context.Context, owner store.Owner) (*store.MasterKey, error)
}

// Cipher encrypts for users; keys.Service does.
type Cipher interface {
	Encrypt(ctx context.Context, ref keys.Ref, plaintext []byte, c keys.Context) (*store.MasterKey, []byte, error)
	Decrypt(ctx context.Context, ref keys.Ref, ciphertext []byte, c keys.Context) (*store.MasterKey, []byte, error)
}

// Keys is all that the API needs of keys.Service.
type Keys interface {
	Catalogue
	Lifecycle
	Aliases
	Cipher
}

// Guard says whether a caller may do something; auth.Guard does.
type Guard interface {
	Authorize(ctx context.Context, q auth.Question) error
	LocksOut(q auth.Question, p *policy.Policy) (policy.StatementRef, bool)
}

// Config is what a Service needs; both are required.
type Config struct {
	Keys  Keys
	Guard Guard
}

// Service carries out the actions. It is safe for concurrent use.
type Service struct {
	keys    Keys
	guard   Guard
	actions map[string]action
}

// New makes a Service. Errors: ErrInvalid if a required field is missing.
func New(c Config) (*Service, error) {
	if c.Keys == nil || c.Guard == nil {
		return nil, fmt.Errorf("kms config: Keys and Guard are required: %w", lockstep.ErrInvalid)
	}
	return &Service{keys: c.Keys, guard: c.Guard, actions: actions()}, nil
}

// Do carries out one action. Errors: *awsjson.Error, which is for the client;
// any other is a failure of the server.
func (s *Service) Do(ctx context.Context, call awsjson.Call) (any, error) {
	act, ok := s.actions[call.Action]
	if !ok {
		return nil, awsjson.UnknownOperation()
	}
	r := &request{Call: call}
	out, err := act(ctx, s, r)
	if err == nil {
		return out, nil
	}
	return nil, answer(s.veil(ctx, r, err))
}

// request is a Call while it is worked on.
type request struct {
	awsjson.Call
	// asked is the ARN of the key or alias that the action names.
	asked string
	// asks is the name of the action in policies, if it is another.
	asks string
	// keys are the condition keys that the input gives.
	keys []auth.Key
}

func (r *request) policyAction() string {
	if r.asks != "" {
		return Scope + ":" + r.asks
	}
	return Scope + ":" + r.Action
}

// action reads, checks and carries out one operation.
type action func(ctx context.Context, s *Service, r *request) (any, error)

// with makes an action of a method and its input type.
func with[I any, P awsjson.Checked[I]](do func(*Service, context.Context, *request, *I) (any, error)) action {
	return func(ctx context.Context, s *Service, r *request) (any, error) {
		in, err := awsjson.Read[I, P](r.Body)
		if err != nil {
			return nil, err
		}
		return do(s, ctx, r, in)
	}
}

// actions is the table of the API.
func actions() map[string]action {
	return map[string]action{
		"CancelKeyDeletion":               with((*Service).cancelDeletion),
		"CreateAlias":                     with((*Service).createAlias),
		"CreateKey":                       with((*Service).createKey),
		"Decrypt":                         with((*Service).decrypt),
		"DeleteAlias":                     with((*Service).deleteAlias),
		"DescribeKey":                     with((*Service).describeKey),
		"DisableKey":                      with((*Service).disableKey),
		"DisableKeyRotation":              with((*Service).disableRotation),
		"EnableKey":                       with((*Service).enableKey),
		"EnableKeyRotation":               with((*Service).enableRotation),
		"Encrypt":                         with((*Service).encrypt),
		"GenerateDataKey":                 with((*Service).generateDataKey),
		"GenerateDataKeyWithoutPlaintext": with((*Service).generateWrappedKey),
		"GenerateRandom":                  with((*Service).generateRandom),
		"GetKeyPolicy":                    with((*Service).getPolicy),
		"GetKeyRotationStatus":            with((*Service).rotationStatus),
		"ListAliases":                     with((*Service).listAliases),
		"ListKeyPolicies":                 with((*Service).listPolicies),
		"ListKeyRotations":                with((*Service).listRotations),
		"ListKeys":                        with((*Service).listKeys),
		"ListResourceTags":                with((*Service).listTags),
		"PutKeyPolicy":                    with((*Service).putPolicy),
		"ReEncrypt":                       with((*Service).reEncrypt),
		"RotateKeyOnDemand":               with((*Service).rotate),
		"ScheduleKeyDeletion":             with((*Service).scheduleDeletion),
		"TagResource":                     with((*Service).tag),
		"UntagResource":                   with((*Service).untag),
		"UpdateAlias":                     with((*Service).updateAlias),
		"UpdateKeyDescription":            with((*Service).updateDescription),
	}
}

// ref names a key together with the question whether the caller may do the
// request's action with it.
func (s *Service) ref(ctx context.Context, r *request, id string) keys.Ref {
	r.asked = arnFor(r.Caller, id)
	asks := r.policyAction()
	return keys.Ref{Owner: r.Caller.Owner(), ID: id, Allow: func(k *store.MasterKey) error {
		return s.guard.Authorize(ctx, s.question(r.Caller, asks, k, r.keys))
	}}
}

func (s *Service) question(c auth.Caller, action string, k *store.MasterKey, given []auth.Key) auth.Question {
	return auth.Question{
		Caller: c, Action: action, Resource: keys.ARN(k),
		Keyed: &auth.MasterKey{Account: k.Account, Policy: keys.PolicyOf(k), Tags: k.Tags},
		Keys:  append([]auth.Key{{Name: "kms:CallerAccount", Values: []string{string(c.Account)}}}, given...),
	}
}

// mayOn asks about a resource that has no key policy: none, or an alias.
func (s *Service) mayOn(ctx context.Context, r *request, resource string) error {
	return s.guard.Authorize(ctx, auth.Question{
		Caller: r.Caller, Action: r.policyAction(), Resource: resource, Keys: r.keys,
	})
}

// veil keeps who may not touch a key from learning that there is none.
func (s *Service) veil(ctx context.Context, r *request, err error) error {
	if r.asked == "" || !errors.Is(err, lockstep.ErrNotFound) {
		return err
	}
	if denied := s.mayOn(ctx, r, r.asked); denied != nil {
		return denied
	}
	return err
}
