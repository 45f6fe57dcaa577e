package oauth

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"lockstep/internal/oauthtest"
	"lockstep/internal/servertest"
)

// stage is a running server and what a test does with it.
type stage struct {
	*servertest.Server
	secrets *secretsmanager.Client
}

// newStage starts a server that may call loopback, and trusts as's certificate.
func newStage(t *testing.T, as *oauthtest.Server) *stage {
	t.Helper()
	o := servertest.Options{Args: []string{"--min-interval", "1s", "--lease", "2s", "--egress", "loopback"}}
	if as != nil {
		roots := filepath.Join(t.TempDir(), "roots.pem")
		if err := os.WriteFile(roots, as.RootsPEM(), 0o600); err != nil {
			t.Fatal(err)
		}
		o.Env = []string{"SSL_CERT_FILE=" + roots}
	}
	s := &stage{Server: servertest.Start(t, o)}
	s.secrets = s.Secrets(t)
	return s
}

// value is a secret's value; a token's fields are read from it.
type value map[string]string

func (v value) json(t *testing.T) string {
	t.Helper()
	raw, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

func (s *stage) create(t *testing.T, name, text string) {
	t.Helper()
	if _, err := s.secrets.CreateSecret(t.Context(), &secretsmanager.CreateSecretInput{Name: &name, SecretString: &text}); err != nil {
		t.Fatal(err)
	}
}

func (s *stage) put(t *testing.T, name, text string) {
	t.Helper()
	if _, err := s.secrets.PutSecretValue(t.Context(), &secretsmanager.PutSecretValueInput{SecretId: &name, SecretString: &text}); err != nil {
		t.Fatal(err)
	}
}

func (s *stage) text(ctx context.Context, name string) (string, error) {
	out, err := s.secrets.GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: &name})
	if err != nil {
		return "", err
	}
	return *out.SecretString, nil
}

// field reads a text of a secret's value.
func (s *stage) field(t *testing.T, name, field string) string {
	t.Helper()
	text, err := s.text(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	return fieldOf(text, field)
}

func fieldOf(text, field string) string {
	var fields map[string]json.RawMessage
	var out string
	if json.Unmarshal([]byte(text), &fields) == nil {
		_ = json.Unmarshal(fields[field], &out) // another type: none
	}
	return out
}

// cli runs a command and expects an exit code.
func (s *stage) cli(t *testing.T, want int, args ...string) string {
	t.Helper()
	out, errOut, code := s.CLI(t.Context(), "", args...)
	if code != want {
		t.Fatalf("lockstep %s: exit %d, not %d\n%s%s", strings.Join(args, " "), code, want, out, errOut)
	}
	return out + errOut
}

// authorized is the value of a secret with a refresh token that a person gave.
func authorized(t *testing.T, as *oauthtest.Server, client string) value {
	t.Helper()
	return value{
		"issuer": as.Issuer(), "client_id": fieldOf(client, "client_id"), "client_secret": fieldOf(client, "client_secret"),
		"refresh_token": as.Authorize(t, client).Refresh, "publish": "orders/token",
	}
}

const (
	refreshes = 20
	readers   = 3
)

// TestRefreshesUnderReaders: applications that read the access token before each
// use never have one that the authorization server refuses.
func TestRefreshesUnderReaders(t *testing.T) {
	t.Parallel()
	as := oauthtest.Start(t, oauthtest.Config{})
	s := newStage(t, as)
	s.create(t, "orders/refresh", authorized(t, as, as.NewClient(t)).json(t))

	// Nothing is spent before the place for it is there.
	s.cli(t, 1, "rotate", "orders/refresh", "--rotator", "oauth2-refresh", "--wait")
	s.create(t, "orders/token", `{"source":"another/secret","team":"orders"}`)
	s.cli(t, 1, "rotate", "orders/refresh", "--wait")
	if got := as.Calls("/token"); got != 0 {
		t.Fatalf("%d requests for tokens before anything could be published", got)
	}
	s.put(t, "orders/token", `{"source":"orders/refresh","team":"orders"}`)
	s.cli(t, 0, "rotate", "orders/refresh", "--wait")

	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	used := make([]int, readers)
	for i := range readers {
		wg.Go(func() {
			for ctx.Err() == nil {
				text, err := s.text(ctx, "orders/token")
				if ctx.Err() != nil {
					return
				}
				if err != nil || !as.Active(t, fieldOf(text, "access_token")) {
					t.Errorf("a reader after %d uses: %v, or a token that is refused", used[i], err)
					return
				}
				used[i]++
			}
		})
	}
	seen := map[string]bool{}
	for range refreshes {
		s.cli(t, 0, "rotate", "orders/refresh", "--wait")
		text, err := s.text(t.Context(), "orders/token")
		if err != nil || fieldOf(text, "team") != "orders" || strings.Contains(text, "refresh_token") || strings.Contains(text, "client_secret") {
			t.Fatalf("what applications read is not theirs alone, or lost a field: %v", err)
		}
		seen[fieldOf(text, "access_token")] = true
	}
	stop()
	wg.Wait()
	if len(seen) != refreshes || as.Calls("/token") != refreshes+1 {
		t.Errorf("%d tokens by %d requests", len(seen), as.Calls("/token"))
	}
	if !as.ActiveRefresh(t, s.field(t, "orders/refresh", "refresh_token")) {
		t.Error("the refresh token that is kept is spent")
	}
	t.Logf("%d refreshes, uses of the access token: %v, none refused", refreshes, used)
	s.cli(t, 0, "check")
	s.cli(t, 0, "check", "--targets")
}

// TestCrashBeforeDeposit kills the server when the authorization server has spent
// the refresh token and its answer is on the way.
func TestCrashBeforeDeposit(t *testing.T) {
	t.Parallel()
	as := oauthtest.Start(t, oauthtest.Config{})
	s := newStage(t, as)
	client := as.NewClient(t)
	s.create(t, "orders/token", `{"source":"orders/refresh"}`)
	s.create(t, "orders/refresh", authorized(t, as, client).json(t))
	s.cli(t, 0, "rotate", "orders/refresh", "--rotator", "oauth2-refresh", "--wait")
	before := s.field(t, "orders/token", "access_token")

	var once sync.Once
	killed := make(chan struct{})
	as.BeforeAnswer(func(path string) {
		if path == "/token" {
			once.Do(func() { s.Kill(); close(killed) })
		}
	})
	_, _, _ = s.CLI(t.Context(), "", "rotate", "orders/refresh") // it loses its server
	<-killed
	as.BeforeAnswer(nil)
	calls := as.Calls("/token")
	if err := s.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	var shown string
	servertest.Eventually(t, "a lost run", func() bool {
		shown, _, _ = s.CLI(t.Context(), "", "runs", "orders/refresh")
		return strings.Contains(shown, "lost")
	})
	if as.Calls("/token") != calls {
		t.Error("the spent refresh token was presented again")
	}
	if got := s.field(t, "orders/token", "access_token"); got != before || !as.Active(t, got) {
		t.Error("applications have lost the access token that they had")
	}
	// It stays so, until a person takes the way out.
	out := s.cli(t, 1, "rotate", "orders/refresh", "--wait")
	if !strings.Contains(out, "lost") {
		t.Errorf("rotate does not say why: %s", out)
	}
	s.put(t, "orders/refresh", authorized(t, as, client).json(t))
	s.cli(t, 0, "rotate", "orders/refresh", "--wait")
	if got := s.field(t, "orders/token", "access_token"); got == before || !as.Active(t, got) {
		t.Error("no other access token, or one that does not work")
	}
	s.cli(t, 0, "check", "--targets")
}

// provider starts npm's oidc-provider and returns its issuer.
func provider(t *testing.T) string {
	t.Helper()
	install := exec.CommandContext(t.Context(), "sh", "deploy/install.sh", "--npm", "test/oauth")
	install.Dir = "../.."
	out, err := install.Output()
	if err != nil {
		t.Fatalf("install the npm packages: %v", err)
	}
	modules := strings.TrimSpace(string(out))
	script, err := os.ReadFile("provider.mjs")
	if err != nil {
		t.Fatal(err)
	}
	// Packages are looked for beside the script.
	copied := filepath.Join(modules, fmt.Sprintf("provider-%d.mjs", os.Getpid()))
	if err := os.WriteFile(copied, script, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Remove(copied) })
	cmd := exec.CommandContext(t.Context(), "node", copied) // #nosec G204 -- the script of this test
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		t.Fatalf("oidc-provider: %v", err)
	}
	return strings.TrimSpace(line)
}

// call posts to the provider and reads its answer.
func call(t *testing.T, address, kind, body string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, address, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", kind)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	raw, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode >= 300 {
		t.Fatalf("%s: %s %s %v", address, resp.Status, raw, err)
	}
	return string(raw)
}

// TestOIDCProvider: a server by other hands, with each of its ways.
func TestOIDCProvider(t *testing.T) {
	t.Parallel()
	issuer := provider(t)
	s := newStage(t, nil)
	client := call(t, issuer+"/reg", "application/json", `{"client_name":"orders","response_types":["code"],
		"redirect_uris":["https://orders.example/back"],"grant_types":["client_credentials","refresh_token","authorization_code"]}`)
	given := call(t, issuer+"/allow?client_id="+url.QueryEscape(fieldOf(client, "client_id")), "text/plain", "")

	login := value{"issuer": issuer, "client_id": fieldOf(client, "client_id"), "client_secret": fieldOf(client, "client_secret")}
	s.create(t, "orders/client", login.json(t))
	s.create(t, "orders/own-token", `{"masterarn":"orders/client"}`)
	login["refresh_token"], login["publish"] = fieldOf(given, "refresh_token"), "orders/token"
	s.create(t, "orders/refresh", login.json(t))
	s.create(t, "orders/token", `{"source":"orders/refresh"}`)
	s.create(t, "orders/registration", strings.Replace(client, "{", `{"issuer":"`+issuer+`",`, 1))

	for secret, rotator := range map[string]string{
		"orders/own-token": "oauth2-client-credentials", "orders/refresh": "oauth2-refresh",
	} {
		first := s.rotated(t, secret, "--rotator", rotator)
		if second := s.rotated(t, secret); fieldOf(first, "access_token") == fieldOf(second, "access_token") || fieldOf(first, "access_token") == "" {
			t.Errorf("%s: no other access token", rotator)
		}
	}
	if s.field(t, "orders/token", "access_token") != s.field(t, "orders/refresh", "access_token") {
		t.Error("what applications read is not what was issued last")
	}
	// It cannot change a client's secret: that is said, nothing is lost, and a new
	// client is the way.
	kept := s.rotated(t, "orders/registration", "--rotator", "oauth2-client-secret")
	if fieldOf(kept, "client_secret") != fieldOf(client, "client_secret") || fieldOf(kept, "registration_access_token") == fieldOf(client, "registration_access_token") {
		t.Error("not the registration access token alone is another")
	}
	if out := s.cli(t, 1, "rotate", "orders/registration", "--wait"); !strings.Contains(out, "oauth2-new-client") {
		t.Errorf("it does not name the other way: %s", out)
	}
	next := s.rotated(t, "orders/registration", "--rotator", "oauth2-new-client")
	if fieldOf(next, "client_id") == fieldOf(kept, "client_id") || fieldOf(next, "client_secret") == "" {
		t.Error("no new client")
	}
	s.rotated(t, "orders/registration") // and the first is deleted to make room
	s.cli(t, 0, "check")
}

// rotated rotates a secret and returns its new value.
func (s *stage) rotated(t *testing.T, name string, more ...string) string {
	t.Helper()
	s.cli(t, 0, append([]string{"rotate", name, "--wait"}, more...)...)
	text, err := s.text(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	return text
}
