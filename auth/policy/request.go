package policy

import (
	"slices"
	"strings"
)

// PrincipalKind is what sort of principal asks.
type PrincipalKind int

const (
	// Anonymous: nobody is known. The zero value, so that a forgotten kind may
	// do the least.
	Anonymous PrincipalKind = iota
	// Root is the account itself. It needs no identity policy.
	Root
	// User is an IAM user.
	User
	// Session is an assumed role's session.
	Session
	// Service is a service such as "secretsmanager.amazonaws.com"; it stands in
	// ARN.
	Service
	// Federated is a web identity before it has assumed a role; the provider
	// (its ARN or host name) stands in ARN.
	Federated
)

// Principal is who asks.
type Principal struct {
	Kind PrincipalKind
	// ARN: arn:aws:iam::A:user/…, arn:aws:iam::A:root,
	// arn:aws:sts::A:assumed-role/R/S, or what the kind says.
	ARN string
	// Account is the twelve-digit account of the principal.
	Account string
	// RoleARN is the role of a Session, with its path:
	// arn:aws:iam::A:role/path/R.
	RoleARN string
	// ID is the unique id, for sessions with ":name": it is aws:userid.
	ID string
	// Name is the user's name: it is aws:username. Only for kind User.
	Name string
}

// Context holds the condition keys of a request, without regard to the case of
// their names. The zero value is empty and ready. Keys that follow from
// principal and resource (aws:PrincipalArn, aws:PrincipalAccount,
// aws:PrincipalType, aws:userid, aws:username, aws:ResourceAccount) are known
// without being set, and cannot be set to anything else.
type Context struct{ values map[string][]string }

// Set gives a key its values, replacing any before. Times are RFC 3339 or
// epoch seconds, booleans "true" or "false". No values remove the key.
func (c *Context) Set(key string, values ...string) {
	if c.values == nil {
		c.values = make(map[string][]string)
	}
	key = strings.ToLower(key)
	if len(values) == 0 {
		delete(c.values, key)
		return
	}
	c.values[key] = slices.Clone(values)
}

// Get returns a key's values; nil if it is not set.
func (c Context) Get(key string) []string { return c.values[strings.ToLower(key)] }

// Request is what is to be decided.
type Request struct {
	Principal Principal
	// Action, for example "secretsmanager:GetSecretValue".
	Action string
	// Resource is the ARN; "*" for actions on no resource in particular.
	Resource string
	// ResourceAccount owns the resource; empty: the account in the ARN, or the
	// principal's if there is none.
	ResourceAccount string
	Context         Context
}

// resourceAccount applies the defaults of ResourceAccount.
func (r *Request) resourceAccount(resource arnText) string {
	if r.ResourceAccount != "" {
		return r.ResourceAccount
	}
	if account := resource.account(); account != "" {
		return account
	}
	return r.Principal.Account
}

// keyValues looks up condition keys of one request, by lower-case name.
type keyValues struct {
	context         Context
	principal       *Principal
	resourceAccount string
}

// derivedKeys are the keys that follow from principal and resource.
const (
	keyPrincipalARN     = "aws:principalarn"
	keyPrincipalAccount = "aws:principalaccount"
	keyPrincipalType    = "aws:principaltype"
	keyUserID           = "aws:userid"
	keyUserName         = "aws:username"
	keyResourceAccount  = "aws:resourceaccount"
)

// derive returns the value of a derived key, "" when it does not apply, and
// whether key is one.
func (k keyValues) derive(key string) (string, bool) {
	p := k.principal
	switch key {
	case keyPrincipalARN:
		if p.Kind == Session && p.RoleARN != "" {
			return p.RoleARN, true
		}
		if p.Kind == Service || p.Kind == Federated {
			return "", true
		}
		return p.ARN, true
	case keyPrincipalAccount:
		return p.Account, true
	case keyPrincipalType:
		return p.Kind.typeName(), true
	case keyUserID:
		return p.ID, true
	case keyUserName:
		if p.Kind != User {
			return "", true
		}
		return p.Name, true
	case keyResourceAccount:
		return k.resourceAccount, true
	}
	return "", false
}

func (k PrincipalKind) typeName() string {
	switch k {
	case Root:
		return "Account"
	case User:
		return "User"
	case Session:
		return "AssumedRole"
	case Federated:
		return "FederatedUser"
	case Service:
		return ""
	default:
		return "Anonymous"
	}
}

// get returns all values; scratch saves an allocation for derived keys.
func (k keyValues) get(key string, scratch *[1]string) []string {
	if v, is := k.derive(key); is {
		if v == "" {
			return nil
		}
		scratch[0] = v
		return scratch[:]
	}
	return k.context.values[key]
}

// single returns the value of a key that has exactly one: variables stand for
// no others.
func (k keyValues) single(key string) (string, bool) {
	var scratch [1]string
	values := k.get(key, &scratch)
	if len(values) != 1 {
		return "", false
	}
	return values[0], true
}
