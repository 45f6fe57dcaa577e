// Package auth says who asks and whether they may.
//
// Who: a [Principal] is the identity behind an access key. Package
// auth/sigv4 proves that a request was signed with a key; [Directory] is its
// key lookup, over the store, with a short cache. [Bootstrap] makes the first
// identity, the root user of the account, and [WriteCredentials] puts its key
// where AWS's own tools look for one. [LoginAuthorizer] takes the login tokens with
// which NATS clients prove the same.
//
// May they: every API asks [Guard.Authorize], the one seam at which a policy
// evaluator decides. There are no users but root yet, so the rule is short:
// the root user of an account may do everything in it, and nobody anything
// else.
//
// Secret access keys are kept sealed, bound to their owner's ARN and their id,
// since HMAC needs them in clear: a hash would not do.
package auth

import (
	"context"
	"net/netip"
	"strings"

	"lockstep"
	"lockstep/keys"
	"lockstep/store"
)

// Principal is an identity that holds access keys. The zero value is nobody
// and may nothing.
type Principal struct {
	// ARN is arn:aws:iam::<account>:root, or …:user/<name>.
	ARN string
	// Account is the tenant whose things it may reach.
	Account lockstep.AccountID
	// Name is the user's name; "root" for the root user.
	Name string
	// AccessKeyID is the key that proved it.
	AccessKeyID string
}

// IsRoot tells whether the principal is the root user of its account.
func (p Principal) IsRoot() bool {
	return p.Account != "" && p.ARN == RootARN(p.Account)
}

// RootARN is the ARN of an account's root user.
func RootARN(account lockstep.AccountID) string {
	return "arn:aws:iam::" + string(account) + ":root"
}

// Caller is a Principal with the circumstances of one request.
type Caller struct {
	Principal
	// Region is the one in the signature's scope.
	Region lockstep.Region
	// RequestID names the request in the log and to the client.
	RequestID string
	// Source is the peer's address; the zero Addr if it is not known.
	Source netip.Addr
}

// Owner is whose things the request is about: the caller's account, in the
// region that the request was signed for.
func (c Caller) Owner() store.Owner {
	return store.Owner{Account: c.Account, Region: c.Region}
}

// Question is what an API asks before it does something.
type Question struct {
	Caller Caller
	// Action is the service's prefix and the operation's name, for example
	// "secretsmanager:GetSecretValue".
	Action string
	// Resource is an ARN, or "*" for an action that is about none.
	Resource string
	// Secret is the one that Resource names, for its tags and its policy; nil
	// if there is none or it does not exist.
	Secret *lockstep.Secret
}

// Guard answers whether a caller may do something. The zero value is ready.
type Guard struct{}

// Authorize returns nil if the caller may do what the question says. Else it
// returns a lockstep.Refusal of kind ErrDenied whose text says who, what and
// on which resource.
func (Guard) Authorize(_ context.Context, q Question) error {
	if q.Caller.IsRoot() && accountOf(q.Resource, q.Caller.Account) == q.Caller.Account {
		return nil
	}
	return lockstep.Refuse(lockstep.ErrDenied,
		"User: %s is not authorized to perform: %s on resource: %s because no identity-based policy allows the %s action",
		q.Caller.ARN, q.Action, q.Resource, q.Action)
}

// accountOf is the account in an ARN; a resource that is none belongs to the
// caller's own.
func accountOf(resource string, own lockstep.AccountID) lockstep.AccountID {
	parts := strings.SplitN(resource, ":", 6)
	if len(parts) < 6 || parts[0] != "arn" {
		return own
	}
	return lockstep.AccountID(parts[4])
}

// Sealer seals and opens secret access keys; keys.Service is one.
type Sealer interface {
	Seal(ctx context.Context, owner store.Owner, keyID string, v lockstep.Value, to keys.Binding) (*lockstep.Sealed, error)
	Open(ctx context.Context, s *lockstep.Sealed, to keys.Binding) (lockstep.Value, error)
}

// binding ties a sealed secret access key to its owner and its id.
func binding(userARN, keyID string) keys.Binding {
	return keys.Binding{ARN: userARN, Version: keyID}
}
