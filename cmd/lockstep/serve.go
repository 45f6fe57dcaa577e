package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"lockstep"
	"lockstep/internal/harden"
	"lockstep/internal/node"
)

// settings are the flags of serve; the same names, with dashes, are the keys
// of the --config file.
type settings struct {
	DataDir     string   `yaml:"data-dir"`
	Listen      string   `yaml:"listen"`
	HTTP        bool     `yaml:"http"`
	NATSListen  string   `yaml:"nats-listen"`
	NATSURL     string   `yaml:"nats-url"`
	Store       string   `yaml:"store"`
	RootKey     string   `yaml:"root-key"`
	RootAway    string   `yaml:"root-key-away"`
	MinInterval string   `yaml:"min-interval"`
	Regions     []string `yaml:"regions"`
	Account     string   `yaml:"account"`
	Workers     int      `yaml:"workers"`
	Lease       string   `yaml:"lease"`
	Proxies     []string `yaml:"trusted-proxies"`
	LogFormat   string   `yaml:"log-format"`
	LogLevel    string   `yaml:"log-level"`
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
	f.StringVar(&s.Listen, "listen", "127.0.0.1:7400", "address of the API")
	f.BoolVar(&s.HTTP, "http", false, "serve plain HTTP (loopback addresses only)")
	f.StringVar(&s.NATSListen, "nats-listen", "127.0.0.1:7422", "address for event subscribers")
	f.StringVar(&s.NATSURL, "nats-url", "", "use this NATS cluster instead of the embedded one")
	f.StringVar(&s.Store, "store", "", "sqlite:PATH or postgres://… (default sqlite in the data directory)")
	f.StringVar(&s.RootKey, "root-key", "", "file:PATH or pkcs11:token=…;object=…?module-path=…&pin-source=… (default what the store was last used with, else root.key in the data directory)")
	f.StringVar(&s.RootAway, "root-key-away", "15m", "how long reads go on while the root key cannot be reached")
	f.StringVar(&s.MinInterval, "min-interval", "1m", "shortest interval between two rotations of a secret")
	f.StringSliceVar(&s.Regions, "regions", []string{"us-east-1"}, "regions served; the first is home")
	f.StringVar(&s.Account, "account", "000000000000", "account that owns everything")
	f.IntVar(&s.Workers, "workers", 16, "rotations carried at once")
	f.StringVar(&s.Lease, "lease", "10s", "how long a worker's claim lasts without a heartbeat")
	f.StringSliceVar(&s.Proxies, "trusted-proxies", nil, "networks of reverse proxies whose X-Forwarded-… headers are believed (10.0.0.0/8)")
	f.StringVar(&s.LogFormat, "log-format", "json", "json or text")
	f.StringVar(&s.LogLevel, "log-level", "info", "debug, info, warn or error")
	f.StringVar(&config, "config", "", "YAML file with these settings; flags outrank it")
	return cmd
}

// merge reads the config file under the flags that were given.
func (s *settings) merge(flags *pflag.FlagSet, config string) error {
	s.DataDir = dataDirOf(flags)
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
	restore := map[string]func(){
		"data-dir": func() { s.DataDir = given.DataDir }, "listen": func() { s.Listen = given.Listen },
		"http": func() { s.HTTP = given.HTTP }, "nats-listen": func() { s.NATSListen = given.NATSListen },
		"nats-url": func() { s.NATSURL = given.NATSURL }, "store": func() { s.Store = given.Store },
		"root-key": func() { s.RootKey = given.RootKey }, "root-key-away": func() { s.RootAway = given.RootAway },
		"min-interval": func() { s.MinInterval = given.MinInterval }, "regions": func() { s.Regions = given.Regions },
		"account": func() { s.Account = given.Account }, "workers": func() { s.Workers = given.Workers },
		"lease": func() { s.Lease = given.Lease }, "log-format": func() { s.LogFormat = given.LogFormat },
		"log-level":       func() { s.LogLevel = given.LogLevel },
		"trusted-proxies": func() { s.Proxies = given.Proxies },
	}
	flags.Visit(func(f *pflag.Flag) {
		if back := restore[f.Name]; back != nil {
			back()
		}
	})
	return nil
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
	cfg := node.Config{
		DataDir: s.DataDir, Listen: s.Listen, PlainHTTP: s.HTTP, NATSListen: s.NATSListen, NATSURL: s.NATSURL,
		Store: s.Store, MinInterval: minInterval, Account: lockstep.AccountID(s.Account), Workers: s.Workers,
		RootKey: s.RootKey, RootKeyAway: rootAway,
		Lease: lease, Version: version, Logger: slog.New(handler),
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
	if errors.Is(err, lockstep.ErrInvalid) {
		return &usageError{err}
	}
	if err != nil {
		return err
	}
	if err := writeConnection(s.DataDir, connection{Endpoint: n.URL(), NATSURL: n.NATSURL(), Region: string(cfg.Regions[0])}); err != nil {
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
