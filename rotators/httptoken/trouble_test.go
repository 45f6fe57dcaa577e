package httptoken_test

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"lockstep"
	"lockstep/internal/egress"
	"lockstep/rotators"
	"lockstep/rotators/httptoken"
)

const planted = "pl4nted-cr3dential"

// example is the good recipe at a server's address.
func example(t testing.TB, url string) *httptoken.Recipe {
	t.Helper()
	r, err := httptoken.Parse("x.yaml", strings.ReplaceAll(good, "https://api.example.com", url))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// asked is a Request about a value of the good recipe.
func asked() *rotators.Request {
	return &rotators.Request{
		ARN: arn, Marker: "lockstep-0-0-1", Guard: guard(),
		Current: lockstep.StringValue(`{"owner":"me","key":"` + planted + `","id":"1"}`),
		Admin:   lockstep.StringValue(`{"token":"adm1n-` + planted + `"}`),
	}
}

// verdict is what an error says, in short.
func verdict(err error) string {
	if err == nil {
		return "done"
	}
	te := lockstep.AsTargetError(err)
	return fmt.Sprintf("%v, %s", te.Outcome, []string{"later", "for good", "value", "login"}[te.Fault])
}

// TestAnswers has what each call makes of an answer.
func TestAnswers(t *testing.T) {
	const issued = `{"key":"k2","id":2}`
	for _, row := range []struct {
		name   string
		status int
		body   string
		// issue, test and retire are the verdicts of the three.
		issue, test, retire string
		says                string
	}{
		{"as it should be", 201, issued, "done", "not-applied, later", "unknown, later", ""},
		{"yes to test", 200, "", "unknown, later", "done", "unknown", ""},
		{"no id", 201, `{"key":"k2"}`, "unknown, later", "", "", `nothing at id`},
		{"an id that is fields", 201, `{"key":{"a":1},"id":2}`, "unknown, later", "", "", `nothing at key`},
		{"an empty key", 201, `{"key":"","id":2}`, "unknown, later", "", "", `nothing at key`},
		{"no JSON", 201, "<html>" + planted, "unknown, later", "", "", "nothing at key"},
		{"a list", 201, "[]", "unknown, later", "", "", "nothing at key"},
		{"cut off", 201, `{"key":"k2","id":2`, "unknown, later", "", "", "nothing at key"},
		{"credential refused", 401, `{"error":{"message":"bad token adm1n-` + planted + `"}}`, "not-applied, login", "not-applied, login", "not-applied, for good", "bad token [redacted]"},
		{"no right", 403, `{"error":{"message":"forbidden"}}`, "not-applied, for good", "not-applied, for good", "not-applied, for good", "answered 403 Forbidden: forbidden"},
		{"said elsewhere", 422, `{"message":"` + planted + `"}`, "not-applied, for good", "not-applied, for good", "not-applied, for good", "422"},
		{"too many", 429, "", "not-applied, later", "not-applied, later", "not-applied, later", "429"},
		{"broken", 500, planted, "unknown, later", "not-applied, later", "unknown, later", "500"},
		{"busy", 503, "", "unknown, later", "not-applied, later", "unknown, later", "503"},
		{"elsewhere", 307, "", "not-applied, for good", "not-applied, for good", "not-applied, for good", "307"},
		{"words with control characters", 400, `{"error":{"message":"a\u0000b\nc"}}`, "not-applied, for good", "not-applied, for good", "not-applied, for good", "a b c"},
	} {
		t.Run(row.name, func(t *testing.T) {
			asks := 0
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				asks++
				w.Header().Set("Retry-After", "30")
				w.Header().Set("Location", "http://127.0.0.1:1/elsewhere")
				w.WriteHeader(row.status)
				_, _ = w.Write([]byte(row.body))
			}))
			defer server.Close()
			r := issuerOf(t, example(t, server.URL))
			v, err := r.Issue(t.Context(), asked())
			check(t, "issue", err, row.issue, row.says)
			if err == nil && v.Reveal() != `{"owner":"me","key":"k2","id":2}` {
				t.Errorf("issued %s", v.Reveal())
			}
			if row.test == "" {
				return
			}
			check(t, "test", r.Test(t.Context(), asked(), asked().Current), row.test, "")
			check(t, "retire", r.(rotators.Retirer).Retire(t.Context(), asked(), lockstep.StringValue(`{"key":"old","id":"0"}`)), row.retire, "")
			if asks != 3 {
				t.Errorf("%d requests for three calls", asks)
			}
			if te := lockstep.AsTargetError(err); row.status == 429 && te.Hint != "the provider asks to wait 30s" {
				t.Errorf("hint %q", te.Hint)
			}
		})
	}
}

func check(t *testing.T, call string, err error, want, says string) {
	t.Helper()
	text := fmt.Sprint(err)
	if err != nil {
		text += lockstep.AsTargetError(err).Hint
	}
	if got := verdict(err); !strings.HasPrefix(got, want) || err != nil && !strings.Contains(text, says) {
		t.Errorf("%s: %s: %s; want %s: …%s…", call, got, text, want, says)
	}
	if strings.Contains(text, planted) || strings.Contains(text, "127.0.0.1:1/") {
		t.Errorf("%s shows a credential or an address: %s", call, text)
	}
}

// TestBadServers has servers that do what none should.
func TestBadServers(t *testing.T) {
	release := make(chan struct{})
	mux := http.NewServeMux()
	mux.HandleFunc("/huge/", func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusCreated)
		block := make([]byte, 1<<20)
		for range 10 {
			if _, err := w.Write(block); err != nil {
				return
			}
		}
	})
	mux.HandleFunc("/hang/", func(http.ResponseWriter, *http.Request) { <-release })
	mux.HandleFunc("/headers/", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Long", strings.Repeat("x", 1<<20))
		w.WriteHeader(http.StatusCreated)
	})
	mux.HandleFunc("/short/", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "1000")
		w.WriteHeader(http.StatusCreated)
		_, _ = w.Write([]byte(`{"key":`))
	})
	server := httptest.NewTLSServer(mux)
	defer server.Close()
	defer close(release)
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	closed := httptest.NewServer(nil)
	closed.Close()
	loopback := httptoken.Config{Addresses: []string{egress.AllowLoopback}, Roots: roots}
	for _, row := range []struct {
		name, url  string
		config     httptoken.Config
		want, says string
	}{
		{"ten megabytes", server.URL + "/huge", loopback, "unknown, later", "more than 1048576 bytes"},
		{"headers without end", server.URL + "/headers", loopback, "unknown, later", ""},
		{"an answer that is cut off", server.URL + "/short", loopback, "unknown, later", ""},
		{"an answer that never comes", server.URL + "/hang", loopback, "unknown, later", "no answer in time"},
		{"an authority that is not known", server.URL, httptoken.Config{Addresses: loopback.Addresses}, "not-applied, later", "--ca-file"},
		{"nobody listens", closed.URL, loopback, "not-applied, later", "refused"},
		{"loopback that is not allowed", server.URL, httptoken.Config{Roots: roots}, "not-applied, for good", "--allow-loopback"},
		{"a name of loopback", strings.Replace(server.URL, "127.0.0.1", "localhost", 1), httptoken.Config{}, "not-applied, for good", "loopback address"},
		{"a metadata service", "http://169.254.169.254", httptoken.Config{Addresses: []string{"loopback", "private"}}, "not-applied, for good", "metadata"},
		{"private in clear", "http://10.0.0.1", httptoken.Config{Addresses: []string{"private"}}, "not-applied, for good", "use https"},
		{"IPv4 in IPv6", "http://[::ffff:127.0.0.1]:1", httptoken.Config{}, "not-applied, for good", "loopback address"},
	} {
		t.Run(row.name, func(t *testing.T) {
			r := httptoken.New(example(t, row.url), row.config).(rotators.Issuer)
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			if strings.HasSuffix(row.url, "/hang") {
				ctx, cancel = context.WithTimeout(t.Context(), 300*time.Millisecond)
			}
			defer cancel()
			_, err := r.Issue(ctx, asked())
			check(t, "issue", err, row.want, row.says)
		})
	}
}

func TestGuardEndsACall(t *testing.T) {
	release := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }))
	defer server.Close()
	defer close(release)
	req := asked()
	req.Guard.NotAfter = func(_ context.Context, now time.Time) (time.Time, error) { return now.Add(200 * time.Millisecond), nil }
	_, err := issuerOf(t, example(t, server.URL)).Issue(t.Context(), req)
	check(t, "issue", err, "unknown, later", "no answer in time")
}

// TestPropagation has a provider that does not know a new value at once: only a
// pending value is waited for, and a verdict comes when the time is over.
func TestPropagation(t *testing.T) {
	for _, s := range plainShipped() {
		if s.recipe != "cloudflare-token" {
			continue
		}
		server, target := s.account(t)
		r := s.rotator(t)
		server.Lag(3)
		req := &rotators.Request{ARN: arn, Current: target.Current, Admin: target.Admin, Marker: "lockstep-0-0-1", Guard: guard()}
		v, err := r.Issue(t.Context(), req)
		if err != nil {
			t.Fatal(err)
		}
		check(t, "test of what is not pending", r.Test(t.Context(), req, v), "not-applied, login", "Invalid API Token")
		req.Pending = v
		check(t, "test of the pending value", r.Test(t.Context(), req, v), "done", "")
		server.Lag(1 << 30)
		if req.Pending, err = r.Issue(t.Context(), req); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer cancel()
		check(t, "test that has no time", r.Test(ctx, req, req.Pending), "not-applied, later", "may take 1m0s")
	}
}

func TestExpires(t *testing.T) {
	with := func(form string) rotators.Expirer {
		r, err := httptoken.Parse("x.yaml", strings.NewReplacer("id: its id", "id: its id, until: when",
			"id: id}\ntest", "id: id, until: until}\nexpires: {field: until, form: "+form+"}\ntest").Replace(good))
		if err != nil {
			t.Fatal(err)
		}
		return httptoken.New(r, httptoken.Config{}).(rotators.Expirer)
	}
	for _, row := range []struct{ form, until, want string }{
		{"rfc3339", `"2027-01-02T03:04:05+01:00"`, "2027-01-02T02:04:05Z"},
		{"date", `"2027-01-02"`, "2027-01-02T00:00:00Z"},
		{"unix", `1800000000`, "2027-01-15T08:00:00Z"},
		{"unix", `"1800000000"`, "2027-01-15T08:00:00Z"},
		{"unix", `null`, "never"}, {"date", `""`, "never"},
		{"date", `"soon"`, "error"}, {"rfc3339", `7`, "error"}, {"unix", `-1`, "error"}, {"unix", `[]`, "error"},
	} {
		at, err := with(row.form).Expires(lockstep.StringValue(`{"until":` + row.until + `}`))
		got := at.Format(time.RFC3339)
		switch {
		case err != nil:
			got = "error"
		case at.IsZero():
			got = "never"
		}
		if got != row.want {
			t.Errorf("%s %s: %s, %v; want %s", row.form, row.until, got, err, row.want)
		}
	}
	if at, err := with("date").Expires(lockstep.StringValue(`{}`)); err != nil || !at.IsZero() {
		t.Errorf("without the field: %v, %v", at, err)
	}
}

// TestPages lists over several pages, and gives up where they have no end.
func TestPages(t *testing.T) {
	marker := func(n int) string { return string(lockstep.NewMarker(arn, "run-0123456789abcdef", uint64(n))) }
	pages := []string{
		fmt.Sprintf(`{"keys":[{"id":1,"name":%q},{"id":2,"name":"by hand"}]}`, marker(1)),
		fmt.Sprintf(`{"keys":[{"id":3,"name":null},{"id":"f/4","name":%q}]}`, marker(2)),
		`{"keys":[]}`,
	}
	var revoked string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodDelete {
			revoked = r.URL.EscapedPath()
			w.WriteHeader(http.StatusNoContent)
			return
		}
		var n int
		if _, err := fmt.Sscan(r.URL.Query().Get("page"), &n); err != nil {
			t.Error(err)
		}
		_, _ = w.Write([]byte(pages[min(n, len(pages)-1)]))
	}))
	defer server.Close()
	finder := issuerOf(t, example(t, server.URL)).(rotators.OrphanFinder)
	found, err := finder.Marked(t.Context(), asked())
	if err != nil || len(found) != 2 || found[0].ID != "1" || found[1].ID != "f/4" || string(found[1].Marker) != marker(2) {
		t.Fatalf("%+v, %v", found, err)
	}
	if err := finder.Revoke(t.Context(), asked(), found[1]); err != nil || revoked != "/keys/f%2F4" {
		t.Errorf("revoked %s, %v", revoked, err)
	}
	for what, last := range map[string]string{
		"no list":     `{"keys":{}}`,
		"no id":       fmt.Sprintf(`{"keys":[{"name":%q}]}`, marker(3)),
		"no end":      pages[0],
		"not allowed": "",
	} {
		pages[2] = last
		if _, err := finder.Marked(t.Context(), asked()); err == nil || lockstep.AsTargetError(err).Outcome != lockstep.NotApplied {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// TestGoneButAlive has a provider that does not find what it accepts.
func TestGoneButAlive(t *testing.T) {
	for _, s := range plainShipped() {
		if s.recipe != "gitlab-token" {
			continue
		}
		server, target := s.account(t)
		r := s.rotator(t)
		old := server.Issue(s.provider.Prefix, "old")
		v := valueOf(t, s.secret.with("token", text(old.Value)).with("token_id", json.RawMessage("999")))
		req := &rotators.Request{ARN: arn, Current: target.Current, Admin: target.Admin, Guard: guard()}
		check(t, "retire", r.(rotators.Retirer).Retire(t.Context(), req, v), "not-applied, for good", "does not find the old value, but accepts it")
		server.Revoke(old.ID)
		check(t, "retire", r.(rotators.Retirer).Retire(t.Context(), req, v), "done", "")
	}
}
