package node

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"lockstep"
)

// lockDir makes the data directory (0700) and takes its lock, which ends with
// the process, however it ends. Errors: ErrBusy (wrapped) naming the process
// that has it.
func lockDir(dir string) (*os.File, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make data directory: %w", err)
	}
	path := filepath.Join(dir, "lock")
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600) // #nosec G304 -- the operator names the directory
	if err != nil {
		return nil, fmt.Errorf("open lock file: %w", err)
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) // #nosec G115 -- a file descriptor fits
	if errors.Is(err, unix.EWOULDBLOCK) {
		holder := readHolder(path)
		_ = f.Close()
		return nil, fmt.Errorf("%w: %s is used by another lockstep server%s; stop it, or choose another --data-dir (%w)", errInUse, dir, holder, lockstep.ErrBusy)
	}
	if err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("lock data directory: %w", err)
	}
	if err := f.Truncate(0); err == nil {
		_, _ = fmt.Fprintf(f, "%d\n", os.Getpid())
	}
	return f, nil
}

func readHolder(path string) string {
	b, err := os.ReadFile(path) // #nosec G304 -- see lockDir
	if err != nil || len(b) == 0 {
		return ""
	}
	return " (process " + strings.TrimSpace(string(b)) + ")"
}
