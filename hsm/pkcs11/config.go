package pkcs11

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"time"

	"lockstep"
)

// The defaults of Config.
const (
	DefaultLabel       = "lockstep-root"
	DefaultMaxSessions = 16
	DefaultPoolWait    = 5 * time.Second
	DefaultRetryAfter  = 500 * time.Millisecond
	maxRetryAfter      = 30 * time.Second
	maxPIN             = 256
)

// Config says which token holds the root key and how to log in to it.
type Config struct {
	// Module is the path of the vendor's PKCS#11 library.
	Module string
	// TokenLabel selects the token.
	TokenLabel string
	// PIN is the user PIN, as ReadPIN returns it.
	PIN string
	// Label names the keys on the token; empty means DefaultLabel.
	Label string
	// Generate lets Open make the keys if there are none yet.
	Generate bool
	// MaxSessions bounds the sessions held open, at least 2; zero means
	// DefaultMaxSessions.
	MaxSessions int
	// PoolWait is how long a call waits for a free session before it fails
	// with lockstep.ErrBusy; zero means DefaultPoolWait.
	PoolWait time.Duration
	// RetryAfter is how long the supervisor waits after its first failed
	// attempt to reach the token again; the wait doubles up to 30 seconds.
	// Zero means DefaultRetryAfter.
	RetryAfter time.Duration
}

// withDefaults checks the Config; the error is a lockstep.ErrInvalid.
func (c Config) withDefaults() (Config, error) {
	if c.Label == "" {
		c.Label = DefaultLabel
	}
	if c.MaxSessions == 0 {
		c.MaxSessions = DefaultMaxSessions
	}
	if c.PoolWait == 0 {
		c.PoolWait = DefaultPoolWait
	}
	if c.RetryAfter == 0 {
		c.RetryAfter = DefaultRetryAfter
	}
	switch {
	case c.Module == "":
		return c, fmt.Errorf("the path of the PKCS#11 module is missing: %w", lockstep.ErrInvalid)
	case c.TokenLabel == "":
		return c, fmt.Errorf("the token's label is missing: %w", lockstep.ErrInvalid)
	case c.MaxSessions < 2 || c.PoolWait < 0 || c.RetryAfter < 0:
		return c, fmt.Errorf("the number of sessions must be 2 or more, waits must not be negative: %w", lockstep.ErrInvalid)
	}
	if info, err := os.Stat(c.Module); err != nil || !info.Mode().IsRegular() {
		return c, fmt.Errorf("there is no PKCS#11 module at %s; install the vendor's library or correct the path: %w", c.Module, lockstep.ErrInvalid)
	}
	return c, nil
}

// ReadPINFile reads a PIN from a file that its owner alone may access. Errors:
// lockstep.ErrInvalid if others may, if it is empty or too long; the file
// system's own.
func ReadPINFile(path string) (string, error) {
	f, err := os.Open(path) // #nosec G304 -- the operator names the PIN file
	if err != nil {
		return "", fmt.Errorf("read PIN: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return "", fmt.Errorf("read PIN: %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return "", fmt.Errorf("read PIN: group or others may access %s (mode %04o); run chmod 0600 on it and change the PIN: %w",
			path, info.Mode().Perm(), lockstep.ErrInvalid)
	}
	return ReadPIN(f)
}

// ReadPIN reads a PIN from r, such as an inherited descriptor, to its end; one
// line end after it is dropped. It fails with lockstep.ErrInvalid if there is
// none or it is longer than 256 bytes.
func ReadPIN(r io.Reader) (string, error) {
	text, err := io.ReadAll(io.LimitReader(r, maxPIN+3))
	if err != nil {
		return "", fmt.Errorf("read PIN: %w", err)
	}
	defer clear(text)
	pin := bytes.TrimSuffix(bytes.TrimSuffix(text, []byte("\n")), []byte("\r"))
	if len(pin) == 0 || len(pin) > maxPIN {
		return "", fmt.Errorf("read PIN: it must have 1 to %d bytes: %w", maxPIN, lockstep.ErrInvalid)
	}
	return string(pin), nil
}
