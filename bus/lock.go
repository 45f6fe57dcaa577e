package bus

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"lockstep"
)

// lockDir takes the directory for this process. The NATS server has no lock of
// its own: a second one would open the same streams and damage them. The lock
// goes with the process, however it ends.
// Errors: ErrBusy if another process (or this one) holds it.
func lockDir(dir string) (*os.File, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("create JetStream directory: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600) // #nosec G304 -- a file in our own data directory
	if err != nil {
		return nil, fmt.Errorf("open lock of JetStream directory: %w", err)
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if err == nil {
		return f, nil
	}
	_ = f.Close()
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return nil, fmt.Errorf("JetStream directory %s is in use by another process: %w", dir, lockstep.ErrBusy)
	}
	return nil, fmt.Errorf("lock JetStream directory: %w", err)
}
