package node

import (
	"context"
	"os"
	"time"

	"lockstep"
	"lockstep/bus"
	"lockstep/internal/metrics"
	"lockstep/internal/tracing"
	"lockstep/workers"
)

// lastSpans bounds the wait for a collector when the node ends.
const lastSpans = 5 * time.Second

// observe makes what the parts tell of themselves into metrics and, where a
// collector is named, traces.
func (n *Node) observe(ctx context.Context) error {
	n.metrics = metrics.New(metrics.Node{Version: n.cfg.Version, Roles: n.roleNames()})
	if !n.cfg.traces() {
		return nil
	}
	var err error
	n.tracer, err = tracing.New(ctx, tracing.Config{Endpoint: n.cfg.OTLPEndpoint, Node: n.name(), Version: n.cfg.Version})
	return err
}

// traces tells whether somebody named a collector, by the flag or by
// OpenTelemetry's own variables.
func (c Config) traces() bool {
	for _, name := range []string{"OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"} {
		if os.Getenv(name) != "" {
			return true
		}
	}
	return c.OTLPEndpoint != ""
}

// workObserver is who hears of the workers.
func (n *Node) workObserver() workers.Observer {
	if n.tracer == nil {
		return n.metrics
	}
	return both{n.metrics, n.tracer}
}

func (n *Node) sendLastSpans() {
	if n.tracer == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(n.life), lastSpans)
	defer cancel()
	if err := n.tracer.Close(ctx); err != nil {
		n.log.Warn("spans were lost", "error", err)
	}
}

// both tells two.
type both struct{ first, second workers.Observer }

// JobBegins is workers.Observer's.
func (b both) JobBegins(ctx context.Context, j bus.JobMessage) (context.Context, func(error)) {
	ctx, one := b.first.JobBegins(ctx, j)
	ctx, two := b.second.JobBegins(ctx, j)
	return ctx, func(err error) { two(err); one(err) }
}

// StepBegins is workers.Observer's.
func (b both) StepBegins(ctx context.Context, s workers.StepBegun) (context.Context, func(error)) {
	ctx, one := b.first.StepBegins(ctx, s)
	ctx, two := b.second.StepBegins(ctx, s)
	return ctx, func(err error) { two(err); one(err) }
}

// RunEnded is workers.Observer's.
func (b both) RunEnded(ctx context.Context, r *lockstep.Run, rotator string) {
	b.first.RunEnded(ctx, r, rotator)
	b.second.RunEnded(ctx, r, rotator)
}

// LeaseLost is workers.Observer's.
func (b both) LeaseLost(ctx context.Context, rotator string) {
	b.first.LeaseLost(ctx, rotator)
	b.second.LeaseLost(ctx, rotator)
}
