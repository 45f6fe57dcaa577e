// Package metrics is what a node tells Prometheus. Set holds every metric in a
// registry of its own and implements the small interfaces by which the parts
// let themselves be observed (workers.Observer, runs.Observer, events.Observer,
// api.Observer) as well as wrappers that time the store and the root key.
//
// What a node does is counted as it happens. What waits in the store is read
// from it (store.Figures, index reads alone), at most once in five seconds
// however often somebody scrapes.
//
// Labels have few values by construction: rotators and steps are the program's
// own, actions and codes those of an API that authenticated the caller, and
// beyond maxActions of them the rest is "other". No name of a secret is a label.
package metrics

import (
	"net/http"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

const namespace = "lockstep"

// maxActions bounds the values of the label action.
const maxActions = 200

// Set is all metrics of a node. Its methods may be called concurrently.
type Set struct {
	registry *prometheus.Registry

	runs        *prometheus.CounterVec
	runTime     *prometheus.HistogramVec
	steps       *prometheus.HistogramVec
	lateness    prometheus.Histogram
	startDelay  prometheus.Histogram
	leasesLost  *prometheus.CounterVec
	working     prometheus.Gauge
	events      *prometheus.CounterVec
	eventDelay  prometheus.Histogram
	requests    *prometheus.CounterVec
	requestTime *prometheus.HistogramVec
	storeTime   *prometheus.HistogramVec
	keyTime     *prometheus.HistogramVec

	mu      sync.Mutex
	actions map[string]struct{}
}

// Node is what is said of the node itself.
type Node struct {
	Version string
	// Roles are those of the node, with commas between them.
	Roles string
}

// buckets of durations: from a memory access to a call that hangs.
var (
	fast = []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}
	slow = []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300, 1800}
)

// New makes a Set.
func New(n Node) *Set {
	s := &Set{registry: prometheus.NewRegistry(), actions: make(map[string]struct{})}
	s.runs = s.counter("runs_total", "Runs that ended on this node, by how and by rotator.", "outcome", "rotator")
	s.runTime = s.histogram("run_duration_seconds", "From the start of a run to its end.", slow, "outcome", "rotator")
	s.steps = s.histogram("step_duration_seconds", "Steps, by what came of them: ok, not-applied, applied, unknown, error.", slow, "rotator", "step", "result")
	s.lateness = s.one("schedule_lateness_seconds", "From when a rotation was due to when its run was started.", slow)
	s.startDelay = s.one("run_start_delay_seconds", "From when a run was started to when a worker first took it.", slow)
	s.leasesLost = s.counter("leases_lost_total", "Times that a worker lost a lease while it worked.", "rotator")
	s.working = prometheus.NewGauge(prometheus.GaugeOpts{Namespace: namespace, Name: "jobs_in_hand", Help: "Jobs that workers of this node carry now."})
	s.events = s.counter("events_published_total", "Events that this node brought to NATS.", "type")
	s.eventDelay = s.one("event_delay_seconds", "From the commit of an event to NATS having it.", slow)
	s.requests = s.counter("api_requests_total", "API requests, by action and error code (empty: none).", "action", "code")
	s.requestTime = s.histogram("api_request_duration_seconds", "API requests, by action.", fast, "action")
	s.storeTime = s.histogram("store_duration_seconds", "Transactions of the store.", fast, "kind", "result")
	s.keyTime = s.histogram("root_key_duration_seconds", "Calls to the root key.", fast, "call", "result")
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Namespace: namespace, Name: "build_info", Help: "Always 1.",
		ConstLabels: prometheus.Labels{"version": n.Version, "roles": n.Roles},
	})
	build.Set(1)
	s.registry.MustRegister(s.working, build, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return s
}

func (s *Set) counter(name, help string, labels ...string) *prometheus.CounterVec {
	c := prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help}, labels)
	s.registry.MustRegister(c)
	return c
}

func (s *Set) histogram(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
	h := prometheus.NewHistogramVec(prometheus.HistogramOpts{Namespace: namespace, Name: name, Help: help, Buckets: buckets}, labels)
	s.registry.MustRegister(h)
	return h
}

func (s *Set) one(name, help string, buckets []float64) prometheus.Histogram {
	h := prometheus.NewHistogram(prometheus.HistogramOpts{Namespace: namespace, Name: name, Help: help, Buckets: buckets})
	s.registry.MustRegister(h)
	return h
}

// Handler serves the metrics.
func (s *Set) Handler() http.Handler {
	return promhttp.HandlerFor(s.registry, promhttp.HandlerOpts{ErrorHandling: promhttp.ContinueOnError})
}

// action bounds what becomes a label.
func (s *Set) action(name string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, known := s.actions[name]; known {
		return name
	}
	if len(s.actions) >= maxActions {
		return "other"
	}
	s.actions[name] = struct{}{}
	return name
}
