package pgtest_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"lockstep/internal/pgserver"
	"lockstep/internal/pgtest"
)

func TestServerKeepsDataOverRestart(t *testing.T) {
	s := pgtest.Start(t, pgtest.Setting("log_statement", "all"))
	db := s.Database(t)
	if err := s.ExecIn(t.Context(), db, "CREATE TABLE kept (n int)", "INSERT INTO kept VALUES (7)"); err != nil {
		t.Fatal(err)
	}
	port := s.Port()
	if err := s.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	var n int
	if err := s.Admin(t, db).QueryRow(t.Context(), "SELECT n FROM kept").Scan(&n); err != nil || n != 7 {
		t.Fatalf("after restart: %d, %v", n, err)
	}
	if s.Port() != port {
		t.Errorf("port changed from %d to %d", port, s.Port())
	}
	log, err := os.ReadFile(s.LogPath())
	if err != nil || !strings.Contains(string(log), "CREATE TABLE kept") {
		t.Errorf("log lacks the statement: %v", err)
	}
}

func TestStopRemovesEverything(t *testing.T) {
	parent := openDir(t)
	s, err := pgserver.Start(t.Context(), pgserver.Config{Dir: parent})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // stopping twice is fine
		if err := s.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	left, err := os.ReadDir(parent)
	if err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestFrozenBackendAnswersOnlyAfterThaw(t *testing.T) {
	s := pgtest.Shared(t)
	conn := s.Admin(t, "postgres")
	pid := int(conn.PgConn().PID())
	if err := s.Freeze(pid); err != nil {
		t.Fatal(err)
	}
	answered := make(chan error, 1)
	go func() { answered <- conn.Ping(t.Context()) }()
	select {
	case err := <-answered:
		t.Errorf("a frozen backend answered: %v", err)
	case <-time.After(200 * time.Millisecond):
	}
	if err := s.Thaw(pid); err != nil {
		t.Fatal(err)
	}
	if err := <-answered; err != nil {
		t.Error(err)
	}
}

// TestServerDoesNotOutliveItsProcess runs this test binary again as the owner
// of a server and kills it.
func TestServerDoesNotOutliveItsProcess(t *testing.T) {
	const variable = "PGTEST_OWNER_DIR"
	if dir := os.Getenv(variable); dir != "" {
		own(t, dir)
	}
	dir := openDir(t)
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "^"+t.Name()+"$")
	cmd.Env = append(os.Environ(), variable+"="+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	address, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // it was killed
	eventually(t, "the server's directory goes", func() bool {
		_, err := os.Stat(dir)
		left, _ := filepath.Glob(filepath.Join(dir, "*"))
		return errors.Is(err, fs.ErrNotExist) || len(left) == 0
	})
	if conn, err := net.Dial("tcp", strings.TrimSpace(address)); err == nil {
		_ = conn.Close()
		t.Error("the server still listens")
	}
}

func own(t *testing.T, dir string) {
	s, err := pgserver.Start(t.Context(), pgserver.Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	fmt.Printf("%s:%d\n", pgserver.Host, s.Port())
	<-context.WithoutCancel(t.Context()).Done() // until it is killed
}

// openDir is a temporary directory that the server's user may enter.
func openDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "pgtest-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(30 * time.Second)
	for !ok() {
		select {
		case <-limit:
			t.Fatalf("waited too long until %s", what)
		case <-tick.C:
		}
	}
}
