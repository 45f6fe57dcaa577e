package events

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"lockstep"
	"lockstep/bus"
	"lockstep/store"
)

// sendEvents publishes one batch of Events and marks them.
func (r *Relay) sendEvents(ctx context.Context) (time.Duration, error) {
	if err := r.compareFirst(ctx); err != nil {
		return 0, err
	}
	r.sending.Lock()
	defer r.sending.Unlock()
	var batch []lockstep.Event
	err := r.cfg.Store.View(ctx, func(tx store.ReadTx) (err error) {
		batch, err = tx.UnsentEvents(batchSize)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("read outbox: %w", err)
	}
	if len(batch) == 0 {
		return r.cfg.Poll, nil
	}
	arrived, err := r.publishEvents(ctx, batch)
	r.recordFailure(ctx, batch, arrived)
	full := len(batch) == batchSize
	r.doubt = err != nil || (r.doubt && full)
	if len(arrived) > 0 {
		err = errors.Join(err, r.mark(ctx, func(tx store.Tx) error { return tx.EventsSent(arrived) }))
	}
	if full {
		return 0, err
	}
	return r.cfg.Poll, err
}

// recordFailure tells the audit log which Events of a batch did not arrive. An
// end of the Relay is no failure.
func (r *Relay) recordFailure(ctx context.Context, batch []lockstep.Event, arrived []string) {
	if r.cfg.Audit == nil || len(arrived) == len(batch) || ctx.Err() != nil {
		return
	}
	failed := slices.DeleteFunc(slices.Clone(batch), func(e lockstep.Event) bool { return slices.Contains(arrived, e.ID) })
	r.cfg.Audit.DeliveryFailed(failed)
}

// compareFirst compares the stream with the store before anything is published
// after a start or a change of the relay: a stream that was restored from an
// older copy could otherwise overtake the mark that gives it away.
func (r *Relay) compareFirst(ctx context.Context) error {
	term := r.lease.term()
	if r.compared && term == r.term {
		return nil
	}
	if err := r.recoverEvents(ctx); err != nil {
		return err
	}
	r.sending.Lock()
	defer r.sending.Unlock()
	r.compared, r.term, r.doubt = true, term, true
	return nil
}

// publishEvents returns the ids of those that the stream has. After a failure,
// what follows of the same Secret is not among them, although it may have
// arrived: it is published again after the one that failed.
func (r *Relay) publishEvents(ctx context.Context, batch []lockstep.Event) (arrived []string, err error) {
	fresh := batch
	if r.doubt {
		fresh, arrived, err = r.withoutKnown(ctx, batch)
		if err != nil {
			return nil, err
		}
	}
	ms := make([]bus.Message, len(fresh))
	for i, e := range fresh {
		body, err := e.MarshalJSON() // json.Marshal would write it all twice
		if err != nil {
			return arrived, fmt.Errorf("write event %s: %w", e.ID, err)
		}
		ms[i] = bus.Message{ID: e.ID, Subject: lockstep.EventSubject(&e), Body: body}
	}
	failed := make(map[lockstep.SecretID]bool)
	for i, perr := range r.cfg.Publisher.PublishEvents(ctx, ms) {
		if perr != nil {
			failed[fresh[i].Secret] = true
			err = perr
		}
		if !failed[fresh[i].Secret] {
			arrived = append(arrived, fresh[i].ID)
			r.published(fresh[i])
		}
	}
	return arrived, err
}

func (r *Relay) published(e lockstep.Event) {
	if r.cfg.Observer != nil {
		r.cfg.Observer.Published(e, time.Now())
	}
}

// withoutKnown asks the stream which Events it has already, or has a later
// one of the same subject over.
func (r *Relay) withoutKnown(ctx context.Context, batch []lockstep.Event) (fresh []lockstep.Event, known []string, err error) {
	tips := newTips(r.cfg.Streams)
	for _, e := range batch {
		has, err := tips.covers(ctx, e)
		if err != nil {
			return nil, nil, err
		}
		if has {
			known = append(known, e.ID)
			continue
		}
		fresh = append(fresh, e)
	}
	return fresh, known, nil
}

// tips remembers the last sequence that the stream holds of each subject.
type tips struct {
	streams Streams
	last    map[string]uint64
}

func newTips(s Streams) *tips { return &tips{streams: s, last: make(map[string]uint64)} }

// covers tells whether the stream's last Event of e's subject is e or a later
// one of the same Secret. A Secret that was deleted leaves its name to another,
// whose sequence begins anew: the ARN tells them apart.
func (t *tips) covers(ctx context.Context, e lockstep.Event) (bool, error) {
	key := string(e.ARN) + " " + lockstep.EventSubject(&e)
	seq, seen := t.last[key]
	if !seen {
		last, err := t.streams.LastEvent(ctx, lockstep.EventSubject(&e))
		if err != nil {
			return false, err
		}
		if last != nil {
			seq = tipOf(last, e)
		}
		t.last[key] = seq
	}
	return seq >= e.Seq, nil
}

// tipOf is the sequence up to which the stream's last Event covers e's Secret.
// An Event of a later Secret of that name covers all of an earlier one's.
func tipOf(last *lockstep.Event, e lockstep.Event) uint64 {
	switch {
	case last.ARN == e.ARN:
		return last.Seq
	case last.Time.After(e.Time):
		return ^uint64(0)
	default:
		return 0
	}
}
