package client

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"

	"lockstep"
)

const (
	headerEnd = "Lockstep-End"
	// replayPatience is how long an answer may be silent.
	replayPatience = 15 * time.Second
	// denialPatience is how long after a denial.
	denialPatience = 2 * time.Second
	// noType stands for the type in a request that asks for a position alone:
	// no event has it.
	noType = "none.none"
)

// replayRequest and replayEnd are what package bus calls ReplayRequest and
// ReplayEnd.
type replayRequest struct {
	After  uint64 `json:"after"`
	Stream string `json:"stream,omitempty"`
}

type replayEnd struct {
	Last    uint64 `json:"last"`
	Stream  string `json:"stream"`
	Present bool   `json:"present"`
	Error   string `json:"error,omitempty"`
}

// position is a place in the event stream.
type position struct {
	stream string
	last   uint64
}

// replay is one request for events that were missed. A nil *replay is none.
type replay struct {
	ch chan *nats.Msg
	// stopped ends it; it ends with the Watcher too.
	stopped context.CancelFunc
	timer   *time.Timer
	// answered is true once anything came.
	answered bool
}

// ask sends a request. Its answer may be large and come at once, so it is
// collected without a limit and handed over one by one.
func (w *Watcher) ask(subject string, req replayRequest) (*replay, error) {
	nc := w.client.link.conn()
	body, err := json.Marshal(req)
	if err != nil {
		return nil, fmt.Errorf("ask for missed events: %w", err)
	}
	life, stop := context.WithCancel(w.life)
	r := &replay{ch: make(chan *nats.Msg, 1), stopped: stop, timer: time.NewTimer(replayPatience)}
	inbox := nc.NewInbox()
	sub, err := nc.Subscribe(inbox, func(m *nats.Msg) {
		select {
		case r.ch <- m:
		case <-life.Done():
		}
	})
	if err == nil {
		context.AfterFunc(life, func() { unsubscribe(sub) })
		err = sub.SetPendingLimits(-1, -1)
	}
	if err == nil {
		err = nc.PublishRequest(replayRoot+w.client.link.id+"."+subject, inbox, body)
	}
	if err != nil {
		r.stop()
		return nil, fmt.Errorf("ask for missed events: %w", err)
	}
	return r, nil
}

// messages is nil, which is never ready, if there is no replay.
func (r *replay) messages() <-chan *nats.Msg {
	if r == nil {
		return nil
	}
	return r.ch
}

func (r *replay) overdue() <-chan time.Time {
	if r == nil {
		return nil
	}
	return r.timer.C
}

func (r *replay) stop() {
	if r == nil {
		return
	}
	r.timer.Stop()
	r.stopped()
}

// startReplay asks for what came after the last known position; without one,
// for the present state.
func (w *Watcher) startReplay() {
	w.stale = false
	if w.sub == nil || !w.client.link.up() {
		return // the next connection asks
	}
	r, err := w.ask(w.subject("*.*"), replayRequest{After: w.state.Last, Stream: w.state.Stream})
	if err != nil {
		// The connection is going away; the next one asks.
		w.client.at.Log().Info("catch-up waits for the connection", "error", err)
		return
	}
	w.replay, w.new = r, make(map[lockstep.ARN]struct{})
}

// askAgain begins a catch-up anew that was not answered. Errors: ErrDenied if
// the server had denied something.
func (w *Watcher) askAgain() error {
	w.replay.stop()
	w.replay, w.stale = nil, true
	if w.suspect {
		w.suspect = false
		return fmt.Errorf("events of this pattern may not be seen: %w", lockstep.ErrDenied)
	}
	w.client.at.Log().Warn("missed events were not given in full; asking again")
	return nil
}

// replayed takes one message of the answer.
func (w *Watcher) replayed(ctx context.Context, m *nats.Msg) error {
	w.replay.answered, w.suspect = true, false
	w.replay.timer.Reset(replayPatience)
	if m.Header.Get(headerEnd) == "" {
		return w.take(ctx, m.Data)
	}
	var end replayEnd
	if err := json.Unmarshal(m.Data, &end); err != nil || end.Error != "" {
		// Not at once: the server has its trouble. The timer asks again.
		w.replay.timer.Reset(reconnectDelay(1))
		return nil
	}
	w.replay.stop()
	w.replay = nil
	w.fresh, w.new = false, nil
	w.state.Stream, w.state.Last = end.Stream, end.Last
	return nil
}

// askMark asks for the stream's present position.
func (w *Watcher) askMark() {
	if w.sub == nil || w.replay != nil || w.mark != nil || !w.client.link.up() {
		return
	}
	r, err := w.ask(w.subject(noType), replayRequest{After: w.state.Last, Stream: w.state.Stream})
	if err != nil {
		return // asked again later
	}
	w.mark = r
}

// advance moves the state's position up to the mark before this one, provided
// that all that was live before this answer has been given. One mark back,
// since with several servers an answer may overtake an event by a little.
func (w *Watcher) advance(m *nats.Msg) {
	w.mark.stop()
	w.mark = nil
	var end replayEnd
	if err := json.Unmarshal(m.Data, &end); err != nil || m.Header.Get(headerEnd) == "" || end.Error != "" {
		return
	}
	n, err := w.sub.Dropped()
	if err != nil || n != w.dropped || len(w.live) > 0 {
		return
	}
	if w.marked.stream == end.Stream && w.state.Stream == end.Stream && w.marked.last > w.state.Last {
		w.state.Last = w.marked.last
	}
	w.marked = position{end.Stream, end.Last}
}
