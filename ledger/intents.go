package ledger

import (
	"fmt"
	"time"

	"lockstep"
	"lockstep/store"
)

// GiveUpIntents marks the open Intents of a Run, or of all Runs of the Secret (an
// empty id), as given up: what comes of them from now on is an orphan.
func (b *Book) GiveUpIntents(run lockstep.RunID) error {
	intents, err := b.Intents()
	if err != nil {
		return err
	}
	for _, i := range intents {
		if i.State != store.IntentOpen || run != "" && i.Run != run {
			continue
		}
		i.State = store.IntentSwept
		if err := b.SaveIntent(i); err != nil {
			return err
		}
	}
	return nil
}

// AskSweep asks the workers to search the target for orphans as soon as that is
// due, if anything is to be looked for.
func (b *Book) AskSweep() error {
	intents, err := b.Intents()
	if err != nil {
		return err
	}
	var at time.Time
	for _, i := range intents {
		if !i.SweepDue.IsZero() && (at.IsZero() || i.SweepDue.Before(at)) {
			at = i.SweepDue
		}
	}
	if at.IsZero() {
		return nil
	}
	return b.AddJob(store.Job{Kind: store.JobSweep, DueAt: at})
}

// Intents reads those of the Secret.
func (b *Book) Intents() ([]*store.Intent, error) {
	intents, err := b.tx.Intents(b.Secret.ID)
	if err != nil {
		return nil, fmt.Errorf("read intents: %w", err)
	}
	return intents, nil
}

// SaveIntent writes one.
func (b *Book) SaveIntent(i *store.Intent) error {
	if err := b.tx.SaveIntent(i); err != nil {
		return fmt.Errorf("save intent: %w", err)
	}
	return nil
}

// endIntents is what the end of a Run means for what it asked the target for. A
// Run that succeeded at its first try has nothing open.
func (b *Book) endIntents(run *lockstep.Run) error {
	if b.traits.Chooser != lockstep.Issued && run.State == lockstep.RunSucceeded {
		return nil
	}
	if err := b.GiveUpIntents(run.ID); err != nil {
		return err
	}
	return b.AskSweep()
}

// HaltedByLost tells whether a Run is lost whose base is AWSCURRENT still: until
// its deposit arrives or a person puts a value, another call would replay a spent
// token.
func (b *Book) HaltedByLost() (bool, error) {
	if !b.traits.IssuesOne() {
		return false, nil
	}
	intents, err := b.Intents()
	if err != nil {
		return false, err
	}
	for _, i := range intents {
		if i.State != store.IntentLost {
			continue
		}
		run, err := b.tx.Run(i.Run)
		if err != nil {
			return false, fmt.Errorf("read lost run: %w", err)
		}
		if run.Base == b.Stages[lockstep.Current] {
			return true, nil
		}
	}
	return false, nil
}

// expiryMargin is how long after its end by the target's word a value counts as
// one that may still work: clocks differ.
const expiryMargin = 5 * time.Minute

// dropExpired takes out of the maybe-live set what has died by itself.
func (b *Book) dropExpired(live []*lockstep.Version) error {
	for _, v := range live {
		if v.Expires.IsZero() || v.ID == b.Stages[lockstep.Current] || v.Retirement.Blocks() || b.Now.Before(v.Expires.Add(expiryMargin)) {
			continue
		}
		v.MaybeLive, v.Retirement = false, lockstep.RetirementNone
		if err := b.SaveVersion(v); err != nil {
			return err
		}
	}
	return nil
}

// NoteExpiry writes down until when AWSCURRENT works, and sees that it is renewed
// before.
func (b *Book) NoteExpiry(at time.Time) error {
	current := b.Stages[lockstep.Current]
	if at.IsZero() || current == "" {
		return nil
	}
	v, err := b.tx.Version(b.Secret.ID, current)
	if err != nil {
		return fmt.Errorf("read AWSCURRENT: %w", err)
	}
	if v.Expires.Equal(at) {
		return nil // its date is set
	}
	v.Expires = at
	if err := b.SaveVersion(v); err != nil {
		return err
	}
	b.renewInTime(v)
	return nil
}

// PlanRenewal sees that AWSCURRENT is renewed before it dies by itself, where the
// next date was set anew.
func (b *Book) PlanRenewal() error {
	current := b.Stages[lockstep.Current]
	if b.traits.Chooser != lockstep.Issued || current == "" {
		return nil
	}
	v, err := b.tx.Version(b.Secret.ID, current)
	if err != nil {
		return fmt.Errorf("read AWSCURRENT: %w", err)
	}
	b.renewInTime(v)
	return nil
}

// renewInTime moves the next date before the end of a value: to when two thirds of
// what is left of its time are over, so that a third is left to mend what fails.
func (b *Book) renewInTime(v *lockstep.Version) {
	s := b.Secret
	if v.Expires.IsZero() || !s.RotationEnabled() {
		return
	}
	latest := b.Now.Add(max(v.Expires.Sub(b.Now), 0) * 2 / 3)
	if s.NextRotation.IsZero() || s.NextRotation.After(latest) {
		s.NextRotation = latest
	}
}
