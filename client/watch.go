package client

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/nats-io/nats.go"

	"lockstep"
)

const (
	// liveBuffer is how many events may wait for a Watcher that is busy; what
	// is over it is caught up with later.
	liveBuffer = 4096
	// markInterval is how often a position in the stream is noted, so that a
	// catch-up after hours of silence is short.
	markInterval = time.Minute
	// clockSlack covers the difference between our clock and the server's.
	clockSlack = time.Minute
)

// WatchConfig selects events. The zero value: the present state of each Secret
// that the caller may see, then every event.
type WatchConfig struct {
	// Pattern is a Secret's name; "*" in it stands for any characters of one
	// part, the part "**" for one part or more ("prod/db/*", "prod/**").
	// Empty: all.
	Pattern string
	// Types leaves out all others; nil: all types.
	Types []lockstep.EventType
	// Since, if set, asks for the events from that time on (the server keeps
	// 30 days) instead of the present state.
	Since time.Time
	// State, if not zero, goes on where another Watcher with the same Pattern
	// ended; Since does not count then.
	State State
}

// Watcher gives the events that a WatchConfig selects. It is for one goroutine.
type Watcher struct {
	client  *Client
	pattern pattern
	types   []lockstep.EventType
	prefix  string
	life    context.Context
	end     context.CancelFunc

	link    *listener
	live    chan *nats.Msg
	sub     *nats.Subscription
	dropped int
	tick    *time.Ticker

	state State
	// fresh is true until the present state was given once. Where it is given,
	// the sequences of a Secret have holes, which are none: new holds the
	// Secrets that the catch-up under way was the first to show.
	fresh bool
	new   map[lockstep.ARN]struct{}
	// replay is the catch-up under way, stale that one is due.
	replay *replay
	stale  bool
	// suspect is true if the server denied something while nothing of ours was
	// answered.
	suspect bool
	// mark and marked are two notes of a position; see advance.
	mark   *replay
	marked position
	// held is an event that waits for those before it.
	held  *lockstep.Event
	queue []item
}

// item is something for the caller, or with neither event nor gap shown only a
// step of the state.
type item struct {
	arn   lockstep.ARN
	seq   uint64
	event *lockstep.Event
	gap   *GapError
}

// Watch begins to watch. Events are collected from then on; Next gives them.
// The Watcher ends with Close, or with the Client.
//
// Errors: ErrInvalid (wrapped) for a WatchConfig that cannot work, *Error if
// the server refused the caller, ErrState if it offers no events.
func (c *Client) Watch(ctx context.Context, cfg WatchConfig) (*Watcher, error) {
	p, err := parsePattern(cfg.Pattern)
	if err != nil {
		return nil, fmt.Errorf("watch: %w", err)
	}
	for _, t := range cfg.Types {
		if !slices.Contains(lockstep.EventTypes(), t) {
			return nil, fmt.Errorf("watch: there is no event type %q: %w", t, lockstep.ErrInvalid)
		}
	}
	st, err := c.serverStatus(ctx)
	if err != nil {
		return nil, fmt.Errorf("watch: %w", err)
	}
	if st.NATSURL == "" && c.link.given == "" {
		return nil, fmt.Errorf("watch: the server offers no events: %w", lockstep.ErrState)
	}
	li, err := c.link.listen()
	if err != nil {
		return nil, fmt.Errorf("watch: %w", err)
	}
	w := &Watcher{
		client: c, pattern: p, types: slices.Clone(cfg.Types), link: li,
		prefix: fmt.Sprintf("%s.%s.%s.", lockstep.EventSubjectPrefix, st.Account, c.at.Region()),
		live:   make(chan *nats.Msg, c.buffer), tick: time.NewTicker(markInterval), state: cfg.State.clone(),
	}
	w.life, w.end = context.WithCancel(c.life)
	context.AfterFunc(w.life, func() { c.link.forget(li) })
	w.begin(cfg.Since)
	return w, nil
}

// begin decides what the first catch-up gives.
func (w *Watcher) begin(since time.Time) {
	switch {
	case !w.state.IsZero():
	case !since.IsZero():
		w.state.Since = since
	default:
		w.fresh, w.new = true, make(map[lockstep.ARN]struct{})
		w.state.Since = w.client.at.Now().Add(-clockSlack)
	}
}

// Close ends the Watcher; a Next under way returns. It may be called again.
func (w *Watcher) Close() { w.end() }

// State is how far the Watcher has come: just after what Next gave last.
func (w *Watcher) State() State { return w.state.clone() }

// Events gives what Next gives until ctx or the Watcher ends. A *GapError is
// given and the loop goes on; any other error is the last.
func (w *Watcher) Events(ctx context.Context) iter.Seq2[lockstep.Event, error] {
	return func(yield func(lockstep.Event, error) bool) {
		for {
			e, err := w.Next(ctx)
			var gap *GapError
			if !yield(e, err) || (err != nil && !errors.As(err, &gap)) {
				return
			}
		}
	}
}

// Next waits for the next event. Trouble with the server or NATS is overcome
// by waiting; nothing is lost by it.
//
// Errors: *GapError where events are gone for good (call Next again); ErrDenied
// if the caller may not see the Pattern; ErrState after Close; ctx's, after
// which Next may be called again.
func (w *Watcher) Next(ctx context.Context) (lockstep.Event, error) {
	for {
		for len(w.queue) > 0 {
			it := w.queue[0]
			w.queue = w.queue[1:]
			w.state.Seen[it.arn] = it.seq
			switch {
			case it.gap != nil:
				return lockstep.Event{}, it.gap
			case it.event != nil:
				return *it.event, nil
			}
		}
		w.queue = nil
		if err := w.step(ctx); err != nil {
			return lockstep.Event{}, err
		}
	}
}

// step takes one thing that happened. The queue is empty when it is called.
func (w *Watcher) step(ctx context.Context) error {
	if w.life.Err() != nil {
		return errClosed
	}
	if w.held != nil {
		return w.admit(ctx, w.held)
	}
	w.noticeLoss()
	if w.stale && w.replay == nil {
		w.startReplay()
	}
	live := w.live
	if w.replay != nil {
		live = nil // what is live waits until what was before is given
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-w.life.Done():
		return errClosed
	case <-w.link.up:
		w.connected()
	case <-w.link.denied:
		w.denied()
	case m := <-w.replay.messages():
		return w.replayed(ctx, m)
	case <-w.replay.overdue():
		return w.askAgain()
	case m := <-live:
		return w.take(ctx, m.Data)
	case m := <-w.mark.messages():
		w.advance(m)
	case <-w.tick.C:
		w.askMark()
	}
	return nil
}

// take reads one event from the wire.
func (w *Watcher) take(ctx context.Context, body []byte) error {
	e := new(lockstep.Event)
	if err := e.UnmarshalJSON(body); err != nil { // json.Unmarshal would read it all twice
		w.client.at.Log().Warn("message is no event; left out", "error", err)
		return nil
	}
	return w.admit(ctx, e)
}

// connected subscribes, or after a reconnection finds the subscription still
// there, and asks for what was missed. Live events that come from now on wait
// behind it.
func (w *Watcher) connected() {
	if w.sub == nil {
		sub, err := w.client.link.conn().ChanSubscribe(w.subject("*.*"), w.live)
		if err != nil {
			w.client.at.Log().Warn("events cannot be heard", "error", err)
			return
		}
		w.sub = sub
		context.AfterFunc(w.life, func() { unsubscribe(sub) })
	}
	w.suspect = false
	w.mark.stop()
	w.mark, w.marked = nil, position{}
	w.replay.stop()
	w.replay, w.stale = nil, true
}

// noticeLoss finds out whether this Watcher was too slow for its buffer.
func (w *Watcher) noticeLoss() {
	if w.sub == nil || len(w.live) > 0 {
		return
	}
	if n, err := w.sub.Dropped(); err == nil && n != w.dropped {
		w.client.at.Log().Info("events came faster than they were taken; catching up", "missed", n-w.dropped)
		w.dropped, w.stale = n, true
	}
}

// denied notes that the server denied something. If nothing of ours is answered
// soon, it was ours.
func (w *Watcher) denied() {
	if w.replay != nil && !w.replay.answered {
		w.suspect = true
		w.replay.timer.Reset(denialPatience)
	}
}

// subject is the Watcher's own, with these tokens for the type.
func (w *Watcher) subject(eventType string) string {
	return w.prefix + eventType + "." + w.pattern.key()
}
