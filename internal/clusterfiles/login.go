package clusterfiles

import (
	"fmt"
	"os"

	"github.com/goccy/go-yaml"

	"lockstep"
)

// Login is how Lockstep's nodes log in to a NATS cluster that is run beside
// them: the content of the file that --nats-login names. It holds passwords
// and seeds; its String says nothing.
type Login struct {
	// User and Password are a plain login; Creds is a NATS credentials file
	// instead. All empty: no login.
	User     string `yaml:"user,omitempty"`
	Password string `yaml:"password,omitempty"`
	Creds    string `yaml:"creds,omitempty"`
	// Callout are the keys of the cluster's authorization callout, which nodes
	// with the role api answer; nil: applications are not let in by Lockstep.
	Callout *CalloutLogin `yaml:"callout,omitempty"`
}

// CalloutLogin is the secret half of an auth_callout block.
type CalloutLogin struct {
	// IssuerSeed and XKeySeed belong to its "issuer" and "xkey".
	IssuerSeed string `yaml:"issuer-seed"`
	XKeySeed   string `yaml:"xkey-seed"`
	// Account is the one that the streams are in.
	Account string `yaml:"account"`
	// User and Password log in where the callout is asked.
	User     string `yaml:"user"`
	Password string `yaml:"password"`
}

// String hides everything.
func (Login) String() string { return "a NATS login" }

// GoString hides everything.
func (Login) GoString() string { return "a NATS login" }

// ReadLogin reads a login file. Errors: ErrInvalid if others may read the file
// or it is not of this form (its content is not repeated).
func ReadLogin(path string) (Login, error) {
	var l Login
	info, err := os.Stat(path)
	if err != nil {
		return l, fmt.Errorf("read NATS login: %w", err)
	}
	if info.Mode().Perm()&0o027 != 0 {
		return l, fmt.Errorf("read NATS login: %s can be read by others (mode %04o): chmod 600 it: %w", path, info.Mode().Perm(), lockstep.ErrInvalid)
	}
	raw, err := os.ReadFile(path) // #nosec G304 -- the operator names the file
	if err != nil {
		return l, fmt.Errorf("read NATS login: %w", err)
	}
	if err := yaml.UnmarshalWithOptions(raw, &l, yaml.Strict()); err != nil {
		// The library's words show lines of the file.
		return Login{}, fmt.Errorf("read NATS login: %s is not of the form that `lockstep cluster init` writes: %w", path, lockstep.ErrInvalid)
	}
	return l, nil
}

func (l Login) write(path string) error {
	raw, err := yaml.Marshal(l)
	if err != nil {
		return fmt.Errorf("write NATS login: %w", err)
	}
	return create(path, raw)
}

// create makes a private file that was not there.
func create(path string, content []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600) // #nosec G304 -- below the operator's directory
	if err != nil {
		return fmt.Errorf("make file: %w", err)
	}
	_, err = f.Write(content)
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}
