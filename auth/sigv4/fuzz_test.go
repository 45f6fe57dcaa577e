package sigv4_test

import (
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"lockstep/auth/sigv4"
)

func FuzzParseAuthorization(f *testing.F) {
	f.Add("AWS4-HMAC-SHA256 Credential=AKID/20260101/eu-west-1/secretsmanager/aws4_request, SignedHeaders=host;x-amz-date, Signature=00ff")
	f.Add("AWS4-X509-RSA-SHA256 Credential=123/20260101/r/rolesanywhere/aws4_request,SignedHeaders=host,Signature=00")
	f.Add("AWS4-HMAC-SHA256 Credential=,,=,")
	f.Add("")
	f.Fuzz(func(t *testing.T, text string) {
		auth, err := sigv4.ParseAuthorization(text)
		if err != nil {
			return
		}
		if auth.CredentialID == "" || len(auth.SignedHeaders) == 0 || len(auth.Signature) == 0 {
			t.Errorf("accepted %q with a part missing: %+v", text, auth)
		}
		for i, name := range auth.SignedHeaders {
			if i > 0 && name <= auth.SignedHeaders[i-1] || strings.ToLower(name) != name {
				t.Errorf("accepted signed headers %q", auth.SignedHeaders)
			}
		}
	})
}

// wire is a request as a fuzzer can change it.
type wire struct {
	method, path, query, host, contentType, target, date, body string
}

func (w wire) request() *http.Request {
	r := &http.Request{
		Method: w.method, Host: w.host, Header: http.Header{},
		URL:  &url.URL{Path: w.path, RawQuery: w.query},
		Body: io.NopCloser(strings.NewReader(w.body)), ContentLength: int64(len(w.body)),
	}
	r.Header.Set("Content-Type", w.contentType)
	r.Header.Set("X-Amz-Target", w.target)
	r.Header.Set("X-Amz-Date", w.date)
	return r
}

// sameMeaning tells the differences that SigV4 does not sign: spaces around
// and between words of headers, and spellings of one query.
func (w wire) sameMeaning(o wire) bool {
	plain := func(s string) string { return strings.Join(strings.Fields(s), " ") }
	q1, err1 := url.ParseQuery(w.query)
	q2, err2 := url.ParseQuery(o.query)
	path := func(s string) string {
		if s == "" {
			return "/"
		}
		return s
	}
	return w.method == o.method && path(w.path) == path(o.path) && w.host == o.host && w.body == o.body && w.date == o.date &&
		plain(w.contentType) == plain(o.contentType) && plain(w.target) == plain(o.target) &&
		err1 == nil && err2 == nil && q1.Encode() == q2.Encode()
}

// FuzzMutatedRequest signs one request, then sends another under its
// signature: it verifies exactly if it means the same.
func FuzzMutatedRequest(f *testing.F) {
	original := wire{"POST", "/v1/a", "x=1&y=2", "h.example", "application/x-amz-json-1.1", "secretsmanager.GetSecretValue", "20260101T000000Z", getBody}
	signed := sign(f, original.request(), original.body, as{})
	authorization := signed.Header.Get("Authorization")
	v := verifier(f)
	add := func(w wire, auth string) {
		f.Add(w.method, w.path, w.query, w.host, w.contentType, w.target, w.date, w.body, auth)
	}
	add(original, authorization)
	other := original
	other.query = "y=2&x=1"
	add(other, authorization)
	other.host, other.target = "h.example\nx-amz-target:x", "a\r\nb"
	add(other, authorization)
	other.query = "x=%zz&;"
	add(other, strings.ToUpper(authorization))
	add(wire{}, "")
	f.Fuzz(func(t *testing.T, method, path, query, host, contentType, target, date, body, auth string) {
		w := wire{method, path, query, host, contentType, target, date, body}
		r := w.request()
		r.Header.Set("Authorization", auth)
		_, err := v.Verify(r)
		same := w.sameMeaning(original)
		if err == nil && !same {
			t.Errorf("verified %+v under the signature of %+v", w, original)
		}
		if err != nil && w == original && auth == authorization {
			t.Errorf("the original does not verify: %v", err)
		}
	})
}
