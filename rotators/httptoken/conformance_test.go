package httptoken_test

import (
	"encoding/json"
	"maps"
	"strings"
	"testing"

	"lockstep"
	"lockstep/internal/egress"
	"lockstep/internal/providertest"
	"lockstep/rotators"
	"lockstep/rotators/httptoken"
	"lockstep/rotators/rotatortest"
)

const arn = "arn:aws:secretsmanager:us-east-1:000000000000:secret:keys-AbCdEf"

// fields are those of a value, as JSON.
type fields map[string]json.RawMessage

func text(s string) json.RawMessage {
	raw, _ := json.Marshal(s) // a string can always be written
	return raw
}

func valueOf(t testing.TB, f fields) lockstep.Value {
	t.Helper()
	raw, err := json.Marshal(f)
	if err != nil {
		t.Fatal(err)
	}
	return lockstep.StringValue(string(raw))
}

func fieldsOf(t testing.TB, v lockstep.Value) fields {
	t.Helper()
	f := fields{}
	if err := json.Unmarshal(v.Bytes(), &f); err != nil {
		t.Fatal(err)
	}
	return f
}

func (f fields) with(name string, raw json.RawMessage) fields {
	out := maps.Clone(f)
	out[name] = raw
	return out
}

// shipped is one recipe and the provider that it is for.
type shipped struct {
	recipe   string
	provider providertest.Provider
	// credential and id name the fields of the value that hold them.
	credential, id string
	// secret and admin are what people put in; path is what the URL has after
	// the host.
	secret, admin fields
	path          string
	// wrong and reader are the admin's fields that are no or too little.
	wrong, reader fields
}

func allShipped(t *testing.T) []shipped {
	app, other := providertest.NewAppKey(t), providertest.NewAppKey(t)
	return append(plainShipped(), shipped{
		recipe: "github-app", provider: providertest.GitHub(app), credential: "token",
		secret: fields{"installation": text(providertest.GitHubInstallation), "permissions": json.RawMessage(`{"contents":"read"}`)},
		admin:  fields{"app": json.RawMessage(providertest.GitHubApp), "key": text(app.PEM())},
		wrong:  fields{"app": text(providertest.GitHubApp), "key": text(other.PEM())},
	})
}

// plainShipped are those whose admin has no key to be drawn.
func plainShipped() []shipped {
	admin, wrong, reader := text(providertest.AdminToken), text("wrong-token-9"), text(providertest.ReaderToken)
	dd := text(providertest.DatadogApplicationKey)
	return []shipped{
		{
			recipe: "gitlab-token", provider: providertest.GitLab(), credential: "token", id: "token_id",
			secret: fields{"project": text(providertest.GitLabProject), "scopes": json.RawMessage(`["read_api"]`)},
			admin:  fields{"token": admin}, wrong: fields{"token": wrong}, reader: fields{"token": reader},
		},
		{
			recipe: "cloudflare-token", provider: providertest.Cloudflare(), credential: "token", id: "token_id", path: "/client/v4",
			secret: fields{"policies": json.RawMessage(`[{"effect":"allow","resources":{"com.cloudflare.api.account.zone.*":"*"},"permission_groups":[{"id":"c8fed203"}]}]`)},
			admin:  fields{"token": admin}, wrong: fields{"token": wrong}, reader: fields{"token": reader},
		},
		{
			recipe: "sendgrid-key", provider: providertest.SendGrid(), credential: "key", id: "key_id",
			secret: fields{"scopes": json.RawMessage(`["mail.send"]`)},
			admin:  fields{"key": admin}, wrong: fields{"key": wrong}, reader: fields{"key": reader},
		},
		{
			recipe: "datadog-key", provider: providertest.Datadog(), credential: "key", id: "key_id", secret: fields{},
			admin:  fields{"key": admin, "application_key": dd},
			wrong:  fields{"key": wrong, "application_key": dd},
			reader: fields{"key": reader, "application_key": dd},
		},
	}
}

func (s shipped) rotator(t testing.TB) rotators.Issuer {
	t.Helper()
	return issuerOf(t, recipeNamed(t, s.recipe))
}

func issuerOf(t testing.TB, r *httptoken.Recipe) rotators.Issuer {
	t.Helper()
	rotator := httptoken.New(r, httptoken.Config{Addresses: []string{egress.AllowLoopback}})
	if err := new(rotators.Registry).Register("recipe", rotator); err != nil {
		t.Fatal(err)
	}
	return rotator.(rotators.Issuer)
}

// account makes a Secret's account at a server of its own.
func (s shipped) account(t *testing.T) (*providertest.Server, rotatortest.IssuedTarget) {
	server := providertest.Start(t, s.provider)
	first := server.Issue(s.provider.Prefix, "made by hand")
	current := s.secret.with(s.credential, text(first.Value))
	if s.id != "" {
		current[s.id] = text(first.ID)
	}
	at := func(f fields, address string) lockstep.Value {
		if f == nil {
			return lockstep.Value{}
		}
		return valueOf(t, f.with("url", text("http://"+address+s.path)))
	}
	clear := func(t *testing.T, v lockstep.Value) string {
		var value string
		if err := json.Unmarshal(fieldsOf(t, v)[s.credential], &value); err != nil {
			t.Fatal(err)
		}
		return value
	}
	target := rotatortest.IssuedTarget{
		Target: rotatortest.Target{
			ARN: arn, Current: valueOf(t, current), Admin: at(s.admin, server.Address),
			WrongAdmin: at(s.wrong, server.Address), NoRight: at(s.reader, server.Address),
			Wrong: func(t *testing.T, v lockstep.Value) lockstep.Value {
				return valueOf(t, fieldsOf(t, v).with(s.credential, text(s.provider.Prefix+"no-such-credential")))
			},
			Accepts: func(t *testing.T, v lockstep.Value) bool { return server.Valid(clear(t, v)) },
			Away:    func(t *testing.T) { server.Away(t) }, Back: func(t *testing.T) { server.Back(t) },
			Address: server.Address,
			Through: func(t *testing.T, v lockstep.Value, address string) lockstep.Value {
				if f := fieldsOf(t, v); f["url"] != nil {
					return at(f, address)
				}
				return v
			},
			Clear: clear, Log: func(*testing.T) string { return server.Log() },
		},
		Count: func(*testing.T) int { return len(server.Keys()) }, Malformed: s.malformed(t),
	}
	if s.id != "" {
		target.Named = func(_ *testing.T, name string) { server.Issue(s.provider.Prefix, name) }
	}
	return server, target
}

// malformed lists values that lack a field that issuing needs, or have one of the
// wrong type.
func (s shipped) malformed(t *testing.T) []lockstep.Value {
	var out []lockstep.Value
	for name := range s.secret {
		if name == "permissions" || name == "scopes" || name == "policies" {
			continue // what these hold is the provider's business
		}
		for _, bad := range []json.RawMessage{json.RawMessage("null"), text(""), json.RawMessage(`["planted-marker"]`)} {
			out = append(out, valueOf(t, s.secret.with(name, bad)))
		}
	}
	return out
}

func TestConformance(t *testing.T) {
	for _, s := range allShipped(t) {
		t.Run(s.recipe, func(t *testing.T) {
			rotatortest.RunIssued(t, rotatortest.IssuedFixture{
				Rotator: s.rotator(t),
				New: func(t *testing.T) rotatortest.IssuedTarget {
					_, target := s.account(t)
					return target
				},
			})
		})
	}
}

func TestNoRecipeRollsOrRotates(t *testing.T) {
	for _, s := range plainShipped() {
		server, target := s.account(t)
		r := s.rotator(t)
		_, err := r.Issue(t.Context(), &rotators.Request{
			ARN: arn, Current: target.Current, Admin: target.Admin, Marker: lockstep.NewMarker(arn, "run-1", 1), Guard: guard(),
		})
		if err != nil || strings.Contains(server.Log(), "rotate") || len(server.Keys()) != 2 {
			t.Errorf("%s: %v\n%s", s.recipe, err, server.Log())
		}
	}
}
