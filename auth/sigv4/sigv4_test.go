package sigv4_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"lockstep"
	"lockstep/auth/sigv4"
)

const (
	longKey    = "AKIAEXAMPLE000000001"
	sessionKey = "ASIAEXAMPLE000000001"
	expiredKey = "ASIAEXAMPLE000000002"
	brokenKey  = "AKIAEXAMPLE000000666"
	secretKey  = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
	token      = "tok/en+with=="
	region     = "eu-west-1"
	service    = "secretsmanager"
)

var now = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

var errStore = errors.New("the store is away")

// keyring is a lookup over a fixed set of keys; the Principal is a name.
type keyring map[string]sigv4.Credential[string]

func (k keyring) SecretKey(_ context.Context, id string) (sigv4.Credential[string], error) {
	if id == brokenKey {
		return sigv4.Credential[string]{}, errStore
	}
	c, ok := k[id]
	if !ok {
		return c, fmt.Errorf("access key %s: %w", id, lockstep.ErrNotFound)
	}
	return c, nil
}

func keys() keyring {
	secret := lockstep.StringValue(secretKey)
	return keyring{
		longKey:       {SecretKey: secret, Principal: "alice"},
		sessionKey:    {SecretKey: secret, TokenHash: sigv4.HashToken(token), Expires: now.Add(time.Hour), Principal: "role"},
		expiredKey:    {SecretKey: secret, TokenHash: sigv4.HashToken(token), Expires: now, Principal: "role"},
		"AKIDEXAMPLE": {SecretKey: secret, Principal: "vector"},
	}
}

func config() sigv4.Config[string] {
	return sigv4.Config[string]{
		Keys:     keys(),
		Services: []string{service, "sts", "lockstep"},
		Rules:    sigv4.Rules{Now: func() time.Time { return now }},
	}
}

func verifier(t testing.TB, change ...func(*sigv4.Config[string])) *sigv4.Verifier[string] {
	t.Helper()
	c := config()
	for _, f := range change {
		f(&c)
	}
	v, err := sigv4.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// incoming makes a request as a server sees it.
func incoming(method, url, body string, headers ...string) *http.Request {
	r := httptest.NewRequest(method, url, strings.NewReader(body))
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Add(name, value)
	}
	return r
}

// as says how the oracle signs; zero fields mean the usual ones.
type as struct {
	id, secret, token, region, service string
	at                                 time.Time
}

// sign signs with the AWS SDK's signer.
func sign(t testing.TB, r *http.Request, body string, a as) *http.Request {
	t.Helper()
	or := func(v, usual string) string {
		if v == "" {
			return usual
		}
		return v
	}
	if a.at.IsZero() {
		a.at = now
	}
	sum := sha256.Sum256([]byte(body))
	creds := aws.Credentials{AccessKeyID: or(a.id, longKey), SecretAccessKey: or(a.secret, secretKey), SessionToken: a.token}
	err := v4.NewSigner().SignHTTP(context.Background(), creds, r, hex.EncodeToString(sum[:]), or(a.service, service), or(a.region, region), a.at)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

const getBody = `{"SecretId": "a"}`

func getSecret(headers ...string) *http.Request {
	return incoming("POST", "https://secrets.example.com/", getBody, append([]string{
		"Content-Type: application/x-amz-json-1.1", "X-Amz-Target: secretsmanager.GetSecretValue",
	}, headers...)...)
}

func TestVerifyTellsWhoSigned(t *testing.T) {
	r := sign(t, getSecret(), getBody, as{id: sessionKey, token: token, at: now.Add(-time.Minute)})
	got, err := verifier(t).Verify(r)
	if err != nil {
		t.Fatal(err)
	}
	if got.AccessKeyID != sessionKey || got.Principal != "role" || got.Region != region || got.Service != service {
		t.Errorf("identity %+v", got)
	}
	if !got.SignedAt.Equal(now.Add(-time.Minute)) || !got.Expires.Equal(now.Add(time.Hour)) || string(got.Body) != getBody {
		t.Errorf("identity %+v", got)
	}
	again, err := io.ReadAll(r.Body)
	if err != nil || string(again) != getBody {
		t.Errorf("the handler reads %q, %v", again, err)
	}
}

// TestDocumentedVector is the example that AWS's documentation works through.
func TestDocumentedVector(t *testing.T) {
	at := time.Date(2015, 8, 30, 12, 36, 0, 0, time.UTC)
	v := verifier(t, func(c *sigv4.Config[string]) {
		c.Services = []string{"iam"}
		c.Rules.Now = func() time.Time { return at }
		c.Keys = keyring{"AKIDEXAMPLE": {SecretKey: lockstep.StringValue("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")}}
	})
	r := incoming("GET", "https://iam.amazonaws.com/?Action=ListUsers&Version=2010-05-08", "",
		"Content-Type: application/x-www-form-urlencoded; charset=utf-8", "X-Amz-Date: 20150830T123600Z",
		"Authorization: AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/iam/aws4_request, "+
			"SignedHeaders=content-type;host;x-amz-date, "+
			"Signature=5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7")
	if _, err := v.Verify(r); err != nil {
		t.Error(err)
	}
}

// TestBotocoreRequests holds requests as botocore 1.43 signed them: the AWS
// CLI's and boto3's header sets.
func TestBotocoreRequests(t *testing.T) {
	const date = "X-Amz-Date: 20260101T000000Z"
	auth := func(id, service, signed, signature string) string {
		return "Authorization: AWS4-HMAC-SHA256 Credential=" + id + "/20260101/eu-west-1/" + service +
			"/aws4_request, SignedHeaders=" + signed + ", Signature=" + signature
	}
	cli := []string{"X-Amz-Target: secretsmanager.GetSecretValue", "Content-Type: application/x-amz-json-1.1",
		"User-Agent: aws-cli/2.9.19 Python/3.11", "Amz-Sdk-Invocation-Id: 3d1a", "Amz-Sdk-Request: attempt=1", date}
	tests := []struct {
		name    string
		request *http.Request
	}{
		{"a call on a port", incoming("POST", "http://127.0.0.1:4566/", getBody, append(cli,
			auth(longKey, service, "amz-sdk-invocation-id;amz-sdk-request;content-type;host;x-amz-date;x-amz-target",
				"4c86bbb350cb76dea8f608a8800df9098c41690cf551ab53a5bb384fba9f8c1b"))...)},
		{"a session key", incoming("POST", "https://secrets.example.com/", getBody, append(cli, "X-Amz-Security-Token: "+token,
			auth(sessionKey, service, "amz-sdk-invocation-id;amz-sdk-request;content-type;host;x-amz-date;x-amz-security-token;x-amz-target",
				"0d532e8261168ced4e43b52fd3493e5ae4f67ab14a65f81aa75dea2b8340a491"))...)},
		{"a form", incoming("POST", "https://secrets.example.com/", "Action=GetCallerIdentity&Version=2011-06-15",
			"Content-Type: application/x-www-form-urlencoded; charset=utf-8", date,
			auth(longKey, "sts", "content-type;host;x-amz-date", "69605f59ac82d29361fb9709bbc0c8ee86a5811126d15f72043bfe5fe1fa4324"))},
		{"a query", incoming("GET", "https://secrets.example.com/v1/runs?b=2&a=x%20y&a=%2F&c", "", date,
			auth(longKey, "lockstep", "host;x-amz-date", "9fb0568e69e52ba85d90137dcc1e5b0ad5f4f0b862328e7653529c3645e8d87d"))},
		{"an escaped path", incoming("GET", "https://secrets.example.com/v1/secrets/prod%2Fdb%20x/runs", "", date,
			auth(longKey, "lockstep", "host;x-amz-date", "f0bfe0a85da598896f74a5010c74eb4f531c837a1a5d93cdc93c83385825474c"))},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := verifier(t).Verify(tt.request); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestAgreesWithTheSDK signs odd requests with the AWS SDK.
func TestAgreesWithTheSDK(t *testing.T) {
	tests := []struct {
		name, method, url, body string
		headers                 []string
	}{
		{"plain", "POST", "https://h.example/", "{}", nil},
		{"no body", "GET", "https://h.example/", "", nil},
		{"port", "POST", "http://127.0.0.1:18443/", "{}", nil},
		{"IPv6 host", "POST", "http://[::1]:18443/", "{}", nil},
		{"double spaces", "POST", "https://h.example/", "{}", []string{"X-Amz-Meta:   a   b    c  "}},
		{"inner tab", "POST", "https://h.example/", "{}", []string{"My-Header: a\tb"}},
		{"empty header", "POST", "https://h.example/", "{}", []string{"My-Header: "}},
		{"only spaces", "POST", "https://h.example/", "{}", []string{"My-Header:    "}},
		{"repeated header", "POST", "https://h.example/", "{}", []string{"My-Header: b", "My-Header:  a", "My-Header: c,d"}},
		{"UTF-8 header", "POST", "https://h.example/", "{}", []string{"My-Header: größe"}},
		{"accept-encoding", "POST", "https://h.example/", "{}", []string{"Accept-Encoding: gzip, deflate"}},
		{"token characters", "POST", "https://h.example/", "{}", []string{"X_odd.name~1: v"}},
		{"content hash", "POST", "https://h.example/", "{}", []string{"X-Amz-Content-Sha256: 44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"}},
		{"query order", "GET", "https://h.example/?b=1&a=2&B=3&a=1&aa=0&a-b=1&a%2Fb=2", "", nil},
		{"query escapes", "GET", "https://h.example/?x=a+b&y=a%20b&z=%e4%bd%a0&t=~-_.&s=*%27()&e=%3D%26", "", nil},
		{"query without value", "GET", "https://h.example/?flag&other=", "", nil},
		{"query empty pairs", "GET", "https://h.example/?&&a=1&", "", nil},
		{"path escapes", "GET", "https://h.example/a%2Fb/c%20d/%E4%BD%A0/e~f/(g)", "", nil},
		{"path sub-delims", "GET", "https://h.example/a:b@c/$&+,;=", "", nil},
		{"path dots kept", "GET", "https://h.example/a/../b/./c//d/", "", nil},
		{"method", "DELETE", "https://h.example/v1/secrets/a", "", nil},
		{"binary body", "PUT", "https://h.example/", "\x00\xff\n\r", nil},
		{"big body", "POST", "https://h.example/", strings.Repeat("x", 200<<10), nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := incoming(tt.method, tt.url, tt.body, tt.headers...)
			sign(t, r, tt.body, as{})
			if _, err := verifier(t).Verify(r); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestOverTheWire(t *testing.T) {
	for _, proto := range []string{"HTTP/1.1", "HTTP/2.0"} {
		t.Run(proto, func(t *testing.T) {
			v := verifier(t)
			srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				id, err := v.Verify(r)
				fmt.Fprintf(w, "%s %s %v", r.Proto, id.Principal, err)
			}))
			srv.EnableHTTP2 = proto == "HTTP/2.0"
			srv.StartTLS()
			defer srv.Close()
			r, err := http.NewRequest("POST", srv.URL+"/a%2Fb?q=x%20y", strings.NewReader(getBody))
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Content-Type", "application/x-amz-json-1.1")
			sign(t, r, getBody, as{})
			resp, err := srv.Client().Do(r)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			answer, _ := io.ReadAll(resp.Body)
			if want := proto + " alice <nil>"; string(answer) != want {
				t.Errorf("got %q, want %q", answer, want)
			}
		})
	}
}

func BenchmarkVerify(b *testing.B) {
	v := verifier(b)
	r := sign(b, getSecret("User-Agent: bench", "Accept-Encoding: gzip", "Amz-Sdk-Request: attempt=1"), getBody, as{})
	body := r.Body
	b.ReportAllocs()
	for b.Loop() {
		r.Body = io.NopCloser(strings.NewReader(getBody))
		if _, err := v.Verify(r); err != nil {
			b.Fatal(err)
		}
	}
	_ = body
}
