package mysql

import (
	"context"
	"fmt"
	"strings"
	"unicode/utf8"

	"lockstep"
	"lockstep/rotators"
	"lockstep/rotators/jsonvalue"
)

// CloneSuffix makes the second user's name from the first one's, as AWS's
// rotation function does.
const CloneSuffix = "_clone"

// Alternating is the rotator of two users, used in turn. It is safe for
// concurrent use.
type Alternating struct{ base }

// NewMariaDBAlternating makes the rotator "mariadb-alternating". Errors:
// ErrInvalid if no password can satisfy the policy.
func NewMariaDBAlternating(cfg Config) (*Alternating, error) {
	return newAlternating(mariaDB(), cfg)
}

// NewMySQLAlternating makes the rotator "mysql-alternating". Errors: as
// NewMariaDBAlternating.
func NewMySQLAlternating(cfg Config) (*Alternating, error) { return newAlternating(mySQL(), cfg) }

func newAlternating(f flavor, cfg Config) (*Alternating, error) {
	b, err := newBase(f, cfg)
	if err != nil {
		return nil, err
	}
	return &Alternating{base: b}, nil
}

// Traits: chosen, two accounts.
func (*Alternating) Traits() lockstep.Traits {
	return lockstep.Traits{Chooser: lockstep.Chosen, Overlap: lockstep.TwoAccounts}
}

// pair is the two users of a Secret: the model and its clone.
type pair = jsonvalue.Pair

// pairOf tells the pair of which v names one. Errors: ErrInvalid if the
// clone's name would be too long.
func (b *base) pairOf(v *value) (pair, error) {
	owner := strings.TrimSuffix(v.User, CloneSuffix)
	if owner == "" {
		return pair{}, fmt.Errorf(`the field "username" is %q alone: %w`, CloneSuffix, lockstep.ErrInvalid)
	}
	if utf8.RuneCountInString(owner)+len(CloneSuffix) > b.maxName {
		return pair{}, fmt.Errorf(`the field "username" leaves no room for %q: at most %d characters: %w`,
			CloneSuffix, b.maxName-len(CloneSuffix), lockstep.ErrInvalid)
	}
	return pair{Owner: owner, Clone: owner + CloneSuffix}, nil
}

func (b *base) readPair(which string, v lockstep.Value) (*value, pair, error) {
	val, err := b.read(which, v)
	if err != nil {
		return nil, pair{}, err
	}
	p, err := b.pairOf(val)
	if err != nil {
		return nil, pair{}, b.malformed(which, err)
	}
	return val, p, nil
}

// Account is the user that v names. Errors: ErrInvalid.
func (a *Alternating) Account(v lockstep.Value) (rotators.Account, error) {
	val, err := a.parse(v)
	if err != nil {
		return rotators.Account{}, fmt.Errorf("read secret: %w", err)
	}
	return val.Account(val.User), nil
}

// Accounts are the two users of the pair. Errors: ErrInvalid.
func (a *Alternating) Accounts(v lockstep.Value) ([]rotators.Account, error) {
	val, err := a.parse(v)
	if err != nil {
		return nil, fmt.Errorf("read secret: %w", err)
	}
	p, err := a.pairOf(val)
	if err != nil {
		return nil, err
	}
	return []rotators.Account{val.Account(p.Owner), val.Account(p.Clone)}, nil
}

// Create names the user that AWSCURRENT does not, with a new password. Errors:
// FaultPermanent if AWSCURRENT is malformed or its user's name too long.
func (a *Alternating) Create(_ context.Context, r *rotators.Request) (lockstep.Value, error) {
	current, p, err := a.readPair("AWSCURRENT", r.Current)
	if err != nil {
		return lockstep.Value{}, err
	}
	return a.fresh(r, current, p.Other(current.User))
}

// Set makes the pending value's user able to log in with it, creates the clone
// if it is missing, and brings its rights in line. Errors: TargetErrors;
// FaultPermanent without an admin.
func (a *Alternating) Set(ctx context.Context, r *rotators.Request) error {
	pending, p, err := a.readPair("the pending value", r.Pending)
	if err != nil {
		return err
	}
	if !a.hasAdmin(r, pending) {
		return noAdmin(pending)
	}
	return a.withAdmin(ctx, r, pending, func(admin *server) error {
		if err := admin.insists(ctx); err != nil {
			return err
		}
		if err := admin.insisting(); err != nil {
			return err
		}
		c, err := admin.open(ctx, r, p, pending)
		if err != nil {
			return err
		}
		return admin.lacking(admin.apply(ctx, r, c))
	})
}

// open is the change that lets the pending value's user log in with it.
func (s *server) open(ctx context.Context, r *rotators.Request, p pair, pending *value) (change, error) {
	c := change{doing: "set password of user " + quote(pending.User), users: p.Both()}
	var err error
	if c.marked, err = s.prepareMarks(ctx); err != nil {
		return c, err
	}
	work, err := s.provision(ctx, r, p, pending, c.marked)
	if err != nil {
		return c, err
	}
	c.before = work.statements
	c.last, c.entries = []string{s.passwords(work.target, pending.Password) + " ACCOUNT UNLOCK"}, len(work.target)
	return c, nil
}

// Raise writes the marker of both users. Errors: TargetErrors; FaultPermanent
// without an admin, or if that one may not write to the schema of the markers.
func (a *Alternating) Raise(ctx context.Context, r *rotators.Request) (fence uint64, err error) {
	current, p, err := a.readPair("AWSCURRENT", r.Current)
	if err != nil {
		return 0, err
	}
	if !a.hasAdmin(r, current) {
		return 0, noAdmin(current)
	}
	err = a.withAdmin(ctx, r, current, func(admin *server) error {
		var err error
		fence, err = admin.raise(ctx, r, p.Both())
		return err
	})
	return fence, err
}

// Plan says what a Run would do, as Single's does.
func (a *Alternating) Plan(ctx context.Context, r *rotators.Request) (rotators.Plan, error) {
	var p rotators.Plan
	current, pair, err := a.readPair("AWSCURRENT", r.Current)
	if err != nil {
		p.Fails(lockstep.StepCreate, err)
		return p, ctx.Err()
	}
	target := pair.Other(current.User)
	p.Will("create: make a new password for user %s; %s stays as it is", quote(target), quote(current.User))
	if a.hasAdmin(r, current) {
		p.Fails(lockstep.StepSet, a.withAdmin(ctx, r, current, func(admin *server) error {
			return admin.planPair(ctx, r, pair, current, &p)
		}))
	} else {
		p.Fails(lockstep.StepSet, noAdmin(current))
	}
	p.Will("test: log in to %s as %s%s", current.Address(), quote(target), current.ProbesInWords())
	p.Will("retire: lock user %s and end its sessions, when the policy allows", quote(current.User))
	return p, ctx.Err()
}

func (s *server) planPair(ctx context.Context, r *rotators.Request, p pair, current *value, out *rotators.Plan) error {
	out.Will("set: log in to %s as the admin %s", current.Address(), s.me)
	if err := s.planServer(ctx, r, p.Both(), out); err != nil {
		return err
	}
	state, err := s.marks(ctx)
	if err != nil {
		return err
	}
	imagined := *current
	imagined.User = p.Other(current.User)
	work, err := s.provision(ctx, r, p, &imagined, state == marksThere)
	if err != nil {
		return err
	}
	for _, what := range work.actions {
		out.Will("set: %s", what)
	}
	out.Fails(lockstep.StepSet, s.mayGive(ctx, work.gives))
	if work.roles && !s.mayDefaultRole(ctx) {
		out.Trouble(lockstep.StepSet, fmt.Sprintf("the admin %s may not give the clone its default role", s.me),
			fmt.Sprintf("GRANT UPDATE ON mysql.* TO %s", s.myName()))
	}
	out.Will("set: let user %s log in with the new password", quote(imagined.User))
	return nil
}

// mayDefaultRole tells whether our login may choose another's default role.
func (s *server) mayDefaultRole(ctx context.Context) bool {
	if s.product == productMySQL {
		return true // CREATE USER is enough there
	}
	mine, err := s.rights(ctx)
	return err == nil && mine.covers(grant{privileges: []string{"UPDATE"}, object: "`mysql`.*"})
}
