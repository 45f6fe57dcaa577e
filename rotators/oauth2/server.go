package oauth2

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"

	"lockstep"
	"lockstep/rotators/jsonvalue"
)

// client is a client of an authorization server.
type client struct {
	id, secret string
	// method is a token_endpoint_auth_method: client_secret_basic,
	// client_secret_post or none.
	method string
}

// The ways to authenticate that there are.
const (
	methodBasic = "client_secret_basic"
	methodPost  = "client_secret_post"
	methodNone  = "none"
)

// party is a client and its server, as a value names them.
type party struct {
	client
	issuer string
	// at are the endpoints that the value itself names.
	at endpoints
}

// endpoints are a server's addresses; empty for what it does not have.
type endpoints struct {
	Token         string `json:"token_endpoint"`
	Introspection string `json:"introspection_endpoint"`
	Revocation    string `json:"revocation_endpoint"`
	Registration  string `json:"registration_endpoint"`
}

// readParty reads a client and its server. Errors: ErrInvalid.
func readParty(o *jsonvalue.Object) (party, error) {
	var p party
	for name, field := range map[string]*string{
		"issuer": &p.issuer, "client_id": &p.id, "client_secret": &p.secret, "token_endpoint_auth_method": &p.method,
		"token_endpoint": &p.at.Token, "introspection_endpoint": &p.at.Introspection,
		"revocation_endpoint": &p.at.Revocation, "registration_endpoint": &p.at.Registration,
	} {
		text, err := o.Text(name, "")
		if err != nil {
			return party{}, err
		}
		*field = text
	}
	switch {
	case p.id == "":
		return party{}, lacking("client_id")
	case p.issuer == "" && p.at.Token == "":
		return party{}, invalid(`the secret value names no authorization server: it lacks "issuer", or "token_endpoint"`)
	case p.method == "" && p.secret == "":
		p.method = methodNone
	case p.method == "":
		p.method = methodBasic
	}
	switch p.method {
	case methodBasic, methodPost:
		if p.secret == "" {
			return party{}, lacking("client_secret")
		}
	case methodNone:
	default:
		return party{}, invalid(`"token_endpoint_auth_method" is none of client_secret_basic, client_secret_post and none`)
	}
	return p, nil
}

func lacking(field string) error { return invalid("the secret value lacks the field %q", field) }

// authenticate makes a request the client's.
func (c *client) authenticate(r request, fields url.Values) request {
	switch c.method {
	case methodBasic:
		r.basic = c
	case methodPost:
		fields.Set("client_id", c.id)
		fields.Set("client_secret", c.secret)
	default:
		fields.Set("client_id", c.id)
	}
	r.body = []byte(fields.Encode())
	r.secrets = append(r.secrets, lockstep.StringValue(c.secret))
	return r
}

// metadata is what a server says of itself (RFC 8414 section 2).
type metadata struct {
	Issuer string `json:"issuer"`
	endpoints
}

// The places where servers say it.
const (
	wellKnownOAuth  = "/.well-known/oauth-authorization-server"
	wellKnownOpenID = "/.well-known/openid-configuration"
)

// endpointsOf are the server's addresses: what the value names, and for the rest
// what its issuer says. Asking changes nothing, so every error is NotApplied.
func (s side) endpointsOf(ctx context.Context, p party) (endpoints, error) {
	if p.issuer == "" {
		return p.at, nil
	}
	said, err := s.discover(ctx, p.issuer)
	if err != nil {
		te := *lockstep.AsTargetError(err)
		te.Outcome = lockstep.NotApplied
		return endpoints{}, &te
	}
	out := said.endpoints
	for field, own := range map[*string]string{
		&out.Token: p.at.Token, &out.Introspection: p.at.Introspection,
		&out.Revocation: p.at.Revocation, &out.Registration: p.at.Registration,
	} {
		if own != "" {
			*field = own
		}
	}
	if out.Token == "" {
		return endpoints{}, permanent(`name the "token_endpoint" in the value`, "discovery: the issuer names no token endpoint")
	}
	return out, nil
}

// discover asks an issuer for its metadata, in OAuth's place and then in OpenID
// Connect's.
func (s side) discover(ctx context.Context, issuer string) (metadata, error) {
	u, err := url.Parse(issuer)
	if err != nil || u.RawQuery != "" {
		return metadata{}, permanent(`correct "issuer" in the value`, "discovery: %w", invalid("the issuer is no address"))
	}
	inserted := *u
	inserted.Path = wellKnownOAuth + strings.TrimSuffix(u.Path, "/")
	r := request{doing: "discovery", method: http.MethodGet, url: inserted.String()}
	a, err := s.do(ctx, r)
	if err == nil && !a.ok() && a.status < 500 {
		r.url = join(issuer, wellKnownOpenID)
		a, err = s.do(ctx, r)
	}
	if err != nil {
		return metadata{}, err
	}
	if !a.ok() {
		te := r.refusal(a)
		te.Hint = `see that "issuer" is the authorization server's address as it names itself, or name the endpoints in the value`
		return metadata{}, te
	}
	var m metadata
	if json.Unmarshal(a.body, &m) != nil {
		return metadata{}, r.unread(a, "what came is not the metadata of an authorization server")
	}
	if m.Issuer != issuer { // RFC 8414 section 3.3: else one server could speak for another
		return metadata{}, permanent(`write "issuer" exactly as the server does`, "discovery: %s names itself otherwise than the value does", a.host)
	}
	return m, nil
}
