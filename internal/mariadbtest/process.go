package mariadbtest

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

// errEnded means that the server's process ended while it was being started.
var errEnded = errors.New("the server ended at once")

// process is one life of the server: mariadbd itself and its guard.
type process struct {
	cmd *exec.Cmd
	// ended is closed when mariadbd has ended and was waited for.
	ended chan struct{}
	// guard waits for the end of lifeline, which the system closes with us.
	guard    *exec.Cmd
	lifeline io.WriteCloser
}

// guardScript kills the server and removes its directory when its standard
// input ends without a word, that is, when our process is gone. The process
// number cannot be another's meanwhile: only we could have waited for the
// server, and we would have said so.
const guardScript = `read -r _ && exit 0
kill -KILL "$1" 2>/dev/null
while kill -0 "$1" 2>/dev/null; do sleep 0.05; done
rm -rf "$2"`

func (s *Server) start(ctx context.Context) error {
	binary, err := exec.LookPath("mariadbd")
	if err != nil {
		binary = "/usr/sbin/mariadbd"
	}
	log, err := os.OpenFile(s.ErrorLog(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	// Not CommandContext: ctx bounds the start alone.
	cmd := exec.Command(binary, s.arguments()...) // #nosec G204 -- the server that was found, with our own arguments
	cmd.Dir, cmd.Stdout, cmd.Stderr = s.dir, log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: s.owner, Setpgid: true}
	if err := cmd.Start(); err != nil {
		return err
	}
	p := &process{cmd: cmd, ended: make(chan struct{})}
	if err := p.startGuard(s.dir); err != nil {
		return errors.Join(err, cmd.Process.Kill(), cmd.Wait())
	}
	go func() {
		defer close(p.ended)
		// How it ended is in its log; that it ended is all we need.
		_ = cmd.Wait()
	}()
	s.process = p
	if err := s.awaitReady(ctx, p); err != nil {
		return errors.Join(err, s.stop(context.WithoutCancel(ctx)))
	}
	return nil
}

func (p *process) startGuard(dir string) error {
	p.guard = exec.Command("/bin/sh", "-c", guardScript, "sh", strconv.Itoa(p.cmd.Process.Pid), dir) // #nosec G204 -- our own script, with a number and our own directory
	p.guard.Dir = "/"
	p.guard.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	var err error
	if p.lifeline, err = p.guard.StdinPipe(); err != nil {
		return err
	}
	return p.guard.Start()
}

// stop ends the server in good order, after ten seconds by force. A second stop
// does nothing.
func (s *Server) stop(ctx context.Context) error {
	p := s.process
	if p == nil {
		return nil
	}
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		if err := p.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
			return err
		}
		if p.waitEnd(ctx) {
			break
		}
	}
	<-p.ended
	s.process = nil
	_, err := io.WriteString(p.lifeline, "done\n")
	return errors.Join(err, p.lifeline.Close(), p.guard.Wait())
}

func (p *process) waitEnd(ctx context.Context) bool {
	timer := time.NewTimer(10 * time.Second)
	defer timer.Stop()
	select {
	case <-p.ended:
		return true
	case <-timer.C:
	case <-ctx.Done():
	}
	return false
}

// awaitReady returns once the server lets root in.
func (s *Server) awaitReady(ctx context.Context, p *process) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := s.Exec(ctx, "DO 1")
		if err == nil {
			return nil
		}
		select {
		case <-p.ended:
			return fmt.Errorf("%w: %s", errEnded, s.logTail())
		case <-ctx.Done():
			return fmt.Errorf("not ready: %w: %w: %s", ctx.Err(), err, s.logTail())
		case <-tick.C:
		}
	}
}

func (s *Server) logTail() string {
	b, err := os.ReadFile(s.ErrorLog())
	if err != nil {
		return "its log cannot be read: " + err.Error()
	}
	return strings.TrimSpace(string(b[max(0, len(b)-2000):]))
}
