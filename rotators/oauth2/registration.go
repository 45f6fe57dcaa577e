package oauth2

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"time"

	"lockstep"
	"lockstep/rotators"
	"lockstep/rotators/jsonvalue"
)

// registered is a value that is a client's registration: what the server answered
// to it (RFC 7591 section 3.2.1), and our own fields.
type registered struct {
	party
	object *jsonvalue.Object
	// uri and token manage the registration (RFC 7592).
	uri, token string
	expires    time.Time
}

// readRegistered reads a value. Errors: ErrInvalid.
func readRegistered(v lockstep.Value) (*registered, error) {
	o, err := jsonvalue.Parse(v)
	if err != nil {
		return nil, err
	}
	r := &registered{object: o}
	if r.party, err = readParty(o); err != nil {
		return nil, err
	}
	if r.secret == "" {
		return nil, lacking("client_secret")
	}
	for name, field := range map[string]*string{fieldManageURI: &r.uri, fieldManageToken: &r.token} {
		if *field, err = o.Text(name, ""); err != nil {
			return nil, err
		}
	}
	return r, r.readExpiry()
}

// readExpiry reads until when the secret works; zero, or none, is for ever.
func (r *registered) readExpiry() error {
	if !r.object.Has(fieldSecretExpires) {
		return nil
	}
	var seconds int64
	if json.Unmarshal(r.object.JSON(fieldSecretExpires), &seconds) != nil {
		return invalid("the field %q is not a number of seconds", fieldSecretExpires)
	}
	if seconds > 0 {
		r.expires = time.Unix(seconds, 0)
	}
	return nil
}

const (
	fieldManageURI     = "registration_client_uri"
	fieldManageToken   = "registration_access_token" // #nosec G101 -- a name
	fieldSecretExpires = "client_secret_expires_at"  // #nosec G101 -- a name
	fieldName          = "client_name"
)

// ours are the fields of a value that no server is told: they say where it is, or
// are Lockstep's.
var ours = []string{
	"issuer", "token_endpoint", "introspection_endpoint", "revocation_endpoint", "registration_endpoint",
	"masterarn", "publish",
}

// given are the fields that the server gives, and that a request leaves out
// (RFC 7592 section 2.2).
var given = []string{fieldManageURI, fieldManageToken, fieldSecretExpires, "client_id_issued_at"}

// metadata is the client's metadata as a request has them, but for some fields.
func (r *registered) metadata(without ...string) ([]byte, error) {
	body := map[string]json.RawMessage{}
	for _, name := range r.object.Names() {
		if r.object.Has(name) && !slices.Contains(slices.Concat(ours, given, without), name) {
			body[name] = r.object.JSON(name)
		}
	}
	out, err := json.Marshal(body)
	if err != nil {
		return nil, fmt.Errorf("write the client's metadata: %w", err)
	}
	return out, nil
}

// manage makes a request to the registration of this client.
func (r *registered) manage(doing, method string, body []byte) request {
	return request{
		doing: doing, method: method, url: r.uri, bearer: lockstep.StringValue(r.token), kind: kindJSON, body: body,
		secrets: []lockstep.Value{lockstep.StringValue(r.token), lockstep.StringValue(r.secret)},
	}
}

// answered is the value with all that the server answered laid over it: what it
// does not say stays, and what was about the secret before goes.
func (r *registered) answered(q request, a answer) (lockstep.Value, *registered, error) {
	told, err := jsonvalue.Parse(lockstep.StringValue(string(a.body)))
	if err != nil {
		return lockstep.Value{}, nil, q.unread(a, "what came is not a client's registration")
	}
	fields := []jsonvalue.Field{}
	for _, name := range told.Names() {
		if told.Has(name) && !slices.Contains(ours, name) {
			fields = append(fields, jsonvalue.Field{Name: name, JSON: told.JSON(name)})
		}
	}
	if !told.Has(fieldSecretExpires) && r.object.Has(fieldSecretExpires) {
		fields = append(fields, jsonvalue.Field{Name: fieldSecretExpires, JSON: []byte("0")})
	}
	v, err := r.object.WithAll(fields...)
	if err != nil {
		return lockstep.Value{}, nil, q.unread(a, "the registration is too long for a secret")
	}
	now, err := readRegistered(v)
	if err != nil || !told.Has("client_id") || !told.Has("client_secret") {
		return lockstep.Value{}, nil, q.unread(a, "what came names no client, or no secret of one")
	}
	return v, now, nil
}

// test logs in as the client.
func (s side) testClient(ctx context.Context, v lockstep.Value) error {
	who, err := readRegistered(v)
	if err != nil {
		return malformed("the value", err)
	}
	at, err := s.endpointsOf(ctx, who.party)
	if err != nil {
		return err
	}
	return s.login(ctx, who.party, at)
}

// markedName finds the marker that an earlier Run put behind a client's name.
var markedName = regexp.MustCompile(` \(lockstep-[0-9a-f-]+\)$`)

// nameWith is a client's name with a marker behind it, for people who look at the
// server's list of clients.
func nameWith(o *jsonvalue.Object, m lockstep.Marker) ([]byte, error) {
	name, err := o.Text(fieldName, "client")
	if err != nil {
		return nil, err
	}
	out, err := json.Marshal(markedName.ReplaceAllString(name, "") + " (" + string(m) + ")")
	if err != nil {
		return nil, fmt.Errorf("write the client's name: %w", err)
	}
	return out, nil
}

// initialToken is what allows a client to be registered; zero where anybody may.
func initialToken(r *rotators.Request) (lockstep.Value, error) {
	if r.Admin.IsZero() {
		return lockstep.Value{}, nil
	}
	o, err := jsonvalue.Parse(r.Admin)
	if err != nil {
		return lockstep.Value{}, err
	}
	text, err := o.Text("initial_access_token", "")
	if err == nil && text == "" {
		err = lacking("initial_access_token")
	}
	return lockstep.StringValue(text), err
}

// planClient looks whether AWSCURRENT logs in.
func (s side) planClient(ctx context.Context, r *rotators.Request, action string) (rotators.Plan, error) {
	var p rotators.Plan
	if err := s.testClient(ctx, r.Current); err != nil {
		return problem(p, err), ctx.Err()
	}
	p.Actions = []string{action, "test: authenticate as the client at the token endpoint, without being issued anything"}
	return p, ctx.Err()
}

// post is a request that registers a client.
func post(address string, token lockstep.Value, body []byte) request {
	return request{
		doing: "register a client", method: http.MethodPost, url: address, bearer: token, kind: kindJSON, body: body,
		secrets: []lockstep.Value{token},
	}
}
