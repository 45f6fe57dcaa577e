package file

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"lockstep"
)

// writeOnce makes the file with its whole content, durably, or fails with
// lockstep.ErrExists. The content is written and synced under a passing name
// and then linked to the real one: unlike a rename, that never replaces a file
// which another process made meanwhile.
func writeOnce(path string, content []byte) (err error) {
	dir := filepath.Dir(path)
	temp, err := os.CreateTemp(dir, ".root-key-*") // mode 0600
	if err != nil {
		return err
	}
	defer func() {
		err = errors.Join(err, os.Remove(temp.Name()))
		if err == nil {
			err = syncDir(dir)
		}
	}()
	if err := writeSynced(temp, content); err != nil {
		return err
	}
	err = os.Link(temp.Name(), path)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("there is a file already: %w", lockstep.ErrExists)
	}
	return err
}

func writeSynced(f *os.File, content []byte) error {
	_, err := f.Write(content)
	if err == nil {
		err = f.Chmod(0o600)
	}
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// syncDir makes the directory's entries durable.
func syncDir(dir string) error {
	d, err := os.Open(dir) // #nosec G304 -- the operator names the key file
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// readPrivate reads a regular file that its owner alone may access. The mode
// is that of the open file, so it cannot be swapped between check and read.
func readPrivate(path string) ([]byte, error) {
	f, err := os.Open(path) // #nosec G304 -- the operator names the key file
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("there is none; restore it from its backup, or let a new one be made for a new store: %w", lockstep.ErrNotFound)
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	switch mode := info.Mode(); {
	case !mode.IsRegular():
		return nil, fmt.Errorf("it is no regular file: %w", lockstep.ErrInvalid)
	case mode.Perm()&0o077 != 0:
		return nil, fmt.Errorf("group or others may access it (mode %04o); run chmod 0600 on it, and rotate what it protected if they could have read it: %w",
			mode.Perm(), lockstep.ErrInvalid)
	}
	text, err := io.ReadAll(io.LimitReader(f, maxFileSize+1))
	if err != nil {
		return nil, err
	}
	if len(text) > maxFileSize {
		return nil, fmt.Errorf("it is too long to be a root key file: %w", lockstep.ErrInvalid)
	}
	return text, nil
}
