// Package oauth2 rotates what an OAuth 2.0 authorization server issues. Four
// rotators share one client side:
//
//   - "oauth2-client-credentials": an access token of a client's own (RFC 6749
//     section 4.4). Renewed before it expires; the old one stays good, and is
//     revoked (RFC 7009) when it is retired.
//   - "oauth2-refresh": an access token got by a refresh token (section 6). Each
//     call spends the refresh token and brings the next one; the Secret that the
//     Rotation stands on holds both, and what applications read is published into
//     another (docs/decisions/0041).
//   - "oauth2-client-secret": a client's secret, changed by an update of its
//     registration (RFC 7592).
//   - "oauth2-new-client": for servers that cannot change a secret: a new client
//     with the same metadata is registered (RFC 7591), and the old one deleted
//     when it is retired.
//
// # Once, or not at all
//
// A refresh token that is presented twice is taken for stolen, and the server
// revokes all that came of it (RFC 9700 section 4.14.2). So a request is sent
// once: no redirect is followed, no way of authenticating is tried after another
// failed, no connection is used that an earlier request might have broken. That
// is why golang.org/x/oauth2 is not used here: it looks for the way to
// authenticate by trying, refreshes when it thinks fit, and its errors repeat the
// server's answer, which may hold a token.
//
// What a failed call did is told apart by how far it came. Nothing was sent:
// NotApplied. The server said no in the words of RFC 6749 section 5.2: NotApplied.
// Everything else (no answer, half an answer, one that cannot be read, a gateway's
// error): Unknown.
//
// # Where the endpoints come from
//
// From the value that holds the client's credential, and from nowhere else: by
// its "issuer" (RFC 8414, or OpenID Connect Discovery), or each by its own field.
// Addresses are judged by package egress.
package oauth2

import (
	"crypto/x509"
	"fmt"
	"time"

	"lockstep"
	"lockstep/internal/egress"
)

// The names under which cmd registers the rotators.
const (
	NameClientCredentials = "oauth2-client-credentials" // #nosec G101 -- a name
	NameRefresh           = "oauth2-refresh"
	NameClientSecret      = "oauth2-client-secret" // #nosec G101 -- a name
	NameNewClient         = "oauth2-new-client"
)

// Config is what the rotators need. The zero Config is ready to use.
type Config struct {
	// Addresses are the kinds of addresses that may be called beside public ones:
	// egress.AllowLoopback, egress.AllowPrivate. None by default.
	Addresses []string
	// Roots are the authorities that an authorization server's certificate is
	// verified by; nil means the system's.
	Roots *x509.CertPool
	// Timeout bounds one request; zero means 20 seconds. A context with an earlier
	// deadline bounds it too.
	Timeout time.Duration
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

const defaultTimeout = 20 * time.Second

// side is the client side that the rotators share.
type side struct {
	reach   egress.Reach
	roots   *x509.CertPool
	timeout time.Duration
	now     func() time.Time
}

// newSide checks a Config. Errors: ErrInvalid for an unknown kind of address or a
// negative time.
func newSide(cfg Config) (side, error) {
	s := side{reach: egress.Reach{Allowed: cfg.Addresses}, roots: cfg.Roots, timeout: cfg.Timeout, now: cfg.Now}
	if err := egress.CheckKinds(cfg.Addresses); err != nil {
		return side{}, fmt.Errorf("rotators oauth2: %w", err)
	}
	if s.timeout < 0 {
		return side{}, fmt.Errorf("rotators oauth2: negative timeout: %w", lockstep.ErrInvalid)
	}
	if s.timeout == 0 {
		s.timeout = defaultTimeout
	}
	if s.now == nil {
		s.now = time.Now
	}
	return s, nil
}
