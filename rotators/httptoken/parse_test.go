package httptoken_test

import (
	"os"
	"strings"
	"testing"

	"lockstep/rotators/httptoken"
)

// good is a small recipe that everything else here is a change of.
const good = `recipe: 1
title: Example key
chooser: issued
valid: several
secret:
  fields: {id: its id, owner: whose, url: where}
  credentials: {key: the key}
admin:
  fields: {url: where}
  credentials: {token: a token}
words: [error.message]
issue:
  method: POST
  url: https://api.example.com/keys
  headers: {Authorization: "Bearer ${admin.token}"}
  json: {name: "${marker}", owner: "${secret.owner}"}
  expect: [201]
  gives: {key: key, id: id}
test:
  method: GET
  url: https://api.example.com/me
  headers: {X-Key: "${secret.key}"}
  expect: [200]
list:
  method: GET
  url: https://api.example.com/keys?page=${page}
  headers: {Authorization: "Bearer ${admin.token}"}
  expect: [200]
  items: keys
  pages: {first: 0, size: 2}
  marker: name
  gives: {id: id}
revoke:
  method: DELETE
  url: https://api.example.com/keys/${secret.id}
  headers: {Authorization: "Bearer ${admin.token}"}
  expect: [204]
`

func TestGoodRecipe(t *testing.T) {
	if _, err := httptoken.Parse("good.yaml", good); err != nil {
		t.Fatal(err)
	}
}

// TestRefusedRecipes has for each change of the good recipe where the error is
// and what it says.
func TestRefusedRecipes(t *testing.T) {
	for _, row := range []struct{ from, to, where, says string }{
		{good, "", "x.yaml", "empty"},
		{good, "# nothing", "x.yaml", "empty"},
		{good, "- a", "x.yaml:1:1", "want fields"},
		{good, "a: [", "x.yaml:1:", ""},
		{"recipe: 1", "recipe: 2", "x.yaml:1:9", "want 1, found 2"},
		{"recipe: 1", `recipe: "1"`, "x.yaml:1:9", "want a whole number"},
		{"title: Example key\n", "", "x.yaml:1:1", "the field title is missing"},
		{"title: Example key\n", "title: a\ntitle: b\n", "x.yaml:3:1", "already defined"},
		{"title: Example key\n", "titel: a\n", "x.yaml:2:1", `there is no field "titel"`},
		{"chooser: issued", "chooser: provider", "x.yaml:3:10", "none of issued"},
		{"valid: several", "valid: two", "x.yaml:4:8", "none of one, several"},
		{"valid: several", "valid: one", "x.yaml:4:8", "say several"},
		{"key: the key}", "key: the key, id: twice}", "x.yaml:6:3", "among fields and credentials"},
		{"key: the key}", "\"k y\": the key}", "x.yaml:7:17", "letters, digits"},
		{"words: [error.message]", "words: [error..message]", "x.yaml:11:9", "want a name"},
		{"words: [error.message]", "words: error", "x.yaml:11:8", "want a list"},
		{"words: [error.message]", "timeout: 10m", "x.yaml:11:10", "up to 2m0s"},
		{"words: [error.message]", "answer-bytes: 999999999", "x.yaml:11:15", "is not from 1"},
		{"words: [error.message]", "propagation: 5", "x.yaml:11:14", "want a text"},
		{"words: [error.message]", "expires: {field: until, form: unix}", "x.yaml:11:11", `issue gives no field "until"`},
		{"words: [error.message]", "expires: {field: id}", "x.yaml:11:11", "needs field and form"},
		{"method: POST", "method: BREW", "x.yaml:13:11", "none of DELETE"},
		{"  method: POST\n", "", "x.yaml:13:3", "the field method of issue is missing"},
		{"  expect: [201]\n", "", "x.yaml:13:3", "the field expect of issue is missing"},
		{"  gives: {key: key, id: id}\n", "", "x.yaml:13:3", "the field gives of issue is missing"},
		{"expect: [201]", "expect: [20]", "x.yaml:17:12", "no status"},
		{"expect: [201]", "expect: [6xx]", "x.yaml:17:12", "neither a status"},
		{"gives: {key: key, id: id}", "gives: {kex: key}", "x.yaml:18:11", "there is no secret.kex"},
		{"gives: {key: key, id: id}", `gives: {key: "a[x]"}`, "x.yaml:18:16", "position"},
		// Templates.
		{"${secret.owner}", "${secret.ovner}", "x.yaml:16:", "there is no secret.ovner; the fields declared under secret are id, owner, url, key"},
		{"${secret.owner}", "${shell(\\\"id\\\")}", "x.yaml:16:", `there is no function "shell"; there are base64`},
		{"${secret.owner}", "${env.HOME}", "x.yaml:16:", `there is no "env"`},
		{"${secret.owner}", "${secret.owner", "x.yaml:16:", `want "}"`},
		{"${secret.owner}", "${secret}", "x.yaml:16:", "want secret.FIELD"},
		{"${secret.owner}", "${base64()}", "x.yaml:16:", "base64 takes 1 arguments"},
		{"${secret.owner}", "${date-in(\\\"tomorrow\\\")}", "x.yaml:16:", "no duration"},
		{"${secret.owner}", "${date-in(secret.owner)}", "x.yaml:16:", "takes a duration in quotes"},
		{"${secret.owner}", "x${secret.owner or nothing}", "x.yaml:16:", "stands alone"},
		{"${secret.owner}", "${page}", "x.yaml:16:", "there is a page in list alone"},
		{"X-Key: \"${secret.key}\"", "X-Key: \"${marker}\"", "x.yaml:22:", "marker in issue alone"},
		{"X-Key: \"${secret.key}\"", "X-Key: \"x\"", "x.yaml:20:", "test sends none of the secret's credentials"},
		{"X-Key: \"${secret.key}\"", "Content-Length: \"1\"", "x.yaml:22:13", "no header that a recipe can set"},
		{"X-Key: \"${secret.key}\"", "\"X\\nY\": \"1\"", "x.yaml:22:13", "no header that a recipe can set"},
		{"name: \"${marker}\", ", "", "x.yaml:13:3", "does not send the marker"},
		// URLs.
		{"https://api.example.com/me", "/me", "x.yaml:21:8", "scheme and host"},
		{"https://api.example.com/me", "ftp://api.example.com/me", "x.yaml:21:8", "https://"},
		{"https://api.example.com/me", "https://u:p@api.example.com/me", "x.yaml:21:8", "login"},
		{"https://api.example.com/me", "https://${secret.owner}.example.com/me", "x.yaml:21:8", "scheme and host"},
		{"https://api.example.com/me", "https://api.example.com${secret.owner}", "x.yaml:21:8", "scheme and host"},
		{"https://api.example.com/me", "${secret.url}me", "x.yaml:21:8", `want "/"`},
		{"https://api.example.com/me", "https://api.example.com/me#x", "x.yaml:21:8", "neither #"},
		{"https://api.example.com/me", "https://api.example.com/me?k=${secret.key}", "x.yaml:21:8", "a URL must hold no credential (secret.key)"},
		{"https://api.example.com/keys/${secret.id}", "${secret.url}/keys/${secret.id}", "x.yaml:34:3", "sends the admin's credential to a host that the secret's value names"},
		// Lists, and what revokes what they find.
		{"  pages: {first: 0, size: 2}\n", "", "x.yaml:25:3", "both the field pages and ${page}"},
		{"pages: {first: 0, size: 2}", "pages: {first: 0}", "x.yaml:30:11", "pages needs size"},
		{"  marker: name\n", "", "x.yaml:25:3", "the field marker of list is missing"},
		{"  gives: {id: id}", "  gives: {id: id, owner: owner}", "x.yaml:25:3", "list gives one field"},
		{"keys/${secret.id}", "keys/all", "x.yaml:34:3", "revoke does not use secret.id"},
		{"  method: DELETE\n", "  method: DELETE\n  json: {key: \"${secret.key}\"}\n", "x.yaml:34:3", "which list does not give"},
		{"  method: DELETE\n", "  method: GET\n  json: {}\n", "x.yaml:34:3", "a GET, which has no body"},
		{"  method: DELETE\n", "  method: DELETE\n  answers: [{status: [404]}]\n", "x.yaml:35:14", "needs status and means"},
		{"  method: DELETE\n", "  method: DELETE\n  answers: [{status: [404], means: fine}]\n", "x.yaml:35:36", "none of gone"},
		{good[strings.Index(good, "revoke:"):], "", "x.yaml:25:3", "the request revoke is missing"},
		{good[strings.Index(good, "list:"):], "", "x.yaml:1:1", "orphans would live for ever"},
		// What YAML has and recipes have not.
		{"title: Example key", "title: &a Example key", "x.yaml:2:", "anchors"},
		{"title: Example key", "title: !!str x", "x.yaml:2:", "tags are not taken"},
	} {
		changed := strings.Replace(good, row.from, row.to, 1)
		if changed == good {
			t.Fatalf("%q is not in the recipe", row.from)
		}
		_, err := httptoken.Parse("x.yaml", changed)
		if err == nil || !strings.HasPrefix(err.Error(), row.where) || !strings.Contains(err.Error(), row.says) {
			t.Errorf("%q for %q: %v; want %s: …%s…", row.to, row.from, err, row.where, row.says)
		}
	}
	if _, err := httptoken.Parse("x.yaml", good+"#"+strings.Repeat("x", httptoken.MaxRecipe)); err == nil {
		t.Error("a recipe of more than the most bytes is read")
	}
}

func FuzzParse(f *testing.F) {
	f.Add(good)
	for _, name := range []string{"github-app", "gitlab-token", "cloudflare-token", "sendgrid-key", "datadog-key"} {
		text, err := os.ReadFile("../../deploy/rotators/" + name + ".yaml")
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(text))
	}
	f.Fuzz(func(t *testing.T, text string) {
		r, err := httptoken.Parse("x.yaml", text)
		if (r == nil) != (err != nil) {
			t.Fatalf("%v, %v", r, err)
		}
		if r != nil && len(r.Describe()) == 0 {
			t.Error("a recipe that says nothing of itself")
		}
	})
}
