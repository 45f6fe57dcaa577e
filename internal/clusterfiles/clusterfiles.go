// Package clusterfiles makes and reads the files that the processes of one
// Lockstep cluster must agree on: the root key, the certificate authority, and
// the login to the NATS servers beside them. Everything else that nodes share
// is in PostgreSQL.
//
// Init writes them into one directory, from which an operator hands each
// machine what it needs:
//
//	root.key                 nodes with the role api or worker
//	ca/ca.pem, ca-key.pem    nodes with the role api
//	ca/ca.pem                all nodes, and applications
//	nats-login.yaml          all nodes
//	nats/accounts.conf       all NATS servers, beside deploy/nats/nats.conf
//	nats/ca.pem              all NATS servers
//	nats/HOST.pem, HOST-key.pem  the NATS server on that host
//
// A second Init over the same directory keeps what is secret and makes the NATS
// servers' certificates anew: that is how they are renewed.
package clusterfiles

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/nats-io/nkeys"

	"lockstep"
	"lockstep/internal/localca"
)

// The names of what Init writes.
const (
	RootKeyFile  = "root.key"
	CADir        = "ca"
	LoginFile    = "nats-login.yaml"
	NATSDir      = "nats"
	AccountsFile = "accounts.conf"
)

// CertificateLife is how long a NATS server's certificate lasts.
const CertificateLife = 2 * 365 * 24 * time.Hour

// The accounts and users of the NATS cluster. The callout has an account of its
// own, so that login tokens never pass where applications are.
const (
	account        = "LOCKSTEP"
	calloutAccount = "LOCKSTEP_AUTH"
	engineUser     = "engine"
	calloutUser    = "callout"
)

// Config says what Init makes.
type Config struct {
	// Dir is where the files go; made with mode 0700.
	Dir string
	// NATSHosts are the names or addresses that the NATS servers are reached
	// by; each gets a certificate, which also holds for loopback. At least one.
	NATSHosts []string
	// RootKey makes the root key at a path and returns lockstep.ErrExists if
	// there is one.
	RootKey func(path string) error
}

// Init writes the files; see the package's comment. Errors: ErrInvalid for a
// Config without hosts, or a directory with some of the files only.
func Init(c Config) error {
	if c.Dir == "" || len(c.NATSHosts) == 0 || c.RootKey == nil {
		return fmt.Errorf("make cluster files: a directory and at least one NATS host are needed: %w", lockstep.ErrInvalid)
	}
	nats := filepath.Join(c.Dir, NATSDir)
	if err := os.MkdirAll(nats, 0o700); err != nil {
		return fmt.Errorf("make cluster files: %w", err)
	}
	if err := c.RootKey(filepath.Join(c.Dir, RootKeyFile)); err != nil && !errors.Is(err, lockstep.ErrExists) {
		return fmt.Errorf("make cluster files: %w", err)
	}
	ca, err := localca.Open(filepath.Join(c.Dir, CADir))
	if err != nil {
		return fmt.Errorf("make cluster files: %w", err)
	}
	if err := logins(c.Dir); err != nil {
		return fmt.Errorf("make cluster files: %w", err)
	}
	for _, host := range c.NATSHosts {
		if err := certify(ca, nats, host); err != nil {
			return fmt.Errorf("make cluster files: %w", err)
		}
	}
	return nil
}

// certify writes a host's certificate beside a copy of the authority's.
func certify(ca *localca.CA, dir, host string) error {
	if strings.ContainsAny(host, `/\`) || host == "" || host == "ca" {
		return fmt.Errorf("NATS host %q is no name or address: %w", host, lockstep.ErrInvalid)
	}
	authority, err := os.ReadFile(ca.CertPath())
	if err != nil {
		return fmt.Errorf("read certificate authority: %w", err)
	}
	if err := os.WriteFile(filepath.Join(dir, localca.CertFile), authority, 0o600); err != nil {
		return fmt.Errorf("copy certificate authority: %w", err)
	}
	return ca.WritePeer(filepath.Join(dir, host), []string{host}, CertificateLife)
}

// logins draws keys and passwords, unless both files are there.
func logins(dir string) error {
	login, accounts := filepath.Join(dir, LoginFile), filepath.Join(dir, NATSDir, AccountsFile)
	haveLogin, haveAccounts := exists(login), exists(accounts)
	switch {
	case haveLogin && haveAccounts:
		return nil
	case haveLogin != haveAccounts:
		return fmt.Errorf("%s and %s belong together, and one of them is missing: put it back, or remove the other: %w", login, accounts, lockstep.ErrInvalid)
	}
	issuer, err1 := nkeys.CreateAccount()
	xkey, err2 := nkeys.CreateCurveKeys()
	if err := errors.Join(err1, err2); err != nil {
		return fmt.Errorf("draw authorization keys: %w", err)
	}
	issuerSeed, err1 := issuer.Seed()
	xkeySeed, err2 := xkey.Seed()
	issuerPublic, err3 := issuer.PublicKey()
	xkeyPublic, err4 := xkey.PublicKey()
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		return fmt.Errorf("draw authorization keys: %w", err)
	}
	l := Login{User: engineUser, Password: rand.Text(), Callout: &CalloutLogin{
		IssuerSeed: string(issuerSeed), XKeySeed: string(xkeySeed), Account: account, User: calloutUser, Password: rand.Text(),
	}}
	text := fmt.Sprintf(accountsText, account, engineUser, l.Password, calloutAccount, calloutUser, l.Callout.Password,
		issuerPublic, xkeyPublic, calloutAccount, engineUser, calloutUser)
	if err := create(accounts, []byte(text)); err != nil {
		return err
	}
	return l.write(login)
}

const accountsText = `# Made by "lockstep cluster init"; nats-login.yaml is the other half.
accounts {
  %s { jetstream: enabled, users: [ { user: %s, password: "%s" } ] }
  %s { users: [ { user: %s, password: "%s" } ] }
}
authorization {
  timeout: 5
  auth_callout { issuer: %s, xkey: %s, account: %s, auth_users: [ %s, %s ] }
}
`

func exists(path string) bool {
	_, err := os.Stat(path)
	return !errors.Is(err, fs.ErrNotExist)
}
