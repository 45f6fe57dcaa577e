package mysql

import (
	"context"
	"fmt"

	"lockstep"
	"lockstep/rotators"
)

// Plan says what a Run would do. It logs in and reads; it changes nothing. What
// the server or the secret stand in the way of is a Problem; an error means
// that ctx ended.
func (s *Single) Plan(ctx context.Context, r *rotators.Request) (rotators.Plan, error) {
	var p rotators.Plan
	current, err := s.read("AWSCURRENT", r.Current)
	if err != nil {
		p.Fails(lockstep.StepCreate, err)
		return p, ctx.Err()
	}
	p.Will("create: make a new password for user %s", quote(current.User))
	if s.hasAdmin(r, current) {
		p.Fails(lockstep.StepSet, s.withAdmin(ctx, r, current, func(admin *server) error {
			return admin.planSingle(ctx, r, current, &p)
		}))
	} else {
		s.planAsItself(ctx, r, current, &p)
	}
	p.Will("test: log in to %s as %s%s", current.Address(), quote(current.User), current.ProbesInWords())
	return p, ctx.Err()
}

func (s *server) planSingle(ctx context.Context, r *rotators.Request, current *value, p *rotators.Plan) error {
	p.Will("set: log in to %s as the admin %s", current.Address(), s.me)
	if err := s.planServer(ctx, r, []string{current.User}, p); err != nil {
		return err
	}
	found, err := s.look(ctx, current.User)
	if err != nil {
		return err
	}
	if len(found[current.User]) == 0 {
		return noUser(current.User, current)
	}
	for _, e := range found[current.User] {
		p.Will("set: change the password of %s; the old one is invalid at once%s", e.name(), s.pluginNote(e))
	}
	return nil
}

// pluginNote says that an entry will log in by another plugin than now.
func (s *server) pluginNote(e *entry) string {
	switch {
	case e.plugin == "mysql_native_password", e.plugin == "", s.product == productMySQL && e.plugin == "caching_sha2_password":
		return ""
	case s.product == productMySQL:
		return fmt.Sprintf(" (its plugin %s is replaced by caching_sha2_password)", e.plugin)
	}
	return fmt.Sprintf(" (its plugin %s is replaced by mysql_native_password)", e.plugin)
}

// planServer notes what stands in the way of changing users at all.
func (s *server) planServer(ctx context.Context, r *rotators.Request, users []string, p *rotators.Plan) error {
	if err := s.insists(ctx); err != nil {
		return err
	}
	p.Fails(lockstep.StepSet, s.insisting())
	mine, err := s.rights(ctx)
	if err != nil {
		return err
	}
	if !mine.covers(grant{privileges: []string{"CREATE USER"}, object: everywhere}) {
		p.Trouble(lockstep.StepSet, fmt.Sprintf("the admin %s lacks the right CREATE USER", s.me),
			fmt.Sprintf("GRANT CREATE USER ON *.* TO %s", s.myName()))
	}
	state, err := s.marks(ctx)
	if err != nil {
		return err
	}
	mayMake := state == marksMissing && mine.covers(grant{privileges: []string{"CREATE", "INSERT", "DELETE", "SELECT"}, object: quote(markSchema) + ".*"})
	switch {
	case state == marksThere:
		return s.planClaims(ctx, r, users, p)
	case mayMake:
		p.Will("set: make the table %s, which notes the newest claim", markTable)
	default:
		p.Will("set: note nothing at the server, since the admin may not write to the schema %s (to let it: %s)", markSchema, s.grantMarks())
	}
	return nil
}

func (s *server) planClaims(ctx context.Context, r *rotators.Request, users []string, p *rotators.Plan) error {
	found, err := s.claims(ctx, users)
	if err != nil {
		return err
	}
	for _, u := range users {
		if c, there := found[u]; there && c.secret != string(r.ARN) {
			p.Fails(lockstep.StepSet, otherSecret(u, c.secret))
		}
	}
	p.Will("set: note the claim in %s", markTable)
	return nil
}

// planAsItself logs in with AWSCURRENT, or the first of the rest that works.
func (s *Single) planAsItself(ctx context.Context, r *rotators.Request, current *value, p *rotators.Plan) {
	if s.selfChange == nil {
		p.Fails(lockstep.StepSet, s.setAsItself(ctx, &rotators.Request{}, current))
		return
	}
	p.Will("set: log in to %s as %s itself and change the password of the account that this login goes through; the old one is invalid at once",
		current.Address(), quote(current.User))
	var refused error
	for _, v := range s.candidates(current, append([]lockstep.Value{r.Current}, r.Live...)...) {
		c, err := s.login(ctx, v, oneStatement)
		if lockstep.AsTargetError(err).Fault == lockstep.FaultRefusedLogin {
			refused = err
			continue
		}
		if err != nil {
			p.Fails(lockstep.StepSet, err)
			return
		}
		defer c.close()
		itself, err := s.greet(ctx, c)
		if err == nil {
			err = itself.insists(ctx)
		}
		if err == nil {
			err = itself.insisting()
		}
		p.Fails(lockstep.StepSet, err)
		return
	}
	p.Trouble(lockstep.StepSet, lockstep.AsTargetError(refused).Error(),
		"name an admin's secret in the field masterarn, or set the password by hand and put it into the secret")
}
