package pgserver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"time"
)

// errEnded means that the server's process ended while it was being started.
var errEnded = errors.New("the server ended at once")

// process is one life of the server: postgres itself and its guard.
type process struct {
	cmd *exec.Cmd
	// ended is closed when postgres has ended and was waited for.
	ended chan struct{}
	// guard waits for the end of lifeline, which the system closes with us.
	guard    *exec.Cmd
	lifeline io.WriteCloser
}

// guardScript stops the server and removes its directory when its standard
// input ends without a word, that is, when our process is gone. A line means
// that all is done already. The process number cannot be another's meanwhile:
// only we could have waited for the server, and we would have said so.
const guardScript = `read -r _ && exit 0
kill -QUIT "$1" 2>/dev/null
while kill -0 "$1" 2>/dev/null; do sleep 0.05; done
rm -rf "$2"`

func (s *Server) startProcess(ctx context.Context) error {
	log, err := os.OpenFile(s.LogPath(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("open server log: %w", err)
	}
	defer log.Close()
	if err := s.own(s.LogPath()); err != nil {
		return err
	}
	// Not CommandContext: ctx bounds the start alone.
	cmd := exec.Command(filepath.Join(s.bin, "postgres"), s.arguments()...) // #nosec G204 -- PostgreSQL binaries that were found, with our own arguments
	cmd.Dir, cmd.Stdout, cmd.Stderr = s.dir, log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: s.owner, Setpgid: true}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start postgres: %w", err)
	}
	p := &process{cmd: cmd, ended: make(chan struct{})}
	if err := s.startGuard(p); err != nil {
		return errors.Join(err, cmd.Process.Kill(), cmd.Wait())
	}
	go func() {
		defer close(p.ended)
		// How it ended is in its log; that it ended is all we need.
		_ = cmd.Wait()
	}()
	s.process = p
	if err := s.awaitReady(ctx, p); err != nil {
		return errors.Join(err, s.stopProcess(context.WithoutCancel(ctx)))
	}
	return nil
}

func (s *Server) arguments() []string {
	settings := map[string]string{
		"listen_addresses":        Host,
		"unix_socket_directories": "",
		"max_connections":         "200",
		"shared_buffers":          "32MB",
		"timezone":                "UTC",
		"log_timezone":            "UTC",
	}
	if !s.cfg.Durable {
		settings["fsync"] = "off"
		settings["full_page_writes"] = "off"
		settings["synchronous_commit"] = "off"
	}
	for k, v := range s.cfg.Settings {
		settings[k] = v
	}
	args := []string{"-D", s.data(), "-p", strconv.Itoa(s.port)}
	names := make([]string, 0, len(settings))
	for k := range settings {
		names = append(names, k)
	}
	slices.Sort(names)
	for _, k := range names {
		args = append(args, "-c", k+"="+settings[k])
	}
	return args
}

func (s *Server) startGuard(p *process) error {
	p.guard = exec.Command("/bin/sh", "-c", guardScript, "sh", strconv.Itoa(p.cmd.Process.Pid), s.dir) // #nosec G204 -- PostgreSQL binaries that were found, with our own arguments
	p.guard.Dir = "/"
	p.guard.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	var err error
	if p.lifeline, err = p.guard.StdinPipe(); err != nil {
		return fmt.Errorf("start guard of postgres: %w", err)
	}
	if err := p.guard.Start(); err != nil {
		return fmt.Errorf("start guard of postgres: %w", err)
	}
	return nil
}

// stopProcess ends the server: fast shutdown, then immediate, then by force.
func (s *Server) stopProcess(ctx context.Context) error {
	p := s.process
	if p == nil {
		return nil
	}
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGQUIT, syscall.SIGKILL} {
		err := p.cmd.Process.Signal(sig)
		if err != nil && !errors.Is(err, os.ErrProcessDone) {
			return fmt.Errorf("stop private PostgreSQL: %w", err)
		}
		if p.waitEnd(ctx, 10*time.Second) {
			break
		}
	}
	<-p.ended
	s.process = nil
	s.log.DebugContext(ctx, "private PostgreSQL stopped", "port", s.port)
	return p.releaseGuard()
}

func (p *process) waitEnd(ctx context.Context, patience time.Duration) bool {
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

func (p *process) releaseGuard() error {
	_, err := io.WriteString(p.lifeline, "done\n")
	if err := errors.Join(err, p.lifeline.Close(), p.guard.Wait()); err != nil {
		return fmt.Errorf("release guard of postgres: %w", err)
	}
	return nil
}
