package auth

import (
	"context"
	"fmt"
	"time"

	"lockstep"
	"lockstep/auth/sigv4"
)

// TokenVerifier checks login tokens; *sigv4.Verifier[Principal] is one.
type TokenVerifier interface {
	VerifyLoginToken(ctx context.Context, token, audience string) (sigv4.Login[Principal], error)
}

// Login is a NATS client that showed a valid login token.
type Login struct {
	// User is the principal's ARN.
	User    string
	Account lockstep.AccountID
	// Region is the one that the token was made for.
	Region lockstep.Region
	// Subscribe lists the event subjects that it may listen to, with
	// wildcards.
	Subscribe []string
	// Principal is whose token it was.
	Principal Principal
	// Expires is when the connection must end and show a fresh token: after
	// MaxConnection, or with its access key, if that is earlier. The token's
	// own end bounds only how long it may be shown.
	Expires time.Time
}

// MaxConnection is how long a connection may live on one token; it bounds how
// long a revoked key still hears of events.
const MaxConnection = time.Hour

// LoginAuthorizer turns login tokens into Logins. It is safe for concurrent
// use.
type LoginAuthorizer struct {
	tokens   TokenVerifier
	audience string
	now      func() time.Time
}

// NewLoginAuthorizer makes a LoginAuthorizer. audience names this
// installation: tokens made for another are refused. now is the clock; nil
// means time.Now.
func NewLoginAuthorizer(tokens TokenVerifier, audience string, now func() time.Time) (*LoginAuthorizer, error) {
	if tokens == nil || audience == "" {
		return nil, fmt.Errorf("login authorizer: a verifier and an audience are required: %w", lockstep.ErrInvalid)
	}
	if now == nil {
		now = time.Now
	}
	return &LoginAuthorizer{tokens: tokens, audience: audience, now: now}, nil
}

// Login checks a token. A Login that may listen to nothing is no error: whoever
// opens the connection refuses it. Errors: *sigv4.Error if the token is not good (tell
// the client no more than that); any other is a failure of the server.
func (a *LoginAuthorizer) Login(ctx context.Context, token string) (Login, error) {
	l, err := a.tokens.VerifyLoginToken(ctx, token, a.audience)
	if err != nil {
		return Login{}, fmt.Errorf("check login token: %w", err)
	}
	expires := a.now().Add(MaxConnection)
	if end := l.CredentialExpires; !end.IsZero() && end.Before(expires) {
		expires = end
	}
	return Login{
		User: l.Principal.ARN, Account: l.Principal.Account, Region: lockstep.Region(l.Region),
		Subscribe: subjectsOf(l.Principal), Principal: l.Principal, Expires: expires,
	}, nil
}
