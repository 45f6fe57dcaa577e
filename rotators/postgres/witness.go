package postgres

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"lockstep"
	"lockstep/rotators"
)

// sight is the sessions that one question is about: those of a role that were
// opened, by the server's clock, at or after from and at or before until, where
// these are not zero.
type sight struct {
	user        string
	none        bool
	from, until time.Time
}

// sightOf finds which sessions are v's: all of its role, unless AWSCURRENT is of
// the same role; then by their age.
func sightOf(r *rotators.Request, v, current *value, now time.Time) sight {
	s := sight{user: v.User}
	if v.User != current.User || !v.SameServer(current) {
		return s
	}
	ages := r.AgesOf(v.Password == current.Password)
	s.none = ages.None
	if ages.Min > 0 {
		s.until = now.Add(-ages.Min)
	}
	if ages.Max > 0 {
		s.from = now.Add(-ages.Max)
	}
	return s
}

// where is the condition on pg_stat_activity; our own session is none of them.
// A time that our login may not see is unknown.
func (s sight) where(unknown string) string {
	out := "usename = " + literal(s.user) + " AND pid <> pg_catalog.pg_backend_pid()"
	if s.none {
		out += " AND false"
	}
	if !s.until.IsZero() {
		out += " AND coalesce(backend_start <= " + moment(s.until) + ", " + unknown + ")"
	}
	if !s.from.IsZero() {
		out += " AND coalesce(backend_start >= " + moment(s.from) + ", " + unknown + ")"
	}
	return out
}

func moment(t time.Time) string { return "'" + t.UTC().Format(time.RFC3339Nano) + "'::timestamptz" }

// Sessions lists the sessions of v's role: by the admin, who borrows the right
// to see them in a transaction that is rolled back, or logged in as the role
// itself. Where the admin may not even do that, addresses and applications are
// empty and the count alone is told. Errors: TargetErrors.
func (b *base) Sessions(ctx context.Context, r *rotators.Request, v lockstep.Value) ([]rotators.Session, error) {
	var all []rotators.Connection
	err := b.watch(ctx, r, v, func(a *admin, s sight) error {
		var err error
		all, err = a.connections(ctx, s)
		return err
	})
	if err != nil {
		return nil, err
	}
	return rotators.Gather(all, true), nil
}

// KillSessions ends them, and waits until they are gone. Errors: TargetErrors
// with Unknown.
func (b *base) KillSessions(ctx context.Context, r *rotators.Request, old lockstep.Value) error {
	err := b.watch(ctx, r, old, func(a *admin, s sight) error { return a.endSessions(ctx, s) })
	if err == nil {
		return nil
	}
	te := *lockstep.AsTargetError(err)
	te.Outcome = lockstep.Unknown
	return &te
}

// watch calls do with a login that may look at the sessions of v's role; not at
// all if there is no such role.
func (b *base) watch(ctx context.Context, r *rotators.Request, v lockstep.Value, do func(*admin, sight) error) error {
	seen, err := parse(v)
	if err != nil {
		return malformed("the value", err)
	}
	current, err := parse(r.Current)
	if err != nil {
		return malformed("AWSCURRENT", err)
	}
	look := func(a *admin) error {
		if err := a.look(ctx, []string{seen.User}); err != nil {
			return err
		}
		if a.roles[seen.User] == nil {
			return nil
		}
		return do(a, sightOf(r, seen, current, a.now))
	}
	if b.hasAdmin(r, current) {
		seen.MasterARN = current.MasterARN // an old value may name an earlier one
		return b.withAdmin(ctx, r, seen, look)
	}
	conn, err := b.login(ctx, current)
	if err != nil {
		return err
	}
	defer logout(ctx, conn)
	now, err := clock(ctx, conn)
	if err != nil {
		return err
	}
	return look(&admin{conn: conn, now: now})
}

// connections asks the server.
func (a *admin) connections(ctx context.Context, s sight) ([]rotators.Connection, error) {
	query := `SELECT coalesce(pg_catalog.host(client_addr), ''), coalesce(application_name, ''),
	coalesce((extract(epoch FROM pg_catalog.clock_timestamp() - backend_start) * 1000)::bigint, -1)
	FROM pg_catalog.pg_stat_activity WHERE ` + s.where("true")
	if target := a.roles[s.user]; !a.me.superuser && !target.owns && a.mayGrant(target) {
		query = "BEGIN; " + a.lend(s.user) + "; " + query + "; ROLLBACK"
	}
	results, err := a.conn.PgConn().Exec(ctx, settings(endSessionsTimeout)+query).ReadAll()
	if err != nil {
		return nil, askFault("list sessions of role "+quote(s.user), err)
	}
	var out []rotators.Connection
	for _, result := range results {
		for _, row := range result.Rows {
			if len(row) != 3 {
				continue // what settings answered
			}
			age, err := strconv.ParseInt(string(row[2]), 10, 64)
			if err != nil {
				return nil, rotators.Transient("list sessions of role %s: an odd age: %w", quote(s.user), err)
			}
			out = append(out, rotators.Connection{
				Address: string(row[0]), Application: string(row[1]), Age: time.Duration(age) * time.Millisecond,
			})
		}
	}
	return out, nil
}

const (
	endSessionsTimeout = 10 * time.Second
	endSessionsPoll    = 20 * time.Millisecond
)

// endSessions terminates the role's sessions and waits until they are gone.
func (a *admin) endSessions(ctx context.Context, s sight) error {
	doing := fmt.Sprintf("end sessions of role %s", quote(s.user))
	ctx, cancel := context.WithTimeout(ctx, endSessionsTimeout)
	defer cancel()
	tick := time.NewTicker(endSessionsPoll)
	defer tick.Stop()
	for {
		if _, err := a.conn.PgConn().Exec(ctx, settings(endSessionsTimeout)+a.terminate(s)).ReadAll(); err != nil {
			te := changeFault(doing, err)
			te.Outcome = lockstep.Unknown
			if te.Fault == lockstep.FaultPermanent {
				te.Hint = fmt.Sprintf("GRANT pg_signal_backend TO %s", quote(a.me.name))
			}
			return te
		}
		var left int
		query := "SELECT count(*) FROM pg_catalog.pg_stat_activity WHERE " + s.where("false")
		err := a.conn.QueryRow(ctx, query).Scan(&left)
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
func (a *admin) terminate(s sight) string {
	end := "PERFORM pg_catalog.pg_terminate_backend(pid) FROM pg_catalog.pg_stat_activity WHERE " + s.where("false")
	if !a.borrows(a.roles[s.user]) {
		return doBlock("BEGIN\n\t" + end + ";\nEND")
	}
	revoke := "REVOKE " + quote(s.user) + " FROM " + quote(a.me.name)
	return doBlock("BEGIN\n\t" + a.lend(s.user) + ";\n\t" + end + ";\n\t" + revoke + ";\nEND")
}

// lend gives the rights of a role to our own.
func (a *admin) lend(name string) string {
	out := "GRANT " + quote(name) + " TO " + quote(a.me.name)
	if a.version >= 160000 {
		out += " WITH INHERIT TRUE"
	}
	return out
}

// borrows tells whether the rights have to be borrowed and can be, without
// losing a membership that is there already.
func (a *admin) borrows(r *role) bool {
	return !a.me.superuser && !a.me.signals && !r.owns && a.mayGrant(r)
}

// mayGrant tells whether our role may grant itself a role that it has not.
func (a *admin) mayGrant(r *role) bool {
	if a.version >= 160000 {
		return r.admin
	}
	return a.me.createRole && !r.member
}
