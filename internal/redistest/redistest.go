// Package redistest gives tests a real Redis: a private server on a free port
// of loopback, with an ACL file, a log that keeps everything, and nothing
// shared with a server that the system may run. A missing redis-server fails
// the test: nothing is skipped.
//
// A server never outlives its test (see privateserver), also when that is killed.
package redistest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"lockstep/internal/freeport"
	"lockstep/internal/privateserver"
)

// Host is where every server listens.
const Host = privateserver.Host

// Superuser and SuperPassword log in with every right.
const (
	Superuser     = "root"
	SuperPassword = "root-of-this-test-4Yx" // #nosec G101 -- a private server's, on loopback, for one test
)

// Server is a running private Redis.
type Server struct {
	dir  string
	port int
	args []string

	mu      sync.Mutex
	process *privateserver.Process // nil when paused
}

// startTime bounds the start of a server on a machine that is busy with many
// tests.
const startTime = 2 * time.Minute

// Start starts a server of the test's own; it ends with the test. Each
// argument pair is a setting of redis.conf: "--replicaof", "127.0.0.1 6379".
func Start(t testing.TB, args ...string) *Server {
	t.Helper()
	s := &Server{args: args}
	if err := s.prepare(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.end(t) })
	ctx, cancel := context.WithTimeout(t.Context(), startTime)
	defer cancel()
	for {
		err := s.start(ctx)
		if err == nil {
			return s
		}
		if !errors.Is(err, privateserver.ErrEnded) || ctx.Err() != nil {
			t.Fatal(err)
		}
		// Somebody else took the port meanwhile.
		if s.port, err = freePort(ctx); err != nil {
			t.Fatal(err)
		}
	}
}

func (s *Server) prepare() error {
	dir, err := os.MkdirTemp("", "redistest-")
	if err != nil {
		return err
	}
	s.dir = dir
	// The settings of a server of ours, that its CONFIG REWRITE may write too.
	users := fmt.Sprintf("user default off nopass -@all\nuser %s on >%s ~* &* +@all\n", Superuser, SuperPassword)
	if err := os.WriteFile(s.ACLPath(), []byte(users), 0o600); err != nil {
		return err
	}
	return nil
}

// freePort finds one whose cluster's bus, which listens ten thousand above, fits
// too.
func freePort(ctx context.Context) (int, error) {
	for {
		port, err := freeport.Take(ctx)
		if err != nil || port < 55000 {
			return port, err
		}
	}
}

func (s *Server) start(ctx context.Context) error {
	binary, err := exec.LookPath("redis-server")
	if err != nil {
		return fmt.Errorf("no redis-server found (deploy/install.sh redis-server installs it): %w", err)
	}
	if s.port == 0 {
		if s.port, err = freePort(ctx); err != nil {
			return err
		}
	}
	s.process, err = privateserver.Start(ctx, privateserver.Spec{
		Path: binary, Dir: s.dir, Log: s.LogPath(), Ready: func(ctx context.Context) error { return s.Do(ctx, "PING") },
		Args: append([]string{
			"--port", strconv.Itoa(s.port), "--bind", Host, "--dir", s.dir, "--save", "", "--logfile", s.LogPath(),
			"--loglevel", "debug", "--aclfile", s.ACLPath(), "--enable-debug-command", "local",
		}, s.args...),
	})
	return err
}

func (s *Server) end(t testing.TB) {
	s.Pause(t)
	if err := os.RemoveAll(s.dir); err != nil {
		t.Error(err)
	}
}

// Pause ends the server's process; what it wrote to files stays.
func (s *Server) Pause(t testing.TB) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.process == nil {
		return
	}
	if err := s.process.Kill(context.WithoutCancel(t.Context())); err != nil {
		t.Error(err)
	}
	s.process = nil
}

// Resume starts a paused server on its port, with the users of its ACL file.
func (s *Server) Resume(t testing.TB) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), startTime)
	defer cancel()
	for {
		err := s.start(ctx) // the port may still be the old process's
		if err == nil {
			return
		}
		if ctx.Err() != nil {
			t.Fatal(err)
		}
	}
}

// Port is the server's port; it stays the same over Resume.
func (s *Server) Port() int { return s.port }

// Addr is the server's address.
func (s *Server) Addr() string { return net.JoinHostPort(Host, strconv.Itoa(s.port)) }

// LogPath and ACLPath are the server's files.
func (s *Server) LogPath() string { return filepath.Join(s.dir, "server.log") }

// ACLPath is where ACL SAVE writes.
func (s *Server) ACLPath() string { return filepath.Join(s.dir, "users.acl") }

// Log is all that the server wrote down.
func (s *Server) Log(t testing.TB) string {
	t.Helper()
	f, err := os.Open(s.LogPath())
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b, err := io.ReadAll(f)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// Client logs in as a user, without retries; the caller closes it.
func (s *Server) Client(user, password string) *redis.Client {
	return redis.NewClient(&redis.Options{
		Addr: s.Addr(), Username: user, Password: password, Protocol: 2, DisableIdentity: true, MaxRetries: -1, PoolSize: 1,
	})
}

// Do runs a command as the superuser. Errors: the server's.
func (s *Server) Do(ctx context.Context, args ...any) error {
	c := s.Client(Superuser, SuperPassword)
	defer c.Close()
	return c.Do(ctx, args...).Err()
}

// Must runs commands as the superuser, each a list of words.
func (s *Server) Must(t testing.TB, commands ...[]any) {
	t.Helper()
	for _, one := range commands {
		if err := s.Do(t.Context(), one...); err != nil {
			t.Fatal(err)
		}
	}
}
