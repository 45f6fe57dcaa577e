package doctest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"lockstep/internal/freeport"
	"lockstep/internal/mariadbtest"
	"lockstep/internal/pgserver"
	"lockstep/internal/pgtest"
	"lockstep/internal/servertest"
)

// patience bounds one file, on a machine that is busy with other tests.
const patience = 3 * time.Minute

// block is one fenced block that is run.
type block struct {
	line       int
	background bool
	text       string
}

// documents lists the files whose commands are run.
func documents(t *testing.T, root string) []string {
	t.Helper()
	found := []string{"README.md"}
	err := fs.WalkDir(os.DirFS(root), "docs", func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() && strings.HasSuffix(path, ".md") {
			found = append(found, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// blocksOf reads the blocks of a document.
func blocksOf(t *testing.T, path string) []block {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	var blocks []block
	var open *block
	fenced := false
	lines := bufio.NewScanner(f)
	for n := 1; lines.Scan(); n++ {
		info, fence := strings.CutPrefix(lines.Text(), "```")
		switch {
		case fence && fenced:
			fenced, open = false, nil
		case fence:
			fenced = true
			if info == "sh" || info == "sh background" {
				blocks = append(blocks, block{line: n, background: info != "sh"})
				open = &blocks[len(blocks)-1]
			}
		case open != nil:
			open.text += lines.Text() + "\n"
		}
	}
	if err := lines.Err(); err != nil || fenced {
		t.Fatalf("%s: a fence is not closed, or %v", path, err)
	}
	return blocks
}

// script makes one shell script of the blocks.
func script(blocks []block) string {
	var b strings.Builder
	b.WriteString("set -eu\n")
	for i, bl := range blocks {
		fmt.Fprintf(&b, "echo '== line %d'\n", bl.line)
		if !bl.background {
			b.WriteString(bl.text)
			continue
		}
		fmt.Fprintf(&b, "{\n%s} >background-%d.log 2>&1 &\n", bl.text, i)
		// What follows may use the server at once, as a reader does after
		// having seen it start.
		b.WriteString("tries=0\nuntil lockstep check >/dev/null 2>&1; do\n" +
			"\ttries=$((tries + 1)); [ $tries -lt 300 ] || exit 1; sleep 0.1\ndone\n")
	}
	return b.String()
}

func TestDocuments(t *testing.T) {
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	binary := servertest.Build(t, "")
	for _, name := range documents(t, root) {
		blocks := blocksOf(t, filepath.Join(root, name))
		if len(blocks) == 0 {
			continue
		}
		t.Run(name, func(t *testing.T) { runDocument(t, binary, blocks) })
	}
}

func runDocument(t *testing.T, binary string, blocks []block) {
	dir := t.TempDir()
	text := script(blocks)
	env := append(cleanEnvironment(), "HOME="+dir, "PATH="+wrapped(t, binary)+":"+os.Getenv("PATH"))
	if strings.Contains(text, "psql") {
		pg := pgtest.Start(t)
		env = append(env, "PGHOST="+pgserver.Host, "PGPORT="+strconv.Itoa(pg.Port()),
			"PGUSER="+pgserver.Superuser, "PGPASSWORD="+pg.Password(), "PGDATABASE=postgres")
	}
	if strings.Contains(text, "mariadb ") {
		maria := mariadbtest.Start(t)
		env = append(env, "MYSQL_HOST="+mariadbtest.Host, "MYSQL_TCP_PORT="+strconv.Itoa(maria.Port()), "MYSQL_PWD="+maria.RootPassword())
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	out, err := runShell(ctx, shell{text: text, dir: dir, env: env})
	if err != nil {
		t.Errorf("%v\n%s\n%s", err, out, backgroundLogs(t, dir))
	}
	t.Log(out)
}

// cleanEnvironment is ours without what would point at another server.
func cleanEnvironment() []string {
	var env []string
	for _, v := range os.Environ() {
		foreign := false
		for _, prefix := range []string{"AWS_", "LOCKSTEP_", "PG", "MYSQL_", "HOME=", "PATH="} {
			foreign = foreign || strings.HasPrefix(v, prefix)
		}
		if !foreign {
			env = append(env, v)
		}
	}
	return env
}

// wrapped makes a directory with a "lockstep" that serves on free ports.
func wrapped(t *testing.T, binary string) string {
	t.Helper()
	dir := t.TempDir()
	text := fmt.Sprintf("#!/bin/sh\nif [ \"${1-}\" = serve ]; then set -- \"$@\" --listen %s --nats-listen %s; fi\nexec %s \"$@\"\n",
		freeAddress(t), freeAddress(t), binary)
	if err := os.WriteFile(filepath.Join(dir, "lockstep"), []byte(text), 0o700); err != nil { // #nosec G306 -- a program
		t.Fatal(err)
	}
	return dir
}

func freeAddress(t *testing.T) string {
	t.Helper()
	port, err := freeport.Take(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
}

// shell is a script and where it runs.
type shell struct {
	text, dir string
	env       []string
}

// runShell runs a script and ends whatever it left in the background. It
// returns all that was said.
func runShell(ctx context.Context, s shell) (string, error) {
	said, err := os.Create(filepath.Join(s.dir, ".said"))
	if err != nil {
		return "", err
	}
	defer func() { _ = said.Close() }()
	alive, lifeline, err := os.Pipe()
	if err != nil {
		return "", err
	}
	defer func() { _ = alive.Close() }()
	cmd := exec.Command("sh", "-c", s.text) // ended as a group below, not alone
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = s.dir, s.env, said, said
	cmd.ExtraFiles = []*os.File{lifeline}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	err = cmd.Start()
	if err = errors.Join(err, lifeline.Close()); err != nil {
		return "", err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case err = <-ended:
	case <-ctx.Done():
		err = errors.Join(ctx.Err(), syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL))
		<-ended
	}
	err = errors.Join(err, endGroup(cmd.Process.Pid, alive))
	text, readErr := os.ReadFile(said.Name())
	return string(text), errors.Join(err, readErr)
}

// endGroup asks the processes of a group to end and waits until they have: all
// of them hold the other end of alive.
func endGroup(group int, alive *os.File) error {
	err := syscall.Kill(-group, syscall.SIGTERM)
	if errors.Is(err, syscall.ESRCH) {
		return nil // nothing was left
	}
	if err := errors.Join(err, alive.SetReadDeadline(time.Now().Add(30*time.Second))); err != nil {
		return err
	}
	if _, err := alive.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		return errors.Join(fmt.Errorf("what was left in the background does not end: %w", err), syscall.Kill(-group, syscall.SIGKILL))
	}
	return nil
}

func backgroundLogs(t *testing.T, dir string) string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "background-*.log"))
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, p := range paths {
		text, err := os.ReadFile(p)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "-- %s\n%s", filepath.Base(p), text)
	}
	return b.String()
}
