package oauth2

import (
	"context"
	"time"

	"lockstep"
	"lockstep/rotators"
	"lockstep/rotators/jsonvalue"
)

// Refresh is the rotator "oauth2-refresh". It holds no state and is safe for
// concurrent use.
type Refresh struct{ side }

// NewRefresh makes the rotator. Errors: ErrInvalid, as Config says.
func NewRefresh(cfg Config) (*Refresh, error) {
	s, err := newSide(cfg)
	return &Refresh{s}, err
}

// Traits: issued, one value. Asking spends the refresh token of AWSCURRENT.
func (*Refresh) Traits() lockstep.Traits {
	return lockstep.Traits{Chooser: lockstep.Issued, Overlap: lockstep.OneValue}
}

// Issue presents the refresh token, once. The value has the next one beside the
// access token. Errors: TargetErrors; Unknown means that the token may be spent.
func (f *Refresh) Issue(ctx context.Context, r *rotators.Request) (lockstep.Value, error) {
	g, err := readGrant(r.Current)
	if err == nil && g.refresh == "" {
		err = lacking(fieldRefresh)
	}
	if err == nil {
		_, err = publication(g.object)
	}
	if err != nil {
		return lockstep.Value{}, malformed("AWSCURRENT", err)
	}
	fields := g.asked("refresh_token")
	fields.Set("refresh_token", g.refresh)
	v, err := f.issue(ctx, r, g, fields)
	if err == nil {
		return v, nil
	}
	te := *lockstep.AsTargetError(err)
	if te.Outcome == lockstep.Unknown {
		te.Hint = wayOut
	}
	return v, &te
}

// wayOut is what a person does when nobody knows whether a refresh token is spent.
const wayOut = "the refresh token may be spent, and is not presented again: authorize the application anew and put the refresh token that this gives"

// Test asks the server about the access token; the refresh token is never
// presented for a test. Errors: TargetErrors.
func (f *Refresh) Test(ctx context.Context, r *rotators.Request, v lockstep.Value) error {
	return f.test(ctx, r, v)
}

// Expires is when the access token does, or the refresh token if that is sooner.
// Errors: ErrInvalid.
func (*Refresh) Expires(v lockstep.Value) (time.Time, error) { return expires(v) }

// Publication is the access token, for the Secret that "publish" names. Errors:
// ErrInvalid.
func (*Refresh) Publication(v lockstep.Value) (rotators.Publication, error) {
	g, err := readGrant(v)
	if err != nil {
		return rotators.Publication{}, err
	}
	to, err := publication(g.object)
	out := rotators.Publication{Secret: to}
	if err != nil || to == "" || g.access == "" {
		return out, err
	}
	for _, name := range []string{fieldAccess, fieldType, fieldExpires, fieldScope} {
		if g.object.Has(name) {
			out.Fields = append(out.Fields, rotators.PublishedField{Name: name, JSON: g.object.JSON(name)})
		}
	}
	return out, nil
}

// publication is the Secret that a value is published into; empty for none.
func publication(o *jsonvalue.Object) (string, error) { return o.Text("publish", "") }

// Plan says what a Run would do. Errors: none but the context's.
func (f *Refresh) Plan(ctx context.Context, r *rotators.Request) (rotators.Plan, error) {
	g, err := readGrant(r.Current)
	if err == nil && g.refresh == "" {
		return problem(rotators.Plan{}, malformed("AWSCURRENT", lacking(fieldRefresh))), ctx.Err()
	}
	return f.plan(ctx, r, "issue: present the refresh token once, and keep the next one before anything else")
}
