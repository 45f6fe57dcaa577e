package privateserver

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/user"
	"strconv"
	"syscall"

	"lockstep/internal/freeport"
)

// Host is where private servers listen.
const Host = "127.0.0.1"

// Owner is the user that a server runs as which refuses to run as root: the
// first of names that the system knows. Nil, ourselves, for everybody but root.
func Owner(names ...string) (*syscall.Credential, error) {
	if os.Getuid() != 0 {
		return nil, nil
	}
	for _, name := range names {
		u, err := user.Lookup(name)
		if _, unknown := errors.AsType[user.UnknownUserError](err); unknown {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("find a user to run the server as: %w", err)
		}
		uid, errUID := strconv.ParseUint(u.Uid, 10, 32)
		gid, errGID := strconv.ParseUint(u.Gid, 10, 32)
		if err := errors.Join(errUID, errGID); err != nil {
			return nil, fmt.Errorf("read ids of user %s: %w", name, err)
		}
		return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
	}
	return nil, fmt.Errorf("find a user to run the server as: none of %v exists", names)
}

// Give makes an owner the owner of files; nil owns what it makes.
func Give(owner *syscall.Credential, paths ...string) error {
	if owner == nil {
		return nil
	}
	for _, p := range paths {
		if err := os.Chown(p, int(owner.Uid), int(owner.Gid)); err != nil {
			return fmt.Errorf("give the server its files: %w", err)
		}
	}
	return nil
}

// Write makes a file that the owner alone reads.
func Write(owner *syscall.Credential, path, text string) error {
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		return fmt.Errorf("write a server's file: %w", err)
	}
	return Give(owner, path)
}

// OnFreePort calls start with a free port, and again with another one if the
// server ended at once: somebody took the first one in between. Errors: start's.
func OnFreePort(ctx context.Context, start func(port int) error) error {
	const tries = 5
	var last error
	for range tries {
		port, err := freeport.Take(ctx)
		if err != nil {
			return err
		}
		if last = start(port); !errors.Is(last, ErrEnded) {
			return last
		}
	}
	return last
}
