package node

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"lockstep"
	"lockstep/internal/egress"
	"lockstep/runs"
)

// Config says how a node runs. The zero value of a field means its default.
type Config struct {
	// Roles are the parts of the work that the node takes on; default all. The
	// others are left to nodes that share its Store and NATSURL.
	Roles []Role
	// NodeName tells the node from others on the same store, and stays the same
	// over restarts; default made of the host and DataDir.
	NodeName string
	// DataDir holds what the node keeps for itself (mode 0700). Required if
	// NeedsDataDir.
	DataDir string
	// RootKey names the root key, as internal/rootkey reads it; default what the
	// store was last used with, else root.key in DataDir. Nodes that share a
	// store need the same one.
	RootKey string
	// CADir holds the certificate authority; default DataDir. API nodes that
	// share a store share it.
	CADir string
	// Listen is the HTTP address; default 127.0.0.1:7400. Port 0 takes a free
	// one.
	Listen string
	// PlainHTTP serves HTTP without TLS; only on a loopback address.
	PlainHTTP bool
	// NATSListen is the address for subscribers; default 127.0.0.1:7422.
	NATSListen string
	// NATSURL, if set, names an external NATS cluster (its servers' URLs with
	// commas between them); none is embedded then.
	NATSURL string
	// NATSLogin is the file with the login to it (clusterfiles.Login), NATSCA
	// one with the authorities to trust; empty: no login, the system's roots.
	NATSLogin, NATSCA string
	// NATSClientURL is where applications reach the cluster; default NATSURL.
	NATSClientURL string
	// NATSReplicas is how many of its servers hold each stream; default 3 if
	// NATSURL names as many, else 1.
	NATSReplicas int
	// MetricsListen is the address for /healthz, /readyz and /metrics, in clear
	// and without a login; empty: none.
	MetricsListen string
	// OTLPEndpoint is where traces go, by OTLP over HTTP; empty: as
	// OpenTelemetry's variables say, and nowhere without them.
	OTLPEndpoint string
	// DrainDelay is how long a node that ends goes on to answer requests while
	// /readyz says that it ends, so that balancers notice; default none.
	DrainDelay time.Duration
	// Store is "sqlite:PATH" or "postgres://…"; default sqlite in DataDir.
	Store string
	// RootKeyAway is how long master keys may be used while the root key cannot
	// be reached; default 15 minutes.
	RootKeyAway time.Duration
	// MinInterval is the shortest interval of a schedule; default one minute.
	MinInterval time.Duration
	// Regions are those served; the first is home. Default us-east-1.
	Regions []lockstep.Region
	// Account owns everything; default 000000000000.
	Account lockstep.AccountID
	// TrustedProxies are the networks whose X-Forwarded-For and
	// X-Forwarded-Proto headers are believed; default none.
	TrustedProxies []netip.Prefix
	// Limits is how many Runs may be under way at once; the zero value has safe
	// ones (1000 in all, 64 at one target).
	Limits runs.Limits
	// Workers is how many Jobs are carried at once; default 16.
	Workers int
	// Lease is how long a claim lasts without a heartbeat, and how long a call
	// to a target may take effect at the most; default 10 seconds.
	Lease time.Duration
	// AllowExecRotators lets commands be registered as rotators, which the
	// worker runs as its own user; default not.
	AllowExecRotators bool
	// Egress are the kinds of addresses that rotators may call over HTTP beside
	// public ones, where a secret's value names the URL: egress.AllowLoopback,
	// egress.AllowPrivate. Default none.
	Egress []string
	// CallbackURL is where rotation functions find the API; default this node's
	// own, if it has the role api.
	CallbackURL string
	// Audit says how the audit log is kept.
	Audit AuditConfig
	// Version is what the status endpoint reports.
	Version string
	Logger  *slog.Logger
}

var (
	accountPattern = regexp.MustCompile(`^[0-9]{12}$`)
	regionPattern  = regexp.MustCompile(`^([a-z]+-)+[0-9]+$`)
)

// withDefaults fills the defaults in and checks the rest. Errors: ErrInvalid,
// naming the flag.
func (c Config) withDefaults() (Config, error) {
	if len(c.Roles) == 0 {
		c.Roles = AllRoles()
	}
	if c.DataDir == "" && c.NeedsDataDir() {
		return c, invalid("--data-dir is required")
	}
	setDefault(&c.Listen, "127.0.0.1:7400")
	setDefault(&c.NATSListen, "127.0.0.1:7422")
	setDefault(&c.Store, "sqlite:"+filepath.Join(c.DataDir, "lockstep.db"))
	setDefault(&c.Account, "000000000000")
	setDefault(&c.RootKeyAway, 15*time.Minute)
	setDefault(&c.MinInterval, time.Minute)
	setDefault(&c.Workers, 16)
	setDefault(&c.Lease, 10*time.Second)
	if len(c.Regions) == 0 {
		c.Regions = []lockstep.Region{"us-east-1"}
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c, c.check()
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

func (c Config) check() error {
	if err := c.checkRoles(); err != nil {
		return err
	}
	if !accountPattern.MatchString(string(c.Account)) {
		return invalid("--account %q: an account is twelve digits, for example 000000000000", c.Account)
	}
	for _, r := range c.Regions {
		if !regionPattern.MatchString(string(r)) {
			return invalid("--regions: %q is no region name, for example us-east-1", r)
		}
	}
	if c.MinInterval < 100*time.Millisecond {
		return invalid("--min-interval %s: at least 100ms", c.MinInterval)
	}
	if c.RootKeyAway < time.Second || c.RootKeyAway > 24*time.Hour {
		return invalid("--root-key-away %s: from 1s to 24h", c.RootKeyAway)
	}
	if c.Lease < time.Second || c.Lease > 10*time.Minute {
		return invalid("--lease %s: from 1s to 10m", c.Lease)
	}
	if err := c.Audit.check(); err != nil {
		return err
	}
	if err := checkAddress("--listen", c.Listen); err != nil {
		return err
	}
	if c.PlainHTTP && !isLoopback(c.Listen) {
		return invalid("--http serves without encryption and is allowed on a loopback address alone; --listen is %s", c.Listen)
	}
	if c.DrainDelay < 0 {
		return invalid("--drain-delay %s: not below zero", c.DrainDelay)
	}
	if c.MetricsListen != "" {
		if err := checkAddress("--metrics-listen", c.MetricsListen); err != nil {
			return err
		}
	}
	if err := egress.CheckKinds(c.Egress); err != nil {
		return invalid("--egress: %s", err)
	}
	if c.CallbackURL != "" {
		if u, err := url.Parse(c.CallbackURL); err != nil || u.Host == "" || (u.Scheme != "https" && u.Scheme != "http") {
			return invalid("--callback-url %q: a URL such as https://lockstep.example:7400", c.CallbackURL)
		}
	}
	return c.checkNATS()
}

func (c Config) checkNATS() error {
	if c.NATSURL == "" {
		if c.NATSLogin != "" || c.NATSCA != "" || c.NATSClientURL != "" || c.NATSReplicas != 0 {
			return invalid("--nats-login, --nats-ca, --nats-client-url and --nats-replicas are about a NATS cluster; name it by --nats-url")
		}
		return checkAddress("--nats-listen", c.NATSListen)
	}
	for u := range strings.SplitSeq(c.NATSURL, ",") {
		if _, err := url.Parse(strings.TrimSpace(u)); err != nil {
			return invalid("--nats-url: not a URL such as tls://nats1:4222")
		}
	}
	return nil
}

func checkAddress(flag, address string) error {
	if _, _, err := net.SplitHostPort(address); err != nil {
		return invalid("%s %q: an address is host:port, for example 127.0.0.1:7400", flag, address)
	}
	return nil
}

func isLoopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	ip := net.ParseIP(host)
	return strings.EqualFold(host, "localhost") || (ip != nil && ip.IsLoopback())
}

// ConfigError is a Config that cannot work: a mistake in how the server was
// called, not a failure of what it runs on.
type ConfigError struct{ Err error }

func (e *ConfigError) Error() string { return e.Err.Error() }

// Unwrap returns what is wrong; it is an ErrInvalid.
func (e *ConfigError) Unwrap() error { return e.Err }

func invalid(format string, args ...any) error {
	return fmt.Errorf(format+": %w", append(args, lockstep.ErrInvalid)...)
}

// errInUse says that another process uses the data directory.
var errInUse = errors.New("data directory is in use")
