package store

import (
	"time"

	"lockstep"
)

// User is a principal with access keys.
type User struct {
	// ARN is arn:aws:iam::<account>:user/<name>, or …:root.
	ARN     string
	Account lockstep.AccountID
	Name    string
	// Tags are what policies know as aws:PrincipalTag/…; nil for none.
	Tags []lockstep.Tag
	// Boundary is the ARN of the Policy that bounds what others grant; empty
	// for none.
	Boundary string
	Created  time.Time
}

// Group lends its policies to its members.
type Group struct {
	// ARN is arn:aws:iam::<account>:group/<name>.
	ARN     string
	Account lockstep.AccountID
	Name    string
	Created time.Time
}

// Role is a principal without keys, which others assume.
type Role struct {
	// ARN is arn:aws:iam::<account>:role/<name>.
	ARN         string
	Account     lockstep.AccountID
	Name        string
	Description string
	// Trust is the policy document that says who may assume it.
	Trust    string
	Tags     []lockstep.Tag
	Boundary string
	Created  time.Time
}

// Policy is a managed identity policy.
type Policy struct {
	// ARN is arn:aws:iam::<account>:policy/<name>.
	ARN         string
	Account     lockstep.AccountID
	Name        string
	Description string
	Document    string
	Created     time.Time
	Changed     time.Time
}

// AccessKey signs requests for a User. Its secret is sealed by package keys.
type AccessKey struct {
	ID      string
	UserARN string
	Secret  *lockstep.Sealed
	// Active is false for a key that must not be used.
	Active  bool
	Created time.Time
}

// NameQuery selects one page of an account's users, groups, roles or policies,
// by name.
type NameQuery struct {
	Account lockstep.AccountID
	// After is the last name of the page before; empty: from the start.
	After string
	Limit int
}

// UserReader reads users and keys.
type UserReader interface {
	// User reads one by ARN. ErrNotFound.
	User(arn string) (*User, error)
	// Users lists by name.
	Users(q NameQuery) ([]*User, error)
	// AccessKey reads one by its id. ErrNotFound.
	AccessKey(id string) (*AccessKey, error)
	// AccessKeys lists those of a User, oldest first.
	AccessKeys(userARN string) ([]*AccessKey, error)
}

// GroupReader reads groups and who is in them.
type GroupReader interface {
	// Group reads one by ARN. ErrNotFound.
	Group(arn string) (*Group, error)
	// Groups lists by name.
	Groups(q NameQuery) ([]*Group, error)
	// GroupsOf lists the ARNs of a User's groups, sorted.
	GroupsOf(userARN string) ([]string, error)
	// Members lists the ARNs of a Group's users, sorted.
	Members(groupARN string) ([]string, error)
}

// RoleReader reads roles.
type RoleReader interface {
	// Role reads one by ARN. ErrNotFound.
	Role(arn string) (*Role, error)
	// Roles lists by name.
	Roles(q NameQuery) ([]*Role, error)
}

// PolicyReader reads policies and what they hang on.
type PolicyReader interface {
	// Policy reads one by ARN. ErrNotFound.
	Policy(arn string) (*Policy, error)
	// Policies lists by name.
	Policies(q NameQuery) ([]*Policy, error)
	// Attached reads the policies of a User, Group or Role, by ARN.
	Attached(holderARN string) ([]*Policy, error)
	// Holders lists the ARNs of what a Policy hangs on, as a policy or as a
	// boundary; sorted.
	Holders(policyARN string) ([]string, error)
}

// IdentityReader reads who there is and what they may.
type IdentityReader interface {
	UserReader
	GroupReader
	RoleReader
	PolicyReader
}

// UserWriter stores users and keys.
type UserWriter interface {
	// InsertUser stores a new one. ErrExists.
	InsertUser(u *User) error
	// SaveUser writes tags and boundary. ErrNotFound.
	SaveUser(u *User) error
	// DeleteUser removes one with its keys, memberships and attachments.
	// ErrNotFound.
	DeleteUser(arn string) error
	// InsertAccessKey stores a new one. ErrExists; ErrNotFound if there is no
	// such User.
	InsertAccessKey(k *AccessKey) error
	// SaveAccessKey writes its Active flag. ErrNotFound.
	SaveAccessKey(k *AccessKey) error
	// DeleteAccessKey removes one. ErrNotFound.
	DeleteAccessKey(id string) error
}

// GroupWriter stores groups and who is in them.
type GroupWriter interface {
	// InsertGroup stores a new one. ErrExists.
	InsertGroup(g *Group) error
	// DeleteGroup removes one with its memberships and attachments.
	// ErrNotFound.
	DeleteGroup(arn string) error
	// AddMember puts a User into a Group; doing it twice is no error.
	// ErrNotFound if either is not there.
	AddMember(groupARN, userARN string) error
	// RemoveMember takes a User out. ErrNotFound if it is not in.
	RemoveMember(groupARN, userARN string) error
}

// RoleWriter stores roles.
type RoleWriter interface {
	// InsertRole stores a new one. ErrExists.
	InsertRole(r *Role) error
	// SaveRole writes description, trust, tags and boundary. ErrNotFound.
	SaveRole(r *Role) error
	// DeleteRole removes one with its attachments. ErrNotFound.
	DeleteRole(arn string) error
}

// PolicyWriter stores policies and what they hang on.
type PolicyWriter interface {
	// InsertPolicy stores a new one. ErrExists.
	InsertPolicy(p *Policy) error
	// SavePolicy writes description, document and change time. ErrNotFound.
	SavePolicy(p *Policy) error
	// DeletePolicy removes one that hangs on nothing. ErrNotFound; ErrState if
	// it does hang on something.
	DeletePolicy(arn string) error
	// Attach hangs a Policy on a User, Group or Role; doing it twice is no
	// error. ErrNotFound if either is not there.
	Attach(holderARN, policyARN string) error
	// Detach takes it off. ErrNotFound if it does not hang there.
	Detach(holderARN, policyARN string) error
}

// IdentityWriter stores who there is and what they may.
type IdentityWriter interface {
	UserWriter
	GroupWriter
	RoleWriter
	PolicyWriter
}
