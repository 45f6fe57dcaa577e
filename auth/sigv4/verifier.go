package sigv4

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"lockstep"
)

// Config is what a Verifier needs.
type Config[P any] struct {
	// Keys finds secret keys. Required.
	Keys KeyLookup[P]
	// Services are the scope services that Verify accepts, for example
	// "secretsmanager". Required, and never LoginService.
	Services []string
	// Regions served; nil: any well-formed name. The refusal of another names
	// them.
	Regions []string
	// Rules for the request; the zero value gives the defaults. Algorithm and
	// Path must be left empty.
	Rules Rules
	// CachedKeys bounds the derived keys held in memory; 0: DefaultCachedKeys.
	CachedKeys int
}

// Identity is who signed a request that verified.
type Identity[P any] struct {
	AccessKeyID string
	Region      string
	Service     string
	Principal   P
	// SignedAt is the request's own time, within the skew of the server's.
	SignedAt time.Time
	// Expires is the credential's end; zero: never.
	Expires time.Time
	// Body is the request's body, whose hash was signed. It is the same memory
	// that r.Body reads from and must not be changed.
	Body []byte
}

// Verifier verifies requests signed with a secret key. It is safe for
// concurrent use.
type Verifier[P any] struct {
	keys     KeyLookup[P]
	sessions SessionLookup[P] // nil if keys has not that ability
	services []string
	regions  []string
	rules    Rules
	cache    *keyCache
}

// New returns a Verifier. It fails when the Config lacks what is required or
// contradicts itself.
func New[P any](c Config[P]) (*Verifier[P], error) {
	switch {
	case c.Keys == nil:
		return nil, fmt.Errorf("sigv4 config: Keys is missing: %w", lockstep.ErrInvalid)
	case len(c.Services) == 0:
		return nil, fmt.Errorf("sigv4 config: Services is empty: %w", lockstep.ErrInvalid)
	case slices.Contains(c.Services, LoginService):
		return nil, fmt.Errorf("sigv4 config: service %q is for login tokens only: %w", LoginService, lockstep.ErrInvalid)
	case c.Rules.Algorithm != "" || c.Rules.Path != "":
		return nil, fmt.Errorf("sigv4 config: Rules.Algorithm and Rules.Path are not free here: %w", lockstep.ErrInvalid)
	case c.CachedKeys < 0 || c.Rules.Skew < 0 || c.Rules.MaxBody < 0:
		return nil, fmt.Errorf("sigv4 config: a limit is negative: %w", lockstep.ErrInvalid)
	}
	if c.CachedKeys == 0 {
		c.CachedKeys = DefaultCachedKeys
	}
	c.Rules.Algorithm = AlgorithmHMAC
	sessions, _ := c.Keys.(SessionLookup[P])
	return &Verifier[P]{
		keys:     c.Keys,
		sessions: sessions,
		services: slices.Clone(c.Services),
		regions:  slices.Clone(c.Regions),
		rules:    c.Rules,
		cache:    newKeyCache(c.CachedKeys),
	}, nil
}

// Verify checks r against all services of the Config. It reads the body and
// puts it back. Errors: *Error for the client to know; any other is a failure
// of the lookup or of the transport.
func (v *Verifier[P]) Verify(r *http.Request) (Identity[P], error) {
	return v.verify(r, v.services)
}

// VerifyFor checks r as a request to one service. An API that knows which one
// it serves uses it, so that a signature made for another is not taken. Errors
// as Verify.
func (v *Verifier[P]) VerifyFor(r *http.Request, service string) (Identity[P], error) {
	if !slices.Contains(v.services, service) {
		return Identity[P]{}, refuse(Mismatch, "Credential should be scoped to correct service.")
	}
	return v.verify(r, []string{service})
}

// Purge forgets the derived keys of an access key. Call it when the key is
// revoked; a changed secret is noticed without.
func (v *Verifier[P]) Purge(accessKeyID string) { v.cache.purge(accessKeyID) }

func (v *Verifier[P]) verify(r *http.Request, services []string) (Identity[P], error) {
	signed, err := v.rules.Read(r)
	if err != nil {
		return Identity[P]{}, err
	}
	scope := signed.Auth.Scope
	if err := v.checkScope(scope, services); err != nil {
		return Identity[P]{}, err
	}
	credential, err := v.authenticate(r.Context(), proof{
		accessKeyID: signed.Auth.CredentialID,
		token:       r.Header.Get("X-Amz-Security-Token"),
		scope:       scope,
		message:     string(signed.StringToSign),
		mac:         signed.Auth.Signature,
	})
	if err != nil {
		return Identity[P]{}, err
	}
	return Identity[P]{
		AccessKeyID: signed.Auth.CredentialID,
		Region:      scope.Region,
		Service:     scope.Service,
		Principal:   credential.Principal,
		SignedAt:    signed.At,
		Expires:     credential.Expires,
		Body:        signed.Body,
	}, nil
}

func (v *Verifier[P]) checkScope(scope Scope, services []string) error {
	if !slices.Contains(services, scope.Service) {
		return refuse(Mismatch, "Credential should be scoped to correct service: '"+strings.Join(services, "' or '")+"'.")
	}
	return v.checkRegion(scope.Region)
}

func (v *Verifier[P]) checkRegion(region string) error {
	switch {
	case v.regions != nil && !slices.Contains(v.regions, region):
		return refuse(Mismatch, "Credential should be scoped to a valid region. This server serves: "+strings.Join(v.regions, ", ")+".")
	case v.regions == nil && !isRegion(region):
		return refuse(Mismatch, "Credential should be scoped to a valid region.")
	}
	return nil
}

// isRegion reports whether s has AWS's form: lower-case words and a number,
// joined by '-'.
func isRegion(s string) bool {
	if len(s) > 64 {
		return false
	}
	words := strings.Split(s, "-")
	last := len(words) - 1
	for i, w := range words {
		low, high := byte('a'), byte('z')
		if i == last {
			low, high = '0', '9'
		}
		outside := func(r rune) bool { return r < rune(low) || r > rune(high) }
		if w == "" || strings.ContainsFunc(w, outside) {
			return false
		}
	}
	return last > 0
}

// proof is the claim that someone holds a secret key: a message and its MAC.
type proof struct {
	accessKeyID, token string
	scope              Scope
	message            string
	mac                []byte
}

// authenticate finds the key and compares. For a key that is not there it does
// the same work on a dummy, so that the time taken does not tell. Everything
// that is wrong with key or token gets the same answer; that a credential is
// expired is told only to one who holds it.
func (v *Verifier[P]) authenticate(ctx context.Context, p proof) (Credential[P], error) {
	credential, checked, err := v.lookup(ctx, p)
	unknown := errors.Is(err, lockstep.ErrNotFound)
	if err != nil && !unknown {
		return Credential[P]{}, fmt.Errorf("looking up the access key: %w", err)
	}
	if unknown || credential.SecretKey.IsZero() {
		unknown = true
		credential.SecretKey = lockstep.StringValue("no such key, but the same work for it.")
	}
	key, keep := v.cache.get(p.accessKeyID, credential.SecretKey, p.scope)
	want := sumHMAC(key[:], p.message)
	genuine := subtle.ConstantTimeCompare(want[:], p.mac) == 1
	switch {
	case unknown || !credential.tokenMatches(p.accessKeyID, p.token, checked):
		return Credential[P]{}, refuse(UnknownKey, textUnknownKey)
	case !genuine:
		return Credential[P]{}, refuse(Mismatch, textMismatch)
	case !credential.Expires.IsZero() && !v.rules.now().Before(credential.Expires):
		return Credential[P]{}, refuse(Expired, textExpired)
	}
	keep()
	return credential, nil
}

func (v *Verifier[P]) lookup(ctx context.Context, p proof) (Credential[P], tokenCheck, error) {
	if p.token != "" && v.sessions != nil {
		credential, err := v.sessions.SessionKey(ctx, p.accessKeyID, p.token)
		return credential, checkedByLookup, err
	}
	credential, err := v.keys.SecretKey(ctx, p.accessKeyID)
	return credential, notChecked, err
}
