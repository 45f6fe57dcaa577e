// Package servertest runs the real lockstep binary for tests: built once a test
// binary, started as a process of its own on free ports, reached as a user
// reaches it, and killed or drained like one.
package servertest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
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

// readyTime bounds the start of a server on a busy machine.
const readyTime = time.Minute

var (
	buildMu sync.Mutex
	built   = make(map[string]string)
)

// Build builds the lockstep binary with the given build tags, once a test
// binary, and returns its path.
func Build(t testing.TB, tags string) string {
	t.Helper()
	buildMu.Lock()
	defer buildMu.Unlock()
	if path := built[tags]; path != "" {
		return path
	}
	dir, err := os.MkdirTemp("", "lockstep-build-")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "lockstep")
	cmd := exec.Command("go", "build", "-tags", tags, "-o", path, "lockstep/cmd/lockstep") // #nosec G204 -- the tests' own tags
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build lockstep: %v\n%s", err, out)
	}
	built[tags] = path
	return path
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

// Server is a running lockstep server.
type Server struct {
	Binary   string
	DataDir  string
	Endpoint string
	NATSURL  string

	options Options
	listen  string
	nats    string
	cmd     *exec.Cmd
	log     *lockedBuffer
	exited  chan error
}

// lockedBuffer collects a process's log while tests read it.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// Start starts a server and waits until it is ready. It ends with the test.
func Start(t testing.TB, o Options) *Server {
	t.Helper()
	s := &Server{Binary: Build(t, o.Tags), DataDir: o.DataDir, options: o, log: &lockedBuffer{}}
	if s.DataDir == "" {
		s.DataDir = filepath.Join(t.TempDir(), "data")
	}
	s.listen, s.nats = freeAddress(t), freeAddress(t)
	if err := s.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.Kill()
		if t.Failed() {
			t.Logf("server log, without requests:\n%s", tail(withoutRequests(s.Log()), 60))
		}
	})
	return s
}

// withoutRequests leaves out the access log, which a waiting test fills.
func withoutRequests(log string) string {
	var kept []string
	for line := range strings.Lines(log) {
		if !strings.Contains(line, `"msg":"request"`) {
			kept = append(kept, line)
		}
	}
	return strings.Join(kept, "")
}

func tail(s string, n int) string {
	lines := strings.Split(strings.TrimRight(s, "\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

func freeAddress(t testing.TB) string {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

// Restart starts the process (again), on the same addresses and data, and
// waits until it is ready.
func (s *Server) Restart(ctx context.Context) error {
	args := append([]string{"serve", "--data-dir", s.DataDir, "--listen", s.listen, "--nats-listen", s.nats}, s.options.Args...)
	s.cmd = exec.Command(s.Binary, args...) // #nosec G204 -- the binary that was built here
	s.cmd.Env = append(os.Environ(), s.options.Env...)
	s.cmd.Stderr, s.cmd.Stdout = s.log, s.log
	if err := s.cmd.Start(); err != nil {
		return fmt.Errorf("start server: %w", err)
	}
	exited := make(chan error, 1)
	s.exited = exited
	cmd := s.cmd
	go func() { exited <- cmd.Wait() }()
	return s.waitReady(ctx)
}

func (s *Server) waitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readyTime)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case err := <-s.exited:
			s.exited <- err
			return fmt.Errorf("server ended before it was ready: %w\n%s", errors.Join(err), tail(s.Log(), 30))
		case <-ctx.Done():
			return fmt.Errorf("server is not ready: %w\n%s", ctx.Err(), tail(s.Log(), 30))
		case <-tick.C:
			if s.ready(ctx) {
				return nil
			}
		}
	}
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
	s.Endpoint, s.NATSURL = c.Endpoint, c.NATSURL
	client, err := s.HTTPClient()
	if err != nil {
		return false
	}
	defer client.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.Endpoint+"/readyz", nil)
	if err != nil {
		return false
	}
	resp, err := client.Do(req)
	if err != nil {
		return false
	}
	_ = resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

// Log is what the process has written so far, over all its starts.
func (s *Server) Log() string { return s.log.String() }

// Kill ends the process by SIGKILL and waits for it. Killing a dead one does
// nothing.
func (s *Server) Kill() {
	if s.cmd == nil || s.cmd.Process == nil {
		return
	}
	_ = s.cmd.Process.Kill()
	err := <-s.exited
	s.exited <- err
}

// Stop asks the process to drain (SIGTERM) and returns its exit code.
func (s *Server) Stop() int {
	_ = s.cmd.Process.Signal(syscall.SIGTERM)
	err := <-s.exited
	s.exited <- err
	return s.cmd.ProcessState.ExitCode()
}

// Signal sends a signal to the process.
func (s *Server) Signal(sig syscall.Signal) error { return s.cmd.Process.Signal(sig) }

// WaitExit waits until the process ends and returns the signal that ended it;
// zero if it ended by itself.
func (s *Server) WaitExit(ctx context.Context) (syscall.Signal, error) {
	select {
	case <-ctx.Done():
		return 0, fmt.Errorf("server still runs: %w", ctx.Err())
	case err := <-s.exited:
		s.exited <- err
	}
	status, ok := s.cmd.ProcessState.Sys().(syscall.WaitStatus)
	if ok && status.Signaled() {
		return status.Signal(), nil
	}
	return 0, nil
}

// HTTPClient trusts the server's CA.
func (s *Server) HTTPClient() (*http.Client, error) {
	pem, err := os.ReadFile(filepath.Join(s.DataDir, "ca.pem"))
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
