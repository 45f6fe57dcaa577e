package runs

import (
	"context"
	"errors"
	"fmt"
	"time"

	"lockstep"
	"lockstep/store"
)

// Asking is a target about to be asked to issue a value.
type Asking struct {
	// Base is the AWSCURRENT with which it is asked.
	Base lockstep.VersionID
	// Admin is the Secret whose credential asks; 0 if none.
	Admin lockstep.SecretID
}

// Intend writes down that the target is about to be asked, and gives the marker
// of what it issues: from here on, something may be there that nobody knows of. A
// claim intends once. The Run was in queued, or in setting with nothing open.
// Errors: ErrConflict if the Run was stopped or AWSCURRENT is no longer base;
// *Waiting as Created; ErrExists if this claim has intended.
func (c *Claim) Intend(ctx context.Context, a Asking) (lockstep.Marker, error) {
	var wait *Waiting
	var marker lockstep.Marker
	err := c.write(ctx, func(w *writing) (err error) {
		if wait, err = waitForAdmin(w.tx, w.book.Now, a.Admin); err != nil {
			return err
		}
		if wait != nil {
			return w.putAside(wait)
		}
		marker, err = w.intend(a)
		return err
	})
	if err == nil && wait != nil {
		err = wait
	}
	return marker, err
}

func (w *writing) intend(a Asking) (lockstep.Marker, error) {
	if w.run.State == lockstep.RunQueued {
		if err := w.signal(lockstep.SignalCreated, w.facts()); err != nil {
			return "", err
		}
		w.run.Base = a.Base
	}
	switch {
	case w.run.State == lockstep.RunCreated:
		if err := w.signal(lockstep.SignalSetBegins, w.facts()); err != nil {
			return "", err
		}
	case w.run.State != lockstep.RunSetting:
		return "", fmt.Errorf("intend in state %s: %w", w.run.State, lockstep.ErrInvalid)
	case w.run.Stop != lockstep.StopNone, w.book.Stages[lockstep.Current] != w.run.Base:
		return "", lockstep.ErrConflict
	}
	secret, lease := w.claim.Secret, w.claim.Lease()
	intent := &store.Intent{
		Marker: lockstep.NewMarker(secret.ARN, w.run.ID, lease.Fence), Secret: secret.ID, Run: w.run.ID, Version: w.run.Version,
		State: store.IntentOpen, Created: w.book.Now, SweepDue: w.book.Now.Add(w.claim.service.callLife),
	}
	if err := w.tx.InsertIntent(intent); err != nil {
		return "", fmt.Errorf("write the intent: %w", err)
	}
	w.run.Doubt = true
	if a.Admin != 0 {
		if err := w.tx.UseAdmin(w.run.ID, a.Admin); err != nil {
			return "", fmt.Errorf("note the admin: %w", err)
		}
	}
	return intent.Marker, w.next(lockstep.StepSet)
}

// openIntents are those of the Run that nobody has heard of.
func (w *writing) openIntents() ([]*store.Intent, error) {
	all, err := w.book.Intents()
	if err != nil {
		return nil, err
	}
	var open []*store.Intent
	for _, i := range all {
		if i.Run == w.run.ID && i.State == store.IntentOpen {
			open = append(open, i)
		}
	}
	return open, nil
}

// noneIssued writes down the target's word that it issued nothing for what this
// claim has asked.
func (w *writing) noneIssued() error {
	open, err := w.openIntents()
	if err != nil {
		return err
	}
	mine := lockstep.NewMarker(w.claim.Secret.ARN, w.run.ID, w.claim.Lease().Fence)
	for _, i := range open {
		if i.Marker != mine {
			continue
		}
		i.State, i.SweepDue = store.IntentRefused, time.Time{}
		if err := w.book.SaveIntent(i); err != nil {
			return err
		}
	}
	return nil
}

// stopFacts are the facts for the end of a Run that did not finish.
func (w *writing) stopFacts() (lockstep.Facts, error) {
	f := w.facts()
	if !f.Traits.IssuesOne() || w.run.State != lockstep.RunSetting {
		return f, nil
	}
	open, err := w.openIntents()
	f.NothingIssued = len(open) == 0
	return f, err
}

// Standing is what a claim finds of what earlier ones have asked the target for.
type Standing int

const (
	// StandsClear: the target may be searched for orphans, and asked again.
	StandsClear Standing = iota
	// StandsDeposited: the value is there; the Run is in set.
	StandsDeposited
	// StandsLost: the Run is lost, the claim is over.
	StandsLost
)

// lostHint is the way out of a lost Run.
const lostHint = "get a working credential from the provider and put it as AWSCURRENT; rotation goes on from there. If the value still comes, the run goes on by itself"

// Resume looks what came of the intents of earlier claims of a Run in setting. A
// value that was deposited is the Run's. Where issuing kills the old value, one
// that was not makes the Run lost; else it is given up, and revoked where it is
// found. Nothing is waited for: a claim comes after the lease of the one before.
func (c *Claim) Resume(ctx context.Context) (Standing, error) {
	var s Standing
	err := c.write(ctx, func(w *writing) (err error) {
		s, err = w.resume()
		return err
	})
	return s, err
}

func (w *writing) resume() (Standing, error) {
	v, err := w.tx.Version(w.claim.Secret.ID, w.run.Version)
	if err != nil {
		return StandsClear, fmt.Errorf("read pending version: %w", err)
	}
	if v.Sealed != nil {
		if err := w.signal(lockstep.SignalDeposit, w.facts()); err != nil {
			return StandsClear, err
		}
		return StandsDeposited, w.next(lockstep.StepTest)
	}
	open, err := w.openIntents()
	if err != nil {
		return StandsClear, err
	}
	if len(open) > 0 && w.claim.Traits.IssuesOne() {
		return StandsLost, w.lose(open)
	}
	return StandsClear, w.book.GiveUpIntents(w.run.ID)
}

// lose ends a Run whose value nobody knows, and that must not ask again.
func (w *writing) lose(open []*store.Intent) error {
	te := &lockstep.TargetError{
		Outcome: lockstep.Unknown, Fault: lockstep.FaultPermanent, Hint: lostHint,
		Err: errors.New("the answer of the provider was lost: it may have issued a new value and killed the old one, and asking again could spend what is left"),
	}
	if err := w.signal(lockstep.SignalNoDeposit, w.facts()); err != nil {
		return err
	}
	for _, i := range open {
		i.State, i.SweepDue = store.IntentLost, time.Time{}
		if err := w.book.SaveIntent(i); err != nil {
			return err
		}
	}
	if err := w.failed(te); err != nil {
		return err
	}
	w.run.Reason, w.run.Hint = te.Error(), te.Hint
	if err := w.book.End(w.run, w.claim.Lease(), w.run.State); err != nil {
		return err
	}
	return w.release()
}

// GiveUp marks what the Run has asked for as given up, before it is undone.
func (c *Claim) GiveUp(ctx context.Context) error {
	return c.write(ctx, func(w *writing) error { return w.book.GiveUpIntents(w.run.ID) })
}

// Replaced writes down that the credential of an idle Version was removed at the
// target, to make room for the next one.
func (c *Claim) Replaced(ctx context.Context, id lockstep.VersionID) error {
	return c.write(ctx, func(w *writing) error {
		v, err := w.tx.Version(c.Secret.ID, id)
		if err != nil {
			return fmt.Errorf("read version: %w", err)
		}
		v.MaybeLive, v.Retirement, v.RetireReason = false, lockstep.RetirementRetired, ""
		if err := w.book.SaveVersion(v); err != nil {
			return err
		}
		return w.book.Emit(lockstep.EventVersionRetired, lockstep.EventData{VersionID: v.ID, Run: w.run.ID})
	})
}

// finishDoubted finishes a Run whose new value could not be seen to log in, where
// the old one is dead by its issue: there is nothing better to go back to. The
// Secret is Unverified.
func (w *writing) finishDoubted() (Decision, error) {
	if err := w.signal(lockstep.SignalProbeFailed, w.facts()); err != nil {
		return Ended, err
	}
	if err := w.begin(lockstep.StepFinish); err != nil {
		return Ended, err
	}
	if err := w.book.Finish(w.run, w.claim.Lease()); err != nil {
		return Ended, err
	}
	if err := w.book.DoubtCurrent(); err != nil {
		return Ended, err
	}
	if err := w.done(); err != nil {
		return Ended, err
	}
	return Ended, w.release()
}
