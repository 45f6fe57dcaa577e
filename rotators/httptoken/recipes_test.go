package httptoken_test

import (
	"os"
	"path/filepath"
	"testing"

	"lockstep/rotators/httptoken"
)

// recipeNamed reads a recipe as it is shipped.
func recipeNamed(t testing.TB, name string) *httptoken.Recipe {
	t.Helper()
	path := filepath.Join("../../deploy/rotators", name+".yaml")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	r, err := httptoken.Parse(path, string(text))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestShippedRecipes(t *testing.T) {
	for _, name := range []string{"github-app", "gitlab-token", "cloudflare-token", "sendgrid-key", "datadog-key"} {
		for _, l := range recipeNamed(t, name).Describe() {
			t.Log(l)
		}
	}
}
