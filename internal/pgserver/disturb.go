package pgserver

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// Crash ends the server at once, in the middle of whatever it does, as an
// immediate shutdown does: sessions are cut off and nothing is written out.
// Resume starts it again, and it recovers. Crashing a paused server does
// nothing.
func (s *Server) Crash(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.process == nil {
		return nil
	}
	err := s.process.Crash(ctx)
	s.process = nil
	return err
}

// FreezeAll halts the server and all its backends, as a machine that is paused:
// connections stay open, new ones are taken by the system, and nothing answers.
// It works where /proc is Linux's.
func (s *Server) FreezeAll() error { return s.signalAll(syscall.SIGSTOP) }

// ThawAll lets a frozen server go on.
func (s *Server) ThawAll() error { return s.signalAll(syscall.SIGCONT) }

func (s *Server) signalAll(sig syscall.Signal) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.process == nil {
		return nil
	}
	parent := s.process.PID()
	if err := signal(parent, sig); err != nil { // first: it starts no more
		return err
	}
	children, err := childrenOf(parent)
	if err != nil {
		return err
	}
	for _, pid := range children {
		if err := signal(pid, sig); err != nil && !errors.Is(err, syscall.ESRCH) {
			return err
		}
	}
	return nil
}

// childrenOf lists the processes whose parent is the one given.
func childrenOf(parent int) ([]int, error) {
	files, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	var out []int
	for _, name := range files {
		raw, err := os.ReadFile(name) // #nosec G304 -- the system's own files
		if err != nil {
			continue // it has ended
		}
		// The name in parentheses may hold anything; then: state, parent.
		fields := strings.Fields(string(raw[strings.LastIndexByte(string(raw), ')')+1:]))
		if len(fields) < 2 || fields[1] != strconv.Itoa(parent) {
			continue
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(name)))
		if err != nil {
			return nil, fmt.Errorf("list processes: %w", err)
		}
		out = append(out, pid)
	}
	return out, nil
}
