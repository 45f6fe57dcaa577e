// Package mariadbtest gives tests a real MariaDB, private to the test: its own
// directory, a free port on loopback, a random password for root, nothing
// shared with a server that the system may run. A missing MariaDB fails the
// test: nothing is skipped.
//
// The server never outlives its process (see privateserver), also when the test
// binary is killed.
package mariadbtest

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"

	"lockstep/internal/privateserver"
)

// Host is the address that a server listens on.
const Host = privateserver.Host

// Root is the name of the user who may do everything.
const Root = "root"

// startTime bounds the start of a server on a machine that is busy with many
// tests.
const startTime = 2 * time.Minute

// Server is a running private MariaDB.
type Server struct {
	dir      string
	port     int
	password string
	options  []string
	owner    *syscall.Credential
	process  *privateserver.Process // nil while paused
}

// Start starts a server, with further options of mariadbd such as "--skip-ssl";
// it ends with the test.
func Start(t testing.TB, options ...string) *Server {
	t.Helper()
	s, err := start(t.Context(), options)
	t.Cleanup(func() {
		// t.Context is over by now.
		if err := errors.Join(s.stop(context.Background()), os.RemoveAll(s.dir)); err != nil {
			t.Error(err)
		}
	})
	if err != nil {
		t.Fatalf("start private MariaDB: %v", err)
	}
	return s
}

// start makes and starts a server. What it returns is to be stopped and removed
// also after an error.
func start(ctx context.Context, options []string) (*Server, error) {
	// Of all kinds of character, for servers that check what is set.
	s := &Server{password: rand.Text() + "-a1", options: options}
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	if err := s.prepare(ctx); err != nil {
		return s, err
	}
	return s, s.startOnFreePort(ctx)
}

// shared is started by the first test that asks. It ends with the process, by
// its guard.
var shared = sync.OnceValues(func() (*Server, error) {
	return start(context.Background(), []string{"--general-log"})
})

// Shared returns the test binary's own server, the same for all its tests, with
// a general log. Make users and databases of your own on it. Who pauses it, or
// changes a setting, brings it back and runs alone.
func Shared(t testing.TB) *Server {
	t.Helper()
	s, err := shared()
	if err != nil {
		t.Fatalf("start private MariaDB: %v", err)
	}
	return s
}

// Port returns the server's port; it stays the same over Pause and Resume.
func (s *Server) Port() int { return s.port }

// RootPassword returns the password of Root.
func (s *Server) RootPassword() string { return s.password }

// GeneralLog returns the file of the general log; that of Shared is written.
func (s *Server) GeneralLog() string { return s.path("general.log") }

// ErrorLog returns the file of the server's own messages.
func (s *Server) ErrorLog() string { return s.path("server.log") }

// Data returns the data directory, where binary logs lie too.
func (s *Server) Data() string { return s.path("data") }

// Open returns a pool of logins as a user, without a database.
func (s *Server) Open(user, password string) (*sql.DB, error) {
	cfg := mysql.NewConfig()
	cfg.User, cfg.Passwd, cfg.Net = user, password, "tcp"
	cfg.Addr = net.JoinHostPort(Host, strconv.Itoa(s.port))
	cfg.Logger = &mysql.NopLogger{}
	connector, err := mysql.NewConnector(cfg)
	if err != nil {
		return nil, err
	}
	return sql.OpenDB(connector), nil
}

// Connect is Open of one login, which ends with the test.
func (s *Server) Connect(t testing.TB, user, password string) *sql.Conn {
	t.Helper()
	db, err := s.Open(user, password)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	conn, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// Must runs SQL as root, each string as one statement.
func (s *Server) Must(t testing.TB, statements ...string) {
	t.Helper()
	if err := s.Exec(t.Context(), statements...); err != nil {
		t.Fatal(err)
	}
}

// Exec is Must with the server's error.
func (s *Server) Exec(ctx context.Context, statements ...string) error {
	db, err := s.Open(Root, s.password)
	if err != nil {
		return err
	}
	defer db.Close()
	conn, err := db.Conn(ctx)
	if err != nil {
		return fmt.Errorf("log in to private MariaDB: %w", err)
	}
	defer conn.Close()
	for _, one := range statements {
		if _, err := conn.ExecContext(ctx, one); err != nil {
			return fmt.Errorf("run %.60q on private MariaDB: %w", one, err)
		}
	}
	return nil
}

// Text asks as root and returns all rows as text, columns parted by "|".
func (s *Server) Text(t testing.TB, query string) []string {
	t.Helper()
	conn := s.Connect(t, Root, s.password)
	defer conn.Close()
	rows, err := conn.QueryContext(t.Context(), query)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for rows.Next() {
		cells, into := make([]sql.NullString, len(columns)), make([]any, len(columns))
		for i := range cells {
			into[i] = &cells[i]
		}
		if err := rows.Scan(into...); err != nil {
			t.Fatal(err)
		}
		words := make([]string, len(cells))
		for i, c := range cells {
			words[i] = c.String
		}
		out = append(out, strings.Join(words, "|"))
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}

// Pause stops the server but keeps its data; Resume starts it again.
func (s *Server) Pause(t testing.TB) {
	t.Helper()
	if err := s.stop(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// Resume starts a paused server on its port.
func (s *Server) Resume(t testing.TB) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), startTime)
	defer cancel()
	if err := s.start(ctx); err != nil {
		t.Fatal(err)
	}
}

func (s *Server) path(name string) string { return filepath.Join(s.dir, name) }

// prepare makes the directory and the system tables.
func (s *Server) prepare(ctx context.Context) error {
	install, err := exec.LookPath("mariadb-install-db")
	if err != nil {
		return fmt.Errorf("no MariaDB found (run deploy/install.sh mariadb): %w", err)
	}
	if s.owner, err = privateserver.Owner("mysql", "nobody"); err != nil {
		return err
	}
	if s.dir, err = os.MkdirTemp("", "lockstep-mariadb-"); err != nil {
		return err
	}
	if err := privateserver.Give(s.owner, s.dir); err != nil {
		return err
	}
	// A server that starts deletes the tables that others have in its tmpdir.
	cmd := exec.CommandContext(ctx, install, "--no-defaults", "--datadir="+s.Data(), "--skip-test-db", // #nosec G204 -- the program that was found, with our own arguments
		"--auth-root-authentication-method=normal", "--skip-name-resolve", "--innodb-log-file-size=4M",
		"--innodb-flush-method=nosync", "--cross-bootstrap", "--tmpdir="+s.dir)
	cmd.Dir = s.dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: s.owner, Setpgid: true}
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("mariadb-install-db: %w: %s", err, strings.TrimSpace(string(out)))
	}
	// It runs at each start, before the first login can come.
	init := fmt.Sprintf(`DELETE FROM mysql.global_priv WHERE User = '' OR User = 'root' AND Host <> 'localhost';
FLUSH PRIVILEGES;
ALTER USER 'root'@'localhost' IDENTIFIED BY '%[1]s';
CREATE OR REPLACE USER 'root'@'127.0.0.1' IDENTIFIED BY '%[1]s';
GRANT ALL PRIVILEGES ON *.* TO 'root'@'127.0.0.1' WITH GRANT OPTION;
`, s.password)
	return privateserver.Write(s.owner, s.path("init.sql"), init)
}

func (s *Server) startOnFreePort(ctx context.Context) error {
	return privateserver.OnFreePort(ctx, func(port int) error {
		s.port = port
		return s.start(ctx)
	})
}

func (s *Server) arguments() []string {
	return slices.Concat([]string{
		"--no-defaults", "--datadir=" + s.Data(), "--tmpdir=" + s.dir, "--init-file=" + s.path("init.sql"),
		"--socket=" + s.path("socket"), "--pid-file=" + s.path("pid"), "--port=" + strconv.Itoa(s.port),
		"--bind-address=" + Host, "--skip-name-resolve", "--general-log-file=" + s.GeneralLog(),
		"--innodb-flush-log-at-trx-commit=0", "--innodb-buffer-pool-size=16M", "--innodb-log-file-size=4M",
		"--innodb-flush-method=nosync", "--max-connections=200", "--performance-schema=OFF",
		"--default-time-zone=+03:00", // not UTC, and not where the tests run
	}, s.options)
}
