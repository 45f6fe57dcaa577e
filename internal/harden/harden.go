// Package harden keeps what is in a server's memory out of files: no core dump
// is written, no debugger of the same user attaches, and where the system allows
// it no page goes to swap.
//
// What a system does not allow is told and not fatal: a container often may not
// lock memory, and then swap has to be off or encrypted.
package harden

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// Report tells what holds.
type Report struct {
	// NoCoreDumps: neither the limit nor the kernel lets the process be dumped.
	NoCoreDumps bool
	// Locked: no page of the process goes to swap.
	Locked bool
	// Why says what was not allowed; nil if all was.
	Why error
}

// Process hardens the process that calls it, for good.
func Process() Report {
	var r Report
	dumps := noCoreDumps()
	locked := lockMemory()
	r.NoCoreDumps, r.Locked = dumps == nil, locked == nil
	r.Why = errors.Join(dumps, locked)
	return r
}

func noCoreDumps() error {
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}); err != nil {
		return fmt.Errorf("forbid core dumps: %w", err)
	}
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("forbid core dumps: %w", err)
	}
	return nil
}

// errLimited: locking part of the memory would make the next allocation over
// the limit fail, which ends a Go program.
var errLimited = errors.New("the limit on locked memory is not \"unlimited\" (systemd: LimitMEMLOCK=infinity; containers: --ulimit memlock=-1 and the capability IPC_LOCK)")

func lockMemory() error {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_MEMLOCK, &limit); err != nil {
		return fmt.Errorf("lock memory: %w", err)
	}
	if limit.Cur != unix.RLIM_INFINITY {
		return fmt.Errorf("lock memory: %w", errLimited)
	}
	// Pages are locked once they are used: Go reserves far more than it needs.
	if err := unix.Mlockall(unix.MCL_CURRENT | unix.MCL_FUTURE | unix.MCL_ONFAULT); err != nil {
		return fmt.Errorf("lock memory: %w", err)
	}
	return nil
}
