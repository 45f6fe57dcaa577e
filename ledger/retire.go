package ledger

import (
	"fmt"
	"time"

	"lockstep"
	"lockstep/store"
)

// AskRetirement asks the workers to look at the retirement of a Version at the
// given time. All retirements of a Secret share one Job: if another Version is
// due before, the Job is about that one, and its end asks again.
func (b *Book) AskRetirement(v *lockstep.Version, at time.Time) error {
	live, err := b.tx.LiveVersions(b.Secret.ID)
	if err != nil {
		return fmt.Errorf("read live versions: %w", err)
	}
	for _, other := range live {
		if other.ID == v.ID || !other.Retirement.Blocks() {
			continue
		}
		if due := retireTime(other); due.Before(at) {
			v, at = other, due
		}
	}
	return b.AddJob(store.Job{Kind: store.JobRetire, Version: v.ID, DueAt: at, Seq: v.RetireAttempts})
}

// AskNextRetirement asks for the earliest retirement that waits for a time, if
// there is one.
func (b *Book) AskNextRetirement() error {
	live, err := b.tx.LiveVersions(b.Secret.ID)
	if err != nil {
		return fmt.Errorf("read live versions: %w", err)
	}
	for _, v := range live {
		if v.Retirement.Blocks() && !WaitsForAPerson(v) {
			return b.AskRetirement(v, retireTime(v))
		}
	}
	return nil
}

// WaitsForAPerson tells whether a Version's retirement begins only when a person
// says so.
func WaitsForAPerson(v *lockstep.Version) bool { return !v.RetireAt.Before(farFuture) }

// retireTime is when a Version's retirement may go on.
func retireTime(v *lockstep.Version) time.Time {
	if v.RetireRetryAt.After(v.RetireAt) {
		return v.RetireRetryAt
	}
	return v.RetireAt
}
