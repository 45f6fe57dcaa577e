package oauth2

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"lockstep"
	"lockstep/rotators"
)

// said is an error answer of RFC 6749 section 5.2, which RFC 7009, 7591 and 7662
// use too.
type said struct {
	Code        string `json:"error"`
	Description string `json:"error_description"`
}

// The codes that mean more than "not so".
const (
	codeInvalidClient = "invalid_client"
	codeInvalidGrant  = "invalid_grant"
	codeInvalidToken  = "invalid_token"
)

// hints are the next step for a person, by code.
func hintOf(code string) string {
	switch code {
	case codeInvalidClient:
		return "the server does not know the client or its secret, or wants another token_endpoint_auth_method: correct the value"
	case codeInvalidGrant:
		return "the refresh token is spent, revoked or expired, or another client's: authorize the application anew and put the refresh token that this gives"
	case codeInvalidToken:
		return "the registration access token is spent or revoked: put one that is good, or register the client anew"
	case "unauthorized_client", "unsupported_grant_type":
		return "allow the client this grant at the authorization server"
	case "invalid_scope", "invalid_target":
		return `correct "scope", "audience" or "resource" in the value, or allow them to the client at the server`
	case "invalid_client_metadata", "invalid_redirect_uri":
		return "correct the client's metadata in the value: they are sent as they stand there"
	case "access_denied", "insufficient_scope":
		return "give the credential this right at the authorization server"
	}
	return "correct the value, or the client at the authorization server"
}

// refusal reads an answer that is no success. What the server says is repeated
// without any secret.
func (r *request) refusal(a answer) *lockstep.TargetError {
	var s said
	_ = json.Unmarshal(a.body, &s) // no JSON: no code
	words := fmt.Sprintf("%s: %s answered %d", r.doing, a.host, a.status)
	if s.Code != "" {
		words += " " + s.Code
	}
	if s.Description != "" {
		words += ": " + s.Description
	}
	te := &lockstep.TargetError{Err: errors.New(rotators.Redact(words, r.secrets...))}
	te.Outcome, te.Fault, te.Hint = judge(a.status, s.Code)
	return te
}

// judge says what an answer means. A status of 500 and more may be a gateway's,
// behind which the server has done it; 429 and temporarily_unavailable say that
// it has not.
func judge(status int, code string) (lockstep.Outcome, lockstep.Fault, string) {
	switch {
	case code == "temporarily_unavailable", code == "slow_down", status == http.StatusTooManyRequests:
		return lockstep.NotApplied, lockstep.FaultTransient, "the authorization server asks to wait"
	case code == "server_error", status >= 500, status == http.StatusRequestTimeout:
		return lockstep.Unknown, lockstep.FaultTransient, "see the authorization server's own log"
	case status >= 300 && status < 400:
		return lockstep.NotApplied, lockstep.FaultPermanent, "give the address that the redirect leads to: none is followed"
	case code == "" && status == http.StatusUnauthorized:
		return lockstep.NotApplied, lockstep.FaultPermanent, hintOf(codeInvalidClient)
	case code == "":
		return lockstep.NotApplied, lockstep.FaultPermanent, "see whether the address is the authorization server's: it did not answer as one"
	}
	return lockstep.NotApplied, lockstep.FaultPermanent, hintOf(code)
}

// unread is an answer of success that cannot be understood: what was issued is
// not known to anybody.
func (r *request) unread(a answer, why string) *lockstep.TargetError {
	return &lockstep.TargetError{
		Fault: lockstep.FaultPermanent,
		Err:   fmt.Errorf("%s: %s answered %d, and %s", r.doing, a.host, a.status, why),
		Hint:  "see whether the address is the authorization server's, and whether it answers in JSON",
	}
}
