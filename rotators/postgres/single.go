package postgres

import (
	"context"
	"fmt"

	"lockstep"
	"lockstep/rotators"
)

// Single is the rotator "postgres": one role, one password. It is safe for
// concurrent use.
type Single struct{ base }

// NewSingle makes the rotator. Errors: ErrInvalid if no password can satisfy
// the policy.
func NewSingle(cfg Config) (*Single, error) {
	b, err := newBase(cfg)
	if err != nil {
		return nil, err
	}
	return &Single{base: b}, nil
}

// Traits: chosen, one value.
func (*Single) Traits() lockstep.Traits {
	return lockstep.Traits{Chooser: lockstep.Chosen, Overlap: lockstep.OneValue}
}

// Account is the role that v names. Errors: ErrInvalid.
func (*Single) Account(v lockstep.Value) (rotators.Account, error) {
	val, err := account(v)
	if err != nil {
		return rotators.Account{}, err
	}
	return val.Account(val.User), nil
}

// Accounts is the one role that v names. Errors: ErrInvalid.
func (s *Single) Accounts(v lockstep.Value) ([]rotators.Account, error) {
	a, err := s.Account(v)
	if err != nil {
		return nil, err
	}
	return []rotators.Account{a}, nil
}

// Create is AWSCURRENT with another password. Errors: FaultPermanent if
// AWSCURRENT is malformed.
func (s *Single) Create(_ context.Context, r *rotators.Request) (lockstep.Value, error) {
	current, err := parse(r.Current)
	if err != nil {
		return lockstep.Value{}, malformed("AWSCURRENT", err)
	}
	return s.fresh(r, current, current.User)
}

// fresh is the value of another user with a new password.
func (b *base) fresh(r *rotators.Request, of *value, user string) (lockstep.Value, error) {
	return of.Fresh(user, b.passwords, r.Passwords)
}

// Set changes the role's password to the pending one: by the admin if the
// Secret names one, else logged in as the role itself. Errors: TargetErrors.
func (s *Single) Set(ctx context.Context, r *rotators.Request) error {
	pending, err := parse(r.Pending)
	if err != nil {
		return malformed("the pending value", err)
	}
	c := change{doing: fmt.Sprintf("set password of role %s", quote(pending.User)), roles: []string{pending.User}}
	secret, err := verifier(pending.Password)
	if err != nil {
		return rotators.Permanent("", "%s: %w", c.doing, err)
	}
	c.statements = []string{"ALTER ROLE " + quote(pending.User) + " PASSWORD " + literal(secret)}
	if s.hasAdmin(r, pending) {
		return s.setByAdmin(ctx, r, pending, c)
	}
	return s.setAsItself(ctx, r, pending, c)
}

// hasAdmin tells whether another role than the Secret's own is there to make
// the change. A role that is named as its own admin goes the way of all others.
func (*base) hasAdmin(r *rotators.Request, of *value) bool {
	if r.Admin.IsZero() {
		return false
	}
	v, err := parse(r.Admin)
	return err != nil || !v.SameServer(of) || v.User != of.User
}

func (s *Single) setByAdmin(ctx context.Context, r *rotators.Request, pending *value, c change) error {
	c.mark = true
	return s.withAdmin(ctx, r, pending, func(a *admin) error {
		return a.explain(ctx, apply(ctx, a.conn, r, a.now, c), pending)
	})
}

func noRole(v *value) error {
	return rotators.Permanent(`correct the field "username" of the secret, or create the role`,
		"there is no role %s at %s", quote(v.User), v.Address())
}

// setAsItself logs in with what the server may accept: the pending value
// first, since then nothing is left to do.
func (s *Single) setAsItself(ctx context.Context, r *rotators.Request, pending *value, c change) error {
	tried := make(map[string]bool)
	for _, candidate := range append([]lockstep.Value{r.Pending, r.Current}, r.Live...) {
		v, err := parse(candidate)
		if err != nil || v.User != pending.User || !v.SameServer(pending) || tried[v.Password] {
			continue
		}
		tried[v.Password] = true
		done, err := s.setAs(ctx, r, v, c)
		if done || err != nil {
			return err
		}
	}
	return rotators.Permanent("name an admin's secret in the field masterarn, or set the password by hand and put it into the secret",
		"none of %d known passwords of role %s logs in at %s", len(tried), quote(pending.User), pending.Address())
}

// setAs makes the change logged in as v; done is false if v does not log in.
func (s *Single) setAs(ctx context.Context, r *rotators.Request, v *value, c change) (done bool, err error) {
	conn, err := s.login(ctx, v)
	if err != nil {
		if lockstep.AsTargetError(err).Fault == lockstep.FaultRefusedLogin {
			return false, nil
		}
		return false, err
	}
	defer logout(ctx, conn)
	now, err := clock(ctx, conn)
	if err != nil {
		return true, err
	}
	if pending, err := parse(r.Pending); err == nil && v.Password == pending.Password {
		return true, nil
	}
	return true, apply(ctx, conn, r, now, c)
}

// Raise writes the marker into the role's comment. Errors: FaultPermanent
// without an admin, since a role cannot comment on itself.
func (s *Single) Raise(ctx context.Context, r *rotators.Request) (fence uint64, err error) {
	current, err := parse(r.Current)
	if err != nil {
		return 0, malformed("AWSCURRENT", err)
	}
	if !s.hasAdmin(r, current) {
		return 0, noAdmin(current)
	}
	err = s.withAdmin(ctx, r, current, func(a *admin) error {
		var err error
		fence, err = raise(ctx, a.conn, r, []string{current.User})
		return a.explain(ctx, err, current)
	})
	return fence, err
}

func noAdmin(v *value) error {
	return rotators.Permanent("name an admin's secret in the field masterarn",
		"the secret names no admin for role %s", quote(v.User))
}
