// Package privateserver runs somebody else's server program for our own use: a
// directory of its own, a free port on loopback, started until it answers and
// ended by its process number, so that nothing is shared with a server that the
// system may run. What is special to a kind of server (how it is made, how one
// asks whether it answers) comes from the packages that use this one.
//
// A server never outlives its process: a small guard (a shell that waits for the
// end of a pipe) ends it and removes its directory also when we are killed.
package privateserver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// ErrEnded means that the server's process ended while it was being started; its
// port may have been taken by somebody else.
var ErrEnded = errors.New("the server ended at once")

// Spec is a program to run. All fields but Owner, Env and Stop are needed.
type Spec struct {
	Path string
	Args []string
	// Env is added to our own environment.
	Env []string
	// Dir is the server's own directory; the guard removes it when we are gone.
	Dir string
	// Log is the file that it writes to, by itself or by standard output.
	Log string
	// Owner is whom it runs as; nil means ourselves.
	Owner *syscall.Credential
	// Ready asks the server once whether it answers.
	Ready func(ctx context.Context) error
	// Stop is sent one after the other, each with ten seconds; SIGKILL follows
	// by itself. Empty means SIGKILL alone. The guard sends the last.
	Stop []syscall.Signal
}

// Process is one life of a server. It is used by one goroutine at a time.
type Process struct {
	spec Spec
	cmd  *exec.Cmd
	// ended is closed when the server has ended and was waited for.
	ended chan struct{}
	// guard waits for the end of lifeline, which the system closes with us.
	guard    *exec.Cmd
	lifeline io.WriteCloser
}

// guardScript ends the server and removes its directory when its standard input
// ends without a word, that is, when our process is gone. A line means that all
// is done already. The process number cannot be another's meanwhile: only we
// could have waited for the server, and we would have said so.
const guardScript = `read -r _ && exit 0
kill -"$3" "$1" 2>/dev/null
while kill -0 "$1" 2>/dev/null; do sleep 0.05; done
rm -rf "$2"`

// Start starts a server and waits until it is ready; ctx bounds the start, not
// the server's life. Errors: ErrEnded with the end of its log; ctx's.
func Start(ctx context.Context, spec Spec) (*Process, error) {
	log, err := os.OpenFile(spec.Log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open server log: %w", err)
	}
	defer log.Close()
	if err := Give(spec.Owner, spec.Log); err != nil {
		return nil, err
	}
	// Not CommandContext: ctx bounds the start alone.
	cmd := exec.Command(spec.Path, spec.Args...) // #nosec G204 -- a server's program that was found, with our own arguments
	cmd.Dir, cmd.Stdout, cmd.Stderr = spec.Dir, log, log
	cmd.Env = append(os.Environ(), spec.Env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: spec.Owner, Setpgid: true}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", spec.Path, err)
	}
	p := &Process{spec: spec, cmd: cmd, ended: make(chan struct{})}
	if err := p.startGuard(); err != nil {
		return nil, errors.Join(err, cmd.Process.Kill(), cmd.Wait())
	}
	go func() {
		defer close(p.ended)
		// How it ended is in its log; that it ended is all we need.
		_ = cmd.Wait()
	}()
	if err := p.awaitReady(ctx); err != nil {
		return nil, errors.Join(err, p.Stop(context.WithoutCancel(ctx)))
	}
	return p, nil
}

func (p *Process) startGuard() error {
	last := syscall.SIGKILL
	if n := len(p.spec.Stop); n > 0 {
		last = p.spec.Stop[n-1]
	}
	p.guard = exec.Command("/bin/sh", "-c", guardScript, "sh", // #nosec G204 -- our own script, with numbers and our own directory
		strconv.Itoa(p.cmd.Process.Pid), p.spec.Dir, strconv.Itoa(int(last)))
	p.guard.Dir = "/"
	p.guard.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	var err error
	if p.lifeline, err = p.guard.StdinPipe(); err != nil {
		return fmt.Errorf("start guard of %s: %w", p.spec.Path, err)
	}
	if err := p.guard.Start(); err != nil {
		return fmt.Errorf("start guard of %s: %w", p.spec.Path, err)
	}
	return nil
}

func (p *Process) awaitReady(ctx context.Context) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := p.spec.Ready(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-p.ended:
			return fmt.Errorf("%w: %s", ErrEnded, p.logTail())
		case <-ctx.Done():
			return fmt.Errorf("not ready: %w: %w: %s", ctx.Err(), err, p.logTail())
		case <-tick.C:
		}
	}
}

func (p *Process) logTail() string {
	b, err := os.ReadFile(p.spec.Log)
	if err != nil {
		return "its log cannot be read: " + err.Error()
	}
	return strings.TrimSpace(string(b[max(0, len(b)-2000):]))
}

// PID is the number of the server's process.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Stop ends the server by the Spec's signals, waits for its end and lets the
// guard go; the directory stays. A second Stop does nothing. After ctx is over
// the next signal follows at once.
func (p *Process) Stop(ctx context.Context) error { return p.end(ctx, p.spec.Stop) }

// Kill is Stop by SIGKILL alone.
func (p *Process) Kill(ctx context.Context) error { return p.end(ctx, nil) }

// Crash is Stop by the last of the Spec's signals.
func (p *Process) Crash(ctx context.Context) error {
	return p.end(ctx, p.spec.Stop[max(0, len(p.spec.Stop)-1):])
}

// patience is how long a server may take to follow a signal.
const patience = 10 * time.Second

func (p *Process) end(ctx context.Context, signals []syscall.Signal) error {
	if p.lifeline == nil {
		return nil
	}
	for _, sig := range append(signals[:len(signals):len(signals)], syscall.SIGKILL) {
		if err := p.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
			return fmt.Errorf("stop %s: %w", p.spec.Path, err)
		}
		if p.waitEnd(ctx) {
			break
		}
	}
	<-p.ended
	_, err := io.WriteString(p.lifeline, "done\n")
	err = errors.Join(err, p.lifeline.Close(), p.guard.Wait())
	p.lifeline = nil
	if err != nil {
		return fmt.Errorf("release guard of %s: %w", p.spec.Path, err)
	}
	return nil
}

func (p *Process) waitEnd(ctx context.Context) bool {
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-p.ended:
		return true
	case <-timer.C:
	case <-ctx.Done():
	}
	return false
}
