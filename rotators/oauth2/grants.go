package oauth2

import (
	"context"
	"fmt"
	"net/url"
	"time"

	"lockstep"
	"lockstep/rotators"
	"lockstep/rotators/jsonvalue"
)

// The fields that are written.
const (
	fieldAccess         = "access_token"
	fieldType           = "token_type"
	fieldExpires        = "expires_at"
	fieldScope          = "scope"
	fieldRefresh        = "refresh_token" // #nosec G101 -- a name
	fieldRefreshExpires = "refresh_token_expires_at"
)

// grant is a value with an access token, or with what is needed to get one.
type grant struct {
	object  *jsonvalue.Object
	access  string
	refresh string
	// scope, audience and resource are asked for; empty for what the server gives
	// by itself.
	scope, audience, resource string
	expires, refreshExpires   time.Time
	masterARN                 string
}

// readGrant reads a value. Errors: ErrInvalid.
func readGrant(v lockstep.Value) (*grant, error) {
	o, err := jsonvalue.Parse(v)
	if err != nil {
		return nil, err
	}
	g := &grant{object: o}
	for name, field := range map[string]*string{
		fieldAccess: &g.access, fieldRefresh: &g.refresh, fieldScope: &g.scope,
		"audience": &g.audience, "resource": &g.resource, "masterarn": &g.masterARN,
	} {
		if *field, err = o.Text(name, ""); err != nil {
			return nil, err
		}
	}
	if g.expires, err = readTime(o, fieldExpires); err != nil {
		return nil, err
	}
	g.refreshExpires, err = readTime(o, fieldRefreshExpires)
	return g, err
}

func readTime(o *jsonvalue.Object, name string) (time.Time, error) {
	text, err := o.Text(name, "")
	if err != nil || text == "" {
		return time.Time{}, err
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return time.Time{}, invalid("the field %q is not a time such as 2030-01-02T15:04:05Z", name)
	}
	return t, nil
}

// partyOf is the client that a grant belongs to, and its server: those of the
// secret that the value names as its masterarn, else the value's own. A client's
// credential is sent nowhere but where the value that holds it says.
func (g *grant) partyOf(r *rotators.Request) (party, error) {
	if g.masterARN == "" {
		return readParty(g.object)
	}
	o, err := jsonvalue.Parse(r.Admin)
	if err == nil {
		var p party
		if p, err = readParty(o); err == nil {
			return p, nil
		}
	}
	return party{}, fmt.Errorf("the client's secret, which masterarn names: %w", err)
}

// asked are the fields of a token request.
func (g *grant) asked(kind string) url.Values {
	out := url.Values{"grant_type": {kind}}
	for name, text := range map[string]string{"scope": g.scope, "audience": g.audience, "resource": g.resource} {
		if text != "" {
			out.Set(name, text)
		}
	}
	return out
}

// with is the value with an answer in its place. The scope stays as it is asked
// for. What the answer does not say is taken out, where it would be about the
// token before; a refresh token is kept, since not every server gives a new one.
func (g *grant) with(t tokens) (lockstep.Value, error) {
	fields := []jsonvalue.Field{
		jsonvalue.TextField(fieldAccess, t.Access), jsonvalue.TextField(fieldType, t.Type),
		timeField(fieldExpires, t.until(t.Seconds)),
	}
	if t.Refresh != "" {
		fields = append(fields, jsonvalue.TextField(fieldRefresh, t.Refresh))
	}
	until := t.until(t.RefreshSeconds)
	if !until.IsZero() || t.Refresh != "" && !g.refreshExpires.IsZero() {
		fields = append(fields, timeField(fieldRefreshExpires, until))
	}
	return g.object.WithAll(fields...)
}

// timeField is a field with a time; null for none.
func timeField(name string, t time.Time) jsonvalue.Field {
	if t.IsZero() {
		return jsonvalue.Field{Name: name, JSON: []byte("null")}
	}
	return jsonvalue.TextField(name, t.Format(time.RFC3339))
}

// issue has a token issued: all that may fail without harm first, then the one
// request, and what came of it as a value.
func (s side) issue(ctx context.Context, r *rotators.Request, g *grant, fields url.Values) (lockstep.Value, error) {
	p, err := g.partyOf(r)
	if err != nil {
		return lockstep.Value{}, malformed("AWSCURRENT", err)
	}
	at, err := s.endpointsOf(ctx, p)
	if err != nil {
		return lockstep.Value{}, err
	}
	ctx, cancel, err := s.inTime(ctx, r)
	if err != nil {
		return lockstep.Value{}, err
	}
	defer cancel()
	t, err := s.token(ctx, p, at, fields)
	if err != nil {
		return lockstep.Value{}, err
	}
	v, err := g.with(t)
	if err != nil {
		return lockstep.Value{}, &lockstep.TargetError{
			Fault: lockstep.FaultPermanent, Err: fmt.Errorf("keep the token: %w", err), Hint: "shorten the secret's other fields",
		}
	}
	return v, nil
}

// inTime is the context of a request that changes something: it ends when the
// lease does, by our own clock, since servers have none to compare with.
func (s side) inTime(ctx context.Context, r *rotators.Request) (context.Context, context.CancelFunc, error) {
	now := s.now()
	notAfter, err := r.Guard.NotAfter(ctx, now)
	if err == nil && !notAfter.After(now) {
		err = context.DeadlineExceeded
	}
	if err != nil {
		return nil, nil, &lockstep.TargetError{Outcome: lockstep.NotApplied, Err: fmt.Errorf("nothing was sent: %w", err)}
	}
	ctx, cancel := context.WithTimeout(ctx, notAfter.Sub(now))
	return ctx, cancel, nil
}

// test tells whether the server takes an access token: by its introspection,
// where there is one; else until when it was said to live.
func (s side) test(ctx context.Context, r *rotators.Request, v lockstep.Value) error {
	g, err := readGrant(v)
	if err != nil {
		return malformed("the value", err)
	}
	p, err := g.partyOf(r)
	if err != nil {
		return malformed("the value", err)
	}
	switch {
	case g.access == "":
		return refused("there is no access token yet", "rotate the secret: this gets one")
	case !g.expires.IsZero() && !g.expires.After(s.now()):
		return refused("the access token has expired at "+g.expires.Format(time.RFC3339), "")
	}
	at, err := s.endpointsOf(ctx, p)
	if err != nil {
		return err
	}
	if at.Introspection == "" {
		return nil
	}
	active, err := s.active(ctx, p, at, g.access)
	if err != nil {
		return err
	}
	if !active {
		return refused("the authorization server says that the access token is not active", "")
	}
	return nil
}

// refused is the verdict that a credential does not log in.
func refused(why, hint string) *lockstep.TargetError {
	return &lockstep.TargetError{
		Outcome: lockstep.NotApplied, Fault: lockstep.FaultRefusedLogin, Hint: hint, Err: fmt.Errorf("log in: %s", why),
	}
}

// malformed is the error of a value that can never work.
func malformed(which string, err error) *lockstep.TargetError {
	return permanent(`put a value like {"issuer":"https://…","client_id":"…","client_secret":"…"}; the reference says what else`, "read %s: %w", which, err)
}
