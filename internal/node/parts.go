package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"syscall"

	"lockstep"
	"lockstep/api"
	"lockstep/api/kms"
	"lockstep/api/secretsmanager"
	"lockstep/api/sts"
	v1 "lockstep/api/v1"
	"lockstep/auth"
	"lockstep/bus"
	"lockstep/events"
	"lockstep/internal/fault"
	"lockstep/keeper"
	"lockstep/rotators/custom"
	"lockstep/rotators/mysql"
	"lockstep/rotators/postgres"
	"lockstep/runs"
	"lockstep/scheduler"
	"lockstep/store"
	"lockstep/store/sqlstore"
	"lockstep/workers"
)

// openStore opens the database.
func (n *Node) openStore(ctx context.Context) error {
	if err := n.withStore(ctx, n.tryStore); err != nil {
		return err
	}
	return n.withStore(ctx, n.takeRestored)
}

func (n *Node) tryStore(ctx context.Context) error {
	s, err := sqlstore.Open(ctx, sqlstore.Config{DSN: n.cfg.Store, Now: fault.Now, Logger: n.log.With("part", "store")})
	if errors.Is(err, lockstep.ErrInvalid) {
		return &ConfigError{fmt.Errorf("--store: %w", err)}
	}
	if err != nil {
		return fmt.Errorf("open store: %w", err)
	}
	n.database, n.store = s, n.metrics.Store(fault.Store(s))
	return nil
}

// buildEngine makes the registry, keeper and runs.
func (n *Node) buildEngine(context.Context) error {
	if err := errors.Join(n.registerPostgres(), n.registerMySQL(), n.registerValues(), n.registerOAuth()); err != nil {
		return err
	}
	cfg := runs.Config{Store: n.store, Rotators: n.registry, RecipeTraits: custom.RecipeTraits, MinInterval: n.cfg.MinInterval, Lease: n.cfg.Lease, Observer: n.metrics, Limits: n.cfg.Limits}
	if n.keys != nil {
		n.keeper = keeper.New(n.store, n.keys, n.registry)
		cfg.Vault = n.keeper // else nobody asks for values: starting what is due needs none
	}
	n.runs = runs.New(cfg)
	return nil
}

func (n *Node) registerPostgres() error {
	single, err := postgres.NewSingle(postgres.Config{})
	if err != nil {
		return err
	}
	alternating, err := postgres.NewAlternating(postgres.Config{})
	if err != nil {
		return err
	}
	n.targets = append(n.targets, single, alternating)
	return errors.Join(
		n.registry.Register(postgres.NameSingle, fault.Rotator(single)),
		n.registry.Register(postgres.NameAlternating, fault.Rotator(alternating)),
	)
}

func (n *Node) registerMySQL() error {
	maria, mariaErr := mysql.NewMariaDB(mysql.Config{})
	mariaPair, mariaPairErr := mysql.NewMariaDBAlternating(mysql.Config{})
	my, myErr := mysql.NewMySQL(mysql.Config{})
	myPair, myPairErr := mysql.NewMySQLAlternating(mysql.Config{})
	if err := errors.Join(mariaErr, mariaPairErr, myErr, myPairErr); err != nil {
		return err
	}
	return errors.Join(
		n.registry.Register(mysql.NameMariaDB, fault.Rotator(maria)),
		n.registry.Register(mysql.NameMariaDBAlternating, fault.Rotator(mariaPair)),
		n.registry.Register(mysql.NameMySQL, fault.Rotator(my)),
		n.registry.Register(mysql.NameMySQLAlternating, fault.Rotator(myPair)),
	)
}

// startBus starts NATS and the relay.
func (n *Node) startBus(ctx context.Context) error {
	var err error
	cfg := bus.Config{AckWait: n.cfg.Lease, Replicas: n.cfg.replicas(), Audit: n.cfg.Audit.wants("jetstream"), Logger: n.log.With("part", "bus")}
	if n.cfg.has(RoleAPI) {
		if cfg.Authorizer, err = n.logins(); err != nil {
			return err
		}
	}
	if n.cfg.NATSURL != "" {
		if cfg.External, err = n.cfg.external(); err != nil {
			return err
		}
	} else {
		cfg.Dir = n.path("jetstream")
		cfg.Listen = n.cfg.NATSListen
		cfg.TLS = n.ca.ServerConfig(n.hosts())
	}
	try := func(ctx context.Context) (err error) {
		n.bus, err = bus.Start(ctx, cfg)
		return err
	}
	if err = n.withNATS(ctx, try); err != nil {
		return fmt.Errorf("start NATS: %w", err)
	}
	if !n.cfg.has(RoleRelay) {
		return nil
	}
	n.relay, err = events.New(events.Config{
		Store: n.store, Publisher: fault.Publisher(n.bus), Streams: n.bus, Node: n.name(), Observer: n.metrics,
		Audit: n.deliveries(), Logger: n.log.With("part", "relay"),
	})
	if err != nil {
		return err
	}
	return n.relay.Start(n.life)
}

// startWork starts the workers and the scheduler.
func (n *Node) startWork(ctx context.Context) error {
	if err := fault.Listen(n.life); err != nil {
		return err
	}
	if n.cfg.has(RoleWorker) {
		if err := n.startWorkers(ctx); err != nil {
			return err
		}
	}
	if n.cfg.has(RoleScheduler) {
		return n.startScheduler()
	}
	return nil
}

func (n *Node) startWorkers(ctx context.Context) error {
	err := n.withNATS(ctx, func(ctx context.Context) (err error) {
		n.queue, err = n.bus.Jobs(ctx, bus.DefaultPool, n.cfg.Workers)
		return err
	})
	if err != nil {
		return fmt.Errorf("open job queue: %w", err)
	}
	n.pool, err = workers.New(workers.Config{
		Queue: n.queue, Engine: n.runs, Vault: n.keeper, Rotators: n.registry,
		Recipes: n.custom, Functions: fault.Functions(n.custom), Callbacks: &callbacks{n.access.sessions, n.callback},
		Workers: n.cfg.Workers, AckWait: n.cfg.Lease, Observer: n.workObserver(), Audit: n.steps(), Logger: n.log.With("part", "worker"),
	})
	if err != nil {
		return err
	}
	n.pool.Start(fault.Worker(n.life))
	n.replicator = keeper.NewReplicator(n.keeper, n.log.With("part", "replicator"))
	n.replicator.Start(n.life)
	return nil
}

func (n *Node) startScheduler() error {
	var err error
	wake, unsubscribe := n.store.Subscribe(store.TopicSchedule)
	n.unsubscribe = unsubscribe
	n.scheduler, err = scheduler.New(scheduler.Config{
		Engine: n.runs, Wake: wake, Logger: n.log.With("part", "scheduler"),
		Tasks: []scheduler.Task{
			{Name: "purge deleted secrets", Spec: "@every 10s", Do: n.purge},
			{Name: "end the pause of a restore", Spec: "@every 5s", Do: n.endRestores},
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
	if !n.cfg.has(RoleAPI) {
		return n.callbackReady()
	}
	handler, err := n.handler()
	if err != nil {
		return err
	}
	n.http = api.NewServer(n.closing(handler), n.log.With("part", "http"))
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
	if err := n.callbackReady(); err != nil {
		return err
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
		Regions: n.cfg.Regions,
	})
	if err != nil {
		return nil, err
	}
	regions := make([]string, 0, len(n.cfg.Regions))
	for _, r := range n.cfg.Regions {
		regions = append(regions, string(r))
	}
	admin, err := v1.New(v1.Config{
		Secrets: n.keeper, History: n.runs, Rotations: n.runs, Hands: n.runs, Dead: n.bus, Schedules: n.runs, Batches: n.runs, Graphs: n.runs, Trials: n.runs, Inspections: n.runs, Changes: n.store, Guard: guard,
		Identities: n.access.identities, Keys: n.keys, Backups: n, Rotators: n.custom, Home: n.cfg.Regions[0],
		Status: v1.Status{Version: n.cfg.Version, Regions: regions, NATSURL: n.NATSURL()},
	})
	if err != nil {
		return nil, err
	}
	tokens, err := sts.New(sts.Config{Roles: n.access.identities, Sessions: n.access.sessions, Guard: guard})
	if err != nil {
		return nil, err
	}
	return api.New(api.Config{
		Verifier: verifier, Query: api.QueryService{Scope: sts.Scope, Service: tokens},
		Services: []api.AWSService{
			{Prefix: secretsmanager.TargetPrefix, Scope: "secretsmanager", Service: secrets},
			{Prefix: kms.TargetPrefix, Scope: kms.Scope, Service: masterKeys},
		},
		Admin: admin, Log: n.log.With("part", "api"), Ready: n.ready,
		Observer: n.metrics, TrustedProxies: n.cfg.TrustedProxies, Audit: n.recorder(),
	})
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
