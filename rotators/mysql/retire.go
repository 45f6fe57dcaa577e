package mysql

import (
	"context"
	"fmt"
	"strings"
	"time"

	"lockstep"
	"lockstep/rotators"
)

// Retire locks each entry of old's user, takes its password where the server
// knows a way to have none that fits, and ends its sessions. The user itself
// stays: views and routines may be defined by it. Errors: TargetErrors;
// FaultPermanent if AWSCURRENT names the same user, or without an admin. After
// the user is locked, errors have Outcome Unknown: sessions may be left, and
// the next call ends them.
func (a *Alternating) Retire(ctx context.Context, r *rotators.Request, old lockstep.Value) error {
	gone, p, err := a.readPair("the old value", old)
	if err != nil {
		return err
	}
	current, err := a.read("AWSCURRENT", r.Current)
	if err != nil {
		return err
	}
	if current.User == gone.User && current.SameServer(gone) {
		return rotators.Permanent("", "user %s is the one that AWSCURRENT names: not retired", quote(gone.User))
	}
	if !a.hasAdmin(r, gone) {
		return noAdmin(gone)
	}
	// The admin's ARN as it is now; an old value may name an earlier one.
	gone.MasterARN = current.MasterARN
	return a.withAdmin(ctx, r, gone, func(admin *server) error {
		found, err := admin.look(ctx, gone.User)
		if err != nil {
			return err
		}
		if len(found[gone.User]) == 0 {
			return nil // nobody can log in as it
		}
		if err := admin.shut(ctx, r, p, found[gone.User]); err != nil {
			return admin.lacking(err)
		}
		return admin.endSessions(ctx, gone.User)
	})
}

// shut makes the guarded change.
func (s *server) shut(ctx context.Context, r *rotators.Request, p pair, all []*entry) error {
	c := change{doing: "retire user " + quote(all[0].user), users: p.Both(), entries: len(all)}
	var err error
	if c.marked, err = s.prepareMarks(ctx); err != nil {
		return err
	}
	if err := s.insists(ctx); err != nil {
		return err
	}
	dead := s.dead
	if s.validates != "" {
		dead = "" // locked it is anyway
	}
	parts := make([]string, len(all))
	for i, e := range all {
		parts[i] = strings.TrimSpace(e.name() + " " + dead)
	}
	c.last = []string{"ALTER USER " + strings.Join(parts, ", ") + " ACCOUNT LOCK"}
	return s.apply(ctx, r, c)
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
		left, err := s.sessionsOf(ctx, user)
		if err != nil {
			return &lockstep.TargetError{Err: wording(doing, err)}
		}
		if len(left) == 0 {
			return nil
		}
		for _, id := range left {
			if err := s.kill(ctx, doing, id); err != nil {
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

func (s *server) sessionsOf(ctx context.Context, user string) ([]string, error) {
	rows, err := s.QueryContext(ctx, "SELECT ID FROM information_schema.PROCESSLIST WHERE BINARY USER = "+literal(user))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []string
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			return nil, err
		}
		out = append(out, id)
	}
	return out, rows.Err()
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
