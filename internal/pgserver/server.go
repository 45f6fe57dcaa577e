// Package pgserver starts a private PostgreSQL: its own directory, a free port
// on loopback, a random password for the superuser, nothing shared with a
// server that the system may run. The demo and the tests live on it.
//
// The server never outlives its process (see privateserver): it is stopped and
// its directory removed also when the process is killed. Stop does the same in
// good order.
package pgserver

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"github.com/jackc/pgx/v5"

	"lockstep/internal/privateserver"
)

// Server is a running private PostgreSQL. Its methods may be called
// concurrently, but for Stop and Restart, which exclude each other.
type Server struct {
	cfg      Config
	log      *slog.Logger
	bin      string
	dir      string
	port     int
	password string
	owner    *syscall.Credential

	mu      sync.Mutex
	process *privateserver.Process // nil when stopped
}

// Start makes and starts a server; ctx bounds the start, not the server's life.
// Errors: ErrNoBinaries, or what initdb or the server's log said.
func Start(ctx context.Context, cfg Config) (*Server, error) {
	s := &Server{cfg: cfg, log: cfg.logger(), password: rand.Text()}
	if err := s.prepare(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("start private PostgreSQL: %w", err), s.remove())
	}
	if err := s.startOnFreePort(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("start private PostgreSQL: %w", err), s.remove())
	}
	s.log.InfoContext(ctx, "private PostgreSQL started", "port", s.port, "dir", s.dir)
	return s, nil
}

// Port returns the server's port; it stays the same over Restart.
func (s *Server) Port() int { return s.port }

// Password returns the superuser's password.
func (s *Server) Password() string { return s.password }

// LogPath returns the file of the server's log.
func (s *Server) LogPath() string { return filepath.Join(s.dir, "server.log") }

// AdminDSN returns the superuser's connection string for the database
// "postgres".
func (s *Server) AdminDSN() string { return s.DSN(Superuser, s.password, "postgres") }

// DSN returns the connection string of a user for a database.
func (s *Server) DSN(user, password, database string) string {
	u := url.URL{
		Scheme: "postgres", User: url.UserPassword(user, password),
		Host: net.JoinHostPort(Host, strconv.Itoa(s.port)), Path: "/" + database,
		RawQuery: "sslmode=disable",
	}
	return u.String()
}

// Exec runs SQL as the superuser in the database "postgres", each string as
// one message. Errors: the server's.
func (s *Server) Exec(ctx context.Context, statements ...string) error {
	return s.ExecIn(ctx, "postgres", statements...)
}

// ExecIn is Exec in the database named.
func (s *Server) ExecIn(ctx context.Context, database string, statements ...string) error {
	conn, err := pgx.Connect(ctx, s.DSN(Superuser, s.password, database))
	if err != nil {
		return fmt.Errorf("log in to private PostgreSQL: %w", err)
	}
	defer conn.Close(ctx)
	for _, sql := range statements {
		if _, err := conn.PgConn().Exec(ctx, sql).ReadAll(); err != nil {
			return fmt.Errorf("run SQL on private PostgreSQL: %w", err)
		}
	}
	return nil
}

// CreateDatabase makes a database. Errors: the server's.
func (s *Server) CreateDatabase(ctx context.Context, name string) error {
	return s.Exec(ctx, "CREATE DATABASE "+pgx.Identifier{name}.Sanitize())
}

// Pause stops the server in good order but keeps its data; Resume starts it
// again on the same port. Pausing a paused server does nothing.
func (s *Server) Pause(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stopProcess(ctx)
}

// Resume starts a paused server. Errors: what the server's log said.
func (s *Server) Resume(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.process != nil {
		return nil
	}
	if err := s.startProcess(ctx); err != nil {
		return fmt.Errorf("resume private PostgreSQL: %w", err)
	}
	return nil
}

// Restart is Pause and Resume.
func (s *Server) Restart(ctx context.Context) error {
	if err := s.Pause(ctx); err != nil {
		return err
	}
	return s.Resume(ctx)
}

// Stop stops the server and removes its directory. A second Stop does nothing.
func (s *Server) Stop(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.stopProcess(ctx); err != nil {
		return err
	}
	return s.remove()
}

// Freeze halts one backend, whose number is pg_backend_pid(), as a paused
// machine would: its connection stays open and nothing answers.
func (s *Server) Freeze(backend int) error { return signal(backend, syscall.SIGSTOP) }

// Thaw lets a frozen backend go on.
func (s *Server) Thaw(backend int) error { return signal(backend, syscall.SIGCONT) }

func signal(pid int, sig syscall.Signal) error {
	if err := syscall.Kill(pid, sig); err != nil {
		return fmt.Errorf("send %v to PostgreSQL process %d: %w", sig, pid, err)
	}
	return nil
}

func (s *Server) data() string { return filepath.Join(s.dir, "data") }

// prepare makes the directory and runs initdb.
func (s *Server) prepare(ctx context.Context) error {
	var err error
	if s.bin, err = binaries(); err != nil {
		return err
	}
	if s.owner, err = privateserver.Owner("postgres", "nobody"); err != nil {
		return err
	}
	if s.dir, err = os.MkdirTemp(s.cfg.Dir, "lockstep-pg-"); err != nil {
		return fmt.Errorf("make directory: %w", err)
	}
	pwfile := filepath.Join(s.dir, "password")
	if err := privateserver.Give(s.owner, s.dir); err != nil {
		return err
	}
	if err := privateserver.Write(s.owner, pwfile, s.password+"\n"); err != nil {
		return err
	}
	initdb := exec.CommandContext(ctx, filepath.Join(s.bin, "initdb"), "--pgdata", s.data(), // #nosec G204 -- PostgreSQL binaries that were found, with our own arguments
		"--username", Superuser, "--pwfile", pwfile, "--auth", "scram-sha-256",
		"--locale", "C", "--encoding", "UTF8", "--no-sync", "--no-instructions")
	initdb.Dir = s.dir
	initdb.SysProcAttr = &syscall.SysProcAttr{Credential: s.owner, Setpgid: true}
	if out, err := initdb.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w: %s", err, strings.TrimSpace(string(out)))
	}
	if err := os.Remove(pwfile); err != nil {
		return fmt.Errorf("remove password file: %w", err)
	}
	return s.writeHBA()
}

func (s *Server) writeHBA() error {
	lines := append(slices.Clone(s.cfg.HBA),
		"host all all 127.0.0.1/32 scram-sha-256",
		"host all all ::1/128 scram-sha-256",
		"host replication all 127.0.0.1/32 scram-sha-256")
	err := os.WriteFile(filepath.Join(s.data(), "pg_hba.conf"), []byte(strings.Join(lines, "\n")+"\n"), 0o600)
	if err != nil {
		return fmt.Errorf("write pg_hba.conf: %w", err)
	}
	return nil
}

func (s *Server) remove() error {
	if s.dir == "" {
		return nil
	}
	if err := os.RemoveAll(s.dir); err != nil {
		return fmt.Errorf("remove private PostgreSQL: %w", err)
	}
	return nil
}

func (s *Server) startOnFreePort(ctx context.Context) error {
	return privateserver.OnFreePort(ctx, func(port int) error {
		s.port = port
		return s.startProcess(ctx)
	})
}
