package mysql

import (
	"context"
	"fmt"

	"lockstep"
	"lockstep/rotators"
)

// plan collects a rotators.Plan.
type plan struct{ rotators.Plan }

func (p *plan) will(format string, args ...any) {
	p.Actions = append(p.Actions, fmt.Sprintf(format, args...))
}

func (p *plan) problem(step lockstep.Step, problem, hint string) {
	p.Problems = append(p.Problems, rotators.Problem{Step: step, Problem: problem, Hint: hint})
}

// fails notes an error, if there is one, as a problem.
func (p *plan) fails(step lockstep.Step, err error) {
	if err != nil {
		te := lockstep.AsTargetError(err)
		p.problem(step, te.Error(), te.Hint)
	}
}

// Plan says what a Run would do. It logs in and reads; it changes nothing. What
// the server or the secret stand in the way of is a Problem; an error means
// that ctx ended.
func (s *Single) Plan(ctx context.Context, r *rotators.Request) (rotators.Plan, error) {
	var p plan
	current, err := s.read("AWSCURRENT", r.Current)
	if err != nil {
		p.fails(lockstep.StepCreate, err)
		return p.Plan, ctx.Err()
	}
	p.will("create: make a new password for user %s", quote(current.user))
	if s.hasAdmin(r, current) {
		p.fails(lockstep.StepSet, s.withAdmin(ctx, r, current, func(admin *server) error {
			return admin.planSingle(ctx, r, current, &p)
		}))
	} else {
		s.planAsItself(ctx, r, current, &p)
	}
	p.will("test: log in to %s as %s%s", current.address(), quote(current.user), probesOf(current))
	return p.Plan, ctx.Err()
}

func probesOf(v *value) string {
	switch len(v.probes) {
	case 0:
		return ""
	case 1:
		return " and run 1 probe"
	}
	return fmt.Sprintf(" and run %d probes", len(v.probes))
}

func (s *server) planSingle(ctx context.Context, r *rotators.Request, current *value, p *plan) error {
	p.will("set: log in to %s as the admin %s", current.address(), s.me)
	if err := s.planServer(ctx, r, []string{current.user}, p); err != nil {
		return err
	}
	found, err := s.look(ctx, current.user)
	if err != nil {
		return err
	}
	if len(found[current.user]) == 0 {
		return noUser(current.user, current)
	}
	for _, e := range found[current.user] {
		p.will("set: change the password of %s; the old one is invalid at once%s", e.name(), s.pluginNote(e))
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
func (s *server) planServer(ctx context.Context, r *rotators.Request, users []string, p *plan) error {
	if err := s.insists(ctx); err != nil {
		return err
	}
	p.fails(lockstep.StepSet, s.insisting())
	mine, err := s.rights(ctx)
	if err != nil {
		return err
	}
	if !mine.covers(grant{privileges: []string{"CREATE USER"}, object: everywhere}) {
		p.problem(lockstep.StepSet, fmt.Sprintf("the admin %s lacks the right CREATE USER", s.me),
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
		p.will("set: make the table %s, which notes the newest claim", markTable)
	default:
		p.will("set: note nothing at the server, since the admin may not write to the schema %s (to let it: %s)", markSchema, s.grantMarks())
	}
	return nil
}

func (s *server) planClaims(ctx context.Context, r *rotators.Request, users []string, p *plan) error {
	found, err := s.claims(ctx, users)
	if err != nil {
		return err
	}
	for _, u := range users {
		if c, there := found[u]; there && c.secret != string(r.ARN) {
			p.fails(lockstep.StepSet, otherSecret(u, c.secret))
		}
	}
	p.will("set: note the claim in %s", markTable)
	return nil
}

// planAsItself logs in with AWSCURRENT, or the first of the rest that works.
func (s *Single) planAsItself(ctx context.Context, r *rotators.Request, current *value, p *plan) {
	if s.selfChange == nil {
		p.fails(lockstep.StepSet, s.setAsItself(ctx, &rotators.Request{}, current))
		return
	}
	p.will("set: log in to %s as %s itself and change the password of the account that this login goes through; the old one is invalid at once",
		current.address(), quote(current.user))
	var refused error
	for _, v := range s.candidates(current, append([]lockstep.Value{r.Current}, r.Live...)...) {
		c, err := s.login(ctx, v, oneStatement)
		if lockstep.AsTargetError(err).Fault == lockstep.FaultRefusedLogin {
			refused = err
			continue
		}
		if err != nil {
			p.fails(lockstep.StepSet, err)
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
		p.fails(lockstep.StepSet, err)
		return
	}
	p.problem(lockstep.StepSet, lockstep.AsTargetError(refused).Error(),
		"name an admin's secret in the field masterarn, or set the password by hand and put it into the secret")
}
