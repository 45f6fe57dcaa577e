package e2e

import (
	"bufio"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"lockstep"
	"lockstep/internal/servertest"
)

// freshServer runs commands against a fresh server and checks their exit code.
func freshServer(t *testing.T) func(t *testing.T, want int, args ...string) {
	t.Helper()
	s := servertest.Start(t, servertest.Options{})
	return func(t *testing.T, want int, args ...string) {
		t.Helper()
		out, errOut, code := s.CLI(t.Context(), "", args...)
		if code != want {
			t.Errorf("exit %d, not %d\n%s%s", code, want, out, errOut)
		}
	}
}

// watching is a running `lockstep watch -o json`.
type watching struct {
	t      *testing.T
	cmd    *exec.Cmd
	events chan lockstep.Event
}

func watch(t *testing.T, s *servertest.Server, args ...string) *watching {
	t.Helper()
	w := &watching{t: t, events: make(chan lockstep.Event, 1000)}
	w.cmd = exec.Command(s.Binary, append([]string{"watch", "-o", "json"}, args...)...)
	w.cmd.Env = append(os.Environ(), "LOCKSTEP_DATA_DIR="+s.DataDir)
	out, err := w.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := w.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go w.read(out)
	t.Cleanup(func() { w.stop() })
	return w
}

func (w *watching) read(out io.Reader) {
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		var e lockstep.Event
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			w.t.Errorf("a line that is no event: %s", lines.Text())
			continue
		}
		w.events <- e
	}
	close(w.events)
}

func (w *watching) stop() {
	_ = w.cmd.Process.Signal(syscall.SIGTERM)
	_ = w.cmd.Wait()
}

// until reads events up to the first that fits.
func (w *watching) until(what string, fits func(lockstep.Event) bool) lockstep.Event {
	w.t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	for {
		select {
		case e, open := <-w.events:
			if !open {
				w.t.Fatalf("%s: the watch ended", what)
			}
			if fits(e) {
				return e
			}
		case <-deadline.C:
			w.t.Fatalf("%s: not seen within %s", what, patience)
		}
	}
}

func current(version string) func(lockstep.Event) bool {
	return func(e lockstep.Event) bool {
		return e.Type == lockstep.EventVersionCurrent && string(e.Data.VersionID) == version
	}
}

func TestWatchGivesTheStateThenEveryChange(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.cli(t, 0, "", "rotate", s.name, "--rotator", "postgres", "--wait")
	_, version := s.get(t)
	w := watch(t, s.server, "app/*")
	w.until("the present state", current(version))
	s.cli(t, 0, "", "rotate", s.name, "--wait")
	_, version = s.get(t)
	e := w.until("the change", current(version))
	if e.Name != s.name || e.Account != "000000000000" || e.Region != "us-east-1" {
		t.Errorf("event of %s in %s/%s", e.Name, e.Account, e.Region)
	}
}

// TestWatchOverOutages: the server is killed, loses its whole event stream,
// and comes back; the watcher gets what happened, each once and in order.
func TestWatchOverOutages(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	w := watch(t, s.server, s.name)
	s.cli(t, 0, "", "rotate", s.name, "--rotator", "postgres-alternating", "--wait")
	_, version := s.get(t)
	last := w.until("the first change", current(version)).Seq
	for _, outage := range []func(){
		func() {},
		func() {
			if err := os.RemoveAll(filepath.Join(s.server.DataDir, "jetstream")); err != nil {
				t.Fatal(err)
			}
		},
	} {
		s.server.Kill()
		outage()
		if err := s.server.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
		s.cli(t, 0, "", "rotate", s.name, "--wait")
		_, version = s.get(t)
		w.until("the change after the outage", func(e lockstep.Event) bool {
			if e.Seq != last+1 {
				t.Errorf("event %d follows %d", e.Seq, last)
			}
			last = e.Seq
			return current(version)(e)
		})
	}
}

func TestWatchGoesOnWhereItEnded(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	state := filepath.Join(t.TempDir(), "state.json")
	s.cli(t, 0, "", "rotate", s.name, "--rotator", "postgres", "--wait")
	_, version := s.get(t)
	first := watch(t, s.server, s.name, "--state", state)
	first.until("the state", current(version))
	first.stop()
	for range 3 {
		s.cli(t, 0, "", "rotate", s.name, "--wait")
	}
	_, version = s.get(t)
	second := watch(t, s.server, s.name, "--state", state)
	changes := 0
	second.until("what was missed", func(e lockstep.Event) bool {
		if e.Type == lockstep.EventVersionCurrent {
			changes++
		}
		return current(version)(e)
	})
	if changes != 3 {
		t.Errorf("%d changes, not the 3 that were missed", changes)
	}
}

func TestDemo(t *testing.T) {
	binary := servertest.Build(t, "")
	cmd := exec.CommandContext(t.Context(), binary, "demo", "--seconds", "13")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("demo: %v\n%s", err, out)
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	last := lines[len(lines)-1]
	if !strings.HasPrefix(last, "rotations=") || !strings.HasSuffix(last, " failures=0") || strings.HasPrefix(last, "rotations=0 ") {
		t.Errorf("the last line is %q\n%s", last, out)
	}
}
