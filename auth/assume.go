package auth

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"lockstep"
	"lockstep/auth/policy"
)

// maxChained is how long a session lasts that was made from a session.
const maxChained = time.Hour

// AssumeInput is what a caller asks of AssumeRole.
type AssumeInput struct {
	// RoleARN is the role; Trust its trust policy, and Tags its tags. A role
	// that does not exist has no trust policy, and refuses like any other.
	RoleARN string
	Trust   string
	Tags    []lockstep.Tag
	Session SessionSpec
	// ExternalID is what the trust policy may demand; empty: not given.
	ExternalID string
}

// Assume asks whether the caller may take on a role, and makes the session.
// Both sides have a say: the caller's policies, and the role's trust policy;
// where session tags are passed, both must allow sts:TagSession too. Tags that
// the caller's own session holds as transitive are inherited.
// Errors: Refusals of kind ErrDenied and ErrInvalid; Mint's.
func (s *Sessions) Assume(ctx context.Context, g Guard, c Caller, in AssumeInput) (Session, error) {
	spec := in.Session
	spec.RoleARN = in.RoleARN
	if c.Session != nil {
		if spec.Lifetime > maxChained {
			return Session{}, lockstep.Refuse(lockstep.ErrInvalid,
				"The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining")
		}
		if err := inherit(&spec, c.Session); err != nil {
			return Session{}, err
		}
	}
	keys := assumeKeys(in, spec)
	actions := []string{"sts:AssumeRole"}
	if len(in.Session.Tags) > 0 {
		actions = append(actions, "sts:TagSession")
	}
	for _, action := range actions {
		q := Question{Caller: c, Action: action, Resource: in.RoleARN, Keys: keys}
		if err := g.trusts(q, in); err != nil {
			return Session{}, err
		}
	}
	return s.Mint(ctx, spec)
}

// inherit adds the transitive tags of the caller's session.
func inherit(spec *SessionSpec, from *SessionInfo) error {
	for _, t := range from.Tags {
		if !containsFold(from.Transitive, t.Key) {
			continue
		}
		at := slices.IndexFunc(spec.Tags, func(o lockstep.Tag) bool { return strings.EqualFold(o.Key, t.Key) })
		if at >= 0 && spec.Tags[at].Value != t.Value {
			return lockstep.Refuse(lockstep.ErrInvalid, "One of the specified transitive tag keys can't be set because it conflicts with a transitive tag key from the calling session.")
		}
		if at < 0 {
			spec.Tags = append(slices.Clone(spec.Tags), t)
		}
		spec.Transitive = append(slices.Clone(spec.Transitive), t.Key)
	}
	return nil
}

func containsFold(list []string, s string) bool {
	return slices.ContainsFunc(list, func(o string) bool { return strings.EqualFold(o, s) })
}

func assumeKeys(in AssumeInput, spec SessionSpec) []Key {
	keys := []Key{{"sts:RoleSessionName", []string{spec.Name}}}
	if in.ExternalID != "" {
		keys = append(keys, Key{"sts:ExternalId", []string{in.ExternalID}})
	}
	var names []string
	for _, t := range in.Session.Tags {
		names = append(names, t.Key)
		keys = append(keys, Key{"aws:RequestTag/" + t.Key, []string{t.Value}})
	}
	if len(names) > 0 {
		keys = append(keys, Key{"aws:TagKeys", names})
	}
	if len(in.Session.Transitive) > 0 {
		keys = append(keys, Key{"sts:TransitiveTagKeys", in.Session.Transitive})
	}
	for _, t := range in.Tags {
		keys = append(keys, Key{"iam:ResourceTag/" + t.Key, []string{t.Value}}, Key{"aws:ResourceTag/" + t.Key, []string{t.Value}})
	}
	return keys
}

// trusts decides about a role, whose trust policy stands where a Secret's
// resource policy does, and must allow.
func (g Guard) trusts(q Question, in AssumeInput) error {
	set := q.Caller.Access.set()
	set.Rule = policy.ResourceMustAllow
	if in.Trust != "" {
		parsed, err := g.documents.read(in.Trust, policy.TrustPolicy)
		if err != nil {
			return fmt.Errorf("read the trust policy of %s: %w", in.RoleARN, err)
		}
		set.Resource = parsed
	}
	decision := policy.Evaluate(g.request(q), set)
	if decision.Allowed() {
		return nil
	}
	// As AWS: not even the owner of the caller's policies learns which side it
	// was, so roles cannot be told from names that are none.
	return lockstep.Refuse(lockstep.ErrDenied, "User: %s is not authorized to perform: %s on resource: %s", q.Caller.ARN, q.Action, in.RoleARN)
}
