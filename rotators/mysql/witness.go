package mysql

import (
	"context"
	"fmt"
	"net"
	"time"

	"lockstep"
	"lockstep/rotators"
)

// Sessions lists the sessions of v's user. The servers do not say since when
// they are there; nor, where AWSCURRENT is of the same user, which password a
// session logged in with: it is then not certain. What a client calls itself is
// told where performance_schema is on and our login may read it. Errors:
// TargetErrors.
func (b *base) Sessions(ctx context.Context, r *rotators.Request, v lockstep.Value) ([]rotators.Session, error) {
	var all []rotators.Connection
	certain := false
	err := b.watch(ctx, r, v, func(s *server, of sight) error {
		doing := "list sessions of user " + quote(of.user)
		certain = of.certain
		if !of.itself {
			if err := s.seesSessions(ctx, doing); err != nil {
				return err
			}
		}
		list, err := s.threads(ctx, of.user)
		if err != nil {
			return askFault(doing, err)
		}
		names := s.applications(ctx)
		for _, one := range list {
			all = append(all, rotators.Connection{Address: one.address, Application: names[one.id], Age: -1})
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return rotators.Gather(all, certain), nil
}

// KillSessions ends the sessions of old's user, and waits until they are gone.
// Errors: TargetErrors with Unknown.
func (a *Alternating) KillSessions(ctx context.Context, r *rotators.Request, old lockstep.Value) error {
	err := a.watch(ctx, r, old, func(s *server, of sight) error {
		if !of.certain {
			return nil // they may be AWSCURRENT's
		}
		return s.endSessions(ctx, of.user)
	})
	if err == nil {
		return nil
	}
	te := *lockstep.AsTargetError(err)
	te.Outcome = lockstep.Unknown
	return &te
}

// sight is what one question is about.
type sight struct {
	user string
	// itself: our login is the user's own, which sees no others.
	itself bool
	// certain: AWSCURRENT is not of this user.
	certain bool
}

// watch calls do with a login that may look at the sessions of v's user: the
// admin's, or AWSCURRENT's own.
func (b *base) watch(ctx context.Context, r *rotators.Request, v lockstep.Value, do func(*server, sight) error) error {
	seen, err := b.read("the value", v)
	if err != nil {
		return err
	}
	current, err := b.read("AWSCURRENT", r.Current)
	if err != nil {
		return err
	}
	of := sight{user: seen.User, certain: seen.User != current.User || !seen.SameServer(current)}
	if b.hasAdmin(r, current) {
		seen.MasterARN = current.MasterARN // an old value may name an earlier one
		return b.withAdmin(ctx, r, seen, func(s *server) error { return do(s, of) })
	}
	if of.certain {
		return noAdmin(seen)
	}
	of.itself = true
	c, err := b.login(ctx, current, oneStatement)
	if err != nil {
		return err
	}
	defer c.close()
	s, err := b.greet(ctx, c)
	if err != nil {
		return err
	}
	return do(s, of)
}

// thread is one session as the server lists it.
type thread struct{ id, address string }

// threads lists the user's sessions but our own.
func (s *server) threads(ctx context.Context, user string) ([]thread, error) {
	rows, err := s.QueryContext(ctx, "SELECT ID, HOST FROM information_schema.PROCESSLIST WHERE ID <> CONNECTION_ID() AND BINARY USER = "+literal(user))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []thread
	for rows.Next() {
		var one thread
		if err := rows.Scan(&one.id, &one.address); err != nil {
			return nil, err
		}
		if host, _, err := net.SplitHostPort(one.address); err == nil {
			one.address = host
		}
		out = append(out, one)
	}
	return out, rows.Err()
}

// applications tells what clients call themselves; nothing where the server does
// not say, or not to us.
func (s *server) applications(ctx context.Context) map[string]string {
	out := make(map[string]string)
	rows, err := s.QueryContext(ctx, `SELECT PROCESSLIST_ID, ATTR_VALUE FROM performance_schema.session_connect_attrs
	WHERE ATTR_NAME = 'program_name'`)
	if err != nil {
		return out
	}
	defer rows.Close()
	for rows.Next() {
		var id, name string
		if rows.Scan(&id, &name) != nil {
			return out
		}
		out[id] = name
	}
	if rows.Err() != nil {
		clear(out)
	}
	return out
}

const (
	endSessionsTimeout = 10 * time.Second
	endSessionsPoll    = 20 * time.Millisecond
)

// endSessions ends the user's sessions and waits until they are gone.
func (s *server) endSessions(ctx context.Context, user string) error {
	doing := "end sessions of user " + quote(user)
	ctx, cancel := context.WithTimeout(ctx, endSessionsTimeout)
	defer cancel()
	if err := s.seesSessions(ctx, doing); err != nil {
		return err
	}
	tick := time.NewTicker(endSessionsPoll)
	defer tick.Stop()
	for {
		left, err := s.threads(ctx, user)
		if err != nil {
			return &lockstep.TargetError{Err: wording(doing, err)}
		}
		if len(left) == 0 {
			return nil
		}
		for _, one := range left {
			if err := s.kill(ctx, doing, one.id); err != nil {
				return err
			}
		}
		select {
		case <-ctx.Done():
			return &lockstep.TargetError{Err: fmt.Errorf("%s: %d are left: %w", doing, len(left), ctx.Err())}
		case <-tick.C:
		}
	}
}

// seesSessions makes sure that we see the sessions of others: without the
// right, the server lists our own and says nothing.
func (s *server) seesSessions(ctx context.Context, doing string) error {
	mine, err := s.rights(ctx)
	if err == nil && mine.covers(grant{privileges: []string{"PROCESS"}, object: everywhere}) {
		return nil
	}
	if err == nil {
		err = fmt.Errorf("%s: the admin %s lacks the right PROCESS", doing, s.me)
	}
	return &lockstep.TargetError{
		Fault: lockstep.FaultPermanent, Err: err, Hint: s.grantKill(),
	}
}

func (s *server) grantKill() string {
	right := "CONNECTION ADMIN"
	if s.product == productMySQL {
		right = "CONNECTION_ADMIN"
	}
	return fmt.Sprintf("GRANT PROCESS, %s ON *.* TO %s", right, s.myName())
}

// kill ends one session; one that is gone already is no error.
func (s *server) kill(ctx context.Context, doing, id string) error {
	_, err := s.ExecContext(ctx, "KILL CONNECTION "+id)
	switch code := number(err); {
	case err == nil, code == codeNoSuchThread:
		return nil
	case denied(err), code == codeNotOwner:
		return &lockstep.TargetError{Fault: lockstep.FaultPermanent, Hint: s.grantKill(), Err: wording(doing, err)}
	}
	return &lockstep.TargetError{Err: wording(doing, err)}
}
