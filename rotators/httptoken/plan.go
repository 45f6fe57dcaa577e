package httptoken

import (
	"context"
	"fmt"
	"strings"

	"lockstep"
	"lockstep/rotators"
)

// Plan implements rotators.Planner. It fills every request in, tries AWSCURRENT
// by the recipe's test and the list where there is one, and issues nothing:
// whether the right to issue is there shows only when it is used.
func (r *rotator) Plan(ctx context.Context, req *rotators.Request) (rotators.Plan, error) {
	var p rotators.Plan
	add := func(step lockstep.Step, err error) {
		if err != nil {
			te := lockstep.AsTargetError(err)
			p.Problems = append(p.Problems, rotators.Problem{Step: step, Problem: te.Error(), Hint: te.Hint})
		}
	}
	c, err := r.begin(req, req.Current)
	if err != nil {
		add(lockstep.StepCreate, err)
		return p, nil
	}
	add(lockstep.StepCreate, c.fits())
	c.scope.marker = lockstep.NewMarker(req.ARN, "plan", req.Guard.Fence)
	f, err := c.fill(r.recipe.issue)
	add(lockstep.StepSet, err)
	if err == nil {
		p.Actions = append(p.Actions, fmt.Sprintf("ask for a new value: %s %s", f.request.method, f.url))
	}
	p.Actions = append(p.Actions, r.recipe.afterwards()...)
	if r.recipe.list != nil {
		_, err = c.marked(ctx, req.ARN)
		add(lockstep.StepSet, err)
	}
	add(lockstep.StepTest, r.testCurrent(ctx, req))
	return p, nil
}

// testCurrent sees whether the provider can be asked. That it refuses AWSCURRENT
// keeps no Run from having another value issued.
func (r *rotator) testCurrent(ctx context.Context, req *rotators.Request) error {
	err := r.testOnce(ctx, req, req.Current)
	if err == nil || lockstep.AsTargetError(err).Fault != lockstep.FaultTransient {
		return nil
	}
	return err
}

// afterwards is what follows once a value was issued, in words.
func (r *Recipe) afterwards() []string {
	out := []string{"store it, and log in with it"}
	switch {
	case r.revoke != nil:
		out = append(out, "make it AWSCURRENT; the old one is revoked as the retirement policy says")
	case r.Traits.Overlap == lockstep.OneValue:
		out = append(out, "make it AWSCURRENT at once: issuing has ended the old one")
	default:
		out = append(out, "make it AWSCURRENT; the old one ends by itself")
	}
	return out
}

// Describe says what a recipe does, in lines for a person.
func (r *Recipe) Describe() []string {
	valid, orphans, old := "one", "none can be found: a lost answer ends the run (lost)", "issuing ends it"
	if r.Traits.Overlap == lockstep.TwoValues {
		valid, orphans, old = "several", "they end by themselves", "it ends by itself"
	}
	if r.revoke != nil {
		old = r.revoke.shown()
	}
	if r.list != nil {
		orphans = r.list.shown() + ", then " + r.revoke.shown()
	}
	lines := []string{
		"title: " + r.Title, "chooser: the provider (issued)", "valid at once: " + valid,
		"issue: " + r.issue.shown(), "test: " + r.test.shown(), "old value: " + old, "orphans: " + orphans,
	}
	if r.Expires != "" {
		lines = append(lines, "expires: by "+r.Expires+"; renewed before")
	}
	return append(lines, "secret: "+r.Secret.names(), "admin: "+r.Admin.names())
}

// shown is a request as its recipe has it.
func (q *request) shown() string {
	var b strings.Builder
	b.WriteString(q.method + " ")
	if q.url.base != nil {
		b.WriteString("{" + q.url.base.name() + "}")
	}
	b.WriteString(q.url.fixed)
	for _, p := range q.url.path.parts {
		if p.expr != nil {
			b.WriteString("{" + p.expr.name() + "}")
			continue
		}
		b.WriteString(p.text)
	}
	return b.String()
}
