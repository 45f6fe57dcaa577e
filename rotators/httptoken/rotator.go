// Package httptoken rotates credentials of any HTTP API by a recipe: a YAML file
// that says which requests issue, test, list and revoke them, and how to read
// the answers. [Parse] reads a recipe and refuses what cannot work, with line
// and column; [New] makes a rotators.Rotator of it, with the abilities that the
// recipe has requests for.
//
// A recipe is no program. Its templates know a closed set of names and
// functions, and where a value lands decides how it is written: into JSON by
// the encoder, into a path or a query percent-encoded, into a header only
// without control characters. No value can end the place that it stands in,
// change the host of a URL, or add a request. Scheme and host are the recipe's,
// or come whole from one field; the admin's credential is never sent to a host
// that the secret's own value names.
//
// Answers are bounded in time and size, redirects are not followed, certificates
// are verified, and addresses are judged after they were resolved (package
// egress). What a provider says is repeated only from the places that the recipe
// names, and only after every credential was cut out of it.
//
// What came of a request is decided by its answer: what the recipe says about
// it, else by its status. No answer at all means Unknown as soon as a connection
// was there, and NotApplied before.
package httptoken

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"lockstep"
	"lockstep/rotators"
	"lockstep/rotators/jsonvalue"
)

// Config says where a recipe's requests may go.
type Config struct {
	// Addresses are the kinds of addresses that may be called beside public
	// ones (egress.AllowLoopback, egress.AllowPrivate).
	Addresses []string
	// Roots are the authorities that certificates are checked against; nil: the
	// system's.
	Roots *x509.CertPool
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// New makes a Rotator of a recipe: a rotators.Issuer and rotators.Planner; with
// a request revoke also a rotators.Retirer, with list a rotators.OrphanFinder,
// and where values expire a rotators.Expirer. It may be used concurrently.
func New(r *Recipe, c Config) rotators.Rotator {
	if c.Now == nil {
		c.Now = time.Now
	}
	core := &rotator{recipe: r, config: c, now: c.Now}
	expires := r.Expires != ""
	switch {
	case r.list != nil && expires:
		return struct {
			*rotator
			retiring
			finding
			expiring
		}{core, retiring{core}, finding{core}, expiring{core}}
	case r.list != nil:
		return struct {
			*rotator
			retiring
			finding
		}{core, retiring{core}, finding{core}}
	case r.revoke != nil:
		return struct {
			*rotator
			retiring
			expiring
		}{core, retiring{core}, expiring{core}}
	case expires:
		return struct {
			*rotator
			expiring
		}{core, expiring{core}}
	}
	return core
}

// rotator is what all recipes can do.
type rotator struct {
	recipe *Recipe
	config Config
	now    func() time.Time
}

// Traits implements rotators.Rotator.
func (r *rotator) Traits() lockstep.Traits { return r.recipe.Traits }

// Issue implements rotators.Issuer.
func (r *rotator) Issue(ctx context.Context, req *rotators.Request) (lockstep.Value, error) {
	c, err := r.begin(req, req.Current)
	if err != nil {
		return lockstep.Value{}, err
	}
	if err := c.fits(); err != nil {
		return lockstep.Value{}, err
	}
	c.scope.marker = req.Marker
	f, err := c.fill(r.recipe.issue)
	if err != nil {
		return lockstep.Value{}, err
	}
	ctx, cancel, err := r.inTime(ctx, req)
	if err != nil {
		return lockstep.Value{}, err
	}
	defer cancel()
	a, err := c.send(ctx, f)
	if err != nil {
		return lockstep.Value{}, err
	}
	return c.issued(a)
}

// fits sees that the secret's value is one of this recipe's, and not of a secret
// that names it by mistake: it has one of the fields at least, be it empty.
func (c *conversation) fits() error {
	declared := c.recipe.Secret
	for _, name := range c.scope.secret.Names() {
		if declared.has(name) && c.scope.secret.Has(name) {
			return nil
		}
	}
	return permanent(unusable("the secret's value has none of the recipe's fields (%s)", declared.names()), "name another rotator, or put a value of this recipe's form")
}

// inTime asks the guard whether a change may still be sent, and ends the call
// when it may no longer take effect. The provider has no clock to ask, so it is
// ours: a call that is held up on its way may land later.
func (r *rotator) inTime(ctx context.Context, req *rotators.Request) (context.Context, context.CancelFunc, error) {
	now := r.now()
	end, err := req.Guard.NotAfter(ctx, now)
	if err != nil {
		return ctx, nil, &lockstep.TargetError{Outcome: lockstep.NotApplied, Err: fmt.Errorf("ask how long the change may take: %w", err)}
	}
	left := end.Sub(now)
	if left <= 0 {
		return ctx, nil, &lockstep.TargetError{Outcome: lockstep.NotApplied, Err: errors.New("it is too late for the change under this claim")}
	}
	ctx, cancel := context.WithTimeout(ctx, left)
	return ctx, cancel, nil
}

// issued is the new value: AWSCURRENT with what was issued in its place. What
// cannot be read is Unknown: something was issued.
func (c *conversation) issued(a reply) (lockstep.Value, error) {
	unreadable := func(format string, args ...any) (lockstep.Value, error) {
		return lockstep.Value{}, &lockstep.TargetError{
			Outcome: lockstep.Unknown, Err: fmt.Errorf("issue: "+format, args...), Hint: "see whether gives of the recipe fits the provider's answer",
		}
	}
	var fields []jsonvalue.Field
	for _, g := range c.recipe.issue.gives {
		raw := g.from.find(a.body)
		text, plain := textOf(raw)
		if raw == nil || plain && text == "" || !plain && c.recipe.Secret.secret(g.field) {
			return unreadable("the answer has nothing at %s, which is the secret's %q", g.from.text, g.field)
		}
		fields = append(fields, jsonvalue.Field{Name: g.field, JSON: raw})
	}
	v, err := c.scope.secret.WithAll(fields...)
	if err != nil {
		return unreadable("%w", err)
	}
	return v, nil
}

// The pause between tests of a value that the provider does not know yet.
const (
	firstPause = 200 * time.Millisecond
	mostPause  = 5 * time.Second
)

// Test implements rotators.Rotator. A pending value is asked about again for as
// long as the recipe says that a new one takes to be known everywhere.
func (r *rotator) Test(ctx context.Context, req *rotators.Request, v lockstep.Value) error {
	patience := time.Duration(0)
	if !req.Pending.IsZero() && v.Equal(req.Pending) {
		patience = r.recipe.propagation
	}
	pause := firstPause
	for {
		err := r.testOnce(ctx, req, v)
		if err == nil || lockstep.AsTargetError(err).Fault != lockstep.FaultRefusedLogin || patience <= 0 {
			return err
		}
		pause = min(pause, patience)
		patience -= pause
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			te := *lockstep.AsTargetError(err)
			te.Fault = lockstep.FaultTransient // no verdict yet
			te.Hint = fmt.Sprintf("the provider may take %s to know a new value", r.recipe.propagation)
			return &te
		}
		pause = min(2*pause, mostPause)
	}
}

// testOnce asks once. Whatever comes of it, a test changes nothing.
func (r *rotator) testOnce(ctx context.Context, req *rotators.Request, v lockstep.Value) error {
	c, err := r.begin(req, v)
	if err != nil {
		return err
	}
	if _, err = c.ask(ctx, r.recipe.test); err != nil {
		return changedNothing(err)
	}
	return nil
}

func changedNothing(err error) error {
	te := *lockstep.AsTargetError(err)
	te.Outcome = lockstep.NotApplied
	return &te
}
