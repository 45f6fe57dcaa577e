package mysql

import (
	"context"
	"fmt"
	"strings"

	"lockstep"
	"lockstep/rotators"
)

// Single is the rotator of one user with one password. It is safe for
// concurrent use.
type Single struct{ base }

// NewMariaDB makes the rotator "mariadb". Errors: ErrInvalid if no password can
// satisfy the policy.
func NewMariaDB(cfg Config) (*Single, error) { return newSingle(mariaDB(), cfg) }

// NewMySQL makes the rotator "mysql". Errors: as NewMariaDB.
func NewMySQL(cfg Config) (*Single, error) { return newSingle(mySQL(), cfg) }

func newSingle(f flavor, cfg Config) (*Single, error) {
	b, err := newBase(f, cfg)
	if err != nil {
		return nil, err
	}
	return &Single{base: b}, nil
}

// Traits: chosen, one value.
func (*Single) Traits() lockstep.Traits {
	return lockstep.Traits{Chooser: lockstep.Chosen, Overlap: lockstep.OneValue}
}

// Account is the user that v names. Errors: ErrInvalid.
func (s *Single) Account(v lockstep.Value) (rotators.Account, error) {
	val, err := s.parse(v)
	if err != nil {
		return rotators.Account{}, fmt.Errorf("read secret: %w", err)
	}
	return val.Account(val.User), nil
}

// Accounts is the one user that v names. Errors: ErrInvalid.
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
	current, err := s.read("AWSCURRENT", r.Current)
	if err != nil {
		return lockstep.Value{}, err
	}
	return s.fresh(r, current, current.User)
}

// Set changes the user's password to the pending one: at each of its entries by
// the admin, if the Secret names one; else, on MariaDB, at the entry that it
// logs in through. Errors: TargetErrors.
func (s *Single) Set(ctx context.Context, r *rotators.Request) error {
	pending, err := s.read("the pending value", r.Pending)
	if err != nil {
		return err
	}
	if !s.hasAdmin(r, pending) {
		return s.setAsItself(ctx, r, pending)
	}
	return s.withAdmin(ctx, r, pending, func(admin *server) error {
		c, err := admin.setAll(ctx, pending)
		if err != nil {
			return err
		}
		return admin.lacking(admin.apply(ctx, r, c))
	})
}

// setAll is the change of a password at each entry of a user.
func (s *server) setAll(ctx context.Context, pending *value) (change, error) {
	c := change{doing: "set password of user " + quote(pending.User), users: []string{pending.User}}
	if err := s.insists(ctx); err != nil {
		return c, err
	}
	if err := s.insisting(); err != nil {
		return c, err
	}
	found, err := s.look(ctx, pending.User)
	if err != nil {
		return c, err
	}
	all := found[pending.User]
	if len(all) == 0 {
		return c, noUser(pending.User, pending)
	}
	c.last, c.entries = []string{s.passwords(all, pending.Password)}, len(all)
	c.marked, err = s.prepareMarks(ctx)
	return c, err
}

// passwords is the statement that changes the password of all entries.
func (s *server) passwords(all []*entry, password string) string {
	parts := make([]string, len(all))
	for i, e := range all {
		parts[i] = e.name() + " " + s.method(e.plugin, password)
	}
	return "ALTER USER " + strings.Join(parts, ", ")
}

// lacking adds to a permission error what to do about it.
func (s *server) lacking(err error) error {
	if te := lockstep.AsTargetError(err); err != nil && te.Fault == lockstep.FaultPermanent && te.Hint == "" {
		te.Hint = fmt.Sprintf("GRANT CREATE USER ON *.* TO %s, or give it the right that the server names", s.myName())
		return te
	}
	return err
}

func noUser(user string, v *value) error {
	return rotators.Permanent(`correct the field "username" of the secret, or create the user`,
		"there is no user %s at %s", quote(user), v.Address())
}

// candidates are the values of the Secret that name the same user at the same
// server, each password once: the pending one first, since then nothing is left
// to do.
func (s *Single) candidates(of *value, all ...lockstep.Value) []*value {
	tried := make(map[string]bool)
	var out []*value
	for _, one := range all {
		v, err := s.parse(one)
		if err != nil || v.User != of.User || !v.SameServer(of) || tried[v.Password] {
			continue
		}
		tried[v.Password] = true
		out = append(out, v)
	}
	return out
}

// setAsItself logs in with what the server may accept.
func (s *Single) setAsItself(ctx context.Context, r *rotators.Request, pending *value) error {
	if s.selfChange == nil {
		return rotators.Permanent("name an admin's secret in the field masterarn",
			"a user of %s can change its own password only in clear, and the secret names no admin", s.product)
	}
	all := s.candidates(pending, append([]lockstep.Value{r.Pending, r.Current}, r.Live...)...)
	for _, v := range all {
		done, err := s.setAs(ctx, r, v, pending)
		if done || err != nil {
			return err
		}
	}
	return rotators.Permanent("name an admin's secret in the field masterarn, or set the password by hand and put it into the secret",
		"none of %d known passwords of user %s logs in at %s", len(all), quote(pending.User), pending.Address())
}

// setAs makes the change logged in as v; done is false if v does not log in.
func (s *Single) setAs(ctx context.Context, r *rotators.Request, v, pending *value) (done bool, err error) {
	c, err := s.login(ctx, v, severalStatements)
	if err != nil {
		if lockstep.AsTargetError(err).Fault == lockstep.FaultRefusedLogin {
			return false, nil
		}
		return false, err
	}
	defer c.close()
	itself, err := s.greet(ctx, c)
	if err != nil {
		return true, err
	}
	if v.Password == pending.Password {
		return true, nil
	}
	if err := itself.insists(ctx); err != nil {
		return true, err
	}
	if err := itself.insisting(); err != nil {
		return true, err
	}
	return true, itself.apply(ctx, r, change{
		doing: "set password of user " + quote(pending.User), users: []string{pending.User},
		last: []string{s.selfChange(pending.Password)}, entries: 1,
	})
}

// Raise writes the marker. Errors: FaultPermanent without an admin, or if that
// one may not write to the schema of the markers.
func (s *Single) Raise(ctx context.Context, r *rotators.Request) (fence uint64, err error) {
	current, err := s.read("AWSCURRENT", r.Current)
	if err != nil {
		return 0, err
	}
	if !s.hasAdmin(r, current) {
		return 0, noAdmin(current)
	}
	err = s.withAdmin(ctx, r, current, func(admin *server) error {
		var err error
		fence, err = admin.raise(ctx, r, []string{current.User})
		return err
	})
	return fence, err
}
