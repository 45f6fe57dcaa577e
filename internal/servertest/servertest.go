// Package servertest runs the real lockstep binary for tests: built once a test
// binary, started as a process of its own on free ports, reached as a user
// reaches it, and killed or drained like one.
package servertest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"crypto/tls"
	"crypto/x509"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"lockstep/auth"
	"lockstep/client/admin"
)

var (
	buildMu sync.Mutex
	built   = make(map[string]string)
)

// Build builds the lockstep binary with the given build tags, once a test
// binary, and returns its path; if Programs names a folder that has it, it
// stands there.
func Build(t testing.TB, tags string) string {
	t.Helper()
	return build(t, "lockstep/cmd/lockstep", tags)
}

func build(t testing.TB, program, tags string) string {
	t.Helper()
	buildMu.Lock()
	defer buildMu.Unlock()
	key := program + " " + tags
	if path := built[key]; path != "" {
		return path
	}
	if path, ok := prebuilt(program, tags); ok {
		return path
	}
	forgetBuilds()
	dir, err := os.MkdirTemp("", buildPrefix)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "program")
	cmd := exec.Command("go", "build", "-ldflags=-w", "-tags", tags, "-o", path, program) // #nosec G204 -- the tests' own tags
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build %s: %v\n%s", program, err, out)
	}
	built[key] = path
	return path
}

// Programs is the variable that names a folder of programs which were built
// from this tree before the tests: `make test` builds each once, which each
// package's tests would do anew.
const Programs = "LOCKSTEP_TEST_PROGRAMS"

// prebuilt finds a program there: its name, and its tags after a dash.
func prebuilt(program, tags string) (path string, ok bool) {
	dir := os.Getenv(Programs)
	if dir == "" {
		return "", false
	}
	name := filepath.Base(strings.TrimSuffix(program, "/v2"))
	if tags != "" {
		name += "-" + tags
	}
	path = filepath.Join(dir, name)
	_, err := os.Stat(path) // #nosec G703 -- who runs the tests says where it is
	return path, err == nil
}

const (
	buildPrefix = "lockstep-build-"
	// keepBuilds is longer than any test binary runs.
	keepBuilds = time.Hour
)

// forgetBuilds removes what test binaries left that ended long ago: none of them
// knows which of its tests is the last that needs the program.
func forgetBuilds() {
	left, _ := filepath.Glob(filepath.Join(os.TempDir(), buildPrefix+"*")) // the pattern is well formed
	for _, dir := range left {
		if info, err := os.Stat(dir); err == nil && time.Since(info.ModTime()) > keepBuilds {
			_ = os.RemoveAll(dir) // it is tried again by the next
		}
	}
}

// Options says how a server is started.
type Options struct {
	// Tags are the build tags of the binary.
	Tags string
	// Args are further flags of serve; Env further variables.
	Args []string
	Env  []string
	// DataDir is the data directory; empty makes one for the test.
	DataDir string
}

// Server is a running lockstep server with the role api.
type Server struct {
	*Process
	Binary   string
	DataDir  string
	Endpoint string
	NATSURL  string
	// CAFile is the authority that its clients trust.
	CAFile string
}

// Start starts a server and waits until it is ready. It ends with the test.
func Start(t testing.TB, o Options) *Server {
	t.Helper()
	s := &Server{Binary: Build(t, o.Tags), DataDir: o.DataDir}
	if s.DataDir == "" {
		s.DataDir = filepath.Join(t.TempDir(), "data")
	}
	s.CAFile = filepath.Join(s.DataDir, "ca.pem")
	args := []string{"serve", "--data-dir", s.DataDir, "--listen", freeAddress(t), "--nats-listen", freeAddress(t)}
	s.Process = &Process{
		Name: "server", path: s.Binary, args: append(args, o.Args...), env: o.Env,
		ready: s.ready, log: &lockedBuffer{},
	}
	s.endWith(t)
	if err := s.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *Server) ready(ctx context.Context) bool {
	raw, err := os.ReadFile(filepath.Join(s.DataDir, "endpoint.json"))
	if err != nil {
		return false
	}
	var c struct{ Endpoint, NATSURL string }
	if json.Unmarshal(raw, &c) != nil {
		return false
	}
	if s.Endpoint != c.Endpoint || s.NATSURL != c.NATSURL { // others read them while it is started again
		s.Endpoint, s.NATSURL = c.Endpoint, c.NATSURL
	}
	client, err := s.HTTPClient()
	if err != nil {
		return false
	}
	defer client.CloseIdleConnections()
	return answers(ctx, client, s.Endpoint+"/readyz")
}

// HTTPClient trusts the server's CA.
func (s *Server) HTTPClient() (*http.Client, error) {
	pem, err := os.ReadFile(s.CAFile)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	return &http.Client{Transport: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}, MaxIdleConnsPerHost: 64,
	}}, nil
}

// Credentials are the root user's.
func (s *Server) Credentials(t testing.TB) auth.Credentials {
	t.Helper()
	c, err := auth.ReadCredentials(filepath.Join(s.DataDir, "credentials"))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// Secrets is the AWS SDK's client for the server.
func (s *Server) Secrets(t testing.TB) *secretsmanager.Client {
	t.Helper()
	client, err := s.HTTPClient()
	if err != nil {
		t.Fatal(err)
	}
	c := s.Credentials(t)
	return secretsmanager.New(secretsmanager.Options{
		Region: "us-east-1", BaseEndpoint: aws.String(s.Endpoint), HTTPClient: client,
		Credentials: credentials.NewStaticCredentialsProvider(c.AccessKeyID, c.SecretKey.Reveal(), ""),
	})
}

// Admin is the client of the server's own API.
func (s *Server) Admin(t testing.TB) *admin.Client {
	t.Helper()
	client, err := s.HTTPClient()
	if err != nil {
		t.Fatal(err)
	}
	c := s.Credentials(t)
	a, err := admin.New(t.Context(), admin.Config{
		Endpoint: s.Endpoint, Region: "us-east-1", HTTPClient: client,
		Credentials: credentials.NewStaticCredentialsProvider(c.AccessKeyID, c.SecretKey.Reveal(), ""),
	})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// CLI runs a command of the lockstep binary against the server and returns its
// output and exit code.
func (s *Server) CLI(ctx context.Context, stdin string, args ...string) (stdout, stderr string, code int) {
	cmd := exec.CommandContext(ctx, s.Binary, args...) // #nosec G204 -- the binary that was built here
	cmd.Env = append(os.Environ(), "LOCKSTEP_DATA_DIR="+s.DataDir)
	var out, errOut bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &out, &errOut
	err := cmd.Run()
	code = 0
	if err != nil {
		code = -1
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			code = exit.ExitCode()
		}
	}
	return out.String(), errOut.String(), code
}

// PID is the process's number.
func (s *Server) PID() int { return s.cmd.Process.Pid }
