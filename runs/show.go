package runs

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"lockstep"
	"lockstep/keeper"
	"lockstep/ledger"
	"lockstep/store"
)

// Runs reads one page of Runs, newest first, without their Steps.
func (s *Service) Runs(ctx context.Context, q store.RunQuery) ([]History, error) {
	var out []History
	err := s.store.View(ctx, func(tx store.ReadTx) error {
		out = nil
		found, err := tx.Runs(q)
		if err != nil {
			return fmt.Errorf("read runs: %w", err)
		}
		secrets := make(map[lockstep.SecretID]*lockstep.Secret)
		for _, run := range found {
			if secrets[run.Secret] == nil {
				if secrets[run.Secret], err = tx.Secret(run.Secret); err != nil {
					return fmt.Errorf("read secret of run: %w", err)
				}
			}
			h := History{Run: run, Secret: secrets[run.Secret]}
			if h.Failed, err = lastFailure(tx, run); err != nil {
				return err
			}
			out = append(out, h)
		}
		return nil
	})
	return out, err
}

// lastFailure is the Step of a Run that failed last; zero if none did, or if the
// Run succeeded all the same.
func lastFailure(tx store.ReadTx, run *lockstep.Run) (lockstep.StepRecord, error) {
	if run.Attempts == 0 && run.State != lockstep.RunFailed || run.State == lockstep.RunSucceeded {
		return lockstep.StepRecord{}, nil
	}
	steps, err := tx.Steps(run.ID)
	if err != nil {
		return lockstep.StepRecord{}, fmt.Errorf("read steps of run: %w", err)
	}
	for _, s := range slices.Backward(steps) {
		if s.Error != "" {
			return s, nil
		}
	}
	return lockstep.StepRecord{}, nil
}

// Run reads a Run with its Steps. Errors: a Refusal of kind ErrNotFound.
func (s *Service) Run(ctx context.Context, owner store.Owner, id lockstep.RunID) (History, error) {
	var out History
	err := s.store.View(ctx, func(tx store.ReadTx) error {
		out = History{}
		var err error
		if out.Run, err = tx.Run(id); err != nil {
			return err
		}
		if out.Secret, err = tx.Secret(out.Run.Secret); err != nil {
			return err
		}
		if out.Secret.Account != owner.Account || out.Secret.Region != owner.Region {
			return lockstep.ErrNotFound
		}
		out.Steps, err = tx.Steps(id)
		return err
	})
	if errors.Is(err, lockstep.ErrNotFound) {
		err = lockstep.Refuse(lockstep.ErrNotFound, "There is no run %s.", id)
	}
	return out, err
}

// Events reads Events of a Secret after a sequence number, oldest first.
// Errors: a Refusal of kind ErrNotFound.
func (s *Service) Events(ctx context.Context, ref keeper.Ref, after uint64, limit int) ([]lockstep.Event, error) {
	var out []lockstep.Event
	err := s.store.View(ctx, func(tx store.ReadTx) error {
		secret, err := keeper.Find(tx, ref)
		if err != nil {
			return err
		}
		out, err = tx.Events(secret.ID, after, limit)
		return err
	})
	return out, err
}

// checkPage is how many Secrets one page of a check covers.
const checkPage = 1000

// CheckPage is a part of a check.
type CheckPage struct {
	Violations []store.Violation
	// Next is where the next page begins; zero if this was the last.
	Next lockstep.SecretID
}

// Check lists the broken invariants that the rows of the next thousand Secrets
// above a number can tell, out of one snapshot.
func (s *Service) Check(ctx context.Context, after lockstep.SecretID) (CheckPage, error) {
	var out CheckPage
	err := s.store.View(ctx, func(tx store.ReadTx) error {
		var err error
		out.Violations, out.Next, err = tx.Violations(after, checkPage)
		return err
	})
	return out, err
}

// planKept is how long an answered dry run can be read.
const planKept = time.Hour

// planPatience is how long a dry run that was asked for already answers for
// another; one that is older may have lost its Job.
const planPatience = 30 * time.Second

// Plan asks a worker for a dry run of a Secret's rotation; its answer is read
// with PlanResult.
// Errors: Refusals of kind ErrNotFound, ErrState (no rotator).
func (s *Service) Plan(ctx context.Context, ref keeper.Ref) (*store.Plan, error) {
	return s.question(ctx, ref, store.JobPlan)
}

// Sessions asks a worker who uses a Secret's credentials; its answer is read with
// PlanResult. Errors: as Plan's.
func (s *Service) Sessions(ctx context.Context, ref keeper.Ref) (*store.Plan, error) {
	return s.question(ctx, ref, store.JobSessions)
}

func (s *Service) question(ctx context.Context, ref keeper.Ref, kind store.JobKind) (*store.Plan, error) {
	id, err := lockstep.NewID(string(kind))
	if err != nil {
		return nil, err
	}
	var plan *store.Plan
	err = s.store.Update(ctx, func(tx store.Tx) error {
		secret, err := keeper.LockLive(tx, ref)
		if err != nil {
			return err
		}
		if secret.Rotation == nil {
			return lockstep.Refuse(lockstep.ErrState, "No Lambda rotation function ARN is associated with this secret.")
		}
		b, _, err := s.open(tx, secret)
		if err != nil {
			return err
		}
		plan, err = tx.OpenPlan(secret.ID, kind, b.Now.Add(-planPatience))
		if !errors.Is(err, lockstep.ErrNotFound) {
			return err // two at once are one: they would share a subject
		}
		plan = &store.Plan{ID: id, Kind: kind, Secret: secret.ID, Created: b.Now}
		if err := tx.DeletePlansBefore(b.Now.Add(-planKept)); err != nil {
			return fmt.Errorf("forget old plans: %w", err)
		}
		if err := tx.SavePlan(plan); err != nil {
			return fmt.Errorf("save plan: %w", err)
		}
		return b.AddJob(store.Job{Kind: kind, Plan: id})
	})
	return plan, err
}

// PlanResult reads a dry run. Errors: a Refusal of kind ErrNotFound.
func (s *Service) PlanResult(ctx context.Context, owner store.Owner, id string) (*store.Plan, error) {
	var plan *store.Plan
	err := s.store.View(ctx, func(tx store.ReadTx) error {
		var err error
		if plan, err = tx.Plan(id); err != nil {
			return err
		}
		secret, err := tx.Secret(plan.Secret)
		if err == nil && (secret.Account != owner.Account || secret.Region != owner.Region) {
			return lockstep.ErrNotFound
		}
		return err
	})
	if errors.Is(err, lockstep.ErrNotFound) {
		err = lockstep.Refuse(lockstep.ErrNotFound, "There is no plan %s; plans are kept for an hour.", id)
	}
	return plan, err
}

// AnswerPlan stores a worker's answer. A plan that is gone is no error.
func (s *Service) AnswerPlan(ctx context.Context, id string, answer func(*store.Plan)) error {
	return s.store.Update(ctx, func(tx store.Tx) error {
		plan, err := tx.Plan(id)
		if errors.Is(err, lockstep.ErrNotFound) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read plan: %w", err)
		}
		answer(plan)
		plan.Done = true
		return tx.SavePlan(plan)
	})
}

// Purge removes for good up to limit Secrets whose recovery window is over or
// that were deleted by force, once no Run needs them. It returns how many.
func (s *Service) Purge(ctx context.Context, limit int) (int, error) {
	n := 0
	err := s.store.Update(ctx, func(tx store.Tx) error {
		due, err := tx.PurgeDue(limit)
		if err != nil {
			return fmt.Errorf("find secrets to purge: %w", err)
		}
		n = len(due)
		for _, id := range due {
			if err := s.purge(tx, id); err != nil {
				return err
			}
		}
		return nil
	})
	return n, err
}

func (s *Service) purge(tx store.Tx, id lockstep.SecretID) error {
	secret, err := tx.LockSecret(id)
	if errors.Is(err, lockstep.ErrNotFound) {
		return nil // another node was faster
	}
	if err != nil {
		return fmt.Errorf("lock secret: %w", err)
	}
	b, _, err := s.open(tx, secret)
	if err != nil {
		return err
	}
	if needed, err := stillNeeded(b); needed || err != nil {
		return err
	}
	reason := ""
	if live, err := tx.LiveVersions(id); err == nil && len(live) > 0 {
		reason = fmt.Sprintf("its credential stays valid at the target (%d version(s)); remove the account there if it is no longer used", len(live))
	}
	if err := b.Emit(lockstep.EventSecretPurged, lockstep.EventData{Reason: reason}); err != nil {
		return err
	}
	return tx.PurgeSecret(id)
}

// stillNeeded looks again, under the lock, whether a Secret must not be purged:
// it may have been restored since it was listed.
func stillNeeded(b *ledger.Book) (bool, error) {
	over := b.Secret.Gone || (!b.Secret.DeleteAt.IsZero() && !b.Secret.DeleteAt.After(b.Now))
	run, err := b.OpenRun()
	return !over || run != nil, err
}
