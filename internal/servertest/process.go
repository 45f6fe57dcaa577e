package servertest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"lockstep/internal/freeport"
)

// readyTime bounds the start of a process on a busy machine.
const readyTime = time.Minute

// Process is a program that tests start, disturb and start again. It is used
// by one goroutine, but for Log and Signal.
type Process struct {
	// Name tells it from others in a message.
	Name string

	path  string
	args  []string
	env   []string
	ready func(context.Context) bool

	cmd    *exec.Cmd
	log    *lockedBuffer
	exited chan error
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

// Launch starts the process (again), without waiting until it is ready.
func (p *Process) Launch() error {
	p.cmd = exec.Command(p.path, p.args...) // #nosec G204 -- the binary that was built here
	p.cmd.Env = append(os.Environ(), p.env...)
	p.cmd.Stderr, p.cmd.Stdout = p.log, p.log
	if err := p.cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", p.Name, err)
	}
	exited := make(chan error, 1)
	p.exited = exited
	cmd := p.cmd
	go func() { exited <- cmd.Wait() }()
	return nil
}

// Restart starts the process (again), on the same addresses and data, and
// waits until it is ready.
func (p *Process) Restart(ctx context.Context) error {
	if err := p.Launch(); err != nil {
		return err
	}
	return p.WaitReady(ctx)
}

// WaitReady waits until the process says that it is ready.
func (p *Process) WaitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readyTime)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case err := <-p.exited:
			p.exited <- err
			return fmt.Errorf("%s ended before it was ready: %w\n%s", p.Name, errors.Join(err), tail(p.Log(), 30))
		case <-ctx.Done():
			return fmt.Errorf("%s is not ready: %w\n%s", p.Name, ctx.Err(), tail(p.Log(), 30))
		case <-tick.C:
			if p.ready(ctx) {
				return nil
			}
		}
	}
}

// Log is what the process has written so far, over all its starts.
func (p *Process) Log() string { return p.log.String() }

// Kill ends the process by SIGKILL and waits for it. Killing a dead one does
// nothing.
func (p *Process) Kill() {
	if p.cmd == nil || p.cmd.Process == nil {
		return
	}
	_ = p.cmd.Process.Kill()
	err := <-p.exited
	p.exited <- err
}

// Stop asks the process to drain (SIGTERM) and returns its exit code.
func (p *Process) Stop() int {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	err := <-p.exited
	p.exited <- err
	return p.cmd.ProcessState.ExitCode()
}

// Signal sends a signal to the process.
func (p *Process) Signal(sig syscall.Signal) error { return p.cmd.Process.Signal(sig) }

// WaitExit waits until the process ends and returns the signal that ended it;
// zero if it ended by itself.
func (p *Process) WaitExit(ctx context.Context) (syscall.Signal, error) {
	select {
	case <-ctx.Done():
		return 0, fmt.Errorf("%s still runs: %w", p.Name, ctx.Err())
	case err := <-p.exited:
		p.exited <- err
	}
	status, ok := p.cmd.ProcessState.Sys().(syscall.WaitStatus)
	if ok && status.Signaled() {
		return status.Signal(), nil
	}
	return 0, nil
}

// endWith ends the process with the test, and shows its log if that failed.
func (p *Process) endWith(t testing.TB) {
	t.Helper()
	t.Cleanup(func() {
		p.Kill()
		if t.Failed() {
			t.Logf("log of %s, without requests:\n%s", p.Name, tail(withoutRequests(p.Log()), 60))
		}
	})
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

// freeAddress is one that stays free for a server of the test while it is down.
func freeAddress(t testing.TB) string {
	t.Helper()
	port, err := freeport.Take(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
}
