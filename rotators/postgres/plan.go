package postgres

import (
	"context"
	"fmt"
	"regexp"

	"github.com/jackc/pgx/v5"

	"lockstep"
	"lockstep/rotators"
)

// Plan says what a Run would do. It logs in and reads; it changes nothing.
// What the server or the secret stand in the way of is a Problem; an error
// means that ctx ended.
func (s *Single) Plan(ctx context.Context, r *rotators.Request) (rotators.Plan, error) {
	var p rotators.Plan
	current, err := parse(r.Current)
	if err != nil {
		p.Fails(lockstep.StepCreate, malformed("AWSCURRENT", err))
		return p, ctx.Err()
	}
	p.Will("create: make a new password for role %s", quote(current.User))
	if s.hasAdmin(r, current) {
		s.planByAdmin(ctx, r, current, &p)
	} else {
		s.planAsItself(ctx, r, current, &p)
	}
	p.Will("test: log in to %s as %s%s", current.Address(), quote(current.User), current.ProbesInWords())
	return p, ctx.Err()
}

func (s *Single) planByAdmin(ctx context.Context, r *rotators.Request, current *value, p *rotators.Plan) {
	err := s.withFreshAdmin(ctx, r, current, func(a *admin) error {
		if err := a.look(ctx, []string{current.User}); err != nil {
			return err
		}
		a.planSingle(r, current, p)
		return nil
	})
	if err != nil {
		p.Fails(lockstep.StepSet, err)
	}
}

func (a *admin) planSingle(r *rotators.Request, current *value, p *rotators.Plan) {
	p.Will("set: log in to %s as the admin %s, change the password of role %s and note the claim in its comment",
		current.Address(), quote(a.me.name), quote(current.User))
	target := a.roles[current.User]
	if target == nil {
		p.Fails(lockstep.StepSet, noRole(current))
		return
	}
	a.planRole(r, target, p)
	if !target.canLogin {
		p.Trouble(lockstep.StepTest, fmt.Sprintf("role %s may not log in", quote(target.name)),
			fmt.Sprintf("ALTER ROLE %s LOGIN", quote(target.name)))
	}
}

var marker = regexp.MustCompile(markerPattern)

// planRole notes what stands in the way of changing a role.
func (s *survey) planRole(r *rotators.Request, target *role, p *rotators.Plan) {
	problem, hint := s.mayAlter(target)
	p.Trouble(lockstep.StepSet, problem, hint)
	if found := marker.FindStringSubmatch(target.comment); found != nil && found[2] != string(r.ARN) {
		p.Trouble(lockstep.StepSet, fmt.Sprintf("role %s is managed by another secret, %s", quote(target.name), found[2]),
			"let one secret alone manage this role; if the other one is gone, remove its marker from the role's comment")
	}
}

// planAsItself logs in with AWSCURRENT, or the first of the rest that works.
func (s *Single) planAsItself(ctx context.Context, r *rotators.Request, current *value, p *rotators.Plan) {
	p.Will("set: log in to %s as %s itself and change its password; the old one is invalid at once",
		current.Address(), quote(current.User))
	var refused error
	for _, candidate := range append([]lockstep.Value{r.Current}, r.Live...) {
		v, err := parse(candidate)
		if err != nil || v.User != current.User || !v.SameServer(current) {
			continue
		}
		conn, err := s.login(ctx, v)
		if lockstep.AsTargetError(err).Fault == lockstep.FaultRefusedLogin {
			refused = err
			continue
		}
		if err != nil {
			p.Fails(lockstep.StepSet, err)
			return
		}
		defer logout(ctx, conn)
		seen, err := lookAsItself(ctx, conn, current.User)
		if err != nil {
			p.Fails(lockstep.StepSet, err)
			return
		}
		// It may change itself: rights are no question, a marker is.
		seen.me.superuser = true
		seen.planRole(r, seen.roles[current.User], p)
		return
	}
	te := lockstep.AsTargetError(refused)
	p.Trouble(lockstep.StepSet, te.Error(),
		"name an admin's secret in the field masterarn, or set the password by hand and put it into the secret")
}

func lookAsItself(ctx context.Context, conn *pgx.Conn, user string) (*survey, error) {
	if _, err := clock(ctx, conn); err != nil {
		return nil, err
	}
	return look(ctx, conn, []string{user})
}

// Plan says what a Run would do, as Single's does.
func (a *Alternating) Plan(ctx context.Context, r *rotators.Request) (rotators.Plan, error) {
	var p rotators.Plan
	current, pair, err := readPair("AWSCURRENT", r.Current)
	if err != nil {
		p.Fails(lockstep.StepCreate, err)
		return p, ctx.Err()
	}
	target := pair.Other(current.User)
	p.Will("create: make a new password for role %s; %s stays as it is", quote(target), quote(current.User))
	if a.hasAdmin(r, current) {
		a.planByAdmin(ctx, r, current, &p)
	} else {
		p.Fails(lockstep.StepSet, noAdmin(current))
	}
	p.Will("test: log in to %s as %s%s", current.Address(), quote(target), current.ProbesInWords())
	p.Will("retire: take login and password from role %s and end its sessions, when the policy allows", quote(current.User))
	return p, ctx.Err()
}

func (a *Alternating) planByAdmin(ctx context.Context, r *rotators.Request, current *value, p *rotators.Plan) {
	_, pair, err := readPair("AWSCURRENT", r.Current)
	if err != nil {
		p.Fails(lockstep.StepCreate, err)
		return
	}
	err = a.withFreshAdmin(ctx, r, current, func(session *admin) error {
		if err := session.look(ctx, pair.Both()); err != nil {
			return err
		}
		p.Will("set: log in to %s as the admin %s", current.Address(), quote(session.me.name))
		session.planPair(ctx, r, current, p)
		return nil
	})
	if err != nil {
		p.Fails(lockstep.StepSet, err)
	}
}

func (a *admin) planPair(ctx context.Context, r *rotators.Request, current *value, p *rotators.Plan) {
	pair, err := pairOf(current)
	if err != nil {
		p.Fails(lockstep.StepCreate, err)
		return
	}
	if a.roles[pair.Owner] == nil {
		p.Fails(lockstep.StepSet, noOwner(pair, current))
		return
	}
	for _, n := range a.existing(pair.Both()) {
		a.planRole(r, a.roles[n], p)
	}
	target := pair.Other(current.User)
	if target == pair.Clone {
		a.planClone(ctx, pair, p)
	}
	p.Will("set: let role %s log in with the new password and note the claim in the comment of both roles", quote(target))
}

func (a *admin) planClone(ctx context.Context, pair pair, p *rotators.Plan) {
	made, err := a.provision(ctx, pair)
	if err != nil {
		p.Fails(lockstep.StepSet, err)
		return
	}
	far, err := a.outOfReach(ctx, made.parameters)
	if err != nil {
		p.Fails(lockstep.StepSet, err)
	}
	if far != "" {
		p.Trouble(lockstep.StepSet, fmt.Sprintf("the admin %s may not set the parameter %s, which role %s has set",
			quote(a.me.name), far, quote(pair.Owner)), a.grantParameter(far))
	}
	switch {
	case a.roles[pair.Clone] == nil:
		p.Will("set: create role %s as a member of %s that acts as it, with the same attributes and settings",
			quote(pair.Clone), quote(pair.Owner))
		if missing := a.roles[pair.Owner].reserved(); missing != "" && !a.me.superuser && a.version < 160000 {
			p.Trouble(lockstep.StepSet, fmt.Sprintf("role %s has %s, which only a superuser may give to its clone",
				quote(pair.Owner), missing), "name a superuser's secret as masterarn, or take the attribute away")
		}
	case len(made.statements) > 0:
		p.Will("set: bring attributes and settings of role %s in line with %s", quote(pair.Clone), quote(pair.Owner))
	}
}

// reserved names an attribute of r that before 16 only a superuser could give.
func (r *role) reserved() string {
	switch {
	case r.superuser:
		return "SUPERUSER"
	case r.replication:
		return "REPLICATION"
	case r.bypassRLS:
		return "BYPASSRLS"
	}
	return ""
}
