package postgres

import (
	"context"
	"fmt"

	"lockstep"
	"lockstep/rotators"
)

// Retire takes login and password from old's role; KillSessions ends its
// sessions. The role itself stays: as the owner, it is what both roles act as.
// Errors: TargetErrors; FaultPermanent if AWSCURRENT names the same role, or
// without an admin.
func (a *Alternating) Retire(ctx context.Context, r *rotators.Request, old lockstep.Value) error {
	gone, p, err := readPair("the old value", old)
	if err != nil {
		return err
	}
	current, err := parse(r.Current)
	if err != nil {
		return malformed("AWSCURRENT", err)
	}
	if current.User == gone.User && current.SameServer(gone) {
		return rotators.Permanent("", "role %s is the one that AWSCURRENT names: not retired", quote(gone.User))
	}
	if !a.hasAdmin(r, gone) {
		return noAdmin(gone)
	}
	// The admin's ARN as it is now; an old value may name an earlier one.
	gone.MasterARN = current.MasterARN
	return a.withPair(ctx, r, gone, func(session *admin) error {
		if session.roles[gone.User] == nil {
			return nil // nobody can log in as it
		}
		return session.missingRight(session.shut(ctx, r, p, gone.User), p.Both())
	})
}

// shut makes the guarded change.
func (a *admin) shut(ctx context.Context, r *rotators.Request, p pair, target string) error {
	c := change{doing: fmt.Sprintf("retire role %s", quote(target)), roles: a.existing(p.Both()), mark: true}
	for _, n := range c.roles {
		s := "ALTER ROLE " + quote(n)
		if n == target {
			s += " NOLOGIN PASSWORD NULL"
		}
		c.statements = append(c.statements, s)
	}
	return apply(ctx, a.conn, r, a.now, c)
}
