package node

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"lockstep"
	"lockstep/bus"
	"lockstep/hsm/file"
	"lockstep/internal/clusterfiles"
	"lockstep/internal/localca"
)

// openCA opens the certificate authority, or makes it: under a lock if nodes
// share its directory, which may be one that they cannot write to once it is
// there.
func (n *Node) openCA(context.Context) error {
	if !n.cfg.has(RoleAPI) {
		return nil
	}
	dir := n.cfg.CADir
	if dir == "" {
		dir = n.cfg.DataDir
	}
	err := withLock(dir, func() (err error) {
		n.ca, err = localca.Open(dir)
		return err
	})
	if err != nil {
		return fmt.Errorf("open certificate authority: %w", err)
	}
	return nil
}

// withLock runs fn while no other process is in it for the same directory; but
// without a lock if the authority is there already.
func withLock(dir string, fn func() error) error {
	if _, err := os.Stat(filepath.Join(dir, localca.CertFile)); !errors.Is(err, fs.ErrNotExist) {
		return fn()
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(filepath.Join(dir, "ca.lock"), os.O_RDWR|os.O_CREATE, 0o600) // #nosec G304 -- the operator names the directory
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != nil { // #nosec G115 -- a file descriptor fits
		return err
	}
	return fn()
}

// external says how the NATS cluster beside us is reached.
func (c Config) external() (*bus.External, error) {
	e := &bus.External{URL: c.NATSURL}
	var err error
	if e.TLS, err = c.natsTLS(); err != nil {
		return nil, err
	}
	if c.NATSLogin == "" {
		return e, nil
	}
	l, err := clusterfiles.ReadLogin(c.NATSLogin)
	if err != nil {
		return nil, fmt.Errorf("--nats-login: %w", err)
	}
	e.User, e.Password, e.CredsFile = l.User, l.Password, l.Creds
	if l.Callout != nil && c.has(RoleAPI) {
		e.Callout = &bus.Callout{
			IssuerSeed: l.Callout.IssuerSeed, XKeySeed: l.Callout.XKeySeed, Account: l.Callout.Account,
			User: l.Callout.User, Password: l.Callout.Password,
		}
	}
	return e, nil
}

// natsTLS is nil if the URL's scheme and the system's roots are to decide.
func (c Config) natsTLS() (*tls.Config, error) {
	if c.NATSCA == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(c.NATSCA)
	if err != nil {
		return nil, fmt.Errorf("--nats-ca: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, invalid("--nats-ca %s holds no certificate", c.NATSCA)
	}
	return &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}, nil
}

// replicas is how many NATS servers hold each stream.
func (c Config) replicas() int {
	switch {
	case c.NATSReplicas != 0:
		return c.NATSReplicas
	case strings.Count(c.NATSURL, ",") >= 2:
		return 3
	}
	return 1
}

// name tells this node from others that share its store, and stays the same
// over restarts as far as it can. A SQLite store is nobody else's.
func (n *Node) name() string {
	switch {
	case n.cfg.ownStore():
		return ""
	case n.cfg.NodeName != "":
		return n.cfg.NodeName
	}
	host, err := os.Hostname()
	if err != nil {
		host = "localhost"
	}
	if n.cfg.DataDir == "" {
		return fmt.Sprintf("%s:%d", host, os.Getpid())
	}
	dir, err := filepath.Abs(n.cfg.DataDir)
	if err != nil {
		dir = n.cfg.DataDir
	}
	return host + ":" + dir
}

// dropLoser removes the credentials that this node made for a root user whom
// another node made in the same moment.
func dropLoser(path string, err error) error {
	if !errors.Is(err, lockstep.ErrConflict) {
		return err
	}
	return os.Remove(path)
}

// MakeRootKey makes the file of a root key. Errors: ErrExists (wrapped) if
// there is one.
func MakeRootKey(path string) error {
	key, err := file.Create(file.Config{Path: path})
	if err != nil {
		return err
	}
	return key.Close()
}
