package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"lockstep"
	"lockstep/api"
	"lockstep/api/kms"
	"lockstep/api/secretsmanager"
	v1 "lockstep/api/v1"
	"lockstep/auth"
	"lockstep/bus"
	"lockstep/events"
	"lockstep/internal/fault"
	"lockstep/keeper"
	"lockstep/rotators/postgres"
	"lockstep/runs"
	"lockstep/scheduler"
	"lockstep/store"
	"lockstep/store/sqlstore"
	"lockstep/workers"
)

// openStore opens the database.
func (n *Node) openStore(ctx context.Context) error {
	s, err := sqlstore.Open(ctx, sqlstore.Config{DSN: n.cfg.Store, Logger: n.log.With("part", "store")})
	if err != nil {
		return fmt.Errorf("open store: %w", err)
	}
	n.database, n.store = s, fault.Store(s)
	return nil
}

// buildEngine makes the registry, keeper and runs.
func (n *Node) buildEngine(context.Context) error {
	single, err := postgres.NewSingle(postgres.Config{})
	if err != nil {
		return err
	}
	alternating, err := postgres.NewAlternating(postgres.Config{})
	if err != nil {
		return err
	}
	n.targets = append(n.targets, single, alternating)
	err = errors.Join(
		n.registry.Register(postgres.NameSingle, fault.Rotator(single)),
		n.registry.Register(postgres.NameAlternating, fault.Rotator(alternating)),
	)
	if err != nil {
		return err
	}
	n.keeper = keeper.New(n.store, n.keys, n.registry)
	n.runs = runs.New(runs.Config{
		Store: n.store, Vault: n.keeper, Rotators: n.registry,
		MinInterval: n.cfg.MinInterval, Lease: n.cfg.Lease,
	})
	return nil
}

// startBus starts NATS and the relay.
func (n *Node) startBus(ctx context.Context) error {
	logins, err := n.logins()
	if err != nil {
		return err
	}
	cfg := bus.Config{Authorizer: logins, AckWait: n.cfg.Lease, Logger: n.log.With("part", "bus")}
	if n.cfg.NATSURL != "" {
		cfg.External = &bus.External{URL: n.cfg.NATSURL}
	} else {
		cfg.Dir = n.path("jetstream")
		cfg.Listen = n.cfg.NATSListen
		cfg.TLS = n.ca.ServerConfig(n.hosts())
	}
	if n.bus, err = bus.Start(ctx, cfg); err != nil {
		return fmt.Errorf("start NATS: %w", err)
	}
	n.relay, err = events.New(events.Config{
		Store: n.store, Publisher: fault.Publisher(n.bus), Streams: n.bus, Node: n.name(), Logger: n.log.With("part", "relay"),
	})
	if err != nil {
		return err
	}
	return n.relay.Start(n.life)
}

// name tells this node from others that share its store: a directory of a
// host. A SQLite store is nobody else's.
func (n *Node) name() string {
	if strings.HasPrefix(n.cfg.Store, "sqlite:") {
		return ""
	}
	host, err := os.Hostname()
	if err != nil {
		host = "localhost"
	}
	dir, err := filepath.Abs(n.cfg.DataDir)
	if err != nil {
		dir = n.cfg.DataDir
	}
	return host + ":" + dir
}

// startWork starts the workers and the scheduler.
func (n *Node) startWork(ctx context.Context) error {
	if err := fault.Listen(n.life); err != nil {
		return err
	}
	var err error
	if n.queue, err = n.bus.Jobs(ctx, bus.DefaultPool, n.cfg.Workers); err != nil {
		return fmt.Errorf("open job queue: %w", err)
	}
	n.pool, err = workers.New(workers.Config{
		Queue: n.queue, Engine: n.runs, Vault: n.keeper, Rotators: n.registry,
		Workers: n.cfg.Workers, AckWait: n.cfg.Lease, Logger: n.log.With("part", "worker"),
	})
	if err != nil {
		return err
	}
	n.pool.Start(fault.Worker(n.life))
	wake, unsubscribe := n.store.Subscribe(store.TopicSchedule)
	n.unsubscribe = unsubscribe
	n.scheduler, err = scheduler.New(scheduler.Config{
		Engine: n.runs, Wake: wake, Logger: n.log.With("part", "scheduler"),
		Tasks: []scheduler.Task{
			{Name: "purge deleted secrets", Spec: "@every 10s", Do: n.purge},
			{Name: "keep keys", Spec: "@every 5s", Do: n.keys.Maintain},
		},
	})
	if err != nil {
		return err
	}
	return n.scheduler.Start(n.life)
}

// purgeBatch is how many Secrets one transaction purges.
const purgeBatch = 50

func (n *Node) purge(ctx context.Context) error {
	for {
		done, err := n.runs.Purge(ctx, purgeBatch)
		if err != nil || done < purgeBatch {
			return err
		}
	}
}

// serve starts the HTTP face.
func (n *Node) serve(ctx context.Context) error {
	handler, err := n.handler()
	if err != nil {
		return err
	}
	n.http = api.NewServer(handler, n.log.With("part", "http"))
	n.listener, err = (&net.ListenConfig{}).Listen(ctx, "tcp", n.cfg.Listen)
	if errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("listen on %s: %w: %w; stop what uses the address, or choose another --listen", n.cfg.Listen, lockstep.ErrBusy, err)
	}
	if err != nil {
		return fmt.Errorf("listen on %s: %w; choose another --listen", n.cfg.Listen, err)
	}
	serve := n.http.Serve
	if !n.cfg.PlainHTTP {
		n.http.TLSConfig = n.ca.ServerConfig(n.hosts())
		serve = func(l net.Listener) error { return n.http.ServeTLS(l, "", "") }
	}
	go func() {
		if err := serve(n.listener); !errors.Is(err, http.ErrServerClosed) {
			n.served <- err
		}
	}()
	return nil
}

func (n *Node) handler() (http.Handler, error) {
	verifier, err := n.verifier()
	if err != nil {
		return nil, err
	}
	guard := auth.NewGuard(nil)
	masterKeys, err := kms.New(kms.Config{Keys: n.keys, Guard: guard})
	if err != nil {
		return nil, err
	}
	secrets, err := secretsmanager.New(secretsmanager.Config{
		Keeper: n.keeper, Rotations: n.runs, Guard: guard, Keys: masterKeys, PageKey: n.keys.Derive("page-tokens"),
	})
	if err != nil {
		return nil, err
	}
	regions := make([]string, 0, len(n.cfg.Regions))
	for _, r := range n.cfg.Regions {
		regions = append(regions, string(r))
	}
	admin, err := v1.New(v1.Config{
		Secrets: n.keeper, History: n.runs, Rotations: n.runs, Changes: n.store, Guard: guard,
		Identities: n.access.identities, Keys: n.keys, Backups: n, Home: n.cfg.Regions[0],
		Status: v1.Status{Version: n.cfg.Version, Regions: regions, NATSURL: n.bus.ClientURL()},
	})
	if err != nil {
		return nil, err
	}
	return api.New(api.Config{
		Verifier: verifier,
		Services: []api.AWSService{
			{Prefix: secretsmanager.TargetPrefix, Scope: "secretsmanager", Service: secrets},
			{Prefix: kms.TargetPrefix, Scope: kms.Scope, Service: masterKeys},
		},
		Admin: admin, Log: n.log.With("part", "api"), Ready: n.ready,
		TrustedProxies: n.cfg.TrustedProxies,
	})
}

// ready tells whether the node can do its work: store, root key, NATS.
func (n *Node) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	_, _, err := n.runs.NextDue(ctx)
	if err != nil {
		return fmt.Errorf("store: %w", err)
	}
	if err := n.keys.Ready(ctx); err != nil {
		return fmt.Errorf("root key: %w", err)
	}
	if err := n.bus.Health(ctx); err != nil {
		return fmt.Errorf("NATS: %w", err)
	}
	return nil
}

// LogHandler makes a log handler of the given format, "json" or "text".
// Errors: ErrInvalid for another.
func LogHandler(format string, w interface{ Write([]byte) (int, error) }, level slog.Leveler) (slog.Handler, error) {
	options := &slog.HandlerOptions{Level: level}
	switch format {
	case "json":
		return slog.NewJSONHandler(w, options), nil
	case "text":
		return slog.NewTextHandler(w, options), nil
	}
	return nil, invalid("--log-format %q: json or text", format)
}
