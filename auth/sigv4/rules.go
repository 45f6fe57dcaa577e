package sigv4

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"
)

// DefaultSkew is how far a request's date may be from the server's clock when
// no other skew is set.
const DefaultSkew = 5 * time.Minute

// Rules say how a signed request is taken apart, whatever kind of key signed
// it. The zero value is usable.
type Rules struct {
	// Algorithm is the one accepted in the Authorization header; empty takes
	// any, and the caller decides by [Signed.Auth].
	Algorithm string
	// Path, when not empty, stands in the canonical request in place of the
	// request's own path.
	Path string
	// Skew is the largest difference of clocks, both ways; 0: DefaultSkew.
	Skew time.Duration
	// MaxBody is in bytes; 0: DefaultMaxBody.
	MaxBody int64
	// Hosts are the names (with a port, if not the scheme's default) under
	// which clients may call; nil: any. Listing them stops a request that was
	// signed for another server of the same keys from being replayed here.
	Hosts []string
	// TrustedProxies are the addresses of reverse proxies that replace Host.
	// From these alone, X-Forwarded-Host is taken as the host that the client
	// signed. nil: never; the proxy passes Host unchanged.
	TrustedProxies []netip.Prefix
	// Now is the clock; nil: time.Now.
	Now func() time.Time
}

// Signed is a request taken apart under [Rules]. Its signature is not
// verified: that is done over StringToSign.
type Signed struct {
	Auth Authorization
	// At is the signature's time, within the skew of the server's clock.
	At time.Time
	// Body is the whole body; it may be empty, and must not be changed.
	Body []byte
	// StringToSign is the text that the signature is over.
	StringToSign []byte
}

// Read takes r apart and reads its body into memory (and back into r.Body). It
// looks at the headers first, so that a request without a signature costs no
// reading. Errors: *Error; else the transport's own, when the body cannot be
// read.
func (u Rules) Read(r *http.Request) (*Signed, error) {
	auth, err := u.authorization(r)
	if err != nil {
		return nil, err
	}
	if err := checkSignedHeaders(r.Header, auth.SignedHeaders); err != nil {
		return nil, err
	}
	at, timestamp, err := requestTime(r.Header)
	if err != nil {
		return nil, err
	}
	if auth.Scope.Date != timestamp[:len(isoDay)] {
		return nil, refuse(Mismatch, "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP.")
	}
	if err := checkSkew(at, u.now(), u.skew()); err != nil {
		return nil, err
	}
	host, err := u.host(r)
	if err != nil {
		return nil, err
	}
	body, err := ReadBody(r, u.MaxBody)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(body)
	if err := checkPayloadHash(r.Header, sum); err != nil {
		return nil, err
	}
	canonical, err := canonicalRequest{request: r, host: host, path: u.Path, auth: auth, body: sum}.append(make([]byte, 0, 1024))
	if err != nil {
		return nil, err
	}
	return &Signed{Auth: auth, At: at, Body: body, StringToSign: stringToSign(auth, timestamp, canonical)}, nil
}

func (u Rules) now() time.Time {
	if u.Now == nil {
		return time.Now()
	}
	return u.Now()
}

func (u Rules) skew() time.Duration {
	if u.Skew <= 0 {
		return DefaultSkew
	}
	return u.Skew
}

func (u Rules) authorization(r *http.Request) (Authorization, error) {
	if r.URL.RawQuery != "" && isPresigned(r.URL.RawQuery) {
		return Authorization{}, refuse(Incomplete, "Presigned requests are not accepted. Sign in the Authorization header.")
	}
	values := r.Header["Authorization"]
	switch len(values) {
	case 0:
		return Authorization{}, refuse(Unsigned, "Missing Authentication Token")
	case 1:
	default:
		return Authorization{}, refuse(Incomplete, "The request carries more than one Authorization header.")
	}
	if values[0] == "" {
		return Authorization{}, refuse(Unsigned, "Missing Authentication Token")
	}
	if name, _, _ := strings.Cut(strings.TrimSpace(values[0]), " "); u.Algorithm != "" && name != u.Algorithm {
		return Authorization{}, refuse(Incomplete, "Unsupported authorization algorithm. Use "+u.Algorithm+".")
	}
	return ParseAuthorization(values[0])
}

// isPresigned looks at the decoded names, as a handler would.
func isPresigned(raw string) bool {
	for part := range strings.SplitSeq(raw, "&") {
		name, _, _ := strings.Cut(part, "=")
		decoded, err := url.QueryUnescape(name)
		if err != nil {
			continue // refused as malformed when the query is canonicalised
		}
		switch strings.ToLower(decoded) {
		case "x-amz-signature", "x-amz-algorithm", "x-amz-credential", "x-amz-signedheaders", "x-amz-security-token":
			return true
		}
	}
	return false
}

// checkSignedHeaders demands that all that decides what the request means is
// signed. Else a proxy on the way could swap the action or the token.
func checkSignedHeaders(h http.Header, signed []string) error {
	has := func(name string) bool {
		_, found := slices.BinarySearch(signed, name)
		return found
	}
	if !has("host") {
		return refuse(Mismatch, "'Host' must be a 'SignedHeader' in the AWS Authorization.")
	}
	dateHeader := "date"
	if h["X-Amz-Date"] != nil {
		dateHeader = "x-amz-date"
	}
	if dates := h[http.CanonicalHeaderKey(dateHeader)]; dates != nil && (!has(dateHeader) || len(dates) != 1) {
		return refuse(Mismatch, "'"+dateHeader+"' must be a 'SignedHeader' in the AWS Authorization, and stand there once.")
	}
	for key, values := range h {
		if !mustSign(key) {
			continue
		}
		name := strings.ToLower(key)
		if !has(name) {
			return refuse(Mismatch, "'"+name+"' must be a 'SignedHeader' in the AWS Authorization.")
		}
		// A handler reads the first value, the signature covers the joined
		// ones: with one value there is no difference.
		if len(values) != 1 {
			return refuse(Mismatch, "The header '"+name+"' must not be repeated.")
		}
	}
	return nil
}

// mustSign reports whether a header, in whatever case it came, decides what
// the request means.
func mustSign(key string) bool {
	const prefix = "x-amz-"
	if len(key) >= len(prefix) && strings.EqualFold(key[:len(prefix)], prefix) {
		return true
	}
	return strings.EqualFold(key, "Content-Type")
}

// checkPayloadHash compares the announced hash, if any, with the body's. The
// announced one is never used in its place.
func checkPayloadHash(h http.Header, sum [sha256.Size]byte) error {
	announced := h.Get("X-Amz-Content-Sha256")
	switch {
	case announced == "" && h["X-Amz-Content-Sha256"] == nil:
		return nil
	case announced == "UNSIGNED-PAYLOAD", strings.HasPrefix(announced, "STREAMING-"):
		return refuse(Mismatch, "The payload must be signed: x-amz-content-sha256 must be the SHA-256 of the body.")
	case announced != hex.EncodeToString(sum[:]):
		return refuse(Mismatch, "The provided 'x-amz-content-sha256' header does not match what was computed.")
	default:
		return nil
	}
}

// host returns the host that the client signed.
func (u Rules) host(r *http.Request) (string, error) {
	host := r.Host
	if forwarded := r.Header["X-Forwarded-Host"]; len(forwarded) > 0 && u.isTrustedProxy(r.RemoteAddr) {
		if len(forwarded) != 1 || strings.Contains(forwarded[0], ",") {
			return "", refuse(Mismatch, "The request passed more than one proxy that replaces Host.")
		}
		host = strings.TrimSpace(forwarded[0])
	}
	if host == "" {
		return "", refuse(Mismatch, "The request names no host.")
	}
	known := func(name string) bool { return strings.EqualFold(name, host) }
	if u.Hosts != nil && !slices.ContainsFunc(u.Hosts, known) {
		return "", refuse(Mismatch, "The request was signed for a host that this server does not serve.")
	}
	return host, nil
}

func (u Rules) isTrustedProxy(remote string) bool {
	if len(u.TrustedProxies) == 0 {
		return false
	}
	peer, err := netip.ParseAddrPort(remote)
	if err != nil {
		return false
	}
	addr := peer.Addr().Unmap().WithZone("")
	return slices.ContainsFunc(u.TrustedProxies, func(p netip.Prefix) bool { return p.Contains(addr) })
}
