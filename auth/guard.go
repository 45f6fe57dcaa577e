package auth

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"lockstep"
	"lockstep/auth/policy"
)

// Key is a condition key with the values that a request gives it.
type Key struct {
	Name   string
	Values []string
}

// Question is what an API asks before it does something.
//
// Policies see these condition keys: aws:CurrentTime, aws:EpochTime,
// aws:SourceIp, aws:SecureTransport, aws:UserAgent, aws:RequestedRegion and
// aws:PrincipalTag/… of the caller; secretsmanager:SecretId (the ARN),
// secretsmanager:SecretPrimaryRegion, secretsmanager:ResourceTag/…,
// aws:ResourceTag/… and secretsmanager:resource/AllowRotationLambdaArn of the
// Secret; and what Keys holds.
type Question struct {
	Caller Caller
	// Action is the service's prefix and the operation's name, for example
	// "secretsmanager:GetSecretValue".
	Action string
	// Resource is an ARN, or "*" for an action that is about none.
	Resource string
	// Named is the ARN as far as the caller gave it, for the text of a
	// refusal, which must not tell more; empty: Resource.
	Named string
	// Secret is the one that Resource names, for its tags and its policy; nil
	// if there is none or it does not exist.
	Secret *lockstep.Secret
	// Keyed is the master key that Resource names; nil if there is none.
	Keyed *MasterKey
	// Keys are the condition keys that the request itself gives.
	Keys []Key
}

// MasterKey is what of a master key decides who may use it.
type MasterKey struct {
	Account lockstep.AccountID
	// Policy is the key policy. It must allow whatever is done, if only by
	// naming the account's root user, which lets identity policies decide.
	Policy string
	Tags   []lockstep.Tag
}

// Guard answers whether a caller may do something. The zero value is ready, but
// reads each resource policy anew; see NewGuard. It is safe for concurrent use.
type Guard struct {
	documents *documents
	now       func() time.Time
}

// NewGuard makes a Guard that remembers up to 1024 resource policies that it has
// read. now is the clock of aws:CurrentTime; nil means time.Now.
func NewGuard(now func() time.Time) Guard {
	return Guard{documents: newDocuments(), now: now}
}

// Authorize returns nil if the caller may do what the question says. Else it
// returns a lockstep.Refusal of kind ErrDenied whose text says who, what and
// on which resource. Any other error means that the Secret's policy cannot be
// read; the root user still may go on then.
//
// What was asked is noted in the caller's Trail.
func (g Guard) Authorize(_ context.Context, q Question) error {
	verdict := g.decide(q)
	q.Caller.Trail.asked(q, verdict)
	return verdict
}

func (g Guard) decide(q Question) error {
	root := q.Caller.IsRoot()
	if root && plainlyOwn(q) {
		return nil
	}
	set := q.Caller.Access.set()
	if q.Secret != nil && q.Secret.ResourcePolicy != "" {
		parsed, err := g.documents.read(q.Secret.ResourcePolicy, policy.ResourcePolicy)
		if err != nil && !root {
			return fmt.Errorf("read the resource policy of %s: %w", q.Secret.ARN, err)
		}
		set.Resource = parsed
	}
	if q.Keyed != nil {
		parsed, err := g.documents.read(q.Keyed.Policy, policy.ResourcePolicy)
		if err != nil {
			return fmt.Errorf("read the key policy of %s: %w", q.Resource, err)
		}
		set.Resource, set.Rule = parsed, policy.ResourceMustAllow
	}
	decision := policy.Evaluate(g.request(q), set)
	if decision.Allowed() {
		return nil
	}
	if q.Named != "" {
		decision = decision.About(q.Named)
	}
	return lockstep.Refuse(lockstep.ErrDenied, "%s", decision.Message())
}

// LocksOut tells whether the caller could not do what the question says if p
// were the policy of the Secret or the master key, and its own policies allowed everything; and which
// statement of p is in the way.
func (g Guard) LocksOut(q Question, p *policy.Policy) (policy.StatementRef, bool) {
	rule := policy.ResourceAdds
	if q.Keyed != nil {
		rule = policy.ResourceMustAllow
	}
	decision, locked := p.LocksOut(g.request(q), rule)
	return decision.Statement, locked
}

// plainlyOwn: nothing but a resource policy of its own account binds a root
// user.
func plainlyOwn(q Question) bool {
	if q.Keyed != nil {
		return false // a key policy may leave even the root user out
	}
	if q.Secret != nil {
		return q.Secret.Account == q.Caller.Account && q.Secret.ResourcePolicy == ""
	}
	return q.Resource == "*"
}

func (g Guard) request(q Question) policy.Request {
	r := policy.Request{Principal: q.Caller.evaluated(), Action: q.Action, Resource: q.Resource}
	if q.Secret != nil {
		r.ResourceAccount = string(q.Secret.Account)
		setSecret(&r.Context, q.Secret)
	}
	if q.Keyed != nil {
		r.ResourceAccount = string(q.Keyed.Account)
		setTags(&r.Context, "aws:ResourceTag/", q.Keyed.Tags)
	}
	set := func(name, value string) {
		if value != "" {
			r.Context.Set(name, value)
		}
	}
	now := time.Now()
	if g.now != nil {
		now = g.now()
	}
	set("aws:CurrentTime", now.UTC().Format(time.RFC3339))
	set("aws:EpochTime", strconv.FormatInt(now.Unix(), 10))
	set("aws:SecureTransport", strconv.FormatBool(q.Caller.Secure))
	set("aws:UserAgent", q.Caller.UserAgent)
	set("aws:RequestedRegion", string(q.Caller.Region))
	if q.Caller.Source.IsValid() {
		set("aws:SourceIp", q.Caller.Source.String())
	}
	if q.Caller.Access != nil {
		setTags(&r.Context, "aws:PrincipalTag/", q.Caller.Access.Tags)
	}
	for _, k := range q.Keys {
		r.Context.Set(k.Name, k.Values...)
	}
	return r
}

func setSecret(c *policy.Context, s *lockstep.Secret) {
	c.Set("secretsmanager:SecretId", string(s.ARN))
	primary := s.PrimaryRegion
	if primary == "" {
		primary = s.Region
	}
	c.Set("secretsmanager:SecretPrimaryRegion", string(primary))
	setTags(c, "secretsmanager:ResourceTag/", s.Tags)
	setTags(c, "aws:ResourceTag/", s.Tags)
	if s.Rotation != nil && s.Rotation.RotatorARN != "" {
		c.Set("secretsmanager:resource/AllowRotationLambdaArn", s.Rotation.RotatorARN)
	}
}

func setTags(c *policy.Context, prefix string, tags []lockstep.Tag) {
	for _, t := range tags {
		c.Set(prefix+t.Key, t.Value)
	}
}

// evaluated is the principal as auth/policy knows it.
func (p Principal) evaluated() policy.Principal {
	out := policy.Principal{ARN: p.ARN, Account: string(p.Account), Name: p.Name}
	if p.Access != nil {
		out.ID = p.Access.ID
	}
	switch {
	case p.Account == "" || p.ARN == "":
		return policy.Principal{}
	case p.IsRoot():
		out.Kind, out.ID = policy.Root, string(p.Account)
	case p.Access != nil && p.Access.RoleARN != "":
		out.Kind, out.RoleARN = policy.Session, p.Access.RoleARN
	default:
		out.Kind = policy.User
	}
	return out
}
