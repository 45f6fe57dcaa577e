package events

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"lockstep"
	"lockstep/bus"
	"lockstep/store"
)

const (
	// streamSetting remembers how far the event stream was.
	streamSetting = "relay.event-stream"
	// agingSlack: what is about to leave the stream by age is not missed.
	agingSlack = time.Hour
	// pruneBatch bounds the Events that one transaction forgets, pruneBatches
	// how many transactions do so at a time.
	pruneBatch   = 500
	pruneBatches = 20
)

// streamMark is how far the event stream was when it was last compared.
type streamMark struct {
	Created time.Time `json:"created"`
	LastSeq uint64    `json:"lastSeq"`
}

// recoverEvents marks as unsent what the event stream has lost. Usually the
// newest Events are all there, and one look is enough. If the stream is
// another one than before, or is behind where it was, everything of the last
// 30 days is compared, up to 65,536 Events; older state is then missing from
// the stream, not from the store.
func (r *Relay) recoverEvents(ctx context.Context) error {
	state, err := r.cfg.Streams.EventStream(ctx)
	if err != nil {
		return err
	}
	var before streamMark
	err = r.cfg.Store.View(ctx, func(tx store.ReadTx) (err error) {
		before, err = readMark(tx)
		return err
	})
	if err != nil {
		return fmt.Errorf("read state of event stream: %w", err)
	}
	replaced := !before.Created.Equal(state.Created) || state.LastSeq < before.LastSeq
	lost, err := r.lostEvents(ctx, replaced)
	if err != nil {
		return err
	}
	if len(lost) > 0 {
		r.log.Warn("event stream has lost events; they are published again", "events", len(lost), "replaced", replaced)
	}
	if err := r.unsend(ctx, lost); err != nil {
		return err
	}
	return r.saveMark(ctx, before, state)
}

// unsend marks Events unsent, some in each transaction, the oldest first. The
// loop that publishes is kept off until it is in doubt: since the comparison a
// later Event of the same subject may have been published.
func (r *Relay) unsend(ctx context.Context, ids []string) error {
	if len(ids) == 0 {
		return nil
	}
	r.sending.Lock()
	defer r.sending.Unlock()
	r.doubt = true
	for batch := range slices.Chunk(ids, batchSize) {
		err := r.cfg.Store.Update(ctx, func(tx store.Tx) error { return tx.EventsUnsent(batch) })
		if err != nil {
			return fmt.Errorf("mark lost events: %w", err)
		}
	}
	return nil
}

// lostEvents lists what the stream lacks, oldest first. It looks further back
// until the older half of what it looked at is all there.
func (r *Relay) lostEvents(ctx context.Context, replaced bool) ([]string, error) {
	tips := newTips(r.cfg.Streams)
	for limit := firstLook; ; limit *= 4 {
		tail, err := r.sentTail(ctx, limit)
		if err != nil {
			return nil, err
		}
		lost, oldest, err := missing(ctx, tips, tail.events)
		if err != nil {
			return nil, err
		}
		reached := !replaced && oldest >= len(tail.events)/2
		if tail.whole || reached || limit >= lastLook {
			return lost, nil
		}
	}
}

// tail is the newest Events that count as sent and are not about to age out.
type tail struct {
	events []lockstep.Event
	// whole is true if there are no older ones.
	whole bool
}

func (r *Relay) sentTail(ctx context.Context, limit int) (tail, error) {
	var out tail
	err := r.cfg.Store.View(ctx, func(tx store.ReadTx) error {
		all, err := tx.EventTail(limit)
		if err != nil {
			return err
		}
		waiting, err := tx.UnsentEvents(lastLook)
		if err != nil {
			return err
		}
		unsent := make(map[string]bool, len(waiting))
		for _, e := range waiting {
			unsent[e.ID] = true
		}
		out = tail{whole: len(all) < limit}
		horizon := tx.Now().Add(agingSlack - Keep)
		for _, e := range all {
			if e.Time.Before(horizon) {
				out.whole = true
			} else if !unsent[e.ID] {
				out.events = append(out.events, e)
			}
		}
		return nil
	})
	if err != nil {
		return tail{}, fmt.Errorf("read newest events: %w", err)
	}
	return out, nil
}

// missing lists the ids of those that the stream lacks, and where in events
// the oldest of them stands; len(events) if none is lacking.
func missing(ctx context.Context, tips *tips, events []lockstep.Event) (ids []string, oldest int, err error) {
	oldest = len(events)
	for i, e := range events {
		has, err := tips.covers(ctx, e)
		if err != nil {
			return nil, 0, err
		}
		if has {
			continue
		}
		ids = append(ids, e.ID)
		oldest = min(oldest, i)
	}
	return ids, oldest, nil
}

// readMark returns the zero mark if there is none.
func readMark(tx store.ReadTx) (streamMark, error) {
	var m streamMark
	raw, err := tx.Setting(streamSetting)
	if errors.Is(err, lockstep.ErrNotFound) {
		return m, nil
	}
	if err != nil {
		return m, err
	}
	if err := json.Unmarshal(raw, &m); err != nil {
		return m, fmt.Errorf("read state of event stream: %w", err)
	}
	return m, nil
}

// saveMark remembers the stream as it was before the comparison, once what it
// lacked is marked.
func (r *Relay) saveMark(ctx context.Context, before streamMark, now bus.StreamState) error {
	if before.Created.Equal(now.Created) && before.LastSeq == now.LastSeq {
		return nil
	}
	raw, err := json.Marshal(streamMark{Created: now.Created, LastSeq: now.LastSeq})
	if err != nil {
		return fmt.Errorf("write state of event stream: %w", err)
	}
	err = r.cfg.Store.Update(ctx, func(tx store.Tx) error { return tx.SaveSetting(streamSetting, raw) })
	if err != nil {
		return fmt.Errorf("write state of event stream: %w", err)
	}
	return nil
}

// prune forgets Events that are older than Keep; the rest waits for the next
// time.
func (r *Relay) prune(ctx context.Context) error {
	for range pruneBatches {
		n := 0
		err := r.cfg.Store.Update(ctx, func(tx store.Tx) (err error) {
			n, err = tx.DeleteEventsBefore(tx.Now().Add(-Keep), pruneBatch)
			return err
		})
		if err != nil {
			return fmt.Errorf("forget old events: %w", err)
		}
		if n < pruneBatch {
			return nil
		}
	}
	return nil
}
