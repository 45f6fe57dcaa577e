package oauth2

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"

	"lockstep"
)

// nobodys is presented as a refresh token by a client that only wants to know
// whether it is let in: no server has ever issued it.
const nobodys = "lockstep-is-only-asking-whether-this-client-is-known"

// login authenticates as the client at the token endpoint, in a way that issues
// nothing: a server looks at the client first, and only then sees that the grant
// is none. Errors: TargetErrors, NotApplied; FaultRefusedLogin if the server does
// not let the client in.
func (s side) login(ctx context.Context, p party, at endpoints) error {
	fields := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {nobodys}}
	r := p.authenticate(form("log in as the client", at.Token, fields), fields)
	a, err := s.do(ctx, r)
	if err != nil {
		return harmless(err)
	}
	if a.ok() {
		return nil
	}
	var s2 said
	_ = json.Unmarshal(a.body, &s2) // no JSON: no code
	switch s2.Code {
	case codeInvalidGrant, "unauthorized_client", "unsupported_grant_type", "invalid_scope":
		return nil
	}
	te := *r.refusal(a)
	te.Outcome, te.Fault = lockstep.NotApplied, lockstep.FaultTransient
	if s2.Code == codeInvalidClient || (s2.Code == "" && a.status == http.StatusUnauthorized) {
		te.Fault = lockstep.FaultRefusedLogin
	}
	return &te
}
