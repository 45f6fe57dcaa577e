package auth

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"lockstep"
	"lockstep/auth/policy"
	"lockstep/store"
)

// The limits of identities; AWS's where it has one.
const (
	// MaxKeys is how many access keys a user may have, active or not: two, so
	// that one can be rotated while the other works.
	MaxKeys = 2
	// MaxAttached is how many policies hang on one user, group or role.
	MaxAttached = 20
	// MaxGroups is how many groups a user is in.
	MaxGroups = 20
	// MaxIdentityTags is how many tags a user or role has.
	MaxIdentityTags = 50
	// MaxNames bounds a page of a list.
	MaxNames = 1000
)

// rootName is the name that the root user goes by; no other user may have it.
const rootName = "root"

// IdentityKind is a kind of thing that policies hang on or that is one.
type IdentityKind string

// The kinds.
const (
	KindUser   IdentityKind = "user"
	KindGroup  IdentityKind = "group"
	KindRole   IdentityKind = "role"
	KindPolicy IdentityKind = "policy"
)

// IdentityARN is the ARN of a user, group, role or policy. The user named root
// is the root user.
func IdentityARN(account lockstep.AccountID, kind IdentityKind, name string) string {
	if kind == KindUser && name == rootName {
		return RootARN(account)
	}
	return "arn:aws:iam::" + string(account) + ":" + string(kind) + "/" + name
}

// NameOf is the name in an ARN that IdentityARN made.
func NameOf(arn string) string {
	if strings.HasSuffix(arn, ":"+rootName) {
		return rootName
	}
	return arn[strings.LastIndexByte(arn, '/')+1:]
}

// IdentitiesConfig is what Identities needs.
type IdentitiesConfig struct {
	// Store and Sealer are required.
	Store  store.Store
	Sealer Sealer
	// Changed, if set, is called after each change with the ARNs of the users
	// whose keys or policies it touches: caches and connections that rest on
	// them are to be given up.
	Changed func(users []string)
}

// Identities manages users, groups, roles, policies and access keys. Whoever
// calls has asked the Guard. It is safe for concurrent use.
//
// Errors of all methods: *lockstep.Refusal of kind ErrNotFound, ErrExists,
// ErrInvalid or ErrState; ErrBusy, ErrSealed.
type Identities struct{ config IdentitiesConfig }

// NewIdentities makes Identities. Errors: ErrInvalid if something is missing.
func NewIdentities(c IdentitiesConfig) (*Identities, error) {
	if c.Store == nil || c.Sealer == nil {
		return nil, fmt.Errorf("identities config: Store and Sealer are required: %w", lockstep.ErrInvalid)
	}
	if c.Changed == nil {
		c.Changed = func([]string) {}
	}
	return &Identities{config: c}, nil
}

// nameForm is AWS's for names of users, groups, roles and policies.
var nameForm = regexp.MustCompile(`^[A-Za-z0-9+=,.@_-]{1,64}$`)

func checkName(kind IdentityKind, name string) error {
	if !nameForm.MatchString(name) || (kind == KindUser && name == rootName) {
		return lockstep.Refuse(lockstep.ErrInvalid,
			"%q cannot be the name of a %s: use 1 to 64 letters, digits and +=,.@_- (and \"root\" is taken).", name, kind)
	}
	return nil
}

func checkTags(tags []lockstep.Tag) error {
	if len(tags) > MaxIdentityTags {
		return lockstep.Refuse(lockstep.ErrInvalid, "There can be at most %d tags.", MaxIdentityTags)
	}
	seen := map[string]bool{}
	for _, t := range tags {
		if t.Key == "" || len(t.Key) > 128 || len(t.Value) > 256 || strings.HasPrefix(strings.ToLower(t.Key), "aws:") || seen[strings.ToLower(t.Key)] {
			return lockstep.Refuse(lockstep.ErrInvalid,
				"The tag %q cannot be set: a key has 1 to 128 characters, does not begin with aws: and stands there once; a value has at most 256.", t.Key)
		}
		seen[strings.ToLower(t.Key)] = true
	}
	return nil
}

const maxDescription = 1000

func checkDescription(text string) error {
	if len(text) > maxDescription {
		return lockstep.Refuse(lockstep.ErrInvalid, "A description has at most %d characters.", maxDescription)
	}
	return nil
}

func checkDocument(text string, kind policy.Kind) error {
	if _, err := policy.Parse(text, kind); err != nil {
		return lockstep.Refuse(lockstep.ErrInvalid, "This policy cannot be used: %s", err)
	}
	return nil
}

// CheckIdentityPolicy tells whether a document can be used as an identity or
// session policy. Errors: a Refusal of kind ErrInvalid that says why not.
func CheckIdentityPolicy(document string) error {
	return checkDocument(document, policy.IdentityPolicy)
}

// described turns the store's bare errors into refusals that say what it was
// about.
func described(err error, kind IdentityKind, name string) error {
	var refusal *lockstep.Refusal
	switch {
	case err == nil || errors.As(err, &refusal):
		return err
	case errors.Is(err, lockstep.ErrNotFound):
		return lockstep.Refuse(lockstep.ErrNotFound, "There is no %s named %q.", kind, name)
	case errors.Is(err, lockstep.ErrExists):
		return lockstep.Refuse(lockstep.ErrExists, "There is a %s named %q already.", kind, name)
	}
	return err
}

// change is one write and what it reaches.
type change struct {
	kind IdentityKind
	name string
	// touches tells whose access the change may alter; it is asked in the same
	// transaction, before the write and after.
	touches func(store.ReadTx) ([]string, error)
	write   func(store.Tx) error
}

func (c change) reaches(tx store.ReadTx) ([]string, error) {
	if c.touches == nil {
		return nil, nil
	}
	return c.touches(tx)
}

func (i *Identities) apply(ctx context.Context, c change) error {
	var users []string
	err := i.config.Store.Update(ctx, func(tx store.Tx) error {
		before, err := c.reaches(tx)
		if err != nil {
			return err
		}
		if err := c.write(tx); err != nil {
			return err
		}
		after, err := c.reaches(tx)
		users = append(before, after...)
		return err
	})
	if err != nil {
		return described(err, c.kind, c.name)
	}
	i.config.Changed(users)
	return nil
}

func justThis(arn string) func(store.ReadTx) ([]string, error) {
	return func(store.ReadTx) ([]string, error) { return []string{arn}, nil }
}

func membersOf(group string) func(store.ReadTx) ([]string, error) {
	return func(tx store.ReadTx) ([]string, error) { return tx.Members(group) }
}

// holdersOf lists the users that a policy reaches, also through groups.
func holdersOf(policyARN string) func(store.ReadTx) ([]string, error) {
	return func(tx store.ReadTx) ([]string, error) {
		holders, err := tx.Holders(policyARN)
		if err != nil {
			return nil, err
		}
		var users []string
		for _, h := range holders {
			if !strings.Contains(h, ":group/") {
				users = append(users, h)
				continue
			}
			members, err := tx.Members(h)
			if err != nil {
				return nil, err
			}
			users = append(users, members...)
		}
		return users, nil
	}
}

// view reads, and says of what kind of thing nothing was found.
func (i *Identities) view(ctx context.Context, kind IdentityKind, name string, fn func(store.ReadTx) error) error {
	return described(i.config.Store.View(ctx, fn), kind, name)
}

// boundaryARN checks that a boundary is a policy that exists.
func boundaryARN(tx store.ReadTx, account lockstep.AccountID, name string) (string, error) {
	if name == "" {
		return "", nil
	}
	arn := IdentityARN(account, KindPolicy, name)
	_, err := tx.Policy(arn)
	return arn, described(err, KindPolicy, name)
}
