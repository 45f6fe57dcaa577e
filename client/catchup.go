package client

import (
	"context"
	"errors"
	"slices"

	"lockstep"
	"lockstep/client/admin"
	"lockstep/client/internal/wire"
)

// pageSize is how many events one request to the store may give.
const pageSize = 1000

// admit puts an event into the queue, with those before it that are missing,
// or drops it if it was given before. If ctx ends meanwhile, the event is held.
func (w *Watcher) admit(ctx context.Context, e *lockstep.Event) error {
	w.held = nil
	seen, known := w.state.Seen[e.ARN]
	switch {
	case known && e.Seq <= seen, !w.pattern.matches(e.Name):
		return nil
	case w.fresh, e.Seq == seen+1, !known && !w.founded:
		w.push(e)
		return nil
	}
	return w.fill(ctx, e, seen)
}

// push adds an event to the queue; what the caller did not ask for moves only
// the state.
func (w *Watcher) push(e *lockstep.Event) {
	it := item{arn: e.ARN, seq: e.Seq}
	wanted := len(w.types) == 0 || slices.Contains(w.types, e.Type)
	if wanted && (w.fresh || !e.Time.Before(w.state.Since)) {
		it.event = e
	}
	w.queue = append(w.queue, it)
}

// fill reads from the server's store what is missing between the last event
// seen of a Secret and e.
func (w *Watcher) fill(ctx context.Context, e *lockstep.Event, seen uint64) error {
	_, known := w.state.Seen[e.ARN]
	for last := seen; last < e.Seq; {
		page, err := w.page(ctx, e, last)
		if err != nil {
			w.held, w.queue = e, nil
			return err
		}
		if len(page) == 0 {
			page = []lockstep.Event{*e} // gone from the store, or the Secret is
		}
		for i := range page {
			got := &page[i]
			if got.Seq > last+1 && (known || last > 0) {
				w.queue = append(w.queue, item{arn: e.ARN, seq: got.Seq - 1, gap: &GapError{ARN: e.ARN, Name: e.Name, From: last + 1, To: got.Seq - 1}})
			}
			w.push(got)
			last = got.Seq
		}
	}
	return nil
}

// page reads some events after a sequence number, and does not give up before
// ctx or the Watcher ends: an event must not be lost because a server restarts.
func (w *Watcher) page(ctx context.Context, e *lockstep.Event, after uint64) ([]lockstep.Event, error) {
	for attempt := 1; ; attempt++ {
		page, err := w.client.admin.Events(ctx, admin.EventQuery{Secret: string(e.ARN), After: after, Limit: pageSize})
		switch {
		case err == nil:
			return page, nil
		case errors.Is(err, lockstep.ErrNotFound), errors.Is(err, lockstep.ErrDenied):
			return nil, nil // purged, or not ours to ask: a gap
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case w.life.Err() != nil:
			return nil, errClosed
		}
		w.client.at.Log().Warn("missed events cannot be read yet", "secret", e.Name, "error", err)
		if err := wire.Pause(ctx, reconnectDelay(attempt)); err != nil {
			return nil, err
		}
	}
}
