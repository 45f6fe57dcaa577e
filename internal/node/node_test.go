package node_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"lockstep"
	"lockstep/auth"
	"lockstep/internal/node"
	"lockstep/internal/pgtest"
)

// config is a node on free loopback ports, without TLS.
func config(t *testing.T) node.Config {
	return node.Config{
		DataDir: filepath.Join(t.TempDir(), "data"), Listen: "127.0.0.1:0", NATSListen: "127.0.0.1:0", PlainHTTP: true,
	}
}

// start starts a node that stops with the test, unless it was stopped before.
func start(t *testing.T, cfg node.Config) *node.Node {
	t.Helper()
	n, err := node.Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(n.Stop)
	return n
}

// refused starts a node that must not start.
func refused(t *testing.T, cfg node.Config, kind error, words ...string) {
	t.Helper()
	n, err := node.Start(t.Context(), cfg)
	if err == nil {
		n.Stop()
		t.Fatalf("it started; want %v", kind)
	}
	if !errors.Is(err, kind) {
		t.Errorf("got %v, want %v", err, kind)
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("%q does not say %q", err, w)
		}
	}
}

// login reads the root user's credentials.
func login(t *testing.T, dir string) aws.Credentials {
	t.Helper()
	c, err := auth.ReadCredentials(filepath.Join(dir, "credentials"))
	if err != nil {
		t.Fatal(err)
	}
	return aws.Credentials{AccessKeyID: c.AccessKeyID, SecretAccessKey: c.SecretKey.Reveal()}
}

func client(t *testing.T, cfg node.Config, n *node.Node) *secretsmanager.Client {
	t.Helper()
	c := login(t, cfg.DataDir)
	return secretsmanager.New(secretsmanager.Options{
		Region: "us-east-1", BaseEndpoint: aws.String(n.URL()),
		Credentials: credentials.NewStaticCredentialsProvider(c.AccessKeyID, c.SecretAccessKey, ""),
	})
}

func TestRestartKeepsEverything(t *testing.T) {
	for name, store := range map[string]func() string{
		"sqlite":   func() string { return "" },
		"postgres": func() string { return pgtest.Shared(t).DatabaseDSN(t) },
	} {
		t.Run(name, func(t *testing.T) {
			cfg := config(t)
			cfg.Store = store()
			n := start(t, cfg)
			c := client(t, cfg, n)
			made, err := c.CreateSecret(t.Context(), &secretsmanager.CreateSecretInput{Name: aws.String("prod/db"), SecretString: aws.String("one")})
			if err != nil {
				t.Fatal(err)
			}
			files := contents(t, cfg.DataDir, "credentials", "ca.pem", "root.key")
			n.Stop()
			if again := contents(t, cfg.DataDir, "credentials", "ca.pem", "root.key"); again != files {
				t.Error("stopping changed a file")
			}

			n = start(t, cfg)
			got, err := client(t, cfg, n).GetSecretValue(t.Context(), &secretsmanager.GetSecretValueInput{SecretId: made.ARN})
			if err != nil || *got.SecretString != "one" || *got.VersionId != *made.VersionId {
				t.Errorf("after the restart: %v", err)
			}
			if again := contents(t, cfg.DataDir, "credentials", "ca.pem", "root.key"); again != files {
				t.Error("the restart changed the credentials, the authority or the root key")
			}
		})
	}
}

func contents(t *testing.T, dir string, names ...string) string {
	t.Helper()
	var all strings.Builder
	for _, name := range names {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		all.Write(b)
	}
	return all.String()
}

func TestTwiceOnOneDataDirectory(t *testing.T) {
	cfg := config(t)
	n := start(t, cfg)
	refused(t, cfg, lockstep.ErrBusy, cfg.DataDir, "another lockstep server", "process "+strconv.Itoa(os.Getpid()), "--data-dir")
	if _, err := client(t, cfg, n).ListSecrets(t.Context(), &secretsmanager.ListSecretsInput{}); err != nil {
		t.Errorf("the first server was disturbed: %v", err)
	}
	n.Stop()
	start(t, cfg)
}

func TestAddressInUse(t *testing.T) {
	cfg := config(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	taken := cfg
	taken.Listen = l.Addr().String()
	refused(t, taken, lockstep.ErrBusy, taken.Listen, "--listen")
	start(t, cfg) // what was begun was let go of
}

func TestRootKeyMissing(t *testing.T) {
	for name, store := range map[string]func() string{
		"sqlite":   func() string { return "" },
		"postgres": func() string { return pgtest.Shared(t).DatabaseDSN(t) },
	} {
		t.Run(name, func(t *testing.T) {
			cfg := config(t)
			cfg.Store = store()
			start(t, cfg).Stop()
			path := filepath.Join(cfg.DataDir, "root.key")
			aside := path + ".aside"
			if err := os.Rename(path, aside); err != nil {
				t.Fatal(err)
			}
			refused(t, cfg, lockstep.ErrNotFound, path, "missing", "backup")
			if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
				t.Error("a new root key was made over a store that needs the old one")
			}
			if err := os.Rename(aside, path); err != nil {
				t.Fatal(err)
			}
			start(t, cfg)
		})
	}
}

func TestRootKeyOfAnotherStore(t *testing.T) {
	cfg, other := config(t), config(t)
	start(t, cfg).Stop()
	start(t, other).Stop()
	key, err := os.ReadFile(filepath.Join(other.DataDir, "root.key"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(cfg.DataDir, "root.key"), key, 0o600); err != nil {
		t.Fatal(err)
	}
	refused(t, cfg, lockstep.ErrDecrypt, "root key")
}

// TestStopDrains stops a node while a request is half sent: new ones are not
// taken, this one is answered.
func TestStopDrains(t *testing.T) {
	cfg := config(t)
	n := start(t, cfg)
	body := &slowBody{content: strings.NewReader("{}"), begun: make(chan struct{}), goOn: make(chan struct{})}
	answered := make(chan error, 1)
	go func() { answered <- listSecrets(t.Context(), n.URL(), login(t, cfg.DataDir), body) }()
	wait(t, body.begun, "the server to read the request")

	stopped := make(chan struct{})
	go func() { n.Stop(); close(stopped) }()
	address := strings.TrimPrefix(n.URL(), "http://")
	for {
		c, err := net.Dial("tcp", address)
		if err != nil {
			break // no new requests
		}
		_ = c.Close()
		if t.Context().Err() != nil {
			t.Fatal("it still listens")
		}
	}
	select {
	case <-stopped:
		t.Fatal("it stopped with a request in hand")
	default:
	}
	close(body.goOn)
	if err := <-answered; err != nil {
		t.Errorf("the request in hand: %v", err)
	}
	wait(t, stopped, "the node to stop")
	n.Stop() // again does nothing
	start(t, cfg)
}

func wait(t *testing.T, ch <-chan struct{}, what string) {
	t.Helper()
	select {
	case <-ch:
	case <-time.After(time.Minute):
		t.Fatalf("waited in vain for %s", what)
	}
}

// slowBody says when the server asks for it and waits then.
type slowBody struct {
	content     io.Reader
	once        sync.Once
	begun, goOn chan struct{}
}

func (b *slowBody) Read(p []byte) (int, error) {
	b.once.Do(func() { close(b.begun); <-b.goOn })
	return b.content.Read(p)
}

// listSecrets makes a signed request whose body is sent only once the server
// asks for it.
func listSecrets(ctx context.Context, url string, c aws.Credentials, body io.Reader) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, url, body)
	if err != nil {
		return err
	}
	r.ContentLength = 2
	r.Header.Set("Content-Type", "application/x-amz-json-1.1")
	r.Header.Set("X-Amz-Target", "secretsmanager.ListSecrets")
	r.Header.Set("Expect", "100-continue")
	hash := sha256.Sum256([]byte("{}"))
	if err := v4.NewSigner().SignHTTP(ctx, c, r, hex.EncodeToString(hash[:]), "secretsmanager", "us-east-1", time.Now()); err != nil {
		return err
	}
	transport := &http.Transport{ExpectContinueTimeout: time.Minute}
	defer transport.CloseIdleConnections()
	answer, err := transport.RoundTrip(r)
	if err != nil {
		return err
	}
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(answer.Body)
	if err == nil && answer.StatusCode != http.StatusOK {
		err = errors.New(answer.Status + " " + string(text))
	}
	return err
}

func TestPlainHTTPOnLoopbackAlone(t *testing.T) {
	for _, listen := range []string{":0", "0.0.0.0:0", "[::]:0", "192.0.2.1:0", "example.com:0", "127.0.0.1.example.com:0", "10.0.0.1:0"} {
		cfg := config(t)
		cfg.Listen = listen
		refused(t, cfg, lockstep.ErrInvalid, "--http", listen)
		if _, err := os.Stat(cfg.DataDir); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: a data directory was made", listen)
		}
	}
	for _, listen := range []string{"127.0.0.1:0", "localhost:0"} {
		cfg := config(t)
		cfg.Listen = listen
		n := start(t, cfg)
		if !strings.HasPrefix(n.URL(), "http://127.0.0.1:") && !strings.HasPrefix(n.URL(), "http://[::1]:") {
			t.Errorf("%s is served on %s", listen, n.URL())
		}
		n.Stop()
	}
}

func TestTLSByDefault(t *testing.T) {
	cfg := config(t)
	cfg.PlainHTTP = false
	n := start(t, cfg)
	ca, err := os.ReadFile(filepath.Join(cfg.DataDir, "ca.pem"))
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(ca) {
		t.Fatal("ca.pem holds no certificate")
	}
	get := func(url string, roots *x509.CertPool) (int, error) {
		transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}}
		defer transport.CloseIdleConnections()
		answer, err := (&http.Client{Transport: transport}).Get(url + "/readyz")
		if err != nil {
			return 0, err
		}
		return answer.StatusCode, answer.Body.Close()
	}
	if status, err := get(n.URL(), pool); err != nil || status != http.StatusOK || !strings.HasPrefix(n.URL(), "https://") {
		t.Errorf("%s with its own authority: %d %v", n.URL(), status, err)
	}
	if _, err := get(n.URL(), x509.NewCertPool()); err == nil {
		t.Error("a client that does not know the authority must refuse it")
	}
	if status, err := get("http"+strings.TrimPrefix(n.URL(), "https"), nil); err == nil && status == http.StatusOK {
		t.Error("plain HTTP was answered")
	}
}

func TestFilesArePrivate(t *testing.T) {
	cfg := config(t)
	start(t, cfg)
	for name, want := range map[string]os.FileMode{"": 0o700, "credentials": 0o600, "root.key": 0o600, "lockstep.db": 0o600, "lock": 0o600} {
		info, err := os.Stat(filepath.Join(cfg.DataDir, name))
		if err != nil {
			t.Error(err)
			continue
		}
		if got := info.Mode().Perm(); got != want {
			t.Errorf("%q has mode %o, want %o", name, got, want)
		}
	}
	db, err := os.ReadFile(filepath.Join(cfg.DataDir, "lockstep.db"))
	if err != nil {
		t.Fatal(err)
	}
	if secret := login(t, cfg.DataDir).SecretAccessKey; bytes.Contains(db, []byte(secret)) {
		t.Error("the root user's secret key stands in the database in clear")
	}
}

func TestConfigRefused(t *testing.T) {
	for rule, c := range map[string]struct {
		edit func(*node.Config)
		flag string
	}{
		"no data directory":        {func(c *node.Config) { c.DataDir = "" }, "--data-dir"},
		"an account of 11 digits":  {func(c *node.Config) { c.Account = "00000000000" }, "--account"},
		"an account of letters":    {func(c *node.Config) { c.Account = "abcdefabcdef" }, "--account"},
		"no region":                {func(c *node.Config) { c.Regions = []lockstep.Region{"us-east-1", "Mars"} }, "--regions"},
		"an interval too short":    {func(c *node.Config) { c.MinInterval = time.Millisecond }, "--min-interval"},
		"an interval below zero":   {func(c *node.Config) { c.MinInterval = -time.Second }, "--min-interval"},
		"a lease too short":        {func(c *node.Config) { c.Lease = time.Millisecond }, "--lease"},
		"a lease too long":         {func(c *node.Config) { c.Lease = time.Hour }, "--lease"},
		"a role that is none":      {func(c *node.Config) { c.Roles = []node.Role{"leader"} }, "--roles"},
		"a part on its own SQLite": {func(c *node.Config) { c.Roles = []node.Role{node.RoleWorker} }, "--roles"},
		"a part on embedded NATS": {func(c *node.Config) {
			c.Roles, c.Store = []node.Role{node.RoleAPI}, "postgres://127.0.0.1/x"
		}, "--roles"},
		"a NATS login for no NATS":  {func(c *node.Config) { c.NATSLogin = "login.yaml" }, "--nats-login"},
		"metrics without a port":    {func(c *node.Config) { c.MetricsListen = "9400" }, "--metrics-listen"},
		"a delay below zero":        {func(c *node.Config) { c.DrainDelay = -1 }, "--drain-delay"},
		"an address without a port": {func(c *node.Config) { c.Listen = "127.0.0.1" }, "--listen"},
		"a NATS address without":    {func(c *node.Config) { c.NATSListen = "127.0.0.1" }, "--nats-listen"},
		"a store of no known kind":  {func(c *node.Config) { c.Store = "mongo://x" }, "DSN"},
	} {
		t.Run(rule, func(t *testing.T) {
			cfg := config(t)
			c.edit(&cfg)
			refused(t, cfg, lockstep.ErrInvalid, c.flag)
		})
	}
}

func TestWhoNeedsADataDirectory(t *testing.T) {
	shared := node.Config{Store: "postgres://127.0.0.1/x", NATSURL: "nats://127.0.0.1:1", RootKey: "root.key"}
	for roles, want := range map[node.Role]bool{
		node.RoleAPI: true, node.RoleScheduler: false, node.RoleRelay: false, node.RoleWorker: false, "": true,
	} {
		cfg := shared
		if roles != "" {
			cfg.Roles = []node.Role{roles}
		}
		if got := cfg.NeedsDataDir(); got != want {
			t.Errorf("role %q: %v, want %v", roles, got, want)
		}
	}
	shared.Roles, shared.RootKey = []node.Role{node.RoleWorker}, ""
	if !shared.NeedsDataDir() {
		t.Error("a worker has to find its root key somewhere")
	}
}

// TestMonitor: whoever watches the node needs no login, and is told when it ends.
func TestMonitor(t *testing.T) {
	cfg := config(t)
	cfg.MetricsListen = "127.0.0.1:0"
	n := start(t, cfg)
	for _, path := range []string{"/healthz", "/readyz"} {
		answer, err := http.Get("http://" + n.MonitorAddress() + path)
		if err != nil {
			t.Fatal(err)
		}
		if err := answer.Body.Close(); err != nil || answer.StatusCode != http.StatusOK {
			t.Errorf("%s: %s %v", path, answer.Status, err)
		}
	}
	if _, err := client(t, cfg, n).ListSecrets(t.Context(), &secretsmanager.ListSecretsInput{}); err != nil {
		t.Fatal(err)
	}
	told, err := http.Get("http://" + n.MonitorAddress() + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(told.Body)
	if err := errors.Join(err, told.Body.Close()); err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{
		`lockstep_api_requests_total{action="secretsmanager:ListSecrets",code=""} 1`, "lockstep_store_up 1",
		`lockstep_root_key_duration_seconds_count{call="wrap",result="ok"} `, `lockstep_store_duration_seconds_count{kind="update",result="ok"} `,
	} {
		if !strings.Contains(string(text), line) {
			t.Errorf("/metrics has no %q", line)
		}
	}
	if secret := login(t, cfg.DataDir).SecretAccessKey; strings.Contains(string(text), secret) {
		t.Error("a secret key is in /metrics")
	}
	answer, err := http.Get("http://" + n.MonitorAddress() + "/v1/status")
	if err != nil {
		t.Fatal(err)
	}
	if err := answer.Body.Close(); err != nil || answer.StatusCode != http.StatusNotFound {
		t.Errorf("the API is served without a login: %s %v", answer.Status, err)
	}
}
