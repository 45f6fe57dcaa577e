package node

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"lockstep/api"
)

// check is one thing that a node needs to do its work.
type check struct {
	name string
	ask  func(context.Context) error
}

// checks are what readiness is made of: each role's own needs, and no others.
func (n *Node) checks() []check {
	list := []check{{"store", func(ctx context.Context) error {
		_, _, err := n.runs.NextDue(ctx)
		return err
	}}}
	if n.keys != nil {
		list = append(list, check{"root key", n.keys.Ready})
	}
	if n.audit.log != nil {
		list = append(list, check{"audit log", func(context.Context) error { return n.audit.log.Ready() }})
	}
	// Requests do without NATS: what they would send waits in the store.
	if n.cfg.has(RoleWorker) || n.cfg.has(RoleRelay) {
		list = append(list, check{"NATS", n.bus.Health})
	}
	return list
}

// errDraining says that the node ends: a balancer is to send nothing more.
var errDraining = errors.New("draining")

// ready tells whether the node can do its work.
func (n *Node) ready(ctx context.Context) error {
	if n.draining.Load() {
		return errDraining
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	for _, c := range n.checks() {
		if err := c.ask(ctx); err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
	}
	return nil
}

// closing tells clients of a draining node to connect anew, which brings them
// to another one, before their connections are closed.
func (n *Node) closing(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if n.draining.Load() {
			w.Header().Set("Connection", "close")
		}
		next.ServeHTTP(w, r)
	})
}

// monitor serves health and metrics to those who watch the node: in clear and without a
// login, so on an address of its own that only they reach.
func (n *Node) monitor(ctx context.Context) error {
	if n.cfg.MetricsListen == "" {
		return nil
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { say(w, http.StatusOK, "ok") })
	mux.HandleFunc("GET /readyz", n.tellReady)
	if n.cfg.has(RoleScheduler) {
		n.metrics.WatchStore(n.life, n.store, n.log.With("part", "metrics"))
	}
	mux.Handle("GET /metrics", n.metrics.Handler())
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", n.cfg.MetricsListen)
	if err != nil {
		return fmt.Errorf("listen on --metrics-listen %s: %w", n.cfg.MetricsListen, err)
	}
	n.monitorAt = l.Addr()
	n.watched = api.NewServer(mux, n.log.With("part", "monitor"))
	go func() {
		if err := n.watched.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			n.log.Error("metrics are no longer served", "error", err)
		}
	}()
	return nil
}

func (n *Node) tellReady(w http.ResponseWriter, r *http.Request) {
	err := n.ready(r.Context())
	if err == nil {
		say(w, http.StatusOK, "ok")
		return
	}
	n.log.WarnContext(r.Context(), "not ready", "error", err)
	say(w, http.StatusServiceUnavailable, "not ready")
}

func say(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(text + "\n")) // the peer is gone otherwise
}

// roleNames are the node's roles for the log.
func (n *Node) roleNames() string {
	names := make([]string, len(n.cfg.Roles))
	for i, r := range n.cfg.Roles {
		names[i] = string(r)
	}
	return strings.Join(names, ",")
}
