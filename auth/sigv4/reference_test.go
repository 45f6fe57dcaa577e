package sigv4_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// referenceSign signs POST / with exactly the headers named, in the plainest
// way, for what the SDK's signer never does. values holds the canonical values.
func referenceSign(timestamp, body string, names, values []string) string {
	mac := func(key, message string) string {
		h := hmac.New(sha256.New, []byte(key))
		h.Write([]byte(message))
		return string(h.Sum(nil))
	}
	hash := func(s string) string {
		sum := sha256.Sum256([]byte(s))
		return hex.EncodeToString(sum[:])
	}
	canonical := "POST\n/\n\n"
	for i, name := range names {
		canonical += name + ":" + values[i] + "\n"
	}
	list := strings.Join(names, ";")
	canonical += "\n" + list + "\n" + hash(body)
	scope := timestamp[:8] + "/" + region + "/" + service + "/aws4_request"
	key := mac(mac(mac(mac("AWS4"+secretKey, timestamp[:8]), region), service), "aws4_request")
	signature := hex.EncodeToString([]byte(mac(key, "AWS4-HMAC-SHA256\n"+timestamp+"\n"+scope+"\n"+hash(canonical))))
	return "AWS4-HMAC-SHA256 Credential=" + longKey + "/" + scope + ",SignedHeaders=" + list + ",Signature=" + signature
}

func TestHeadersThatSignersLeaveOut(t *testing.T) {
	const at = "20260101T000000Z"
	tests := []struct {
		name    string
		headers []string // as sent
		signed  []string // names
		values  []string // canonical
	}{
		{"user-agent", []string{"User-Agent: aws-sdk/1.0", "X-Amz-Date: " + at}, []string{"host", "user-agent", "x-amz-date"}, []string{"h.example", "aws-sdk/1.0", at}},
		{"trace id", []string{"X-Amzn-Trace-Id: Root=1-2", "X-Amz-Date: " + at}, []string{"host", "x-amz-date", "x-amzn-trace-id"}, []string{"h.example", at, "Root=1-2"}},
		{"unsigned trace id", []string{"X-Amzn-Trace-Id: Root=1-2", "X-Amz-Date: " + at}, []string{"host", "x-amz-date"}, []string{"h.example", at}},
		{"expect", []string{"Expect: 100-continue", "X-Amz-Date: " + at}, []string{"expect", "host", "x-amz-date"}, []string{"100-continue", "h.example", at}},
		{"content-length", []string{"X-Amz-Date: " + at}, []string{"content-length", "host", "x-amz-date"}, []string{"2", "h.example", at}},
		{"Date alone, of HTTP", []string{"Date: Thu, 01 Jan 2026 00:00:00 GMT"}, []string{"date", "host"}, []string{"Thu, 01 Jan 2026 00:00:00 GMT", "h.example"}},
		{"Date alone, basic form", []string{"Date: " + at}, []string{"date", "host"}, []string{at, "h.example"}},
		{"X-Amz-Date goes before Date", []string{"Date: Thu, 01 Jan 1970 00:00:00 GMT", "X-Amz-Date: " + at}, []string{"host", "x-amz-date"}, []string{"h.example", at}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := incoming("POST", "https://h.example/", "{}", tt.headers...)
			r.Header.Set("Authorization", referenceSign(at, "{}", tt.signed, tt.values))
			if _, err := verifier(t).Verify(r); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestDateAloneMustBeSigned(t *testing.T) {
	const at = "20260101T000000Z"
	r := incoming("POST", "https://h.example/", "{}", "Date: "+at)
	r.Header.Set("Authorization", referenceSign(at, "{}", []string{"host"}, []string{"h.example"}))
	_, err := verifier(t).Verify(r)
	wantRefusal(t, err, "InvalidSignatureException", "'date' must be")

	r = incoming("POST", "https://h.example/", "{}", "Date: yesterday")
	r.Header.Set("Authorization", referenceSign(at, "{}", []string{"date", "host"}, []string{"yesterday", "h.example"}))
	_, err = verifier(t).Verify(r)
	wantRefusal(t, err, "IncompleteSignatureException", "not a valid date")
}

func TestTransferEncodingSigned(t *testing.T) {
	const at = "20260101T000000Z"
	v := verifier(t)
	var got error
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { _, got = v.Verify(r) }))
	defer srv.Close()
	// A body of unknown length is sent in chunks.
	r, err := http.NewRequest("POST", srv.URL, struct{ *strings.Reader }{strings.NewReader("{}")})
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("X-Amz-Date", at)
	r.Header.Set("Authorization", referenceSign(at, "{}", []string{"host", "transfer-encoding", "x-amz-date"}, []string{r.Host, "chunked", at}))
	resp, err := srv.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if got != nil {
		t.Error(got)
	}
}
