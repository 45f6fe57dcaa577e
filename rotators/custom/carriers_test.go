package custom

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"lockstep"
	"lockstep/internal/egress"
	"lockstep/rotators"
)

const marker = "v3ry-s3cret-value"

func call() rotators.Call {
	return rotators.Call{
		ID:    "run-1-setSecret-7",
		Event: rotators.FunctionEvent{Step: rotators.FunctionSet, SecretID: "arn:aws:secretsmanager:us-east-1:000000000000:secret:a-AbCdEf", Token: "token"},
		Callback: rotators.Callback{
			AccessKeyID: "ASIAX", SecretAccessKey: lockstep.StringValue("secret-key"), SessionToken: lockstep.StringValue("session-token"),
			Expires: time.Unix(1800000000, 0), Endpoint: "https://localhost:7400", Region: "us-east-1",
		},
	}
}

// verdict is what an error of a carrier says, in short.
func verdict(err error) string {
	if err == nil {
		return "done"
	}
	te := lockstep.AsTargetError(err)
	if te.Fault == lockstep.FaultPermanent {
		return te.Outcome.String() + ", for good"
	}
	return te.Outcome.String()
}

func webhookAt(t *testing.T, url string, certificate []byte, allowed ...string) *webhook {
	t.Helper()
	u, r, err := checkURL(url, allowed)
	if err != nil {
		t.Fatal(err)
	}
	w := &webhook{url: u, reach: r, key: []byte("key"), timeout: time.Minute, now: func() time.Time { return time.Unix(1700000000, 0) }}
	if certificate != nil {
		roots := rootsOf(string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate})))
		w.roots = roots
	}
	return w
}

func TestWebhookIsSignedAndCarriesTheCredentials(t *testing.T) {
	var got *http.Request
	var raw []byte
	server := httptest.NewTLSServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		got = r
		raw, _ = io.ReadAll(r.Body)
	}))
	defer server.Close()
	w := webhookAt(t, server.URL+"/hook?x=1", server.Certificate().Raw, egress.AllowLoopback)
	if err := w.Invoke(t.Context(), call()); err != nil {
		t.Fatal(err)
	}
	mac := hmac.New(sha256.New, []byte("key"))
	fmt.Fprintf(mac, "%s.%s.%s", got.Header.Get("webhook-id"), got.Header.Get("webhook-timestamp"), raw)
	if want := "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil)); got.Header.Get("webhook-signature") != want {
		t.Errorf("signature %q, want %q", got.Header.Get("webhook-signature"), want)
	}
	if got.Header.Get("webhook-id") != "run-1-setSecret-7" || got.Header.Get("webhook-timestamp") != "1700000000" || got.Method != http.MethodPost {
		t.Errorf("%s with %v", got.Method, got.Header)
	}
	var body map[string]json.RawMessage
	if err := json.Unmarshal(raw, &body); err != nil || len(body) != 4 {
		t.Fatalf("body %s: %v", raw, err)
	}
	for _, want := range []string{`"Step":"setSecret"`, `"ClientRequestToken":"token"`, `"AccessKeyId":"ASIAX"`, `"SessionToken":"session-token"`, `"Expiration":"2027-01-15T08:00:00Z"`} {
		if !strings.Contains(string(raw), want) {
			t.Errorf("the body lacks %s", want)
		}
	}
}

func TestWebhookFaults(t *testing.T) {
	release := make(chan struct{})
	mux := http.NewServeMux()
	answer := func(path string, code int, body string) {
		mux.HandleFunc(path, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code); _, _ = io.WriteString(w, body) })
	}
	answer("/ok", 204, "")
	answer("/said", 500, `{"errorType":"ValueError","errorMessage":"no such role"}`)
	answer("/page", 502, "<html>"+marker)
	mux.HandleFunc("/redirect", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/ok", http.StatusTemporaryRedirect) })
	mux.HandleFunc("/huge", func(w http.ResponseWriter, _ *http.Request) {
		block := make([]byte, 1<<20)
		for range 10 {
			if _, err := w.Write(block); err != nil {
				return
			}
		}
	})
	mux.HandleFunc("/hang", func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-r.Context().Done():
		case <-release:
		}
	})
	server := httptest.NewTLSServer(mux)
	defer server.Close()
	defer close(release)
	for _, row := range []struct{ path, verdict, says string }{
		{"/ok", "done", ""},
		{"/said", "unknown", "the webhook answered 500: ValueError: no such role"},
		{"/page", "unknown", "the webhook answered 502"},
		{"/redirect", "unknown", "redirect, which is not followed"},
		{"/huge", "unknown", "more than 65536 bytes"},
		{"/hang", "unknown", "did not answer within"},
	} {
		t.Run(row.path, func(t *testing.T) {
			w := webhookAt(t, server.URL+row.path, server.Certificate().Raw, egress.AllowLoopback)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			if row.path == "/hang" {
				time.AfterFunc(50*time.Millisecond, cancel)
			}
			err := w.Invoke(ctx, call())
			check(t, err, row.verdict, row.says)
		})
	}
	t.Run("not allowed on loopback", func(t *testing.T) {
		name := strings.Replace(server.URL, "127.0.0.1", "localhost", 1) // a name: seen only when it is resolved
		check(t, webhookAt(t, name+"/ok", server.Certificate().Raw).Invoke(t.Context(), call()), "not-applied, for good", "loopback address")
	})
	t.Run("nobody listens", func(t *testing.T) {
		closed := httptest.NewServer(nil)
		closed.Close()
		check(t, webhookAt(t, closed.URL, nil, egress.AllowLoopback).Invoke(t.Context(), call()), "not-applied", "connection refused")
	})
	t.Run("unknown certificate", func(t *testing.T) {
		check(t, webhookAt(t, server.URL+"/ok", nil, egress.AllowLoopback).Invoke(t.Context(), call()), "not-applied", "certificate")
	})
}

func check(t *testing.T, err error, want, says string) {
	t.Helper()
	text := fmt.Sprint(err)
	if got := verdict(err); got != want || (err != nil && !strings.Contains(text, says)) {
		t.Errorf("%s: %s; want %s: …%s…", got, text, want, says)
	}
	for _, secret := range []string{marker, "secret-key", "session-token"} {
		if strings.Contains(text, secret) {
			t.Errorf("the error shows %q", secret)
		}
	}
}

func FuzzURL(f *testing.F) {
	f.Add("https://example.com/x")
	f.Add("http://[::1]:80")
	f.Fuzz(func(t *testing.T, text string) {
		u, r, err := checkURL(text, nil)
		if err == nil && (u.User != nil || (u.Scheme != "https" && !r.OnlyLoopback)) {
			t.Fatalf("%q was taken", text)
		}
	})
}

func TestSubprocess(t *testing.T) {
	t.Setenv("LOCKSTEP_STORE", "postgres://"+marker)
	dir := t.TempDir()
	alive := filepath.Join(dir, "alive")
	for _, row := range []struct{ name, command, verdict, says string }{
		{"done", "cat >/dev/null", "done", ""},
		{"reads nothing", "true", "done", ""},
		{"the event", `grep -q '"Step":"setSecret".*"SecretAccessKey":"secret-key"'`, "done", ""},
		{"nothing in the environment", `! env | grep -e secret-key -e session-token -e ` + marker, "done", ""},
		{"nothing in the arguments", `! tr '\0' ' ' </proc/$$/cmdline | grep -e 'secret[-]key' -e 'session[-]token'`, "done", ""},
		{"a failure", "exit 3", "unknown", "exit code 3"},
		{"its own words", `echo noise; echo '{"errorType":"E","errorMessage":"no such role"}'; exit 1`, "unknown", "E: no such role"},
		{"prints a secret", "echo " + marker + "; echo " + marker + " >&2; exit 1", "unknown", "printed 18 bytes to standard output and 18 to standard error"},
		{"10 MB", "head -c 10000000 /dev/zero; exit 1", "unknown", "printed 10000000 bytes"},
		{"hangs with a child", "(while :; do date +%N >" + alive + "; sleep 0.05; done) & sleep 1000", "unknown", "did not end within"},
		{"leaves a child", "sleep 1000 & exit 0", "done", ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			s := &subprocess{command: row.command, timeout: time.Minute}
			if strings.HasPrefix(row.name, "hangs") {
				s.timeout = time.Second
			}
			began := time.Now()
			check(t, s.Invoke(t.Context(), call()), row.verdict, row.says)
			if took := time.Since(began); took > 50*time.Second {
				t.Errorf("it took %s", took)
			}
		})
	}
	// The child that hung is dead: what it wrote last stays.
	before, err := os.ReadFile(alive)
	if err != nil {
		t.Fatal(err)
	}
	wait, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	<-wait.Done()
	if after, _ := os.ReadFile(alive); string(after) != string(before) {
		t.Error("a child outlived the call")
	}
}

func TestBounded(t *testing.T) {
	var b bounded
	for range 100 {
		_, _ = b.Write(make([]byte, 3000))
	}
	_, _ = b.Write([]byte("\nlast line\n"))
	if b.size != 300011 || len(b.kept) > maxAnswer || string(b.lastLine()) != "last line" {
		t.Errorf("%d bytes, %d kept, last line %q", b.size, len(b.kept), b.lastLine())
	}
}
