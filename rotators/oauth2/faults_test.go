package oauth2_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"lockstep"
	"lockstep/internal/egress"
	"lockstep/internal/oauthtest"
	"lockstep/rotators/oauth2"
)

const planted = "planted-token-7Qx"

// spent is a value whose token endpoint is at an address.
func spent(address string) lockstep.Value {
	return lockstep.StringValue(`{"token_endpoint":"` + address + `","client_id":"orders","client_secret":"` + planted + `","refresh_token":"` + planted + `-r"}`)
}

func TestAnswers(t *testing.T) {
	for _, c := range []struct {
		name    string
		status  int
		body    string
		outcome lockstep.Outcome
		fault   lockstep.Fault
		says    string
	}{
		{"invalid_request", 400, `{"error":"invalid_request","error_description":"no ` + planted + `"}`, lockstep.NotApplied, lockstep.FaultPermanent, "invalid_request"},
		{"invalid_client", 401, `{"error":"invalid_client"}`, lockstep.NotApplied, lockstep.FaultPermanent, "invalid_client"},
		{"invalid_grant", 400, `{"error":"invalid_grant","error_description":"token ` + planted + `-r is spent"}`, lockstep.NotApplied, lockstep.FaultPermanent, "invalid_grant"},
		{"unauthorized_client", 400, `{"error":"unauthorized_client"}`, lockstep.NotApplied, lockstep.FaultPermanent, "unauthorized_client"},
		{"unsupported_grant_type", 400, `{"error":"unsupported_grant_type"}`, lockstep.NotApplied, lockstep.FaultPermanent, "unsupported_grant_type"},
		{"invalid_scope", 400, `{"error":"invalid_scope"}`, lockstep.NotApplied, lockstep.FaultPermanent, "invalid_scope"},
		{"one that nobody knows", 400, `{"error":"odd"}`, lockstep.NotApplied, lockstep.FaultPermanent, "odd"},
		{"asked to wait", 400, `{"error":"temporarily_unavailable"}`, lockstep.NotApplied, lockstep.FaultTransient, "temporarily_unavailable"},
		{"too many", 429, `slow`, lockstep.NotApplied, lockstep.FaultTransient, "429"},
		{"a gateway's error", 502, `<html>` + planted, lockstep.Unknown, lockstep.FaultTransient, "502"},
		{"unavailable", 503, ``, lockstep.Unknown, lockstep.FaultTransient, "503"},
		{"the server's own", 500, `{"error":"server_error"}`, lockstep.Unknown, lockstep.FaultTransient, "server_error"},
		{"a redirect", 307, ``, lockstep.NotApplied, lockstep.FaultPermanent, "307"},
		{"no such page", 404, `<html>` + planted, lockstep.NotApplied, lockstep.FaultPermanent, "404"},
		{"success that is no JSON", 200, `access_token=` + planted, lockstep.Unknown, lockstep.FaultPermanent, "not an access token"},
		{"success without a token", 200, `{"token_type":"Bearer"}`, lockstep.Unknown, lockstep.FaultPermanent, "not an access token"},
		{"a token of another type", 200, `{"access_token":"` + planted + `","token_type":"mac"}`, lockstep.Unknown, lockstep.FaultPermanent, "not an access token"},
		{"a token that breaks a header", 200, `{"access_token":"` + planted + `\r\nx: y"}`, lockstep.Unknown, lockstep.FaultPermanent, "not an access token"},
		{"ten megabytes", 200, `{"access_token":"` + strings.Repeat("x", 10<<20) + `"}`, lockstep.Unknown, lockstep.FaultTransient, "more than"},
		{"half an answer", 200, "", lockstep.Unknown, lockstep.FaultTransient, "call"},
	} {
		t.Run(c.name, func(t *testing.T) {
			calls := 0
			s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				calls++
				if c.status == 307 {
					w.Header().Set("Location", "/elsewhere")
				}
				if c.name == "half an answer" {
					w.Header().Set("Content-Length", "1000")
				}
				w.WriteHeader(c.status)
				_, _ = w.Write([]byte(c.body))
			}))
			defer s.Close()
			r, err := oauth2.NewRefresh(oauth2.Config{Addresses: []string{egress.AllowLoopback}, Roots: s.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs})
			if err != nil {
				t.Fatal(err)
			}
			_, err = r.Issue(t.Context(), ask(spent(s.URL+"/token")))
			te := wantFault(t, err, c.outcome, c.fault)
			if !strings.Contains(te.Error(), c.says) || te.Hint == "" {
				t.Errorf("said %v, hint %q", te, te.Hint)
			}
			if strings.Contains(te.Error()+te.Hint, planted) {
				t.Errorf("it shows a token: %v", te)
			}
			if calls != 1 {
				t.Errorf("%d requests", calls)
			}
		})
	}
}

// TestNothingSent: what the server never got is NotApplied, so that the refresh
// token is not taken for spent.
func TestNothingSent(t *testing.T) {
	s := oauthtest.Start(t, oauthtest.Config{})
	current := refreshValue(t, s)
	for name, c := range map[string]struct {
		cfg   oauth2.Config
		value lockstep.Value
		fault lockstep.Fault
		says  string
	}{
		"loopback, not allowed":    {oauth2.Config{Roots: s.Roots()}, current, lockstep.FaultPermanent, "loopback"},
		"private, not allowed":     {config(s), spent("https://10.1.2.3/token"), lockstep.FaultPermanent, "private"},
		"metadata service":         {oauth2.Config{Addresses: []string{egress.AllowPrivate, egress.AllowLoopback}}, spent("https://169.254.169.254/token"), lockstep.FaultPermanent, "metadata"},
		"a certificate of nobody":  {oauth2.Config{Addresses: []string{egress.AllowLoopback}}, current, lockstep.FaultTransient, "certificate"},
		"in clear to somewhere":    {config(s), spent("http://192.0.2.1/token"), lockstep.FaultPermanent, "https"},
		"another scheme":           {config(s), spent("file:///etc/passwd"), lockstep.FaultPermanent, "https"},
		"a login in the address":   {config(s), spent("https://a:" + planted + "@127.0.0.1/token"), lockstep.FaultPermanent, "login"},
		"another name of its own":  {config(s), with(t, current, "issuer", s.Issuer()+"/"), lockstep.FaultPermanent, "discovery"},
		"no refresh token":         {config(s), with(t, current, "refresh_token", ""), lockstep.FaultPermanent, "refresh_token"},
		"no client":                {config(s), with(t, current, "client_id", ""), lockstep.FaultPermanent, "client_id"},
		"no server":                {config(s), with(t, current, "issuer", ""), lockstep.FaultPermanent, "issuer"},
		"a way that there is not":  {config(s), with(t, current, "token_endpoint_auth_method", "private_key_jwt"), lockstep.FaultPermanent, "token_endpoint_auth_method"},
		"a secret for want of one": {config(s), with(t, current, "token_endpoint_auth_method", "client_secret_post", "client_secret", ""), lockstep.FaultPermanent, "client_secret"},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := oauth2.NewRefresh(c.cfg)
			if err != nil {
				t.Fatal(err)
			}
			calls := s.Calls("/token")
			_, err = r.Issue(t.Context(), ask(c.value))
			te := wantFault(t, err, lockstep.NotApplied, c.fault)
			if !strings.Contains(te.Error(), c.says) || te.Hint == "" {
				t.Errorf("said %v, hint %q", te, te.Hint)
			}
			if strings.Contains(te.Error()+te.Hint, planted) || s.Calls("/token") != calls {
				t.Errorf("it shows a token, or was sent: %v", te)
			}
		})
	}
	if !s.ActiveRefresh(t, field(t, current, "refresh_token")) {
		t.Error("the refresh token was spent")
	}
}

func TestLease(t *testing.T) {
	s := oauthtest.Start(t, oauthtest.Config{})
	r, current := refresher(t, s), refreshValue(t, s)
	late := ask(current)
	late.Guard.NotAfter = func(_ context.Context, now time.Time) (time.Time, error) { return now.Add(-time.Second), nil }
	_, err := r.Issue(t.Context(), late)
	wantFault(t, err, lockstep.NotApplied, lockstep.FaultTransient, current)
	lost := errors.New("lease lost")
	late.Guard.NotAfter = func(context.Context, time.Time) (time.Time, error) { return time.Time{}, lost }
	if _, err := r.Issue(t.Context(), late); !errors.Is(err, lost) {
		t.Errorf("got %v", err)
	}
	if s.Calls("/token") != 0 {
		t.Error("it was sent")
	}
	// A server that never answers is given up when the lease ends, and not before
	// its answer could have been lost.
	hold := make(chan struct{})
	s.BeforeAnswer(func(path string) {
		if path == "/token" {
			<-hold
		}
	})
	late.Guard.NotAfter = func(_ context.Context, now time.Time) (time.Time, error) { return now.Add(200 * time.Millisecond), nil }
	_, err = r.Issue(t.Context(), late)
	close(hold)
	te := wantFault(t, err, lockstep.Unknown, lockstep.FaultTransient, current)
	if !strings.Contains(te.Hint, "authorize the application anew") {
		t.Errorf("hint: %s", te.Hint)
	}
}

func TestAway(t *testing.T) {
	s := oauthtest.Start(t, oauthtest.Config{})
	r, current := refresher(t, s), refreshValue(t, s)
	s.Away(t)
	_, err := r.Issue(t.Context(), ask(current))
	wantFault(t, err, lockstep.NotApplied, lockstep.FaultTransient, current)
	plan, err := r.Plan(t.Context(), ask(current))
	if err != nil || len(plan.Problems) != 1 {
		t.Errorf("plan: %+v, %v", plan, err)
	}
	s.Back(t)
	if plan, err = r.Plan(t.Context(), ask(current)); err != nil || len(plan.Problems) != 0 || len(plan.Actions) == 0 {
		t.Errorf("plan: %+v, %v", plan, err)
	}
	plan, err = r.Plan(t.Context(), ask(with(t, current, "client_secret", "wrong-one")))
	if err != nil || len(plan.Problems) != 1 {
		t.Errorf("plan with a wrong secret: %+v, %v", plan, err)
	}
	issue(t, r, current)
}

// TestDiscoveryByOpenID: a server that has OpenID Connect's place alone.
func TestDiscoveryByOpenID(t *testing.T) {
	var s *httptest.Server
	mux := http.NewServeMux()
	mux.HandleFunc("GET /realms/orders/.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(map[string]string{"issuer": s.URL + "/realms/orders", "token_endpoint": s.URL + "/t"})
	})
	mux.HandleFunc("POST /t", func(w http.ResponseWriter, r *http.Request) {
		if r.FormValue("client_id") != "orders" || r.FormValue("client_secret") != planted || r.FormValue("audience") != "x y" {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		_, _ = w.Write([]byte(`{"access_token":"a1","expires_in":3600.0}`))
	})
	s = httptest.NewTLSServer(mux)
	defer s.Close()
	c, err := oauth2.NewClientCredentials(oauth2.Config{Addresses: []string{egress.AllowLoopback}, Roots: s.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs})
	if err != nil {
		t.Fatal(err)
	}
	v := issue(t, c, lockstep.StringValue(`{"issuer":"`+s.URL+`/realms/orders","client_id":"orders","client_secret":"`+planted+`",
		"token_endpoint_auth_method":"client_secret_post","audience":"x y"}`))
	if field(t, v, "access_token") != "a1" || field(t, v, "expires_at") == "" {
		t.Error("no token, or no expiry")
	}
}
