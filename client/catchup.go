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
// or drops it if it was given before. The event is held while it waits for
// others; with the queue empty it is admitted again.
func (w *Watcher) admit(ctx context.Context, e *lockstep.Event) error {
	w.held = nil
	seen, known := w.state.Seen[e.ARN]
	if w.fresh && !known {
		w.new[e.ARN] = struct{}{}
	}
	_, isNew := w.new[e.ARN]
	switch {
	case known && e.Seq <= seen, !w.pattern.matches(e.Name):
		return nil
	case isNew, e.Seq == seen+1, !known && e.Time.Before(w.state.Since):
		w.push(e)
		return nil
	}
	w.held = e
	return w.fill(ctx, seen, known)
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

// fill reads from the server's store a page of what is missing before the held
// event. What neither the stream nor the store has any more is a gap; of a
// Secret that was not known there is nothing to miss.
func (w *Watcher) fill(ctx context.Context, seen uint64, known bool) error {
	e := w.held
	last, err := w.skip(ctx, seen)
	if err != nil {
		return err
	}
	known = known && last == seen
	page, err := w.page(ctx, admin.EventQuery{Secret: string(e.ARN), After: last, Limit: pageSize})
	if err != nil {
		return err
	}
	if len(page) == 0 {
		page = []lockstep.Event{*e} // gone from the store, or the Secret is
	}
	for i := range page {
		got := &page[i]
		if got.Seq > last+1 && known {
			gap := &GapError{ARN: e.ARN, Name: e.Name, From: last + 1, To: got.Seq - 1}
			w.queue = append(w.queue, item{arn: e.ARN, seq: gap.To, gap: gap})
		}
		w.push(got)
		last, known = got.Seq, true
	}
	return nil
}

// skip returns the sequence number to read after: seen, or a later one if the
// events up to it are older than the caller asked for. It looks back from the
// held event in growing strides.
func (w *Watcher) skip(ctx context.Context, seen uint64) (uint64, error) {
	e := w.held
	for back := uint64(pageSize); e.Seq > seen+back; back *= 4 {
		one, err := w.page(ctx, admin.EventQuery{Secret: string(e.ARN), After: e.Seq - back - 1, Limit: 1})
		if err != nil {
			return 0, err
		}
		if len(one) == 1 && one[0].Time.Before(w.state.Since) {
			return one[0].Seq, nil
		}
	}
	return seen, nil
}

// page reads some events, and does not give up before ctx or the Watcher ends:
// an event must not be lost because a server restarts.
func (w *Watcher) page(ctx context.Context, q admin.EventQuery) ([]lockstep.Event, error) {
	for attempt := 1; ; attempt++ {
		page, err := w.client.admin.Events(ctx, q)
		switch {
		case err == nil:
			return page, nil
		case errors.Is(err, lockstep.ErrNotFound), errors.Is(err, lockstep.ErrDenied):
			return nil, nil // purged, or not ours to ask
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case w.life.Err() != nil:
			return nil, errClosed
		}
		w.client.at.Log().Warn("missed events cannot be read yet", "arn", q.Secret, "error", err)
		if err := wire.Pause(ctx, reconnectDelay(attempt)); err != nil {
			return nil, err
		}
	}
}
