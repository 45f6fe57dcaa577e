package custom

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"time"

	"lockstep/rotators"
)

// subprocess is a function that runs beside the worker, as its user: a command
// for /bin/sh. It gets the event with the credentials on standard input, and
// nothing in its arguments or its environment, which holds only what a program
// needs to find its files. Exit code 0 is "done".
type subprocess struct {
	command string
	timeout time.Duration
}

// graceTime is how long pipes are read after the process has ended: a child
// that got away may hold them open.
const graceTime = 500 * time.Millisecond

// Timeout implements rotators.Function.
func (s *subprocess) Timeout() time.Duration { return s.timeout }

// Invoke implements rotators.Function.
func (s *subprocess) Invoke(ctx context.Context, c rotators.Call) error {
	raw, err := body(c)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, "/bin/sh", "-c", s.command) // #nosec G204 -- registered by somebody who may, on a server that allows it
	var out, errOut bounded
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(raw), &out, &errOut
	cmd.Env, cmd.Dir = environment(), os.TempDir()
	cmd.SysProcAttr = ownGroup()
	cmd.Cancel = func() error { return killGroup(cmd.Process.Pid) }
	cmd.WaitDelay = graceTime
	// The death of this thread would kill the child, where the system can tell
	// a child of its parent's death.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := cmd.Start(); err != nil {
		return notReached(fmt.Errorf("start the command: %w", err))
	}
	err = cmd.Wait()
	_ = killGroup(cmd.Process.Pid) // what it left behind
	return s.outcome(ctx, err, &out, &errOut)
}

// outcome reads how the command ended. Of what it printed, the last line of
// standard output counts if it is an answer; of all else, only the size is told.
func (s *subprocess) outcome(ctx context.Context, err error, out, errOut *bounded) error {
	printed := fmt.Sprintf("it printed %d bytes to standard output and %d to standard error, which are not shown since they may hold a secret", out.size, errOut.size)
	var exit *exec.ExitError
	switch {
	case err == nil, errors.Is(err, exec.ErrWaitDelay) && ctx.Err() == nil:
		return nil
	case ctx.Err() != nil:
		return failed(fmt.Errorf("the command did not end within %s and was killed; %s", s.timeout, printed))
	case errors.As(err, &exit) && exit.ExitCode() >= 0:
		how := fmt.Sprintf("the command ended with exit code %d", exit.ExitCode())
		if words := readSaid(out.lastLine()); words != "" {
			how += ": " + words
		}
		return failed(fmt.Errorf("%s (%s)", how, printed))
	}
	return failed(fmt.Errorf("the command ended by itself: %w; %s", err, printed))
}

// environment is what a program needs to find its files, out of the worker's:
// the rest of that may hold the worker's own credentials.
func environment() []string {
	var env []string
	for _, name := range []string{"PATH", "HOME", "TMPDIR", "LANG", "LC_ALL", "TZ", "USER", "LOGNAME"} {
		if v, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+v)
		}
	}
	return env
}

// bounded keeps the end of what is written to it, and counts all.
type bounded struct {
	kept []byte
	size int64
}

// Write implements io.Writer; it never fails.
func (b *bounded) Write(p []byte) (int, error) {
	b.size += int64(len(p))
	n := len(p)
	if len(p) > maxAnswer {
		p = p[len(p)-maxAnswer:]
	}
	if over := len(b.kept) + len(p) - maxAnswer; over > 0 {
		b.kept = append(b.kept[:0], b.kept[over:]...)
	}
	b.kept = append(b.kept, p...)
	return n, nil
}

func (b *bounded) lastLine() []byte {
	text := strings.TrimSpace(string(b.kept))
	return []byte(text[strings.LastIndexByte(text, '\n')+1:])
}

// killGroup kills a process and all its descendants that did not leave its
// group on purpose.
func killGroup(pid int) error {
	err := syscall.Kill(-pid, syscall.SIGKILL)
	if errors.Is(err, syscall.ESRCH) {
		return os.ErrProcessDone
	}
	return err
}
