package mysql

import (
	"context"
	"strings"

	"lockstep"
	"lockstep/rotators"
)

// Retire locks each entry of old's user and takes its password where the server
// knows a way to have none that fits; KillSessions ends its sessions. The user
// itself stays: views and routines may be defined by it. Errors: TargetErrors;
// FaultPermanent if AWSCURRENT names the same user, or without an admin.
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
		return admin.lacking(admin.shut(ctx, r, p, found[gone.User]))
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
