package oauth2

import (
	"context"
	"encoding/json"
	"errors"
	"net/url"
	"strings"
	"time"

	"lockstep"
)

// tokens is an answer of the token endpoint (RFC 6749 section 5.1).
type tokens struct {
	Access  string      `json:"access_token"`
	Type    string      `json:"token_type"`
	Seconds json.Number `json:"expires_in"`
	Refresh string      `json:"refresh_token"`
	Scope   string      `json:"scope"`
	// RefreshSeconds is how long the refresh token lives, where a server says so.
	RefreshSeconds json.Number `json:"refresh_expires_in"`
	// asked is when the request was sent, from which the times count.
	asked time.Time
}

// errNoToken says why an answer is no token's.
var errNoToken = errors.New("what came is not an access token of the type Bearer")

// token asks the token endpoint, once. Errors: TargetErrors.
func (s side) token(ctx context.Context, p party, at endpoints, fields url.Values) (tokens, error) {
	r := p.authenticate(form("ask for a token", at.Token, fields), fields)
	r.secrets = append(r.secrets, lockstep.StringValue(fields.Get("refresh_token")))
	asked := s.now()
	a, err := s.do(ctx, r)
	if err != nil {
		return tokens{}, err
	}
	if !a.ok() {
		return tokens{}, r.refusal(a)
	}
	t, err := readTokens(a.body)
	if err != nil {
		return tokens{}, r.unread(a, err.Error())
	}
	t.asked = asked
	return t, nil
}

// readTokens reads an answer of success. Errors: errNoToken.
func readTokens(body []byte) (tokens, error) {
	var t tokens
	if json.Unmarshal(body, &t) != nil || t.Access == "" || strings.ContainsAny(t.Access+t.Refresh, "\x00\r\n ") {
		return tokens{}, errNoToken
	}
	if t.Type == "" {
		t.Type = "Bearer" // required, but some leave it out
	}
	if !strings.EqualFold(t.Type, "Bearer") {
		return tokens{}, errNoToken
	}
	return t, nil
}

// maxLife bounds what a server may say of a token's life.
const maxLife = 10 * 365 * 24 * time.Hour

// until is when so many seconds are over; zero if that is not said.
func (t *tokens) until(seconds json.Number) time.Time {
	n, err := seconds.Float64()
	if err != nil || n <= 0 || n > maxLife.Seconds() {
		return time.Time{}
	}
	return t.asked.Add(time.Duration(n) * time.Second).UTC().Truncate(time.Second)
}

// active asks the server about a token (RFC 7662), as the client that it was
// issued to. Errors: TargetErrors, NotApplied: asking changes nothing.
func (s side) active(ctx context.Context, p party, at endpoints, token string) (bool, error) {
	fields := url.Values{"token": {token}, "token_type_hint": {"access_token"}}
	r := p.authenticate(form("introspect the token", at.Introspection, fields), fields)
	r.secrets = append(r.secrets, lockstep.StringValue(token))
	a, err := s.do(ctx, r)
	if err != nil {
		return false, harmless(err)
	}
	var said struct {
		Active *bool `json:"active"`
	}
	switch {
	case !a.ok():
		return false, harmless(r.refusal(a))
	case json.Unmarshal(a.body, &said) != nil, said.Active == nil:
		return false, harmless(r.unread(a, "what came is not an introspection"))
	}
	return *said.Active, nil
}

// revoke makes the server refuse a token (RFC 7009). One that it does not know
// is success. Errors: TargetErrors.
func (s side) revoke(ctx context.Context, p party, at endpoints, token string) error {
	fields := url.Values{"token": {token}, "token_type_hint": {"access_token"}}
	r := p.authenticate(form("revoke the token", at.Revocation, fields), fields)
	r.secrets = append(r.secrets, lockstep.StringValue(token))
	a, err := s.do(ctx, r)
	if err != nil {
		return err
	}
	if !a.ok() {
		return r.refusal(a)
	}
	return nil
}

// harmless is the error of a request that changes nothing.
func harmless(err error) error {
	te := *lockstep.AsTargetError(err)
	te.Outcome = lockstep.NotApplied
	return &te
}
