package oauth2

import (
	"context"
	"errors"
	"net/http"
	"time"

	"lockstep"
	"lockstep/rotators"
	"lockstep/rotators/jsonvalue"
)

// NewClient is the rotator "oauth2-new-client": a credential is a whole client. It
// holds no state and is safe for concurrent use.
//
// A registration whose answer was lost leaves a client whose secret nobody has.
// RFC 7591 has no list of clients, so it cannot be found by program: its name ends
// with the Run's marker, which the Run's history shows.
type NewClient struct{ side }

// NewNewClient makes the rotator. Errors: ErrInvalid, as Config says.
func NewNewClient(cfg Config) (*NewClient, error) {
	s, err := newSide(cfg)
	return &NewClient{s}, err
}

// Traits: issued, several at once.
func (*NewClient) Traits() lockstep.Traits {
	return lockstep.Traits{Chooser: lockstep.Issued, Overlap: lockstep.TwoValues}
}

// Issue registers a client with AWSCURRENT's metadata, as the admin's secret
// allows (its "initial_access_token"), where one is named. Errors: TargetErrors.
func (n *NewClient) Issue(ctx context.Context, r *rotators.Request) (lockstep.Value, error) {
	now, err := readRegistered(r.Current)
	if err != nil {
		return lockstep.Value{}, malformed("AWSCURRENT", err)
	}
	token, err := initialToken(r)
	if err != nil {
		return lockstep.Value{}, malformed("the secret that masterarn names", err)
	}
	at, err := n.endpointsOf(ctx, now.party)
	if err == nil && at.Registration == "" {
		err = permanent(`name the "registration_endpoint" in the value`, "the authorization server names no registration endpoint")
	}
	if err != nil {
		return lockstep.Value{}, err
	}
	body, err := now.renamed(r.Marker)
	if err != nil {
		return lockstep.Value{}, malformed("AWSCURRENT", err)
	}
	ctx, cancel, err := n.inTime(ctx, r)
	if err != nil {
		return lockstep.Value{}, err
	}
	defer cancel()
	return n.register(ctx, now, post(at.Registration, token, body), r.Marker)
}

func (n *NewClient) register(ctx context.Context, now *registered, q request, m lockstep.Marker) (lockstep.Value, error) {
	a, err := n.do(ctx, q)
	if err == nil && !a.ok() {
		err = q.refusal(a)
	}
	var v lockstep.Value
	var next *registered
	if err == nil {
		v, next, err = now.fresh().answered(q, a)
	}
	if err == nil && next.id == now.id {
		err = q.unread(a, "what came is the client that there was")
	}
	if err == nil {
		return v, nil
	}
	te := *lockstep.AsTargetError(err)
	if te.Outcome == lockstep.Unknown {
		te.Fault = lockstep.FaultTransient // nobody has that secret; another client can be had
		te.Hint = "a client whose name ends with (" + string(m) + ") may be left at the authorization server: delete it there"
	}
	return lockstep.Value{}, &te
}

// renamed is the body that registers a client like this one.
func (r *registered) renamed(m lockstep.Marker) ([]byte, error) {
	name, err := nameWith(r.object, m)
	if err != nil {
		return nil, err
	}
	v, err := r.object.WithAll(jsonvalue.Field{Name: fieldName, JSON: name})
	if err != nil {
		return nil, err
	}
	o, err := jsonvalue.Parse(v)
	if err != nil {
		return nil, err
	}
	like := &registered{object: o}
	return like.metadata("client_id", "client_secret")
}

// fresh is the registration without what only this client has.
func (r *registered) fresh() *registered {
	blank := []jsonvalue.Field{}
	for _, name := range given {
		if r.object.Has(name) {
			blank = append(blank, jsonvalue.Field{Name: name, JSON: []byte("null")})
		}
	}
	v, err := r.object.WithAll(blank...)
	if err != nil {
		return r // it cannot become longer, but for a number that null is longer than
	}
	o, err := jsonvalue.Parse(v)
	if err != nil {
		return r
	}
	out := *r
	out.object = o
	return &out
}

// Test logs in as the client. Errors: TargetErrors.
func (n *NewClient) Test(ctx context.Context, _ *rotators.Request, v lockstep.Value) error {
	return n.testClient(ctx, v)
}

// Expires is the server's client_secret_expires_at. Errors: ErrInvalid.
func (*NewClient) Expires(v lockstep.Value) (time.Time, error) { return secretExpires(v) }

// Retire deletes old's client with its own registration access token. Errors:
// TargetErrors.
func (n *NewClient) Retire(ctx context.Context, r *rotators.Request, old lockstep.Value) error {
	gone, err := readRegistered(old)
	if err != nil {
		return malformed("the old value", err)
	}
	current, err := readRegistered(r.Current)
	if err != nil {
		return malformed("AWSCURRENT", err)
	}
	if gone.id == current.id {
		return permanent("", "the client is not deleted: %w", rotators.ErrCurrents)
	}
	ctx, cancel, err := n.inTime(ctx, r)
	if err != nil {
		return err
	}
	defer cancel()
	err = n.remove(ctx, gone)
	if err == nil || lockstep.AsTargetError(err).Outcome == lockstep.Unknown {
		return err
	}
	// A client that is gone has no registration to delete, and its token is no good.
	var te *lockstep.TargetError
	if errors.As(n.testClient(ctx, old), &te) && te.Fault == lockstep.FaultRefusedLogin {
		return nil
	}
	return err
}

func (n *NewClient) remove(ctx context.Context, gone *registered) error {
	if gone.uri == "" || gone.token == "" {
		return permanent("delete the client at the authorization server", "the old value has no registration access token")
	}
	q := gone.manage("delete the old client", http.MethodDelete, nil)
	a, err := n.do(ctx, q)
	if err != nil {
		return err
	}
	if !a.ok() {
		return q.manageRefusal(a)
	}
	return nil
}

// Plan says what a Run would do. Errors: none but the context's.
func (n *NewClient) Plan(ctx context.Context, r *rotators.Request) (rotators.Plan, error) {
	return n.planClient(ctx, r, "issue: register a client with the same metadata; the old one is deleted when it is retired")
}
