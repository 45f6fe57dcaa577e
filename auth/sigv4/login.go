package sigv4

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"lockstep"
)

const (
	// LoginService is the scope service of login tokens. No HTTP request is
	// accepted for it, so neither proof can stand in for the other.
	LoginService = "lockstep-nats"
	// MaxLoginTTL is the longest life of a login token.
	MaxLoginTTL = 5 * time.Minute

	loginPrefix   = "lsl1."
	loginDomain   = "LOCKSTEP-LOGIN-1\n"
	maxLoginToken = 16 << 10
	nonceBytes    = 16
	maxLoginTime  = 1 << 36 // seconds; the year 4147
)

// LoginParams say what a login token is made of.
type LoginParams struct {
	AccessKeyID string
	SecretKey   lockstep.Value
	// SessionToken goes along for session keys; empty for long-term ones.
	SessionToken string
	Region       string
	// Audience names the server that the token is for; another one refuses it.
	Audience string
	// Now is the client's time.
	Now time.Time
	// TTL is the token's life, up to MaxLoginTTL; 0: MaxLoginTTL.
	TTL time.Duration
}

// Login is who holds a login token that verified.
type Login[P any] struct {
	AccessKeyID string
	Region      string
	Principal   P
	IssuedAt    time.Time
	// Expires is the token's end; CredentialExpires the access key's, zero:
	// never. A connection should not outlive the latter.
	Expires           time.Time
	CredentialExpires time.Time
	// Nonce is unique to the token. A server that keeps the nonces it has seen
	// until Expires plus the skew takes each token once.
	Nonce string
}

// loginClaims is the signed part of a token, in the order it is written.
type loginClaims struct {
	AccessKeyID  string `json:"akid"`
	SessionToken string `json:"token,omitempty"`
	Region       string `json:"region"`
	Audience     string `json:"aud"`
	IssuedAt     int64  `json:"iat"`
	Expires      int64  `json:"exp"`
	Nonce        string `json:"nonce"`
}

// NewLoginToken makes a token that proves possession of the access key without
// showing it: "lsl1.", the claims as base64url of JSON, ".", and their HMAC in
// base64url under the key that SigV4 derives for LoginService. Whoever sees the
// token can use it until it expires, at that audience only: send it over TLS.
// It fails, with lockstep.ErrInvalid, when a parameter is missing or the TTL is
// out of bounds.
func NewLoginToken(p LoginParams) (string, error) {
	if p.TTL == 0 {
		p.TTL = MaxLoginTTL
	}
	switch {
	case !isCredentialID(p.AccessKeyID):
		return "", fmt.Errorf("making a login token: access key id: %w", lockstep.ErrInvalid)
	case p.SecretKey.IsZero():
		return "", fmt.Errorf("making a login token: no secret key: %w", lockstep.ErrInvalid)
	case p.Region == "" || p.Audience == "":
		return "", fmt.Errorf("making a login token: region and audience are required: %w", lockstep.ErrInvalid)
	case p.TTL < time.Second || p.TTL > MaxLoginTTL:
		return "", fmt.Errorf("making a login token: life of %v, not 1s to %v: %w", p.TTL, MaxLoginTTL, lockstep.ErrInvalid)
	}
	nonce := make([]byte, nonceBytes)
	if _, err := rand.Read(nonce); err != nil {
		return "", fmt.Errorf("making a login token: drawing the nonce: %w", err)
	}
	payload, err := json.Marshal(loginClaims{ // #nosec G117 -- the token carries it on purpose, over TLS alone
		AccessKeyID: p.AccessKeyID, SessionToken: p.SessionToken, Region: p.Region, Audience: p.Audience,
		IssuedAt: p.Now.Unix(), Expires: p.Now.Unix() + int64(p.TTL/time.Second),
		Nonce: base64.RawURLEncoding.EncodeToString(nonce),
	})
	if err != nil {
		return "", fmt.Errorf("making a login token: %w", err)
	}
	text := base64.RawURLEncoding.EncodeToString(payload)
	key := deriveKey(p.SecretKey.Bytes(), loginScope(p.Now, p.Region))
	mac := sumHMAC(key[:], loginDomain+text)
	return loginPrefix + text + "." + base64.RawURLEncoding.EncodeToString(mac[:]), nil
}

func loginScope(at time.Time, region string) Scope {
	return Scope{Date: at.UTC().Format(isoDay), Region: region, Service: LoginService}
}

// VerifyLoginToken checks a token made by NewLoginToken for the audience. The
// clocks may differ by the skew of the Config's Rules. Errors as Verify; a
// token whose time is over has reason TokenExpired, one from the future Skewed.
func (v *Verifier[P]) VerifyLoginToken(ctx context.Context, token, audience string) (Login[P], error) {
	text, mac, err := splitLoginToken(token)
	if err != nil {
		return Login[P]{}, err
	}
	claims, err := parseLoginClaims(text)
	if err != nil {
		return Login[P]{}, err
	}
	issued, expires := time.Unix(claims.IssuedAt, 0).UTC(), time.Unix(claims.Expires, 0).UTC()
	if err := v.checkLoginTimes(issued, expires); err != nil {
		return Login[P]{}, err
	}
	if subtle.ConstantTimeCompare([]byte(claims.Audience), []byte(audience)) != 1 {
		return Login[P]{}, refuse(Mismatch, "The login token was made for another server.")
	}
	if err := v.checkRegion(claims.Region); err != nil {
		return Login[P]{}, err
	}
	credential, err := v.authenticate(ctx, proof{
		accessKeyID: claims.AccessKeyID,
		token:       claims.SessionToken,
		scope:       loginScope(issued, claims.Region),
		message:     loginDomain + text,
		mac:         mac,
	})
	if err != nil {
		return Login[P]{}, err
	}
	return Login[P]{
		AccessKeyID: claims.AccessKeyID, Region: claims.Region, Principal: credential.Principal,
		IssuedAt: issued, Expires: expires, CredentialExpires: credential.Expires, Nonce: claims.Nonce,
	}, nil
}

func splitLoginToken(token string) (text string, mac []byte, err error) {
	rest, ok := strings.CutPrefix(token, loginPrefix)
	if !ok || len(token) > maxLoginToken {
		return "", nil, refuse(Incomplete, "This is not a login token.")
	}
	text, tail, _ := strings.Cut(rest, ".")
	mac, err = base64.RawURLEncoding.Strict().DecodeString(tail)
	if err != nil || len(mac) != sha256.Size || strings.ContainsAny(tail, "\r\n") {
		return "", nil, refuse(Incomplete, "The login token is damaged.")
	}
	return text, mac, nil
}

func parseLoginClaims(text string) (loginClaims, error) {
	damaged := refuse(Incomplete, "The login token is damaged.")
	payload, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil {
		return loginClaims{}, damaged
	}
	var claims loginClaims
	d := json.NewDecoder(bytes.NewReader(payload))
	d.DisallowUnknownFields()
	if d.Decode(&claims) != nil {
		return loginClaims{}, damaged
	}
	if _, err := d.Token(); err != io.EOF {
		return loginClaims{}, damaged
	}
	// The upper bound keeps the arithmetic on times from wrapping around.
	if claims.IssuedAt < 0 || claims.IssuedAt > maxLoginTime || claims.Expires < 0 || claims.Expires > maxLoginTime {
		return loginClaims{}, damaged
	}
	if !isCredentialID(claims.AccessKeyID) || claims.Nonce == "" {
		return loginClaims{}, damaged
	}
	return claims, nil
}

func (v *Verifier[P]) checkLoginTimes(issued, expires time.Time) error {
	now, skew := v.rules.now(), v.rules.skew()
	life := expires.Unix() - issued.Unix()
	switch {
	case life <= 0 || life > int64(MaxLoginTTL/time.Second):
		return refuse(Mismatch, "The login token's life is out of bounds.")
	case issued.After(now.Add(skew)):
		return refuse(Skewed, "The login token is not yet valid: the client's clock is ahead.")
	case !now.Before(expires.Add(skew)):
		return refuse(TokenExpired, "The login token has expired.")
	}
	return nil
}
