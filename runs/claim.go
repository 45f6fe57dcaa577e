package runs

import (
	"context"
	"errors"
	"fmt"
	"time"

	"lockstep"
	"lockstep/ledger"
	"lockstep/store"
)

// ErrEnded says that there is nothing left to do for a Job: its Run is final,
// its Version retired, its Secret verified or gone.
var ErrEnded = errors.New("nothing left to do")

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
	// mayLand is true once a call of this claim had no answer: it may yet take
	// effect, so the lease is left to run out.
	mayLand bool

	tenure tenure
}

// Claim takes the slot of a Run's Secret for a worker.
// Errors: ErrEnded; *Busy; *Waiting (the Run may not go on yet; its Job is in
// the outbox again, due at Until).
func (s *Service) Claim(ctx context.Context, id lockstep.RunID, holder string) (*Claim, error) {
	return s.claim(ctx, id, holder, nil)
}

// ClaimWith is Claim with a value made beforehand, since nothing at the target
// is needed to make one. If nobody has begun the Run and the value fits what is
// found under the lock, claim, create and the beginning of set are one write,
// and the Run comes back in setting, not Resumed. Otherwise it is Claim, and
// the value is to be forgotten.
func (s *Service) ClaimWith(ctx context.Context, id lockstep.RunID, holder string, p Pending) (*Claim, error) {
	claim, err := s.claim(ctx, id, holder, &p)
	if errors.Is(err, lockstep.ErrConflict) {
		return s.claim(ctx, id, holder, nil)
	}
	return claim, err
}

func (s *Service) claim(ctx context.Context, id lockstep.RunID, holder string, p *Pending) (*Claim, error) {
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
		lease, err := s.take(tx, secret.ID, holder)
		if wait = slotHeld(run, err, b.Now); wait != nil {
			return awaitSlot(tx, b, run, wait)
		}
		if err != nil {
			return err
		}
		if wait, err = s.mustWait(tx, b, run); err != nil {
			return err
		}
		if wait != nil {
			return park(tx, &parking{book: b, run: run, wait: wait, lease: lease})
		}
		if wait, err = s.regain(tx, &parking{book: b, run: run, lease: lease}); wait != nil || err != nil {
			return err
		}
		claim = newClaim(s, secret, traits, lease)
		claim.Run, claim.Resumed = run, run.State.TargetTouched()
		return s.noteClaim(tx, b, claim, p)
	})
	if err == nil && wait != nil {
		err = wait
	}
	if err != nil {
		return nil, err
	}
	return claim, nil
}

// slotHeld is how a Run waits that nobody has claimed yet, and that finds the slot
// in other hands: a retirement's or a verify's. A Run that was claimed before may
// be in those hands itself, and is only given back to the queue (nil).
func slotHeld(run *lockstep.Run, err error, now time.Time) *Waiting {
	var busy *Busy
	if !errors.As(err, &busy) || !run.Started.IsZero() || run.State != lockstep.RunQueued || run.Stop != lockstep.StopNone {
		return nil
	}
	return &Waiting{Reason: "slot held by a retirement or a verify", Until: now.Add(busy.Until)}
}

// awaitSlot puts a Run's Job back into the outbox, to be published when the slot is
// released, or when its lease ends. The Run keeps its place: it is not for long.
func awaitSlot(tx store.Tx, b *ledger.Book, run *lockstep.Run, wait *Waiting) error {
	run.Reason = wait.Reason
	run.JobSeq++
	job := store.Job{Kind: store.JobRun, Run: run.ID, Version: run.Version, Seq: run.JobSeq, DueAt: wait.Until, AwaitsSlot: true}
	if err := b.AddJob(job); err != nil {
		return err
	}
	if err := tx.SaveRun(run, nil); err != nil {
		return fmt.Errorf("save run: %w", err)
	}
	return b.Close()
}

func newClaim(s *Service, secret *lockstep.Secret, traits lockstep.Traits, lease lockstep.Lease) *Claim {
	return &Claim{Secret: secret, Traits: traits, service: s, tenure: tenure{lease: lease}}
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

// noteClaim writes what the first claim of a Run sets, and the value that was
// made beforehand, if it fits.
func (s *Service) noteClaim(tx store.Tx, b *ledger.Book, c *Claim, p *Pending) error {
	if c.Run.Started.IsZero() {
		c.Run.Started = b.Now
		c.Run.Deadline = b.Now.Add(rotationOf(c.Secret).Deadline())
	}
	c.Run.RetryAt = time.Time{}
	if c.Run.Attempts == 0 {
		c.Run.Reason, c.Run.Hint = "", "" // why it waited
	}
	w := &writing{tx: tx, book: b, claim: c, run: c.Run}
	if c.Run.State == lockstep.RunQueued && !c.Run.TestOnly {
		if err := w.begin(lockstep.StepCreate); err != nil {
			return err
		}
	}
	fits, err := w.fits(p)
	switch {
	case err != nil:
		return err
	case fits:
		err = w.created(*p)
	default:
		err = w.save()
	}
	if err == nil {
		err = w.flush()
	}
	c.step = w.step
	return err
}

// fits tells whether a value that was made before the claim may be the Run's:
// it was made from what is AWSCURRENT still, and its admin is not in the way.
func (w *writing) fits(p *Pending) (bool, error) {
	if p == nil || w.run.State != lockstep.RunQueued || w.run.TestOnly || w.run.Stop != lockstep.StopNone ||
		p.Base == "" || w.book.Stages[lockstep.Current] != p.Base {
		return false, nil
	}
	wait, err := waitForAdmin(w.tx, w.book.Now, p.Admin)
	return wait == nil, err
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
	return waitForUses(tx, b, run)
}

// parking is a Run that is put aside until something else is over.
type parking struct {
	book  *ledger.Book
	run   *lockstep.Run
	wait  *Waiting
	lease lockstep.Lease
}

// park leaves a Run where it is, with the reason, frees its slot, and puts its
// Job back into the outbox for later. Waiting uses no attempt, and tells its
// reason once.
func park(tx store.Tx, p *parking) error {
	b, run := p.book, p.run
	if run.Reason != p.wait.Reason {
		run.Reason, run.Hint = p.wait.Reason, ""
		if err := b.Emit(lockstep.EventRunWaiting, lockstep.EventData{
			VersionID: run.Version, Run: run.ID, Trigger: run.Trigger, State: run.State, Reason: run.Reason,
		}); err != nil {
			return err
		}
	}
	if err := b.PublishRun(run, p.wait.Until); err != nil {
		return err
	}
	if err := tx.LeavePlace(run.ID); err != nil { // it may take weeks
		return fmt.Errorf("leave its place: %w", err)
	}
	if err := tx.SaveRun(run, &p.lease); err != nil {
		return fmt.Errorf("save run: %w", err)
	}
	if err := tx.ReleaseSlot(p.lease); err != nil {
		return fmt.Errorf("release slot: %w", err)
	}
	return b.Close()
}
