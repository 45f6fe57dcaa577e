// Package node is one process of Lockstep with all its parts wired: store,
// keys, keeper, runs, bus, relay, workers, scheduler and the HTTP face. Nothing
// else knows concrete parts of each other.
//
// Start brings everything up in the order that each needs the one before;
// Stop drains: no new requests, no new Jobs, those in hand finish, then the
// transport and the store close.
package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"lockstep/auth"
	"lockstep/bus"
	"lockstep/events"
	"lockstep/hsm"
	"lockstep/internal/fault"
	"lockstep/internal/localca"
	"lockstep/internal/metrics"
	"lockstep/internal/tracing"
	"lockstep/keeper"
	"lockstep/keys"
	"lockstep/rotators"
	"lockstep/rotators/custom"
	"lockstep/runs"
	"lockstep/scheduler"
	"lockstep/store"
	"lockstep/store/sqlstore"
	"lockstep/workers"
)

// drainTimeout bounds how long Stop waits for open requests.
const drainTimeout = 20 * time.Second

// Node is a running process of Lockstep.
type Node struct {
	cfg  Config
	log  *slog.Logger
	lock *os.File

	store    store.Store
	database *sqlstore.Store // what store is, for backups
	root     hsm.Key
	keys     *keys.Service
	registry *rotators.Registry
	// targets are rotators that keep something open between calls.
	targets   []interface{ Close() }
	audit     auditing
	access    *access
	keeper    *keeper.Keeper
	runs      *runs.Service
	ca        *localca.CA
	bus       *bus.Bus
	queue     *bus.JobQueue
	custom    *custom.Registrations
	callback  *callbackAddress
	relay     *events.Relay
	pool      *workers.Pool
	scheduler *scheduler.Scheduler
	http      *http.Server
	listener  net.Listener
	// watched serves those who watch the node, at monitorAt.
	watched   *http.Server
	monitorAt net.Addr
	// draining is set when the node begins to end.
	draining atomic.Bool

	metrics *metrics.Set
	// tracer is nil unless somebody collects traces.
	tracer *tracing.Tracer

	// replicator keeps replicas up to date.
	replicator *keeper.Replicator

	unsubscribe func()
	// keeping is the work on keys in the background.
	keeping sync.WaitGroup
	// life bounds the work in the background. It does not end with the context
	// of Start, which a signal cancels: work in hand is drained by Stop.
	life    context.Context
	endLife context.CancelFunc
	// stopOnce lets a second Stop wait for the first.
	stopOnce sync.Once
	served   chan error
}

// Start brings a node up. When it returns, the node serves. Errors: *ConfigError
// (an ErrInvalid) for a Config that cannot work, ErrBusy if another process uses the data
// directory or an address.
func Start(ctx context.Context, cfg Config) (_ *Node, err error) {
	if cfg, err = cfg.withDefaults(); err != nil {
		return nil, &ConfigError{err}
	}
	n := &Node{cfg: cfg, log: cfg.Logger, registry: &rotators.Registry{}, served: make(chan error, 1), callback: newCallbackAddress()}
	n.life, n.endLife = context.WithCancel(fault.Background(context.WithoutCancel(ctx)))
	defer func() {
		if err != nil {
			n.Stop()
		}
	}()
	if cfg.DataDir != "" {
		if n.lock, err = lockDir(cfg.DataDir); err != nil {
			return nil, err
		}
	}
	steps := []func(context.Context) error{
		n.observe, n.openStore, n.openKeys, n.openAudit, n.openAccess, n.buildEngine, n.openCustom, n.bootstrap, n.openCA,
		n.startBus, n.forwardAudit, n.startWork, n.startKeeping, n.serve, n.monitor,
	}
	for _, step := range steps {
		if err := step(ctx); err != nil {
			return nil, err
		}
	}
	n.log.InfoContext(ctx, "lockstep serves", "roles", n.roleNames(), "node", n.name(), "url", n.URL(), "nats", n.NATSURL(), "data", cfg.DataDir, "regions", cfg.Regions)
	return n, nil
}

// URL is where the API is served; empty without the role api.
func (n *Node) URL() string {
	if n.listener == nil {
		return ""
	}
	scheme := "https"
	if n.cfg.PlainHTTP {
		scheme = "http"
	}
	return scheme + "://" + reachable(n.listener.Addr().String())
}

// NATSURL is where subscribers connect.
func (n *Node) NATSURL() string {
	if n.cfg.NATSClientURL != "" {
		return n.cfg.NATSClientURL
	}
	scheme, address, found := strings.Cut(n.bus.ClientURL(), "://")
	if !found || n.cfg.NATSURL != "" {
		return n.bus.ClientURL()
	}
	return scheme + "://" + reachable(address)
}

// CAFile is the authority that clients are given to trust; empty without the
// role api.
func (n *Node) CAFile() string {
	if n.ca == nil {
		return ""
	}
	return n.ca.CertPath()
}

// MonitorAddress is where /healthz, /readyz and /metrics are; empty if nowhere.
func (n *Node) MonitorAddress() string {
	if n.monitorAt == nil {
		return ""
	}
	return n.monitorAt.String()
}

// reachable is an address that a client on this machine can connect to, and
// that the certificate is for: a server that listens on every address is on the
// loopback one too.
func reachable(address string) string {
	at, err := netip.ParseAddrPort(address)
	if err != nil || !at.Addr().IsUnspecified() {
		return address
	}
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), at.Port()).String()
}

// Done delivers the error that ended the HTTP server, if it ends by itself.
func (n *Node) Done() <-chan error { return n.served }

// Stop drains and closes everything that was started, and returns when all is
// closed. It may be called again, and on a node that was started in part.
func (n *Node) Stop() { n.stopOnce.Do(n.stop) }

func (n *Node) stop() {
	n.draining.Store(true)
	n.stopRequests()
	if n.scheduler != nil {
		n.scheduler.Stop()
	}
	if n.unsubscribe != nil {
		n.unsubscribe()
	}
	if n.pool != nil {
		n.pool.Stop()
	}
	if n.replicator != nil {
		n.replicator.Stop()
	}
	if n.queue != nil {
		n.queue.Stop()
	}
	if n.relay != nil {
		n.relay.Stop()
	}
	n.endLife()
	n.keeping.Wait()
	if n.watched != nil {
		_ = n.watched.Close() // to the end, it said that the node drains
	}
	n.sendLastSpans()
	n.closeAll()
}

// stopRequests answers what is under way, after balancers had the time to send
// the rest elsewhere.
func (n *Node) stopRequests() {
	if n.http == nil {
		return
	}
	delay := time.NewTimer(n.cfg.DrainDelay)
	defer delay.Stop()
	<-delay.C
	ctx, cancel := context.WithTimeout(context.WithoutCancel(n.life), drainTimeout)
	defer cancel()
	if err := n.http.Shutdown(ctx); err != nil {
		n.log.Warn("requests were cut off", "error", err)
	}
}

func (n *Node) closeAll() {
	for _, t := range n.targets {
		t.Close()
	}
	errs := []error{n.closeAudit()}
	if n.bus != nil {
		errs = append(errs, n.bus.Close())
	}
	if n.store != nil {
		errs = append(errs, n.store.Close())
	}
	if n.keys != nil {
		errs = append(errs, n.keys.Close())
	}
	if n.root != nil {
		errs = append(errs, n.root.Close())
	}
	if n.lock != nil {
		errs = append(errs, n.lock.Close())
	}
	if err := errors.Join(errs...); err != nil {
		n.log.Warn("not everything closed cleanly", "error", err)
	}
}

// bootstrap makes the root user on the first start.
func (n *Node) bootstrap(ctx context.Context) error {
	if !n.cfg.has(RoleAPI) {
		return nil
	}
	path := n.path("credentials")
	err := n.withStore(ctx, func(ctx context.Context) error {
		_, err := auth.Bootstrap(ctx, auth.Bootstrapping{
			Store: n.store, Sealer: n.keys, Owner: n.home(),
			Deliver: func(c auth.Credentials) error { return auth.WriteCredentials(path, c) },
		})
		return err
	})
	if err != nil {
		err = dropLoser(path, err)
	}
	if err != nil {
		return fmt.Errorf("make root user: %w", err)
	}
	return nil
}

func (n *Node) home() store.Owner {
	return store.Owner{Account: n.cfg.Account, Region: n.cfg.Regions[0]}
}

func (n *Node) path(name string) string { return filepath.Join(n.cfg.DataDir, name) }

// hosts are the names that the server certificate is for.
func (n *Node) hosts() []string {
	var out []string
	for _, address := range []string{n.cfg.Listen, n.cfg.NATSListen} {
		if host, _, err := net.SplitHostPort(address); err == nil && host != "" && host != "0.0.0.0" && host != "::" {
			out = append(out, host)
		}
	}
	if name, err := os.Hostname(); err == nil {
		out = append(out, name)
	}
	return out
}
