// Package auth says who asks and whether they may.
//
// Who: a [Principal] is the identity behind an access key. Package
// auth/sigv4 proves that a request was signed with a key; [Directory] is its
// key lookup, over the store, with a short cache. [Bootstrap] makes the first
// identity, the root user of the account, and [WriteCredentials] puts its key
// where AWS's own tools look for one. [LoginAuthorizer] takes the login tokens with
// which NATS clients prove the same.
//
// May they: every API asks [Guard.Authorize], the one seam at which auth/policy
// decides, over the caller's own policies, the Secret's, and the circumstances
// of the request (docs of [Question] name the condition keys). The Guard does no
// I/O, since it is asked inside transactions: what the caller's policies are,
// [Policies] has read when the request came in. It holds them for two seconds,
// so that a change takes effect within seconds on every node, and at once on
// the node that made it.
//
// [Sessions] are short-lived: an assumed role's, or one made for a single
// purpose and bounded by its own policy.
//
// The root user of an account may do everything in it that no resource policy
// denies. [Identities] manages users, groups, roles and policies.
//
// Secret access keys are kept sealed, bound to their owner's ARN and their id,
// since HMAC needs them in clear: a hash would not do.
package auth

import (
	"context"
	"net/netip"

	"lockstep"
	"lockstep/keys"
	"lockstep/store"
)

// Principal is an identity that holds access keys. The zero value is nobody
// and may nothing.
type Principal struct {
	// ARN is arn:aws:iam::<account>:root, …:user/<name>, or of a session
	// arn:aws:sts::<account>:assumed-role/<role>/<session>.
	ARN string
	// Account is the tenant whose things it may reach.
	Account lockstep.AccountID
	// Name is the user's name; "root" for the root user, a session's own.
	Name string
	// AccessKeyID is the key that proved it.
	AccessKeyID string
	// Access is what its own policies say; nil if it has none.
	Access *Access
	// Session is there for a short-lived credential; nil for an access key.
	Session *SessionInfo
}

// SessionInfo is what a short-lived credential carries.
type SessionInfo struct {
	// ID is what policies know as aws:userid.
	ID string
	// Tags were given when it was made; Transitive are the keys that sessions
	// made from it inherit.
	Tags       []lockstep.Tag
	Transitive []string
	// Binding ties it to a Run's Version; nil: it is free.
	Binding *Binding
}

// IsRoot tells whether the principal is the root user of its account.
func (p Principal) IsRoot() bool {
	return p.Account != "" && p.ARN == RootARN(p.Account)
}

// RootARN is the ARN of an account's root user.
func RootARN(account lockstep.AccountID) string {
	return "arn:aws:iam::" + string(account) + ":root"
}

// RotatorARN is what policies know a registered rotator by.
func RotatorARN(region lockstep.Region, account lockstep.AccountID, name string) string {
	return "arn:aws:lockstep:" + string(region) + ":" + string(account) + ":rotator/" + name
}

// Caller is a Principal with the circumstances of one request.
type Caller struct {
	Principal
	// Region is the one in the signature's scope.
	Region lockstep.Region
	// RequestID names the request in the log and to the client.
	RequestID string
	// Source is the client's address: the peer's, or what a trusted proxy says;
	// the zero Addr if it is not known.
	Source netip.Addr
	// Secure tells whether the client's connection was encrypted.
	Secure bool
	// UserAgent is the header of that name.
	UserAgent string
	// Trail collects what the request is about, for the audit log; nil:
	// nobody wants to know.
	Trail *Trail
}

// Owner is whose things the request is about: the caller's account, in the
// region that the request was signed for.
func (c Caller) Owner() store.Owner {
	return store.Owner{Account: c.Account, Region: c.Region}
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
