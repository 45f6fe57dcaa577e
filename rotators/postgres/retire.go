package postgres

import (
	"context"
	"fmt"
	"time"

	"lockstep"
	"lockstep/rotators"
)

// Retire takes login and password from old's role and ends its sessions. The
// role itself stays: as the owner, it is what both roles act as. Errors:
// TargetErrors; FaultPermanent if AWSCURRENT names the same role, or without
// an admin. After the password is gone, errors have Outcome Unknown: sessions
// may be left, and the next call ends them.
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
		if err := session.shut(ctx, r, p, gone.User); err != nil {
			return session.missingRight(err, p.Both())
		}
		return session.endSessions(ctx, gone.User)
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

const (
	endSessionsTimeout = 10 * time.Second
	endSessionsPoll    = 20 * time.Millisecond
)

// endSessions terminates the role's sessions and waits until they are gone.
func (a *admin) endSessions(ctx context.Context, name string) error {
	doing := fmt.Sprintf("end sessions of role %s", quote(name))
	ctx, cancel := context.WithTimeout(ctx, endSessionsTimeout)
	defer cancel()
	tick := time.NewTicker(endSessionsPoll)
	defer tick.Stop()
	for {
		if _, err := a.conn.PgConn().Exec(ctx, settings(endSessionsTimeout)+a.terminate(name)).ReadAll(); err != nil {
			te := changeFault(doing, err)
			te.Outcome = lockstep.Unknown
			if te.Fault == lockstep.FaultPermanent {
				te.Hint = fmt.Sprintf("GRANT pg_signal_backend TO %s", quote(a.me.name))
			}
			return te
		}
		var left int
		err := a.conn.QueryRow(ctx, "SELECT count(*) FROM pg_catalog.pg_stat_activity WHERE usename = $1", name).Scan(&left)
		if err != nil {
			return &lockstep.TargetError{Err: wording(doing, err)}
		}
		if left == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return &lockstep.TargetError{Err: fmt.Errorf("%s: %d are left: %w", doing, left, ctx.Err())}
		case <-tick.C:
		}
	}
}

// terminate writes the statement. Only who has a role's rights may end its
// sessions; an admin that may grant itself these does so within the block and
// gives them back.
func (a *admin) terminate(name string) string {
	end := "PERFORM pg_catalog.pg_terminate_backend(pid) FROM pg_catalog.pg_stat_activity WHERE usename = " + literal(name)
	if !a.borrows(a.roles[name]) {
		return doBlock("BEGIN\n\t" + end + ";\nEND")
	}
	grant := "GRANT " + quote(name) + " TO " + quote(a.me.name)
	if a.version >= 160000 {
		grant += " WITH INHERIT TRUE"
	}
	revoke := "REVOKE " + quote(name) + " FROM " + quote(a.me.name)
	return doBlock("BEGIN\n\t" + grant + ";\n\t" + end + ";\n\t" + revoke + ";\nEND")
}

// borrows tells whether the rights have to be borrowed and can be, without
// losing a membership that is there already.
func (a *admin) borrows(r *role) bool {
	if a.me.superuser || a.me.signals || r.owns {
		return false
	}
	if a.version >= 160000 {
		return r.admin
	}
	return !r.member
}
