package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"lockstep"
	"lockstep/internal/harden"
	"lockstep/internal/node"
	"lockstep/runs"
)

// settings are the flags of serve; the same names, with dashes, are the keys
// of the --config file.
type settings struct {
	Roles       []string `yaml:"roles"`
	NodeName    string   `yaml:"node-name"`
	DataDir     string   `yaml:"data-dir"`
	CADir       string   `yaml:"ca-dir"`
	Listen      string   `yaml:"listen"`
	HTTP        bool     `yaml:"http"`
	NATSListen  string   `yaml:"nats-listen"`
	NATSURL     string   `yaml:"nats-url"`
	NATSLogin   string   `yaml:"nats-login"`
	NATSCA      string   `yaml:"nats-ca"`
	NATSClient  string   `yaml:"nats-client-url"`
	Replicas    int      `yaml:"nats-replicas"`
	Metrics     string   `yaml:"metrics-listen"`
	OTLP        string   `yaml:"otlp-endpoint"`
	DrainDelay  string   `yaml:"drain-delay"`
	Store       string   `yaml:"store"`
	RootKey     string   `yaml:"root-key"`
	RootAway    string   `yaml:"root-key-away"`
	MinInterval string   `yaml:"min-interval"`
	Regions     []string `yaml:"regions"`
	Account     string   `yaml:"account"`
	Workers     int      `yaml:"workers"`
	MaxRuns     int      `yaml:"max-runs"`
	PerTarget   int      `yaml:"max-runs-per-target"`
	PerRotator  int      `yaml:"max-runs-per-rotator"`
	Lease       string   `yaml:"lease"`
	Proxies     []string `yaml:"trusted-proxies"`
	LogFormat   string   `yaml:"log-format"`
	LogLevel    string   `yaml:"log-level"`
	AllowExec   bool     `yaml:"allow-exec-rotators"`
	Egress      []string `yaml:"egress"`
	Callback    string   `yaml:"callback-url"`
	Audit       string   `yaml:"audit"`
	AuditDir    string   `yaml:"audit-dir"`
	AuditKeep   string   `yaml:"audit-keep"`
	AuditSinks  []string `yaml:"audit-sink"`
	// defaultDir is true if nobody named the data directory.
	defaultDir bool
}

func newServe() *cobra.Command {
	var s settings
	var config string
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run the server",
		Long: `Run the server: API, scheduler, workers and the event stream in one process.

The first start makes the data directory, the root key, a certificate authority
(ca.pem) and the root user, whose access key is written to "credentials" there.
SIGTERM drains and ends with exit code 0.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := s.merge(cmd.Flags(), config); err != nil {
				return err
			}
			return serve(cmd.Context(), s, cmd.ErrOrStderr())
		},
	}
	f := cmd.Flags()
	f.StringSliceVar(&s.Roles, "roles", []string{"api", "scheduler", "worker", "relay"}, "parts of the work that this process takes on; the rest is left to others on the same store and NATS")
	f.StringVar(&s.NodeName, "node-name", "", "name among the nodes on one store (default made of host and data directory)")
	f.StringVar(&s.CADir, "ca-dir", "", "directory of the certificate authority (default the data directory)")
	f.StringVar(&s.Listen, "listen", "127.0.0.1:7400", "address of the API")
	f.BoolVar(&s.HTTP, "http", false, "serve plain HTTP (loopback addresses only)")
	f.StringVar(&s.NATSListen, "nats-listen", "127.0.0.1:7422", "address for event subscribers")
	f.StringVar(&s.NATSURL, "nats-url", "", "use this NATS cluster instead of the embedded one")
	f.StringVar(&s.NATSLogin, "nats-login", "", "file with the login to that cluster (lockstep cluster init makes one)")
	f.StringVar(&s.NATSCA, "nats-ca", "", "file with the authorities to trust there (default the system's)")
	f.StringVar(&s.NATSClient, "nats-client-url", "", "where applications reach that cluster (default --nats-url)")
	f.IntVar(&s.Replicas, "nats-replicas", 0, "servers that hold each stream (default 3 if --nats-url names three, else 1)")
	f.StringVar(&s.Metrics, "metrics-listen", "", "address of /metrics, /healthz and /readyz, in clear and without login; not served unless given")
	f.StringVar(&s.OTLP, "otlp-endpoint", "", "send traces to this OpenTelemetry collector, http://HOST:4318 (default $OTEL_EXPORTER_OTLP_ENDPOINT, else nowhere)")
	f.StringVar(&s.DrainDelay, "drain-delay", "0s", "at the end, how long /readyz says so before requests are refused")
	f.StringVar(&s.Store, "store", "", "sqlite:PATH or postgres://… (default sqlite in the data directory)")
	f.StringVar(&s.RootKey, "root-key", "", "file:PATH or pkcs11:token=…;object=…?module-path=…&pin-source=… (default what the store was last used with, else root.key in the data directory)")
	f.StringVar(&s.RootAway, "root-key-away", "15m", "how long reads go on while the root key cannot be reached")
	f.StringVar(&s.MinInterval, "min-interval", "1m", "shortest interval between two rotations of a secret")
	f.StringSliceVar(&s.Regions, "regions", []string{"us-east-1"}, "regions served; the first is home")
	f.StringVar(&s.Account, "account", "000000000000", "account that owns everything")
	f.IntVar(&s.Workers, "workers", 16, "rotations carried at once")
	f.IntVar(&s.MaxRuns, "max-runs", 1000, "rotations under way at once, over all nodes; others wait in their order")
	f.IntVar(&s.PerTarget, "max-runs-per-target", 64, "rotations under way at once at one target")
	f.IntVar(&s.PerRotator, "max-runs-per-rotator", 0, "rotations under way at once with one rotator; 0 for no bound")
	f.StringVar(&s.Lease, "lease", "10s", "how long a worker's claim lasts without a heartbeat")
	f.StringSliceVar(&s.Proxies, "trusted-proxies", nil, "networks of reverse proxies whose X-Forwarded-… headers are believed (10.0.0.0/8)")
	f.BoolVar(&s.AllowExec, "allow-exec-rotators", false, "let commands be registered as rotators; workers run them as their own user")
	f.StringSliceVar(&s.Egress, "egress", nil, "addresses that rotators may call over HTTP beside public ones: loopback, private")
	f.StringVar(&s.Callback, "callback-url", "", "where rotation functions find the API (default this server's own)")
	f.StringVar(&s.LogFormat, "log-format", "json", "json or text")
	f.StringVar(&s.LogLevel, "log-level", "info", "debug, info, warn or error")
	s.auditFlags(f)
	f.StringVar(&config, "config", "", "YAML file with these settings; flags outrank it")
	return cmd
}

// merge reads the config file under the flags that were given.
func (s *settings) merge(flags *pflag.FlagSet, config string) error {
	s.DataDir = dataDirOf(flags)
	s.defaultDir = !flags.Changed("data-dir") && os.Getenv("LOCKSTEP_DATA_DIR") == ""
	if config == "" {
		return nil
	}
	raw, err := os.ReadFile(config) // #nosec G304 -- the operator names the file
	if err != nil {
		return usagef("read --config: %w", err)
	}
	given := *s
	if err := yaml.UnmarshalWithOptions(raw, s, yaml.Strict()); err != nil {
		return usagef("read --config %s: %w", config, err)
	}
	s.restore(given, flags)
	s.defaultDir = s.defaultDir && s.DataDir == given.DataDir
	return nil
}

// restore takes back from given what was said by flags. A field's key in the
// file is the flag's name.
func (s *settings) restore(given settings, flags *pflag.FlagSet) {
	to, from := reflect.ValueOf(s).Elem(), reflect.ValueOf(given)
	for i := range to.NumField() {
		if flags.Changed(to.Type().Field(i).Tag.Get("yaml")) {
			to.Field(i).Set(from.Field(i))
		}
	}
}

// config turns the settings into a node's. Errors are usage errors.
func (s *settings) config(errOut io.Writer) (node.Config, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(s.LogLevel)); err != nil {
		return node.Config{}, usagef("--log-level %q: debug, info, warn or error", s.LogLevel)
	}
	handler, err := node.LogHandler(s.LogFormat, errOut, level)
	if err != nil {
		return node.Config{}, &usageError{err}
	}
	minInterval, err := time.ParseDuration(s.MinInterval)
	if err != nil {
		return node.Config{}, usagef("--min-interval %q: a duration such as 1m or 5s", s.MinInterval)
	}
	rootAway, err := time.ParseDuration(s.RootAway)
	if err != nil {
		return node.Config{}, usagef("--root-key-away %q: a duration such as 15m", s.RootAway)
	}
	lease, err := time.ParseDuration(s.Lease)
	if err != nil {
		return node.Config{}, usagef("--lease %q: a duration such as 10s", s.Lease)
	}
	delay, err := time.ParseDuration(s.DrainDelay)
	if err != nil {
		return node.Config{}, usagef("--drain-delay %q: a duration such as 5s", s.DrainDelay)
	}
	cfg := node.Config{
		NodeName: s.NodeName, DataDir: s.DataDir, RootKey: s.RootKey, CADir: s.CADir,
		Listen: s.Listen, PlainHTTP: s.HTTP, MetricsListen: s.Metrics, OTLPEndpoint: s.OTLP, DrainDelay: delay,
		NATSListen: s.NATSListen, NATSURL: s.NATSURL, NATSLogin: s.NATSLogin, NATSCA: s.NATSCA,
		NATSClientURL: s.NATSClient, NATSReplicas: s.Replicas,
		Store: s.Store, MinInterval: minInterval, Account: lockstep.AccountID(s.Account), Workers: s.Workers,
		RootKeyAway: rootAway,
		Limits:      runs.Limits{Total: s.MaxRuns, PerTarget: s.PerTarget, PerRotator: s.PerRotator},
		Lease:       lease, Version: version, Logger: slog.New(handler),
		AllowExecRotators: s.AllowExec, Egress: s.Egress, CallbackURL: s.Callback,
	}
	for _, r := range s.Roles {
		cfg.Roles = append(cfg.Roles, node.Role(r))
	}
	if s.defaultDir && !cfg.NeedsDataDir() {
		cfg.DataDir = "" // nobody asked for one, and nothing would be in it
	}
	if cfg.Audit, err = s.auditConfig(os.Stdout); err != nil {
		return node.Config{}, err
	}
	for _, r := range s.Regions {
		cfg.Regions = append(cfg.Regions, lockstep.Region(r))
	}
	for _, p := range s.Proxies {
		network, err := netip.ParsePrefix(p)
		if err != nil {
			return node.Config{}, usagef("--trusted-proxies %q: a network such as 10.0.0.0/8", p)
		}
		cfg.TrustedProxies = append(cfg.TrustedProxies, network)
	}
	return cfg, nil
}

// serve runs a node until the context ends.
func serve(ctx context.Context, s settings, errOut io.Writer) error {
	cfg, err := s.config(errOut)
	if err != nil {
		return err
	}
	hard := harden.Process()
	cfg.Logger.Info("memory", "coreDumpsOff", hard.NoCoreDumps, "locked", hard.Locked, "reason", hard.Why)
	n, err := node.Start(ctx, cfg)
	var mistake *node.ConfigError
	if errors.As(err, &mistake) {
		return &usageError{err}
	}
	if err != nil {
		return err
	}
	if err := leaveConnection(n, cfg); err != nil {
		n.Stop()
		return err
	}
	select {
	case <-ctx.Done():
		cfg.Logger.Info("draining")
		n.Stop()
		cfg.Logger.Info("stopped")
		return nil
	case err := <-n.Done():
		n.Stop()
		return fmt.Errorf("serve HTTP: %w", err)
	}
}

// leaveConnection tells the command line where an API node listens.
func leaveConnection(n *node.Node, cfg node.Config) error {
	if n.URL() == "" {
		return nil
	}
	c := connection{Endpoint: n.URL(), NATSURL: n.NATSURL(), Region: string(cfg.Regions[0])}
	if cfg.CADir != "" {
		var err error
		if c.CAFile, err = filepath.Abs(n.CAFile()); err != nil {
			return fmt.Errorf("find CA file: %w", err)
		}
	}
	return writeConnection(cfg.DataDir, c)
}
