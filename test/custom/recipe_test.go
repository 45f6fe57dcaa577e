package custom

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"lockstep"
	"lockstep/client/admin"
	"lockstep/internal/providertest"
	"lockstep/internal/servertest"
)

// token is the value of a secret that the GitLab recipe rotates.
type token struct {
	MasterARN string   `json:"masterarn"`
	Project   string   `json:"project"`
	Scopes    []string `json:"scopes"`
	Token     string   `json:"token"`
	ID        int      `json:"token_id"`
	Expires   string   `json:"expires_at"`
}

// TestARecipeRotates registers a recipe as it is shipped, and rotates twice
// against a server that answers as GitLab does: the value of each version is
// accepted, marked, and the one of the version before the last revoked.
func TestARecipeRotates(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	gitlab := providertest.Start(t, providertest.GitLab())
	s.register(t, "gitlab-token", "--recipe", "../../deploy/rotators/gitlab-token.yaml", "--allow-loopback")
	first := gitlab.Issue("glpat-", "by hand")
	adminARN := s.create(t, "gitlab/admin", fmt.Sprintf(`{"url":%q,"token":%q}`, gitlab.URL(), providertest.AdminToken))
	s.create(t, "gitlab/app", fmt.Sprintf(`{"masterarn":%q,"project":%q,"scopes":["read_api"],"token":%q,"token_id":%s}`,
		adminARN, providertest.GitLabProject, first.Value, first.ID))
	seen := []string{providertest.AdminToken, first.Value}
	for range 2 {
		s.rotate(t, "gitlab/app", "gitlab-token")
		s.ended(t, "gitlab/app", "succeeded")
		var now token
		if err := json.Unmarshal([]byte(s.value(t, "gitlab/app")), &now); err != nil {
			t.Fatal(err)
		}
		if !gitlab.Valid(now.Token) || now.Token == seen[len(seen)-1] || now.Expires == "" || now.MasterARN != adminARN || now.Project != providertest.GitLabProject {
			t.Errorf("AWSCURRENT is %+v", now)
		}
		seen = append(seen, now.Token)
	}
	servertest.Eventually(t, "the end of the first token", func() bool { return !gitlab.Valid(first.Value) })
	keys := gitlab.Keys()
	for _, k := range keys {
		if _, ours := lockstep.ParseMarker(k.Name); !ours || !strings.HasPrefix(k.Value, "glpat-") {
			t.Errorf("%q is valid", k.Name)
		}
	}
	if len(keys) != 2 || strings.Contains(gitlab.Log(), "rotate") {
		t.Errorf("%d tokens are valid\n%s", len(keys), gitlab.Log())
	}
	s.silent(t, seen...)
	if out, errOut, code := s.server.CLI(t.Context(), "", "rotator", "remove", "gitlab-token"); code == 0 || !strings.Contains(errOut, "gitlab/app") {
		t.Errorf("a recipe that is used was removed: %s%s", out, errOut)
	}
	out, _, _ := s.server.CLI(t.Context(), "", "rotator", "show", "gitlab-token")
	shipped, err := os.ReadFile("../../deploy/rotators/gitlab-token.yaml")
	if err != nil || !strings.Contains(out, strings.TrimSpace(string(shipped))) {
		t.Errorf("the recipe does not come back: %v\n%s", err, out)
	}
}

// TestARecipeThatCannotWork is refused where it is registered, with the line.
func TestARecipeThatCannotWork(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	shipped, err := os.ReadFile("../../deploy/rotators/sendgrid-key.yaml")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "mine.yaml")
	for from, says := range map[string]string{
		"${secret.scopes}": `there is no function "exec"`,
		"expect: [201]":    "the field expect of issue is missing",
	} {
		text := strings.Replace(string(shipped), from, map[string]string{"${secret.scopes}": `${exec("id")}`, "expect: [201]": ""}[from], 1)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		for _, args := range [][]string{{"rotator", "register", "mine", "--recipe", file}, {"rotator", "check", file}} {
			_, errOut, code := s.server.CLI(t.Context(), "", args...)
			if code == 0 || !strings.Contains(errOut, "mine.yaml:") || !strings.Contains(errOut, says) {
				t.Errorf("%v: exit %d: %s; want …%s…", args, code, errOut, says)
			}
		}
		if _, err := s.admin.CreateRotator(t.Context(), admin.RotatorSpec{Name: "mine", Kind: "recipe", Recipe: text}); err == nil || !strings.Contains(err.Error(), "recipe:") || !strings.Contains(err.Error(), says) {
			t.Errorf("the server: %v; want …%s…", err, says)
		}
	}
	out, _, code := s.server.CLI(t.Context(), "", "rotator", "register", "mine", "--recipe", "../../deploy/rotators/sendgrid-key.yaml", "--dry-run")
	if code != 0 || !strings.Contains(out, "orphans: GET {admin.url}/v3/api_keys") {
		t.Errorf("dry run: %s", out)
	}
	if list, err := s.admin.Rotators(t.Context()); err != nil || len(list) != 0 {
		t.Errorf("registered: %+v, %v", list, err)
	}
}
