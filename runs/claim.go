package runs

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"lockstep"
	"lockstep/ledger"
	"lockstep/store"
)

// ErrEnded says that there is nothing left to do for a Job: its Run is final,
// its Version retired, its Secret verified or gone.
var ErrEnded = errors.New("nothing left to do")

// Busy says that another holder has the slot, and until when.
type Busy struct{ Until time.Duration }

func (b *Busy) Error() string { return "slot is held by another" }

// Is makes errors.Is(err, lockstep.ErrBusy) true.
func (*Busy) Is(target error) bool { return target == lockstep.ErrBusy }

// Claim is the right to carry one Run (or one retirement, or one verify) on.
// It is used by one goroutine, but for Extend, which the heartbeat calls.
type Claim struct {
	// Secret and Run are as of the last write; Run is nil for retire and
	// verify.
	Secret *lockstep.Secret
	Run    *lockstep.Run
	// Version is what a retirement is about.
	Version lockstep.VersionID
	Traits  lockstep.Traits
	// Resumed tells that an earlier claim may have told the target something:
	// raise the marker and probe before anything else.
	Resumed bool

	service *Service
	step    lockstep.StepRecord

	mu    sync.Mutex // the heartbeat reads lease
	lease lockstep.Lease
}

// Lease is the claim's present lease.
func (c *Claim) Lease() lockstep.Lease {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.lease
}

// Claim takes the slot of a Run's Secret for a worker.
// Errors: ErrEnded; *Busy; *Waiting (the Run may not go on yet; its Job is in
// the outbox again, due at Until).
func (s *Service) Claim(ctx context.Context, id lockstep.RunID, holder string) (*Claim, error) {
	var claim *Claim
	var wait *Waiting
	err := s.store.Update(ctx, func(tx store.Tx) error {
		claim, wait = nil, nil
		run, secret, err := openRunOf(tx, id)
		if err != nil {
			return err
		}
		b, traits, err := s.open(tx, secret)
		if err != nil {
			return err
		}
		if wait, err = s.mustWait(tx, b, run); err != nil {
			return err
		}
		if wait != nil {
			return s.park(tx, b, run, wait)
		}
		lease, err := claimSlot(tx, secret.ID, holder, s.lease)
		if err != nil {
			return err
		}
		claim = &Claim{Secret: secret, Run: run, Traits: traits, service: s, lease: lease, Resumed: run.State.TargetTouched()}
		return s.noteClaim(tx, b, claim)
	})
	if err == nil && wait != nil {
		err = wait
	}
	if err != nil {
		return nil, err
	}
	return claim, nil
}

// openRunOf locks the Secret of a Run and reads the Run again under the lock.
func openRunOf(tx store.Tx, id lockstep.RunID) (*lockstep.Run, *lockstep.Secret, error) {
	run, err := tx.Run(id)
	if errors.Is(err, lockstep.ErrNotFound) {
		return nil, nil, ErrEnded
	}
	if err != nil {
		return nil, nil, fmt.Errorf("read run: %w", err)
	}
	secret, err := tx.LockSecret(run.Secret)
	if errors.Is(err, lockstep.ErrNotFound) {
		return nil, nil, ErrEnded
	}
	if err != nil {
		return nil, nil, fmt.Errorf("lock secret: %w", err)
	}
	if run, err = tx.Run(id); err != nil {
		return nil, nil, fmt.Errorf("read run: %w", err)
	}
	if run.State.Final() {
		return nil, nil, ErrEnded
	}
	return run, secret, nil
}

func claimSlot(tx store.Tx, id lockstep.SecretID, holder string, length time.Duration) (lockstep.Lease, error) {
	lease, err := tx.ClaimSlot(id, holder, length)
	if !errors.Is(err, lockstep.ErrBusy) {
		return lease, err
	}
	slot, readErr := tx.Slot(id)
	if readErr != nil {
		return lease, fmt.Errorf("read slot: %w", readErr)
	}
	return lease, &Busy{Until: max(slot.Expires.Sub(tx.Now()), time.Millisecond)}
}

// noteClaim writes what the first claim of a Run sets.
func (s *Service) noteClaim(tx store.Tx, b *ledger.Book, c *Claim) error {
	if c.Run.Started.IsZero() {
		c.Run.Started = b.Now
		c.Run.Deadline = b.Now.Add(rotationOf(c.Secret).Deadline())
	}
	c.Run.RetryAt = time.Time{}
	w := &writing{tx: tx, book: b, claim: c, run: c.Run}
	if c.Run.State == lockstep.RunQueued && !c.Run.TestOnly {
		if err := w.begin(lockstep.StepCreate); err != nil {
			return err
		}
	}
	c.step = w.step
	return w.save()
}

// rotationOf is the Secret's Rotation; the zero one if it was taken away.
func rotationOf(s *lockstep.Secret) *lockstep.Rotation {
	if s.Rotation == nil {
		return &lockstep.Rotation{}
	}
	return s.Rotation
}

// waitAgain is how soon a Run that waits for another's end looks again, if
// nobody wakes it before.
const waitAgain = 30 * time.Second

// mustWait applies WAIT of ROTATION-PROTOCOL.md section 2 to a Run whose
// target has not been touched, and the time of the next try to any.
func (s *Service) mustWait(tx store.Tx, b *ledger.Book, run *lockstep.Run) (*Waiting, error) {
	if run.Stop != lockstep.StopNone {
		return nil, nil
	}
	if run.RetryAt.After(b.Now) {
		return &Waiting{Reason: run.Reason, Until: run.RetryAt}, nil
	}
	if run.State.TargetTouched() || run.TestOnly {
		return nil, nil
	}
	live, err := tx.LiveVersions(b.Secret.ID)
	if err != nil {
		return nil, fmt.Errorf("read live versions: %w", err)
	}
	for _, v := range live {
		if !v.Retirement.Blocks() {
			continue
		}
		until := b.Now.Add(waitAgain)
		if v.RetireAt.After(b.Now) && v.RetireAt.Before(until) {
			until = v.RetireAt
		}
		return &Waiting{Reason: fmt.Sprintf("blocked by retirement of version %s", v.ID), Until: until}, nil
	}
	return nil, nil
}

// park leaves a Run where it is, with the reason, and puts its Job back into
// the outbox for later. Waiting uses no attempt.
func (s *Service) park(tx store.Tx, b *ledger.Book, run *lockstep.Run, w *Waiting) error {
	if run.Reason != w.Reason {
		run.Reason = w.Reason
		if err := b.Emit(lockstep.EventRunWaiting, lockstep.EventData{
			VersionID: run.Version, Run: run.ID, Trigger: run.Trigger, State: run.State, Reason: w.Reason,
		}); err != nil {
			return err
		}
	}
	if err := b.PublishRun(run, w.Until); err != nil {
		return err
	}
	if err := tx.SaveRun(run, nil); err != nil {
		return fmt.Errorf("save run: %w", err)
	}
	return b.Close()
}

// Extend is the heartbeat: it moves the lease's end to its full length from
// now. Errors: ErrFenced.
func (c *Claim) Extend(ctx context.Context) error {
	return c.service.store.Update(ctx, func(tx store.Tx) error {
		_, err := tx.ExtendSlot(c.Lease(), c.service.lease)
		return err
	})
}

// notAfterMargin keeps the target's deadline inside the lease: it covers the
// time between reading the target's clock and the extension of the lease.
const notAfterMargin = 500 * time.Millisecond

// NotAfter is the guard of ROTATION-PROTOCOL.md section 4: it extends the lease
// and turns the target's clock into the time at which a change sent now may
// take effect at the latest. No local clock is used. Errors: ErrFenced.
func (c *Claim) NotAfter(ctx context.Context, targetNow time.Time) (time.Time, error) {
	length := c.service.lease
	if err := c.Extend(ctx); err != nil {
		return time.Time{}, err
	}
	return targetNow.Add(length - min(notAfterMargin, length/4)), nil
}

// RaiseFence takes over a marker that was found at the target with a higher
// fence: the store was restored from a backup. Errors: ErrFenced.
func (c *Claim) RaiseFence(ctx context.Context, found uint64) error {
	return c.service.store.Update(ctx, func(tx store.Tx) error {
		lease, err := tx.RaiseFence(c.Lease(), found+1)
		if err == nil {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.lease = lease
		}
		return err
	})
}
