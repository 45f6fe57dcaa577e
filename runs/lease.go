package runs

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"lockstep"
	"lockstep/store"
)

// Busy says that another holder has the slot, and when to look again.
type Busy struct{ Until time.Duration }

func (b *Busy) Error() string { return "slot is held by another" }

// Is makes errors.Is(err, lockstep.ErrBusy) true.
func (*Busy) Is(target error) bool { return target == lockstep.ErrBusy }

// take claims a slot, or says until when another has it. A lease that ends
// further ahead than any lease lasts was written before the store's clock was
// stepped back; it is broken once its holder showed no sign of life for twice
// its length, by this process's own clock.
func (s *Service) take(tx store.Tx, id lockstep.SecretID, holder string) (lockstep.Lease, error) {
	lease, err := tx.ClaimSlot(id, holder, s.lease)
	if !errors.Is(err, lockstep.ErrBusy) {
		return lease, err
	}
	slot, err := tx.Slot(id)
	if err != nil {
		return lease, fmt.Errorf("read slot: %w", err)
	}
	left := slot.Expires.Sub(tx.Now())
	if left <= s.lease {
		return lease, &Busy{Until: max(left, time.Millisecond)}
	}
	if s.watch.unchanged(slot, s.now()) < 2*s.lease {
		return lease, &Busy{Until: s.lease}
	}
	return tx.BreakSlot(slot, holder, s.lease)
}

// watch remembers since when slots that should have expired were seen without
// a sign of life.
type watch struct {
	mu   sync.Mutex
	seen map[lockstep.SecretID]sighting
}

type sighting struct {
	fence, beat uint64
	since       time.Time
}

// maxWatched bounds the memory of a watch; beyond it all begin anew.
const maxWatched = 10_000

func (w *watch) unchanged(slot lockstep.Slot, now time.Time) time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	last, ok := w.seen[slot.Secret]
	if ok && last.fence == slot.Fence && last.beat == slot.Beat {
		return now.Sub(last.since)
	}
	if w.seen == nil || len(w.seen) >= maxWatched {
		w.seen = make(map[lockstep.SecretID]sighting)
	}
	w.seen[slot.Secret] = sighting{fence: slot.Fence, beat: slot.Beat, since: now}
	return 0
}

// tenure is a claim's lease. The heartbeat extends it while the claim writes.
type tenure struct {
	// turn lets one change of the lease at a time through: an extension under
	// the old fence must not meet a raise half done.
	turn sync.Mutex

	mu    sync.Mutex
	lease lockstep.Lease
}

func (t *tenure) get() lockstep.Lease {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.lease
}

// change replaces the lease by what fn makes of it, once that is committed.
func (t *tenure) change(ctx context.Context, s store.Store, fn func(store.Tx, lockstep.Lease) (lockstep.Lease, error)) error {
	t.turn.Lock()
	defer t.turn.Unlock()
	var next lockstep.Lease
	err := s.Update(ctx, func(tx store.Tx) (err error) {
		next, err = fn(tx, t.get())
		return err
	})
	if err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.lease = next
	return nil
}

// Lease is the claim's present lease.
func (c *Claim) Lease() lockstep.Lease { return c.tenure.get() }

// Extend is the heartbeat: it moves the lease's end to its full length from
// now. Errors: ErrFenced.
func (c *Claim) Extend(ctx context.Context) error {
	return c.tenure.change(ctx, c.service.store, func(tx store.Tx, l lockstep.Lease) (lockstep.Lease, error) {
		return tx.ExtendSlot(l, c.service.lease)
	})
}

// notAfterMargin keeps the target's deadline inside the lease: it covers the
// time between reading the target's clock and the extension of the lease.
const notAfterMargin = 500 * time.Millisecond

// NotAfter is the guard of ROTATION-PROTOCOL.md section 4: it turns the target's
// clock, read before, into the time at which a change sent now may take effect
// at the latest, so that it ends before the lease does. The lease is extended if
// less than three quarters of it are left; else the store is asked whether it
// holds. No clock but the target's and the
// store's is used. Errors: ErrFenced.
func (c *Claim) NotAfter(ctx context.Context, targetNow time.Time) (time.Time, error) {
	length := c.service.lease
	left, err := c.left(ctx)
	if err != nil {
		return time.Time{}, err
	}
	if left < length*3/4 {
		if err := c.Extend(ctx); err != nil {
			return time.Time{}, err
		}
		left = length
	}
	return targetNow.Add(left - min(notAfterMargin, length/4)), nil
}

// left is how much of the lease is left by the store's clock, read now; never
// more than its full length, wherever that clock was stepped to. Errors:
// ErrFenced if the slot is another's by now.
func (c *Claim) left(ctx context.Context) (left time.Duration, err error) {
	lease := c.Lease()
	err = c.service.store.View(ctx, func(tx store.ReadTx) error {
		slot, err := tx.Slot(lease.Secret)
		if err != nil {
			return fmt.Errorf("read slot: %w", err)
		}
		if slot.Fence != lease.Fence || slot.Holder != lease.Holder {
			return fmt.Errorf("slot of secret %d: %w", lease.Secret, lockstep.ErrFenced)
		}
		left = min(slot.Expires.Sub(tx.Now()), c.service.lease)
		return nil
	})
	return left, err
}

// RaiseFence takes over a marker that was found at the target with a higher
// fence: the store was restored from a backup. Errors: ErrFenced.
func (c *Claim) RaiseFence(ctx context.Context, found uint64) error {
	return c.tenure.change(ctx, c.service.store, func(tx store.Tx, l lockstep.Lease) (lockstep.Lease, error) {
		return tx.RaiseFence(l, found+1)
	})
}

// Release frees the slot where nothing else is to be written. It does nothing
// if a call of this claim may yet take effect, or if the lease was lost.
func (c *Claim) Release(ctx context.Context) error {
	if c.mayLand {
		return nil
	}
	return c.service.store.Update(ctx, func(tx store.Tx) error { return tx.ReleaseSlot(c.Lease()) })
}
