package events

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"lockstep"
	"lockstep/bus"
	"lockstep/store"
)

// The defaults of a Config.
const (
	DefaultPoll      = 5 * time.Second
	DefaultReconcile = time.Minute
	// Keep is how long Events stay in the store and in the stream.
	Keep = 30 * 24 * time.Hour
)

const (
	// batchSize bounds what is taken from the outbox at once.
	batchSize = 256
	// markTimeout bounds the write that follows a publish, also while stopping.
	markTimeout = 10 * time.Second
	// firstBackoff and lastBackoff bound the wait after a failure.
	firstBackoff = 50 * time.Millisecond
	lastBackoff  = 5 * time.Second
)

// Publisher is where Jobs and Events go; one result for each message. An
// ErrBusy means that the Job's subject is taken; after any other error the
// message may or may not have arrived.
type Publisher interface {
	PublishJobs(ctx context.Context, ms []bus.Message) []error
	PublishEvents(ctx context.Context, ms []bus.Message) []error
}

// Streams tells what NATS holds.
type Streams interface {
	// HasJob tells whether a Job with that subject is queued or in flight,
	// and sees to it that one which was passed over is delivered.
	HasJob(ctx context.Context, subject string) (bool, error)
	// LastEvent is the newest Event of a subject; nil if there is none.
	LastEvent(ctx context.Context, subject string) (*lockstep.Event, error)
	// EventStream tells how far the event stream is.
	EventStream(ctx context.Context) (bus.StreamState, error)
}

// Observer hears of Events that the stream has got.
type Observer interface {
	// Published is told of an Event and when the stream had it. It returns at
	// once. After a failure it may be told twice of the same.
	Published(e lockstep.Event, at time.Time)
}

// Config says what a Relay joins. Store, Publisher and Streams are required;
// a *bus.Bus is both of the latter.
type Config struct {
	Store     store.Store
	Publisher Publisher
	Streams   Streams
	// Node names this process among those that share the store, and stays the
	// same over restarts. Empty: no other process relays from this store.
	Node string
	// Pool is the pool that Jobs go to; empty: bus.DefaultPool.
	Pool string
	// Poll is how often the outbox is looked at without a signal; 0: 5 s.
	Poll time.Duration
	// Reconcile is how often the streams are compared with the store; 0: one
	// minute.
	Reconcile time.Duration
	// Observer hears of what was published; nil: nobody.
	Observer Observer
	// Audit hears of Events that could not be published; nil: nobody does.
	Audit Recorder
	// Logger hears of failures; nil: silence.
	Logger *slog.Logger
}

// Recorder keeps the audit log.
type Recorder interface {
	// DeliveryFailed records that Events did not reach the stream; they are
	// published again.
	DeliveryFailed(failed []lockstep.Event)
}

// Relay publishes what the outbox holds.
type Relay struct {
	cfg   Config
	log   *slog.Logger
	lease *lease

	// sending is held while Events are published.
	sending sync.Mutex
	// doubt is true while the stream may hold Events that are marked unsent,
	// or later ones of their subjects.
	doubt bool
	// compared and term say whether, and in which term of the lease, the event
	// stream was compared with the store before the first publish. Only the
	// event loop uses them.
	compared bool
	term     uint64
	// busy is how long each delayed Job's next delay is, by outbox row. Only
	// the job loop uses it.
	busy map[int64]time.Duration

	mu      sync.Mutex
	cancel  context.CancelFunc
	running sync.WaitGroup
}

// New makes a Relay. Errors: ErrInvalid if something required is missing or a
// duration is negative.
func New(c Config) (*Relay, error) {
	if c.Store == nil || c.Publisher == nil || c.Streams == nil || c.Poll < 0 || c.Reconcile < 0 {
		return nil, fmt.Errorf("make relay: store, publisher and streams are required, durations not negative: %w", lockstep.ErrInvalid)
	}
	if c.Poll == 0 {
		c.Poll = DefaultPoll
	}
	if c.Reconcile == 0 {
		c.Reconcile = DefaultReconcile
	}
	if c.Pool == "" {
		c.Pool = bus.DefaultPool
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	r := &Relay{cfg: c, log: c.Logger.With("component", "relay"), busy: make(map[int64]time.Duration), doubt: true}
	r.lease = newLease(c.Store, c.Node)
	return r, nil
}

// Start begins to publish and reconcile. It returns at once; ctx bounds the
// Relay's life as Stop does. Errors: ErrState if it runs already.
func (r *Relay) Start(ctx context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.cancel != nil {
		return fmt.Errorf("start relay: it runs already: %w", lockstep.ErrState)
	}
	ctx, r.cancel = context.WithCancel(ctx)
	r.compared = false
	if r.cfg.Node != "" {
		r.running.Go(func() { r.lease.keep(ctx, r.log) })
	}
	r.running.Go(func() { r.loop(ctx, "events", r.sendEvents) })
	r.running.Go(func() { r.loop(ctx, "jobs", r.sendJobs) })
	r.running.Go(func() { r.everyMinute(ctx) })
	return nil
}

// Stop ends the Relay and waits until what was published is marked. A second
// call does nothing.
func (r *Relay) Stop() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.cancel == nil {
		return
	}
	r.cancel()
	r.running.Wait()
	r.cancel = nil
}

// loop calls work until ctx ends: at once, on each signal of the outbox, and
// when the time that work asked for has passed.
func (r *Relay) loop(ctx context.Context, what string, work func(context.Context) (time.Duration, error)) {
	signal, cancel := r.cfg.Store.Subscribe(store.TopicOutbox)
	defer cancel()
	timer := time.NewTimer(0)
	defer timer.Stop()
	backoff := firstBackoff
	for {
		select {
		case <-ctx.Done():
			return
		case <-signal:
		case <-timer.C:
		}
		if !r.lease.held() {
			timer.Reset(leaseRenew)
			continue
		}
		wait, err := work(ctx)
		if err == nil {
			backoff = firstBackoff
			timer.Reset(wait)
			continue
		}
		if ctx.Err() != nil {
			return
		}
		r.log.Warn("outbox not relayed; it stays and is tried again", "what", what, "wait", backoff, "error", err)
		if !pause(ctx, backoff) {
			return
		}
		timer.Reset(0)
		backoff = min(2*backoff, lastBackoff)
	}
}

// pause waits, and returns false if ctx ended first.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

// everyMinute reconciles at start and then at intervals.
func (r *Relay) everyMinute(ctx context.Context) {
	backoff := firstBackoff
	for {
		wait := r.cfg.Reconcile
		switch err := r.reconcileIfHeld(ctx); {
		case ctx.Err() != nil:
			return
		case errors.Is(err, errNotHeld):
			wait = leaseRenew
		case err != nil:
			r.log.Warn("streams not reconciled with the store", "error", err)
			wait, backoff = min(backoff, wait), min(2*backoff, lastBackoff)
		default:
			backoff = firstBackoff
		}
		if !pause(ctx, wait) {
			return
		}
	}
}

var errNotHeld = errors.New("another node relays")

func (r *Relay) reconcileIfHeld(ctx context.Context) error {
	if !r.lease.held() {
		return errNotHeld
	}
	return r.Reconcile(ctx)
}

// mark runs the write that records what was published. It is finished also
// while the Relay stops.
func (r *Relay) mark(ctx context.Context, fn func(store.Tx) error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), markTimeout)
	defer cancel()
	if err := r.cfg.Store.Update(ctx, fn); err != nil {
		return fmt.Errorf("mark what was published: %w", err)
	}
	return nil
}
