package oauth2_test

import (
	"testing"

	"lockstep"
	"lockstep/internal/oauthtest"
	"lockstep/rotators/oauth2"
	"lockstep/rotators/rotatortest"
)

// at is a value whose endpoints are named one by one, at an address.
func at(t testing.TB, v lockstep.Value, address string) lockstep.Value {
	t.Helper()
	base := "https://" + address
	pairs := []string{
		"issuer", "", "token_endpoint", base + "/token", "introspection_endpoint", base + "/introspect",
		"revocation_endpoint", base + "/revoke", "registration_endpoint", base + "/register",
	}
	if field(t, v, "registration_client_uri") != "" {
		pairs = append(pairs, "registration_client_uri", base+"/register/"+field(t, v, "client_id"))
	}
	return with(t, v, pairs...)
}

// target is what all of the rotators' targets have in common.
func target(s *oauthtest.Server, current lockstep.Value, wrong string) rotatortest.Target {
	return rotatortest.Target{
		ARN: theARN, Current: current, Address: s.Address(),
		Wrong: func(t *testing.T, v lockstep.Value) lockstep.Value { return with(t, v, wrong, "another-one") },
		Away:  func(t *testing.T) { s.Away(t) }, Back: func(t *testing.T) { s.Back(t) },
		Through: func(t *testing.T, v lockstep.Value, address string) lockstep.Value { return at(t, v, address) },
	}
}

func TestConformance(t *testing.T) {
	for name, fixture := range map[string]func(*testing.T, *oauthtest.Server) rotatortest.IssuedFixture{
		oauth2.NameClientCredentials: credentialsFixture, oauth2.NameRefresh: refreshFixture,
		oauth2.NameClientSecret: secretFixture, oauth2.NameNewClient: newClientFixture,
	} {
		t.Run(name, func(t *testing.T) {
			rotatortest.RunIssued(t, fixture(t, oauthtest.Start(t, oauthtest.Config{EndsSecret: true})))
		})
	}
}

func credentialsFixture(t *testing.T, s *oauthtest.Server) rotatortest.IssuedFixture {
	c, err := oauth2.NewClientCredentials(config(s))
	if err != nil {
		t.Fatal(err)
	}
	return rotatortest.IssuedFixture{Rotator: c, New: func(t *testing.T) rotatortest.IssuedTarget {
		out := rotatortest.IssuedTarget{Target: target(s, issue(t, c, at(t, tokenValue(t, s), s.Address())), "access_token")}
		id := field(t, out.Current, "client_id")
		out.Accepts = func(t *testing.T, v lockstep.Value) bool { return s.Active(t, field(t, v, "access_token")) }
		out.Count = func(t *testing.T) int { n, _ := s.Working(t, id); return n }
		return out
	}}
}

func refreshFixture(t *testing.T, s *oauthtest.Server) rotatortest.IssuedFixture {
	r := refresher(t, s)
	return rotatortest.IssuedFixture{Rotator: r, New: func(t *testing.T) rotatortest.IssuedTarget {
		out := rotatortest.IssuedTarget{Target: target(s, issue(t, r, at(t, refreshValue(t, s), s.Address())), "access_token")}
		id := field(t, out.Current, "client_id")
		out.Accepts = func(t *testing.T, v lockstep.Value) bool { return s.ActiveRefresh(t, field(t, v, "refresh_token")) }
		out.Count = func(t *testing.T) int { _, n := s.Working(t, id); return n }
		return out
	}}
}

// secretFixture is a client whose only secret changes.
func secretFixture(t *testing.T, s *oauthtest.Server) rotatortest.IssuedFixture {
	c, err := oauth2.NewClientSecret(config(s))
	if err != nil {
		t.Fatal(err)
	}
	return rotatortest.IssuedFixture{Rotator: c, New: func(t *testing.T) rotatortest.IssuedTarget {
		out := rotatortest.IssuedTarget{Target: target(s, at(t, clientValue(t, s), s.Address()), "client_secret")}
		out.Accepts = knows(s)
		out.Count = func(*testing.T) int { return 1 }
		return out
	}}
}

func newClientFixture(t *testing.T, s *oauthtest.Server) rotatortest.IssuedFixture {
	c, err := oauth2.NewNewClient(config(s))
	if err != nil {
		t.Fatal(err)
	}
	return rotatortest.IssuedFixture{Rotator: c, New: func(t *testing.T) rotatortest.IssuedTarget {
		out := rotatortest.IssuedTarget{Target: target(s, at(t, clientValue(t, s), s.Address()), "client_secret")}
		out.Accepts = knows(s)
		out.Count = func(*testing.T) int { return len(s.Clients()) }
		return out
	}}
}

func knows(s *oauthtest.Server) func(*testing.T, lockstep.Value) bool {
	return func(t *testing.T, v lockstep.Value) bool {
		return s.Knows(field(t, v, "client_id"), field(t, v, "client_secret"))
	}
}
