package postgres

import (
	"context"
	"fmt"
	"strings"

	"lockstep"
	"lockstep/rotators"
	"lockstep/rotators/jsonvalue"
)

// CloneSuffix makes the second role's name from the first one's, as AWS's
// rotation function does.
const CloneSuffix = "_clone"

// Alternating is the rotator "postgres-alternating": two roles, used in turn.
// It is safe for concurrent use.
type Alternating struct{ base }

// NewAlternating makes the rotator. Errors: ErrInvalid if no password can
// satisfy the policy.
func NewAlternating(cfg Config) (*Alternating, error) {
	b, err := newBase(cfg)
	if err != nil {
		return nil, err
	}
	return &Alternating{base: b}, nil
}

// Traits: chosen, two accounts.
func (*Alternating) Traits() lockstep.Traits {
	return lockstep.Traits{Chooser: lockstep.Chosen, Overlap: lockstep.TwoAccounts}
}

// pair is the two roles of a Secret: the owner of everything and its clone.
type pair = jsonvalue.Pair

// pairOf tells the pair of which v names one. Errors: ErrInvalid if the
// clone's name would be too long.
func pairOf(v *value) (pair, error) {
	owner := strings.TrimSuffix(v.User, CloneSuffix)
	if owner == "" {
		return pair{}, fmt.Errorf(`the field "username" is %q alone: %w`, CloneSuffix, lockstep.ErrInvalid)
	}
	if len(owner)+len(CloneSuffix) > maxName {
		return pair{}, fmt.Errorf(`the field "username" leaves no room for %q: at most %d bytes: %w`,
			CloneSuffix, maxName-len(CloneSuffix), lockstep.ErrInvalid)
	}
	return pair{Owner: owner, Clone: owner + CloneSuffix}, nil
}

func readPair(which string, v lockstep.Value) (*value, pair, error) {
	val, err := parse(v)
	if err != nil {
		return nil, pair{}, malformed(which, err)
	}
	p, err := pairOf(val)
	if err != nil {
		return nil, pair{}, malformed(which, err)
	}
	return val, p, nil
}

// Account is the role that v names. Errors: ErrInvalid.
func (*Alternating) Account(v lockstep.Value) (rotators.Account, error) {
	val, err := account(v)
	if err != nil {
		return rotators.Account{}, err
	}
	return val.Account(val.User), nil
}

// Accounts are the two roles of the pair. Errors: ErrInvalid.
func (*Alternating) Accounts(v lockstep.Value) ([]rotators.Account, error) {
	val, err := account(v)
	if err != nil {
		return nil, err
	}
	p, err := pairOf(val)
	if err != nil {
		return nil, err
	}
	return []rotators.Account{val.Account(p.Owner), val.Account(p.Clone)}, nil
}

// Create names the role that AWSCURRENT does not, with a new password. Errors:
// FaultPermanent if AWSCURRENT is malformed or its user's name too long.
func (a *Alternating) Create(_ context.Context, r *rotators.Request) (lockstep.Value, error) {
	current, p, err := readPair("AWSCURRENT", r.Current)
	if err != nil {
		return lockstep.Value{}, err
	}
	return a.fresh(r, current, p.Other(current.User))
}

// Set makes the pending value's role able to log in with it, and creates the
// clone if it is missing. Errors: TargetErrors; FaultPermanent without an
// admin.
func (a *Alternating) Set(ctx context.Context, r *rotators.Request) error {
	pending, p, err := readPair("the pending value", r.Pending)
	if err != nil {
		return err
	}
	if !a.hasAdmin(r, pending) {
		return noAdmin(pending)
	}
	secret, err := verifier(pending.Password)
	if err != nil {
		return rotators.Permanent("", "set password of role %s: %w", quote(pending.User), err)
	}
	return a.withPair(ctx, r, pending, func(session *admin) error {
		if session.roles[p.Owner] == nil {
			return noOwner(p, pending)
		}
		c, err := session.open(ctx, p, pending.User, secret)
		if err != nil {
			return err
		}
		return session.missingRight(apply(ctx, session.conn, r, session.now, c), p.Both())
	})
}

// withPair is withAdmin, with a survey of the pair of which v names one.
func (a *Alternating) withPair(ctx context.Context, r *rotators.Request, v *value, do func(*admin) error) error {
	p, err := pairOf(v)
	if err != nil {
		return malformed("the value", err)
	}
	return a.withAdmin(ctx, r, v, func(session *admin) error {
		if err := session.look(ctx, p.Both()); err != nil {
			return err
		}
		return do(session)
	})
}

func noOwner(p pair, v *value) error {
	return rotators.Permanent("create it: it owns what both roles of the pair create",
		"there is no role %s at %s", quote(p.Owner), v.Address())
}

// open is the change that lets target log in with a new password.
func (a *admin) open(ctx context.Context, p pair, target, secret string) (change, error) {
	c := change{doing: fmt.Sprintf("set password of role %s", quote(target)), roles: p.Both(), mark: true}
	login := "ALTER ROLE " + quote(target) + " LOGIN PASSWORD " + literal(secret)
	if target == p.Owner {
		c.roles = a.existing(p.Both())
		c.statements = []string{login}
		if a.roles[p.Clone] != nil {
			c.statements = append(c.statements, "ALTER ROLE "+quote(p.Clone))
		}
		return c, nil
	}
	made, err := a.provision(ctx, p)
	if err != nil {
		return change{}, err
	}
	// Said beforehand, since the server's error names no way out.
	far, err := a.outOfReach(ctx, made.parameters)
	if err != nil {
		return change{}, err
	}
	if far != "" {
		return change{}, rotators.Permanent(a.grantParameter(far), "%s: the admin %s may not set the parameter %s, which role %s has set",
			c.doing, quote(a.me.name), far, quote(p.Owner))
	}
	c.statements = append([]string{"ALTER ROLE " + quote(p.Owner)}, made.statements...)
	c.statements = append(c.statements, login)
	return c, nil
}

// Raise writes the marker into the comment of both roles. Errors: TargetErrors;
// FaultPermanent without an admin.
func (a *Alternating) Raise(ctx context.Context, r *rotators.Request) (fence uint64, err error) {
	current, p, err := readPair("AWSCURRENT", r.Current)
	if err != nil {
		return 0, err
	}
	if !a.hasAdmin(r, current) {
		return 0, noAdmin(current)
	}
	err = a.withPair(ctx, r, current, func(session *admin) error {
		if session.roles[p.Owner] == nil {
			return noOwner(p, current)
		}
		var err error
		fence, err = raise(ctx, session.conn, r, session.existing(p.Both()))
		return session.missingRight(err, p.Both())
	})
	return fence, err
}
