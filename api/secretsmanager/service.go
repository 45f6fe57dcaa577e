// Package secretsmanager is AWS Secrets Manager's API (version 2017-10-17)
// over keeper and runs: it reads and checks each action's input as AWS does,
// asks whether the caller may, has the work done, and writes the output with
// the fields that AWS sends, no more and no fewer.
//
// The order of checks is AWS's and matters to clients: the body's form
// (SerializationException), the limits of the fields (ValidationException),
// names and tokens, and only then whether the Secret exists.
//
// A replica is answered for like any other Secret, but changed only where its
// primary is; keeper refuses the rest.
package secretsmanager

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"lockstep"
	"lockstep/api/awsjson"
	"lockstep/auth"
	"lockstep/auth/policy"
	"lockstep/keeper"
	"lockstep/runs"
	"lockstep/store"
)

// TargetPrefix stands before the action in X-Amz-Target.
const TargetPrefix = "secretsmanager"

// Values reads and writes values; keeper.Keeper does.
type Values interface {
	Create(ctx context.Context, in keeper.CreateInput) (keeper.WriteOutput, error)
	Put(ctx context.Context, ref keeper.Ref, in keeper.PutInput) (keeper.WriteOutput, error)
	Update(ctx context.Context, ref keeper.Ref, in keeper.UpdateInput) (keeper.WriteOutput, error)
	Get(ctx context.Context, ref keeper.Ref, in keeper.GetInput) (keeper.GetOutput, error)
}

// Catalogue tells what there is, without values; keeper.Keeper does.
type Catalogue interface {
	Describe(ctx context.Context, ref keeper.Ref) (keeper.Description, error)
	List(ctx context.Context, in keeper.ListInput) (keeper.Page, error)
	ListVersions(ctx context.Context, ref keeper.Ref) (keeper.VersionList, error)
}

// Lifecycle moves labels and ends or revives Secrets; keeper.Keeper does.
type Lifecycle interface {
	MoveStage(ctx context.Context, ref keeper.Ref, in keeper.MoveStageInput) (keeper.Description, error)
	Delete(ctx context.Context, ref keeper.Ref, in keeper.DeleteInput) (keeper.Description, error)
	Restore(ctx context.Context, ref keeper.Ref) (keeper.Description, error)
}

// Attributes changes what hangs on a Secret; keeper.Keeper does.
type Attributes interface {
	Tag(ctx context.Context, ref keeper.Ref, tags []lockstep.Tag) error
	Untag(ctx context.Context, ref keeper.Ref, keys []string) error
	PutPolicy(ctx context.Context, ref keeper.Ref, document string) (keeper.Description, error)
	DeletePolicy(ctx context.Context, ref keeper.Ref) (keeper.Description, error)
}

// Replicas makes and ends copies in other regions; keeper.Keeper does.
type Replicas interface {
	AddReplicas(ctx context.Context, ref keeper.Ref, in keeper.ReplicateInput) (keeper.Description, error)
	RemoveReplicas(ctx context.Context, ref keeper.Ref, regions []lockstep.Region) (keeper.Description, error)
	Promote(ctx context.Context, ref keeper.Ref) (keeper.Description, error)
}

// Keeper is all that the API needs of keeper.Keeper.
type Keeper interface {
	Values
	Catalogue
	Lifecycle
	Attributes
	Replicas
}

// Rotations starts and ends rotations; runs.Service does.
type Rotations interface {
	Rotate(ctx context.Context, ref keeper.Ref, in runs.RotateInput) (runs.RotateOutput, error)
	CancelRotation(ctx context.Context, ref keeper.Ref) (runs.RotateOutput, error)
}

// Guard says whether a caller may do something; auth.Guard does.
type Guard interface {
	Authorize(ctx context.Context, q auth.Question) error
	// LocksOut tells whether the caller could not do it if that were the
	// Secret's policy, and by which statement.
	LocksOut(q auth.Question, p *policy.Policy) (policy.StatementRef, bool)
}

// KeyGuard says whether a caller may use a master key through this service;
// kms.Service does.
type KeyGuard interface {
	Via(ctx context.Context, caller auth.Caller, use keeper.KeyUse) error
}

// Config is what a Service needs.
type Config struct {
	// Keeper, Rotations and Guard are required.
	Keeper    Keeper
	Rotations Rotations
	Guard     Guard
	// Keys says who may use which master key; nil: every caller every one.
	Keys KeyGuard
	// Regions are those served, where replicas can be; empty: none.
	Regions []lockstep.Region
	// PageKey protects NextToken. All nodes of an installation share it. Nil
	// draws one, and tokens then end with the process.
	PageKey []byte
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// Service carries out the actions. It is safe for concurrent use.
type Service struct {
	keeper    Keeper
	rotations Rotations
	guard     Guard
	keys      KeyGuard
	regions   []lockstep.Region
	pages     *pages
	now       func() time.Time
	actions   map[string]action
}

// New makes a Service. Errors: ErrInvalid if a required field is missing.
func New(c Config) (*Service, error) {
	if c.Keeper == nil || c.Rotations == nil || c.Guard == nil {
		return nil, fmt.Errorf("secretsmanager config: Keeper, Rotations and Guard are required: %w", lockstep.ErrInvalid)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if len(c.PageKey) == 0 {
		c.PageKey = make([]byte, 32)
		if _, err := rand.Read(c.PageKey); err != nil {
			return nil, fmt.Errorf("draw the key of page tokens: %w", err)
		}
	}
	p, err := newPages(c.PageKey)
	if err != nil {
		return nil, err
	}
	return &Service{
		keeper: c.Keeper, rotations: c.Rotations, guard: c.Guard, keys: c.Keys,
		regions: c.Regions, pages: p, now: c.Now, actions: actions(),
	}, nil
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
	return nil, answer(s.veil(ctx, r, err), call.Action)
}

// request is a Call while it is worked on.
type request struct {
	awsjson.Call
	// asked is the SecretId that the action is about.
	asked string
	// keys are the condition keys that the input gives.
	keys []auth.Key
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
		if k, ok := any(in).(keyed); ok {
			r.keys = k.keys()
		}
		return do(s, ctx, r, in)
	}
}

// actions is the table of the API.
func actions() map[string]action {
	return map[string]action{
		"BatchGetSecretValue":          with((*Service).batchGet),
		"CancelRotateSecret":           with((*Service).cancelRotate),
		"CreateSecret":                 with((*Service).create),
		"DeleteResourcePolicy":         with((*Service).deletePolicy),
		"DeleteSecret":                 with((*Service).delete),
		"DescribeSecret":               with((*Service).describe),
		"GetRandomPassword":            with((*Service).randomPassword),
		"GetResourcePolicy":            with((*Service).getPolicy),
		"GetSecretValue":               with((*Service).get),
		"ListSecretVersionIds":         with((*Service).listVersions),
		"ListSecrets":                  with((*Service).list),
		"PutResourcePolicy":            with((*Service).putPolicy),
		"PutSecretValue":               with((*Service).put),
		"RemoveRegionsFromReplication": with((*Service).removeRegions),
		"ReplicateSecretToRegions":     with((*Service).replicate),
		"RestoreSecret":                with((*Service).restore),
		"RotateSecret":                 with((*Service).rotate),
		"StopReplicationToReplica":     with((*Service).stopReplication),
		"TagResource":                  with((*Service).tag),
		"UntagResource":                with((*Service).untag),
		"UpdateSecret":                 with((*Service).update),
		"UpdateSecretVersionStage":     with((*Service).moveStage),
		"ValidateResourcePolicy":       with((*Service).validatePolicy),
	}
}

// ref names the Secret for keeper and runs, together with the question whether
// the caller may do the request's action to it.
func (s *Service) ref(ctx context.Context, r *request, id *string) keeper.Ref {
	r.asked = *id
	return s.refFor(ctx, r, *id, r.Action)
}

func (s *Service) refFor(ctx context.Context, r *request, id, action string) keeper.Ref {
	return keeper.Ref{Owner: ownerFor(r.Caller, id), ID: id, Session: sessionOf(r.Caller), Use: s.use(r), Allow: func(sec *lockstep.Secret) error {
		err := s.guard.Authorize(ctx, auth.Question{
			Caller: r.Caller, Action: TargetPrefix + ":" + action, Resource: string(sec.ARN), Secret: sec,
			Named: arnFor(r.Caller, id), Keys: r.keys,
		})
		if err == nil && sec.Account != r.Caller.Account && sec.KMSKeyID == "" && needsKey(action) {
			return lockstep.Refuse(lockstep.ErrState,
				"You can't access a secret from a different AWS account if you encrypt the secret with the default KMS service key.")
		}
		return err
	}}
}

// use is the question whether the caller may use a master key.
func (s *Service) use(r *request) func(context.Context, keeper.KeyUse) error {
	if s.keys == nil || sessionOf(r.Caller) != nil { // a step of a rotation uses keys as the engine does
		return nil
	}
	return func(ctx context.Context, u keeper.KeyUse) error { return s.keys.Via(ctx, r.Caller, u) }
}

// sessionOf is the step of a rotation that a caller's credentials are for; nil
// for all others.
func sessionOf(c auth.Caller) *keeper.Session {
	if c.Session == nil || c.Session.Binding == nil {
		return nil
	}
	s := keeper.Session(*c.Session.Binding)
	return &s
}

// ownerFor is whose Secret an id may name: an ARN can be another account's,
// whose resource policy then decides. Regions are not crossed.
func ownerFor(c auth.Caller, id string) store.Owner {
	owner := c.Owner()
	if arn, ok := lockstep.ParseSecretARN(id); ok {
		owner.Account = arn.Account
	}
	return owner
}

// needsKey tells whether an action opens or seals a value.
func needsKey(action string) bool {
	return action == "GetSecretValue" || action == "PutSecretValue" || action == "UpdateSecret"
}

// mayOn asks about a resource that is no existing Secret.
func (s *Service) mayOn(ctx context.Context, r *request, resource string) error {
	return s.guard.Authorize(ctx, auth.Question{
		Caller: r.Caller, Action: TargetPrefix + ":" + r.Action, Resource: resource, Keys: r.keys,
	})
}

// veil keeps who may not touch a name from learning that nothing has it.
func (s *Service) veil(ctx context.Context, r *request, err error) error {
	if r.asked == "" || !errors.Is(err, keeper.ErrNoSecret) {
		return err
	}
	if denied := s.mayOn(ctx, r, arnFor(r.Caller, r.asked)); denied != nil {
		return denied
	}
	return err
}

// arnFor is the ARN that a SecretId stands for, without the random suffix if
// the client did not give it.
func arnFor(c auth.Caller, id string) string {
	if _, ok := lockstep.ParseSecretARN(id); ok {
		return id
	}
	return fmt.Sprintf("arn:aws:secretsmanager:%s:%s:secret:%s", c.Region, c.Account, id)
}
