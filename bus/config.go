package bus

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"regexp"
	"strconv"
	"time"

	"lockstep"
)

// The defaults of a Config.
const (
	DefaultAckWait   = 15 * time.Second
	DefaultMaxStore  = 4 << 30
	DefaultReadyWait = time.Minute
)

// Config says which NATS to use, and how.
type Config struct {
	// Dir is the JetStream directory of the embedded server (created with mode
	// 0700); one process at a time may use it. Required unless External is set.
	Dir string
	// Listen is the address for applications, for example "127.0.0.1:7422".
	// Empty: none, the server can be reached in the process only. Port 0 takes
	// a free port. It needs TLS and an Authorizer. Not used with External.
	Listen string
	// TLS is the listener's certificate; TLS 1.3 is enforced.
	TLS *tls.Config
	// External, if set, is a NATS server or cluster that is run by others; no
	// server is embedded.
	External *External
	// Authorizer decides who may listen to what. Nil: nobody may.
	Authorizer Authorizer
	// Replicas is how many servers hold each stream: 1 (default), 3 or 5.
	Replicas int
	// MaxStore bounds the bytes of all streams on disk; 0: 4 GiB.
	MaxStore int64
	// AckWait is how long a Job may go without a sign of life from its worker
	// before it is delivered again; 0: 15 s.
	AckWait time.Duration
	// SyncAlways makes the embedded server fsync each message before it
	// acknowledges it. Correctness does not need it; it costs two thirds to
	// nine tenths of the throughput.
	SyncAlways bool
	// ReadyWait bounds the start of the embedded server, recovery of its
	// streams included; 0: one minute.
	ReadyWait time.Duration
	// Audit makes the stream for copies of audit logs.
	Audit bool
	// Logger gets what the server has to say; nil: discarded.
	Logger *slog.Logger
}

// External is how to reach a NATS server that others run. At most one kind of
// credential is needed; all may be empty.
type External struct {
	// URL is one or more server URLs, separated by commas.
	URL string
	// CredsFile is a NATS credentials file.
	CredsFile string
	// User and Password are a plain login.
	User, Password string
	// TLS is for the client side; nil: as the URL's scheme says, with the
	// system's roots.
	TLS *tls.Config
	// Callout, if set, answers the cluster's authorization callout.
	Callout *Callout
}

// Callout holds the keys that an external cluster's auth_callout block names
// the public halves of. The seeds are secrets.
type Callout struct {
	// IssuerSeed is the seed of the account key "issuer"; XKeySeed of "xkey".
	IssuerSeed, XKeySeed string
	// Account is the account that applications are placed in: the one where
	// the streams are.
	Account string
	// User and Password log in to the account that the callout is asked in.
	User, Password string
}

var tokenPattern = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

// withDefaults returns the Config with its defaults filled in.
// Errors: ErrInvalid.
func (c Config) withDefaults() (Config, error) {
	if c.Replicas == 0 {
		c.Replicas = 1
	}
	if c.MaxStore == 0 {
		c.MaxStore = DefaultMaxStore
	}
	if c.AckWait == 0 {
		c.AckWait = DefaultAckWait
	}
	if c.ReadyWait == 0 {
		c.ReadyWait = DefaultReadyWait
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c, c.check()
}

func (c Config) check() error {
	switch {
	case c.Replicas != 1 && c.Replicas != 3 && c.Replicas != 5:
		return fmt.Errorf("replicas must be 1, 3 or 5, not %d: %w", c.Replicas, lockstep.ErrInvalid)
	case c.MaxStore < 1<<20:
		return fmt.Errorf("the streams need room for at least 1 MiB: %w", lockstep.ErrInvalid)
	case c.AckWait < 0 || c.ReadyWait < 0:
		return fmt.Errorf("negative duration: %w", lockstep.ErrInvalid)
	case c.External != nil && c.External.URL == "":
		return fmt.Errorf("external NATS needs a URL: %w", lockstep.ErrInvalid)
	case c.External != nil:
		return nil
	case c.Dir == "":
		return fmt.Errorf("the embedded NATS server needs a directory: %w", lockstep.ErrInvalid)
	case c.Replicas != 1:
		return fmt.Errorf("the embedded NATS server is a single one; more replicas need an external cluster: %w", lockstep.ErrInvalid)
	case c.Listen != "" && (c.TLS == nil || c.Authorizer == nil):
		return fmt.Errorf("a NATS listener needs TLS and an authorizer: %w", lockstep.ErrInvalid)
	}
	return nil
}

// listenAddress takes Listen apart as nats-server wants it: -1 is a free port.
func listenAddress(listen string) (host string, port int, err error) {
	host, p, err := net.SplitHostPort(listen)
	if err != nil {
		return "", 0, fmt.Errorf("NATS listen address %q: %v: %w", listen, err, lockstep.ErrInvalid)
	}
	port, err = strconv.Atoi(p)
	if err != nil || port < -1 || port > 65535 {
		return "", 0, fmt.Errorf("NATS listen address %q: not a port: %w", listen, lockstep.ErrInvalid)
	}
	if port == 0 {
		port = -1
	}
	return host, port, nil
}
