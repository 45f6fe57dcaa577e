package oauth2

import (
	"context"
	"fmt"
	"time"

	"lockstep"
	"lockstep/rotators"
)

// ClientCredentials is the rotator "oauth2-client-credentials". It holds no state
// and is safe for concurrent use.
type ClientCredentials struct{ side }

// NewClientCredentials makes the rotator. Errors: ErrInvalid, as Config says.
func NewClientCredentials(cfg Config) (*ClientCredentials, error) {
	s, err := newSide(cfg)
	return &ClientCredentials{s}, err
}

// Traits: issued, several at once.
func (*ClientCredentials) Traits() lockstep.Traits {
	return lockstep.Traits{Chooser: lockstep.Issued, Overlap: lockstep.TwoValues}
}

// Issue gets an access token. Errors: TargetErrors.
func (c *ClientCredentials) Issue(ctx context.Context, r *rotators.Request) (lockstep.Value, error) {
	g, err := readGrant(r.Current)
	if err != nil {
		return lockstep.Value{}, malformed("AWSCURRENT", err)
	}
	v, err := c.issue(ctx, r, g, g.asked("client_credentials"))
	if err != nil && lockstep.AsTargetError(err).Outcome == lockstep.Unknown {
		te := *lockstep.AsTargetError(err)
		te.Fault = lockstep.FaultTransient // a token that nobody has expires by itself
		return v, &te
	}
	return v, err
}

// Test asks the server about the access token. Errors: TargetErrors.
func (c *ClientCredentials) Test(ctx context.Context, r *rotators.Request, v lockstep.Value) error {
	return c.test(ctx, r, v)
}

// Expires is when the access token does. Errors: ErrInvalid.
func (*ClientCredentials) Expires(v lockstep.Value) (time.Time, error) { return expires(v) }

// expires is when what applications read stops working, or, if that is sooner,
// what renews it.
func expires(v lockstep.Value) (time.Time, error) {
	g, err := readGrant(v)
	if err != nil {
		return time.Time{}, err
	}
	if !g.refreshExpires.IsZero() && (g.expires.IsZero() || g.refreshExpires.Before(g.expires)) {
		return g.refreshExpires, nil
	}
	return g.expires, nil
}

// Retire revokes old's access token, where the server can; else it is over when
// the token expires, and until then an error that says so. Errors: TargetErrors.
func (c *ClientCredentials) Retire(ctx context.Context, r *rotators.Request, old lockstep.Value) error {
	gone, err := readGrant(old)
	if err != nil {
		return malformed("the old value", err)
	}
	current, err := readGrant(r.Current)
	if err != nil {
		return malformed("AWSCURRENT", err)
	}
	switch {
	case gone.access == "", !gone.expires.IsZero() && !gone.expires.After(c.now()):
		return nil
	case gone.access == current.access:
		return permanent("", "the access token is not revoked: %w", rotators.ErrCurrents)
	}
	p, err := gone.partyOf(r)
	if err != nil {
		return malformed("the old value", err)
	}
	at, err := c.endpointsOf(ctx, p)
	if err != nil {
		return err
	}
	ctx, cancel, err := c.inTime(ctx, r)
	if err != nil {
		return err
	}
	defer cancel()
	if at.Revocation != "" {
		return c.revoke(ctx, p, at, gone.access)
	}
	return &lockstep.TargetError{
		Outcome: lockstep.NotApplied, Hint: "nothing has to be done: it ends by itself",
		Err: fmt.Errorf("the server revokes no tokens; this one expires at %s", gone.expires.Format(time.RFC3339)),
	}
}

// Plan says what a Run would do. Errors: none but the context's.
func (c *ClientCredentials) Plan(ctx context.Context, r *rotators.Request) (rotators.Plan, error) {
	return c.plan(ctx, r, "issue: ask the token endpoint for an access token by client_credentials")
}

// plan looks whether the client's server is there and takes its credential.
func (s side) plan(ctx context.Context, r *rotators.Request, action string) (rotators.Plan, error) {
	var p rotators.Plan
	g, err := readGrant(r.Current)
	if err != nil {
		return problem(p, malformed("AWSCURRENT", err)), ctx.Err()
	}
	who, err := g.partyOf(r)
	if err != nil {
		return problem(p, malformed("AWSCURRENT", err)), ctx.Err()
	}
	at, err := s.endpointsOf(ctx, who)
	if err != nil {
		return problem(p, err), ctx.Err()
	}
	if err := s.login(ctx, who, at); err != nil {
		return problem(p, err), ctx.Err()
	}
	p.Actions = []string{action}
	if at.Introspection == "" {
		p.Actions = append(p.Actions, "test: nothing but its expiry, since the server has no introspection")
	} else {
		p.Actions = append(p.Actions, "test: introspect it")
	}
	return p, ctx.Err()
}

func problem(p rotators.Plan, err error) rotators.Plan {
	te := lockstep.AsTargetError(err)
	p.Problems = append(p.Problems, rotators.Problem{Step: lockstep.StepSet, Problem: te.Error(), Hint: te.Hint})
	return p
}
