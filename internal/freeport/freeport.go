// Package freeport finds ports for servers that have to keep theirs: those that
// tests and the demo kill and start again.
//
// The usual way, to listen on port 0 and close again, gives a port of the range
// from which the system also takes the ports of outgoing connections: while
// the server is down, any connection on the machine may get it, and the server
// cannot come back. So ports come from below that range, and each is claimed by
// a locked file for as long as the process lives that asked for it: other
// processes that ask here do not get it either.
package freeport

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
)

// The range of ports: below what Linux (32768) and others (49152) use for
// outgoing connections, above what most servers have as their default.
const (
	first = 20000
	count = 10000
)

// errTaken tells of a port that somebody else has.
var errTaken = errors.New("taken")

// Take finds a TCP port of 127.0.0.1 on which nobody listens and which nobody
// else gets from here while this process lives. Errors: none is left; the
// directory for temporary files cannot be written.
func Take(ctx context.Context) (int, error) {
	dir := filepath.Join(os.TempDir(), "lockstep-ports-"+strconv.Itoa(os.Getuid()))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return 0, fmt.Errorf("claim a port: %w", err)
	}
	from := rand.IntN(count) // #nosec G404 -- which one it is does not matter
	for i := range count {
		port := first + (from+i)%count
		err := claim(ctx, dir, port)
		if err == nil {
			return port, nil
		}
		if !errors.Is(err, errTaken) {
			return 0, fmt.Errorf("claim port %d: %w", port, err)
		}
	}
	return 0, fmt.Errorf("claim a port: all from %d to %d are taken", first, first+count-1)
}

// claim takes one port, if nobody else has it.
func claim(ctx context.Context, dir string, port int) error {
	file, err := os.OpenFile(filepath.Join(dir, strconv.Itoa(port)), os.O_CREATE|os.O_RDWR, 0o600) // #nosec G304 -- a number in our own directory
	if err != nil {
		return err
	}
	if err := lock(file); err != nil {
		return errors.Join(err, file.Close())
	}
	var config net.ListenConfig
	l, err := config.Listen(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		return errors.Join(errTaken, file.Close())
	}
	keep(file) // its lock goes with the process
	return l.Close()
}
