package oauth2_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"lockstep"
	"lockstep/internal/oauthtest"
	"lockstep/rotators"
	"lockstep/rotators/oauth2"
)

func refresher(t testing.TB, s *oauthtest.Server) *oauth2.Refresh {
	t.Helper()
	r, err := oauth2.NewRefresh(config(s))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestRefreshChain(t *testing.T) {
	s := oauthtest.Start(t, oauthtest.Config{})
	r := refresher(t, s)
	first := with(t, refreshValue(t, s), "publish", "orders/token")
	current := first
	for range 5 {
		next := issue(t, r, current)
		if field(t, next, "refresh_token") == field(t, current, "refresh_token") || !s.ActiveRefresh(t, field(t, next, "refresh_token")) {
			t.Fatal("no other refresh token that works")
		}
		if !s.Active(t, field(t, next, "access_token")) || field(t, next, "publish") != "orders/token" {
			t.Fatal("the access token does not work, or a field was lost")
		}
		current = next
	}
	until, err := r.Expires(current)
	if left := time.Until(until); err != nil || left < 50*time.Minute || left > 61*time.Minute {
		t.Errorf("expires in %s, %v", left, err)
	}
	p, err := r.Publication(current)
	if err != nil || p.Secret != "orders/token" {
		t.Fatalf("publication: %+v, %v", p, err)
	}
	for _, f := range p.Fields {
		if strings.Contains(string(f.JSON), field(t, current, "refresh_token")) || strings.Contains(string(f.JSON), field(t, current, "client_secret")) {
			t.Errorf("what is published shows it: %s", f.Name)
		}
	}
	names := slices.Collect(func(yield func(string) bool) {
		for _, f := range p.Fields {
			yield(f.Name)
		}
	})
	if !slices.Equal(names, []string{"access_token", "token_type", "expires_at"}) {
		t.Errorf("published: %v", names)
	}

	// A spent one is refused, and the family dies: that is why it is sent once.
	_, err = r.Issue(t.Context(), ask(first))
	wantFault(t, err, lockstep.NotApplied, lockstep.FaultPermanent, first)
	if s.ActiveRefresh(t, field(t, current, "refresh_token")) {
		t.Error("the server does not do what RFC 9700 asks: nothing is proven")
	}
	_, err = r.Issue(t.Context(), ask(current))
	te := wantFault(t, err, lockstep.NotApplied, lockstep.FaultPermanent, current)
	if !strings.Contains(te.Error(), "invalid_grant") || !strings.Contains(te.Hint, "authorize") {
		t.Errorf("said %v, hint %q", te, te.Hint)
	}
}

func TestClientCredentials(t *testing.T) {
	s := oauthtest.Start(t, oauthtest.Config{})
	c, err := oauth2.NewClientCredentials(config(s))
	if err != nil {
		t.Fatal(err)
	}
	blank := tokenValue(t, s)
	wantFault(t, c.Test(t.Context(), ask(blank), blank), lockstep.NotApplied, lockstep.FaultRefusedLogin)
	old := issue(t, c, blank)
	current := issue(t, c, old)
	if !s.Active(t, field(t, old, "access_token")) || !s.Active(t, field(t, current, "access_token")) {
		t.Fatal("not both work")
	}
	wantFault(t, c.Retire(t.Context(), ask(current), current), lockstep.NotApplied, lockstep.FaultPermanent)
	for range 2 {
		if err := c.Retire(t.Context(), ask(current), old); err != nil {
			t.Fatal(err)
		}
	}
	if s.Active(t, field(t, old, "access_token")) || !s.Active(t, field(t, current, "access_token")) {
		t.Error("not the old one alone was revoked")
	}
	wantFault(t, c.Test(t.Context(), ask(current), old), lockstep.NotApplied, lockstep.FaultRefusedLogin)

	// The client's own secret, out of the applications' reach.
	r := ask(lockstep.StringValue(`{"masterarn":"orders/client","scope":"orders"}`))
	r.Admin = with(t, blank, "scope", "")
	v, err := c.Issue(t.Context(), r)
	if err != nil || field(t, v, "client_secret") != "" || !s.Active(t, field(t, v, "access_token")) {
		t.Fatalf("by the admin: %v", err)
	}
	if err := c.Test(t.Context(), r, v); err != nil {
		t.Error(err)
	}
}

func TestServerWithoutRevocation(t *testing.T) {
	s := oauthtest.Start(t, oauthtest.Config{NoRevocation: true, NoIntrospection: true})
	c, err := oauth2.NewClientCredentials(config(s))
	if err != nil {
		t.Fatal(err)
	}
	old := issue(t, c, tokenValue(t, s))
	current := issue(t, c, old)
	te := wantFault(t, c.Retire(t.Context(), ask(current), old), lockstep.NotApplied, lockstep.FaultTransient, old)
	if !strings.Contains(te.Error(), field(t, old, "expires_at")) {
		t.Errorf("it does not say until when: %v", te)
	}
	past := with(t, old, "expires_at", "2020-01-01T00:00:00Z")
	if err := c.Retire(t.Context(), ask(current), past); err != nil {
		t.Errorf("one that has expired: %v", err)
	}
	wantFault(t, c.Test(t.Context(), ask(current), past), lockstep.NotApplied, lockstep.FaultRefusedLogin)
}

func TestClientSecret(t *testing.T) {
	s := oauthtest.Start(t, oauthtest.Config{EndsSecret: true})
	c, err := oauth2.NewClientSecret(config(s))
	if err != nil {
		t.Fatal(err)
	}
	current := with(t, clientValue(t, s), "team", "orders")
	id := field(t, current, "client_id")
	for range 3 {
		next := issue(t, c, current)
		if s.Knows(id, field(t, current, "client_secret")) || !s.Knows(id, field(t, next, "client_secret")) {
			t.Fatal("not the new secret alone works")
		}
		if field(t, next, "registration_access_token") == field(t, current, "registration_access_token") || field(t, next, "team") != "orders" {
			t.Fatal("the registration access token is the old one, or a field was lost")
		}
		wantFault(t, c.Test(t.Context(), ask(next), current), lockstep.NotApplied, lockstep.FaultRefusedLogin, current, next)
		current = next
	}
	_, err = c.Issue(t.Context(), ask(with(t, current, "registration_access_token", "another-one")))
	te := wantFault(t, err, lockstep.NotApplied, lockstep.FaultPermanent, current)
	if !strings.Contains(te.Hint, "registration access token") {
		t.Errorf("hint: %s", te.Hint)
	}
}

func TestServerThatKeepsSecrets(t *testing.T) {
	s := oauthtest.Start(t, oauthtest.Config{KeepsSecret: true})
	c, err := oauth2.NewClientSecret(config(s))
	if err != nil {
		t.Fatal(err)
	}
	first := clientValue(t, s)
	// What came is kept, since the registration access token before it is dead.
	next, err := c.Issue(t.Context(), ask(first))
	if err != nil {
		t.Fatal(err)
	}
	te := wantFault(t, c.Test(t.Context(), ask(first), next), lockstep.NotApplied, lockstep.FaultPermanent, next)
	if !strings.Contains(te.Hint, oauth2.NameNewClient) {
		t.Errorf("hint: %s", te.Hint)
	}
	// And it is not tried again.
	r := ask(next)
	r.Live = []lockstep.Value{first}
	calls := s.Calls("/register/" + field(t, first, "client_id"))
	_, err = c.Issue(t.Context(), r)
	wantFault(t, err, lockstep.NotApplied, lockstep.FaultPermanent, next)
	if s.Calls("/register/"+field(t, first, "client_id")) != calls {
		t.Error("it was asked again")
	}
}

func TestNewClient(t *testing.T) {
	s := oauthtest.Start(t, oauthtest.Config{KeepsSecret: true, InitialToken: "may-register"})
	n, err := oauth2.NewNewClient(config(s))
	if err != nil {
		t.Fatal(err)
	}
	first := clientValue(t, s)
	admin := lockstep.StringValue(`{"initial_access_token":"may-register"}`)
	_, err = n.Issue(t.Context(), ask(first))
	wantFault(t, err, lockstep.NotApplied, lockstep.FaultPermanent, first)

	r := ask(first)
	r.Admin = admin
	second, err := n.Issue(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	r = ask(second)
	r.Admin = admin
	third, err := n.Issue(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"orders", "orders (" + string(theMarker) + ")", "orders (" + string(theMarker) + ")"}
	if got := s.Clients(); !slices.Equal(got, want) {
		t.Errorf("clients: %q", got)
	}
	for _, v := range []lockstep.Value{first, second, third} {
		if !s.Knows(field(t, v, "client_id"), field(t, v, "client_secret")) {
			t.Error("one of them is not known")
		}
		if err := n.Test(t.Context(), r, v); err != nil {
			t.Error(err)
		}
	}
	err = n.Retire(t.Context(), ask(third), third)
	if !errors.Is(err, rotators.ErrCurrents) {
		t.Errorf("retire AWSCURRENT: %v", err)
	}
	for _, old := range []lockstep.Value{first, second, first} {
		if err := n.Retire(t.Context(), ask(third), old); err != nil {
			t.Fatal(err)
		}
		wantFault(t, n.Test(t.Context(), r, old), lockstep.NotApplied, lockstep.FaultRefusedLogin, old)
	}
	if err := n.Test(t.Context(), r, third); err != nil {
		t.Error(err)
	}
}
