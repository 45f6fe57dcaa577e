package sigv4_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"lockstep"
	"lockstep/auth/sigv4"
)

// swap replaces text in a header after signing.
func swap(r *http.Request, header, old, new string) {
	v := r.Header.Get(header)
	if !strings.Contains(v, old) {
		panic("the test's header " + header + " has no " + old)
	}
	r.Header.Set(header, strings.Replace(v, old, new, 1))
}

func TestRefusals(t *testing.T) {
	const (
		missing    = "MissingAuthenticationTokenException"
		incomplete = "IncompleteSignatureException"
		invalid    = "InvalidSignatureException"
		unknown    = "UnrecognizedClientException"
		expired    = "ExpiredTokenException"
	)
	type row struct {
		name string
		by   as
		// change is done to the signed request.
		change func(*http.Request)
		code   string
		text   string // part of the message
	}
	set := func(k, v string) func(*http.Request) { return func(r *http.Request) { r.Header.Set(k, v) } }
	add := func(k, v string) func(*http.Request) { return func(r *http.Request) { r.Header.Add(k, v) } }
	del := func(k string) func(*http.Request) { return func(r *http.Request) { r.Header.Del(k) } }
	auth := func(old, new string) func(*http.Request) {
		return func(r *http.Request) { swap(r, "Authorization", old, new) }
	}
	rows := []row{
		// No signature, or half of one.
		{"no authorization", as{}, del("Authorization"), missing, "Missing Authentication Token"},
		{"empty authorization", as{}, set("Authorization", ""), missing, ""},
		{"bearer token", as{}, set("Authorization", "Bearer abc"), incomplete, "Use AWS4-HMAC-SHA256"},
		{"basic", as{}, set("Authorization", "Basic YTpi"), incomplete, ""},
		{"signature by certificate", as{}, auth("AWS4-HMAC-SHA256", "AWS4-X509-RSA-SHA256"), incomplete, ""},
		{"asymmetric signature", as{}, auth("AWS4-HMAC-SHA256", "AWS4-ECDSA-P256-SHA256"), incomplete, ""},
		{"algorithm alone", as{}, set("Authorization", "AWS4-HMAC-SHA256"), incomplete, "requires 'Credential'"},
		{"two authorizations", as{}, add("Authorization", "AWS4-HMAC-SHA256 x"), incomplete, "more than one"},
		{"no signature", as{}, auth("Signature=", "Sig="), incomplete, "unknown parameter"},
		{"repeated signature", as{}, auth("Signature=", "Signature=aa, Signature="), incomplete, "repeats"},
		{"repeated credential", as{}, auth("Credential=", "Credential=a, Credential="), incomplete, "repeats"},
		{"upper-case signature", as{}, func(r *http.Request) {
			head, tail, _ := strings.Cut(r.Header.Get("Authorization"), "Signature=")
			r.Header.Set("Authorization", head+"Signature="+strings.ToUpper(tail))
		}, incomplete, "hexadecimal"},
		{"signature is not hex", as{}, auth("Signature=", "Signature=zz"), incomplete, "hexadecimal"},
		{"short signature", as{}, func(r *http.Request) {
			v := r.Header.Get("Authorization")
			r.Header.Set("Authorization", v[:len(v)-2])
		}, invalid, "does not match"},
		{"long signature", as{}, func(r *http.Request) {
			r.Header.Set("Authorization", r.Header.Get("Authorization")+"00")
		}, invalid, "does not match"},
		{"endless authorization", as{}, func(r *http.Request) {
			r.Header.Set("Authorization", r.Header.Get("Authorization")+strings.Repeat(" ", 9000)+"x")
		}, incomplete, "too long"},

		// Scope.
		{"four parts", as{}, auth("/aws4_request", ""), incomplete, "5 slash-delimited"},
		{"six parts", as{}, auth("/aws4_request", "/x/aws4_request"), incomplete, "5 slash-delimited"},
		{"no key id", as{}, auth("Credential="+longKey, "Credential="), incomplete, "access key id"},
		{"key id with odd characters", as{}, auth("Credential="+longKey, "Credential=A%41"), incomplete, "access key id"},
		{"terminator", as{}, auth("aws4_request", "aws5_request"), incomplete, "terminator"},
		{"other day in scope", as{}, auth("/20260101/", "/20260102/"), invalid, "Date in Credential scope"},
		{"other service", as{service: "s3"}, nil, invalid, "correct service: 'secretsmanager' or 'sts' or 'lockstep'"},
		{"login service", as{service: sigv4.LoginService}, nil, invalid, "correct service"},
		{"service swapped", as{}, auth("/secretsmanager/", "/sts/"), invalid, "does not match"},
		{"region swapped", as{}, auth("/eu-west-1/", "/eu-west-2/"), invalid, "does not match"},
		{"malformed region", as{region: "Europe"}, nil, invalid, "valid region"},
		{"region without number", as{region: "eu-west"}, nil, invalid, "valid region"},
		{"region of a number", as{region: "1"}, nil, invalid, "valid region"},

		// Signed headers.
		{"host not signed", as{}, auth("host;", ""), invalid, "'Host' must be a 'SignedHeader'"},
		{"date not signed", as{}, auth("x-amz-date;", ""), invalid, "'x-amz-date' must be"},
		{"target not signed", as{}, auth(";x-amz-target", ""), invalid, "'x-amz-target' must be"},
		{"content-type not signed", as{}, auth("content-type;", ""), invalid, "'content-type' must be"},
		{"token not signed", as{}, set("X-Amz-Security-Token", token), invalid, "'x-amz-security-token' must be"},
		{"x-amz header added on the way", as{}, set("X-Amz-User-Agent", "x"), invalid, "'x-amz-user-agent' must be"},
		{"lower-case key in the map", as{}, func(r *http.Request) { r.Header["x-amz-foo"] = []string{"x"} }, invalid, "'x-amz-foo' must be"},
		{"unsorted", as{}, auth("content-type;host", "host;content-type"), incomplete, "sorted"},
		{"repeated name", as{}, auth("content-type;host", "content-type;host;host"), incomplete, "sorted"},
		{"upper-case name", as{}, auth("content-type;host", "Content-Type;host"), incomplete, "lower-case"},
		{"empty name", as{}, auth("content-type;", "content-type;;"), incomplete, "lower-case"},
		{"name of an absent header", as{}, auth("content-type;", "content-type;date;"), invalid, "does not carry"},
		{"signed header removed", as{}, del("X-Amz-Target"), invalid, "does not carry"},
		{"repeated target", as{}, add("X-Amz-Target", "secretsmanager.DeleteSecret"), invalid, "must not be repeated"},
		{"repeated date", as{}, add("X-Amz-Date", "20260101T000000Z"), invalid, "stand there once"},
		{"line break in a header", as{}, set("X-Amz-Target", "a\nb"), invalid, "control character"},

		// What was signed is changed.
		{"target", as{}, set("X-Amz-Target", "secretsmanager.DeleteSecret"), invalid, "does not match"},
		{"content type", as{}, set("Content-Type", "application/x-amz-json-1.0"), invalid, "does not match"},
		{"method", as{}, func(r *http.Request) { r.Method = "PUT" }, invalid, "does not match"},
		{"path", as{}, func(r *http.Request) { r.URL.Path = "/sessions" }, invalid, "does not match"},
		{"query", as{}, func(r *http.Request) { r.URL.RawQuery = "a=1" }, invalid, "does not match"},
		{"malformed query", as{}, func(r *http.Request) { r.URL.RawQuery = "a=%zz" }, invalid, "malformed"},
		{"semicolon in the query", as{}, func(r *http.Request) { r.URL.RawQuery = "a=1;b=2" }, invalid, "malformed"},
		{"host", as{}, func(r *http.Request) { r.Host = "other.example.com" }, invalid, "does not match"},
		{"forwarded host is not trusted", as{}, func(r *http.Request) {
			r.Header.Set("X-Forwarded-Host", r.Host)
			r.Host = "backend:8080"
		}, invalid, "does not match"},
		{"no host", as{}, func(r *http.Request) { r.Host = "" }, invalid, "no host"},
		{"body", as{}, func(r *http.Request) { r.Body = io.NopCloser(strings.NewReader(`{"SecretId": "b"}`)) }, invalid, "does not match"},
		{"payload hash", as{}, set("X-Amz-Content-Sha256", strings.Repeat("0", 64)), invalid, "must be a 'SignedHeader'"},

		// Presigned.
		{"presigned", as{}, func(r *http.Request) { r.URL.RawQuery = "X-Amz-Signature=ab" }, incomplete, "Presigned"},
		{"presigned without header", as{}, func(r *http.Request) {
			r.Header.Del("Authorization")
			r.URL.RawQuery = "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=x"
		}, incomplete, "Presigned"},
		{"presigned, escaped", as{}, func(r *http.Request) { r.URL.RawQuery = "a=1&%58-amz-Signature=ab" }, incomplete, "Presigned"},

		// Time.
		{"no date", as{}, del("X-Amz-Date"), incomplete, "requires existence of either"},
		{"extended date", as{}, set("X-Amz-Date", "2026-01-01T00:00:00Z"), incomplete, "basic format"},
		{"date with fraction", as{}, set("X-Amz-Date", "20260101T000000.5Z"), incomplete, "basic format"},
		{"no such day", as{}, set("X-Amz-Date", "20260230T000000Z"), incomplete, "basic format"},
		{"too old", as{at: now.Add(-301 * time.Second)}, nil, invalid,
			"Signature expired: 20251231T235459Z is now earlier than 20251231T235500Z (20260101T000000Z - 5 min.)"},
		{"too early", as{at: now.Add(301 * time.Second)}, nil, invalid,
			"Signature not yet current: 20260101T000501Z is still later than 20260101T000500Z (20260101T000000Z + 5 min.)"},
		{"date moved", as{}, set("X-Amz-Date", "20260101T000001Z"), invalid, "does not match"},

		// Keys and tokens.
		{"wrong secret", as{secret: "guess"}, nil, invalid, "does not match"},
		{"unknown key", as{id: "AKIANOBODY0000000000"}, nil, unknown, "security token included in the request is invalid"},
		{"long-term key with a token", as{token: token}, nil, unknown, "security token included in the request is invalid"},
		{"session key without its token", as{id: sessionKey}, nil, unknown, "security token included in the request is invalid"},
		{"session key with another token", as{id: sessionKey, token: "other"}, nil, unknown, "security token included in the request is invalid"},
		{"expired session", as{id: expiredKey, token: token}, nil, expired, "expired"},
		{"expired session, wrong secret", as{id: expiredKey, token: token, secret: "guess"}, nil, invalid, "does not match"},
	}
	for _, tt := range rows {
		t.Run(tt.name, func(t *testing.T) {
			r := sign(t, getSecret(), getBody, tt.by)
			if tt.change != nil {
				tt.change(r)
			}
			_, err := verifier(t).Verify(r)
			wantRefusal(t, err, tt.code, tt.text)
		})
	}
}

func wantRefusal(t *testing.T, err error, code, text string) {
	t.Helper()
	var refusal *sigv4.Error
	if !errors.As(err, &refusal) {
		t.Fatalf("got %v, want a refusal with code %s", err, code)
	}
	if refusal.Code() != code || !strings.Contains(refusal.Message, text) {
		t.Errorf("got %v, want code %s with %q", err, code, text)
	}
	if strings.Contains(err.Error(), secretKey) || strings.Contains(err.Error(), token) {
		t.Errorf("the refusal shows a secret: %v", err)
	}
}

func TestPayloadHashHeader(t *testing.T) {
	for announced, text := range map[string]string{
		"UNSIGNED-PAYLOAD":                         "must be signed",
		"STREAMING-AWS4-HMAC-SHA256-PAYLOAD":       "must be signed",
		"STREAMING-UNSIGNED-PAYLOAD-TRAILER":       "must be signed",
		strings.Repeat("0", 64):                    "does not match",
		"44136FA355B3678A1146AD16F7E8649E94FB4FC2": "does not match",
		"": "does not match",
	} {
		r := sign(t, getSecret("X-Amz-Content-Sha256: "+announced), getBody, as{})
		_, err := verifier(t).Verify(r)
		wantRefusal(t, err, "InvalidSignatureException", text)
	}
}

func TestSkewHasTwoEdges(t *testing.T) {
	for _, d := range []time.Duration{-5 * time.Minute, 0, 5 * time.Minute} {
		if _, err := verifier(t).Verify(sign(t, getSecret(), getBody, as{at: now.Add(d)})); err != nil {
			t.Errorf("%v off: %v", d, err)
		}
	}
	narrow := verifier(t, func(c *sigv4.Config[string]) { c.Rules.Skew = 90 * time.Second })
	_, err := narrow.Verify(sign(t, getSecret(), getBody, as{at: now.Add(-2 * time.Minute)}))
	wantRefusal(t, err, "InvalidSignatureException", "- 90 sec.)")
	if !errors.Is(err, &sigv4.Error{Reason: sigv4.Skewed}) {
		t.Errorf("reason of %v is not Skewed", err)
	}
}

func TestRegionsServed(t *testing.T) {
	v := verifier(t, func(c *sigv4.Config[string]) { c.Regions = []string{"eu-west-1", "local"} })
	if _, err := v.Verify(sign(t, getSecret(), getBody, as{region: "local"})); err != nil {
		t.Error(err)
	}
	_, err := v.Verify(sign(t, getSecret(), getBody, as{region: "us-east-1"}))
	wantRefusal(t, err, "InvalidSignatureException", "This server serves: eu-west-1, local.")
}

func TestVerifyForOneService(t *testing.T) {
	v := verifier(t)
	if _, err := v.VerifyFor(sign(t, getSecret(), getBody, as{}), service); err != nil {
		t.Error(err)
	}
	_, err := v.VerifyFor(sign(t, getSecret(), getBody, as{service: "sts"}), service)
	wantRefusal(t, err, "InvalidSignatureException", "'secretsmanager'")
	_, err = v.VerifyFor(sign(t, getSecret(), getBody, as{service: "s3"}), "s3")
	wantRefusal(t, err, "InvalidSignatureException", "correct service")
}

func TestHostBehindAProxy(t *testing.T) {
	proxied := func(forwarded ...string) *http.Request {
		r := sign(t, getSecret(), getBody, as{})
		r.Host, r.RemoteAddr = "backend:8080", "10.1.2.3:5555"
		r.Header["X-Forwarded-Host"] = forwarded
		return r
	}
	trust := func(prefix string) func(*sigv4.Config[string]) {
		return func(c *sigv4.Config[string]) { c.Rules.TrustedProxies = []netip.Prefix{netip.MustParsePrefix(prefix)} }
	}
	if _, err := verifier(t, trust("10.0.0.0/8")).Verify(proxied("secrets.example.com")); err != nil {
		t.Error(err)
	}
	_, err := verifier(t, trust("10.9.0.0/16")).Verify(proxied("secrets.example.com"))
	wantRefusal(t, err, "InvalidSignatureException", "does not match")
	for _, twice := range [][]string{{"secrets.example.com", "x"}, {"secrets.example.com, x"}} {
		_, err = verifier(t, trust("10.0.0.0/8")).Verify(proxied(twice...))
		wantRefusal(t, err, "InvalidSignatureException", "more than one proxy")
	}
}

func TestHostsServed(t *testing.T) {
	only := func(hosts ...string) func(*sigv4.Config[string]) {
		return func(c *sigv4.Config[string]) { c.Rules.Hosts = hosts }
	}
	if _, err := verifier(t, only("Secrets.example.com")).Verify(sign(t, getSecret(), getBody, as{})); err != nil {
		t.Error(err)
	}
	_, err := verifier(t, only("secrets.example.com:8443")).Verify(sign(t, getSecret(), getBody, as{}))
	wantRefusal(t, err, "InvalidSignatureException", "does not serve")
}

// unreadable fails the test when it is read.
type unreadable struct{ t *testing.T }

func (u unreadable) Read([]byte) (int, error) { u.t.Error("the body was read"); return 0, io.EOF }
func (unreadable) Close() error               { return nil }

func TestBodyLimit(t *testing.T) {
	small := verifier(t, func(c *sigv4.Config[string]) { c.Rules.MaxBody = 100 })
	body := strings.Repeat("x", 101)
	request := func() *http.Request {
		return sign(t, incoming("POST", "https://h.example/", body), body, as{})
	}

	announced := request()
	announced.Body = unreadable{t}
	_, err := small.Verify(announced)
	wantRefusal(t, err, "RequestEntityTooLargeException", "100 bytes")

	chunked := sign(t, incoming("POST", "https://h.example/", body), body, as{})
	chunked.ContentLength = -1
	_, err = small.Verify(chunked)
	wantRefusal(t, err, "RequestEntityTooLargeException", "100 bytes")

	unsigned := incoming("POST", "https://h.example/", body)
	unsigned.Body = unreadable{t}
	_, err = small.Verify(unsigned)
	wantRefusal(t, err, "MissingAuthenticationTokenException", "")
}

func TestTruncatedBody(t *testing.T) {
	v := verifier(t)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, err := v.Verify(r)
		var refusal *sigv4.Error
		if errors.As(err, &refusal) {
			w.Header().Set("Code", refusal.Code())
			w.WriteHeader(refusal.Status())
		}
	}))
	defer srv.Close()
	r := sign(t, incoming("POST", srv.URL+"/", getBody), getBody, as{})
	conn, err := net.Dial("tcp", srv.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "POST / HTTP/1.1\r\nHost: %s\r\nContent-Length: %d\r\nX-Amz-Date: %s\r\nAuthorization: %s\r\n\r\n%s",
		r.Host, len(getBody), r.Header.Get("X-Amz-Date"), r.Header.Get("Authorization"), getBody[:5])
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != 400 || resp.Header.Get("Code") != "IncompleteBody" {
		t.Errorf("got %d %q", resp.StatusCode, resp.Header.Get("Code"))
	}
}

func TestLookupFailureIsNotARefusal(t *testing.T) {
	_, err := verifier(t).Verify(sign(t, getSecret(), getBody, as{id: brokenKey}))
	var refusal *sigv4.Error
	if !errors.Is(err, errStore) || errors.As(err, &refusal) {
		t.Errorf("got %v, want the store's error", err)
	}
}

func TestConfigErrors(t *testing.T) {
	for name, change := range map[string]func(*sigv4.Config[string]){
		"no keys":       func(c *sigv4.Config[string]) { c.Keys = nil },
		"no services":   func(c *sigv4.Config[string]) { c.Services = nil },
		"login service": func(c *sigv4.Config[string]) { c.Services = []string{sigv4.LoginService} },
		"algorithm":     func(c *sigv4.Config[string]) { c.Rules.Algorithm = "x" },
		"path":          func(c *sigv4.Config[string]) { c.Rules.Path = "/x" },
		"skew":          func(c *sigv4.Config[string]) { c.Rules.Skew = -1 },
		"body":          func(c *sigv4.Config[string]) { c.Rules.MaxBody = -1 },
		"cache":         func(c *sigv4.Config[string]) { c.CachedKeys = -1 },
	} {
		c := config()
		change(&c)
		if _, err := sigv4.New(c); !errors.Is(err, lockstep.ErrInvalid) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestCodesOfBothProtocols(t *testing.T) {
	for reason, want := range map[sigv4.Reason]string{
		sigv4.Mismatch:     "InvalidSignatureException 400 SignatureDoesNotMatch 403",
		sigv4.Skewed:       "InvalidSignatureException 400 SignatureDoesNotMatch 403",
		sigv4.Unsigned:     "MissingAuthenticationTokenException 400 MissingAuthenticationToken 403",
		sigv4.Incomplete:   "IncompleteSignatureException 400 IncompleteSignature 400",
		sigv4.UnknownKey:   "UnrecognizedClientException 400 InvalidClientTokenId 403",
		sigv4.Expired:      "ExpiredTokenException 400 ExpiredToken 403",
		sigv4.TokenExpired: "RequestExpired 400 RequestExpired 400",
		sigv4.TooLarge:     "RequestEntityTooLargeException 413 RequestEntityTooLarge 413",
		sigv4.Truncated:    "IncompleteBody 400 IncompleteBody 400",
	} {
		e := &sigv4.Error{Reason: reason}
		if got := fmt.Sprint(e.Code(), " ", e.Status(), " ", e.QueryCode(), " ", e.QueryStatus()); got != want {
			t.Errorf("reason %d: got %s, want %s", reason, got, want)
		}
	}
}
