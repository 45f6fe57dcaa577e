package metrics

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"lockstep/store"
)

const (
	// figuresFor is how long the figures of the store are good for.
	figuresFor = 5 * time.Second
	// figuresWait bounds the reading of them.
	figuresWait = 5 * time.Second
)

// figure is a metric that is read from the store.
type figure struct {
	desc  *prometheus.Desc
	value func(store.Figures) float64
}

// figures collects what waits in the store.
type figures struct {
	ctx   context.Context
	store store.Store
	log   *slog.Logger
	list  []figure
	up    *prometheus.Desc

	mu   sync.Mutex
	last store.Figures
	good bool
	read time.Time
}

// WatchStore adds what waits in the store. The context bounds all reading. All
// nodes on one store would tell the same: those with the role scheduler do.
func (s *Set) WatchStore(ctx context.Context, st store.Store, log *slog.Logger) {
	f := &figures{ctx: ctx, store: st, log: log, up: describe("store_up", "1 if the store could be read.")}
	f.add("open_runs", "Runs that are not final.", func(v store.Figures) float64 { return float64(v.OpenRuns) })
	f.add("due_secrets", "Secrets whose rotation is due and not started.", func(v store.Figures) float64 { return float64(v.DueSecrets) })
	f.add("due_age_seconds", "How long the earliest of these has been due.", func(v store.Figures) float64 { return age(v, v.OldestDue) })
	f.add("outbox_jobs", "Jobs that are due and not yet in the queue.", func(v store.Figures) float64 { return float64(v.WaitingJobs) })
	f.add("outbox_job_age_seconds", "How long the earliest of these has been due.", func(v store.Figures) float64 { return age(v, v.OldestJob) })
	f.add("outbox_events", "Events that are not yet in the stream.", func(v store.Figures) float64 { return float64(v.UnsentEvents) })
	f.add("outbox_event_age_seconds", "The age of the oldest of these.", func(v store.Figures) float64 { return age(v, v.OldestEvent) })
	f.add("retirements_waiting", "Old credentials that are still to be removed.", func(v store.Figures) float64 { return float64(v.Retirements) })
	f.add("oldest_credential_age_seconds", "Age of the oldest credential that has a schedule.", func(v store.Figures) float64 { return age(v, v.OldestRotated) })
	s.registry.MustRegister(f)
}

func describe(name, help string) *prometheus.Desc {
	return prometheus.NewDesc(prometheus.BuildFQName(namespace, "", name), help, nil, nil)
}

func (f *figures) add(name, help string, value func(store.Figures) float64) {
	f.list = append(f.list, figure{describe(name, help), value})
}

// age is zero if there is nothing to have one.
func age(v store.Figures, since time.Time) float64 {
	if since.IsZero() {
		return 0
	}
	return max(v.At.Sub(since).Seconds(), 0)
}

// Describe is prometheus.Collector's.
func (f *figures) Describe(ch chan<- *prometheus.Desc) {
	ch <- f.up
	for _, g := range f.list {
		ch <- g.desc
	}
}

// Collect is prometheus.Collector's. If the store is away, only that is told.
func (f *figures) Collect(ch chan<- prometheus.Metric) {
	now, good := f.get()
	up := 0.0
	if good {
		up = 1
	}
	ch <- prometheus.MustNewConstMetric(f.up, prometheus.GaugeValue, up)
	if !good {
		return
	}
	for _, g := range f.list {
		ch <- prometheus.MustNewConstMetric(g.desc, prometheus.GaugeValue, g.value(now))
	}
}

func (f *figures) get() (store.Figures, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.read.IsZero() && time.Since(f.read) < figuresFor {
		return f.last, f.good
	}
	ctx, cancel := context.WithTimeout(f.ctx, figuresWait)
	defer cancel()
	err := f.store.View(ctx, func(tx store.ReadTx) (err error) {
		f.last, err = tx.Figures()
		return err
	})
	if err != nil && f.ctx.Err() == nil {
		f.log.Warn("figures of the store not read", "error", err)
	}
	f.good, f.read = err == nil, time.Now()
	return f.last, f.good
}
