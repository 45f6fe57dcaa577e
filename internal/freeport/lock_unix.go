//go:build unix

package freeport

import (
	"errors"
	"os"
	"syscall"
)

// lock claims a file for this process. Errors: errTaken.
func lock(file *os.File) error {
	err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return errTaken
	}
	return err
}
