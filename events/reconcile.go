package events

import (
	"context"
	"errors"
	"fmt"

	"lockstep"
	"lockstep/store"
)

const (
	// firstLook and lastLook bound how many rows are compared with a stream:
	// more are looked at as long as the first ones are no help.
	firstLook = 512
	lastLook  = 1 << 16
	// addBatch bounds the Jobs that one transaction adds.
	addBatch = 64
)

// Reconcile compares the streams with the store once, as the Relay does by
// itself at start and at intervals: Jobs that were lost get a successor, Events
// that the stream should hold and does not are marked unsent, Events that are
// too old are forgotten. It goes on after a failure, and returns all of them.
func (r *Relay) Reconcile(ctx context.Context) error {
	return errors.Join(
		r.requeue(ctx, lostRuns, renewRun),
		r.requeue(ctx, lostRetirements, renewRetirement),
		r.requeue(ctx, lostVerifies, renewVerify),
		r.requeue(ctx, lostSweeps, renewSweep),
		r.recoverEvents(ctx),
		r.prune(ctx),
	)
}

// lister finds up to limit things that should have a Job and have none in the
// outbox; the queue may still hold one. The Jobs it returns have no Seq yet.
type lister func(tx store.ReadTx, limit int) ([]store.Job, error)

// renewer looks again, with the Secret locked, whether the thing needs a Job,
// and completes it; false if it does not.
type renewer func(tx store.Tx, j *store.Job) (bool, error)

// requeue adds a Job for each thing on the list for which the queue has none.
func (r *Relay) requeue(ctx context.Context, list lister, renew renewer) error {
	for limit := firstLook; limit <= lastLook; limit *= 4 {
		var found []store.Job
		err := r.cfg.Store.View(ctx, func(tx store.ReadTx) (err error) {
			found, err = list(tx, limit)
			return err
		})
		if err != nil {
			return fmt.Errorf("look for lost jobs: %w", err)
		}
		lost, err := r.notQueued(ctx, found)
		if err != nil {
			return err
		}
		if err := r.addJobs(ctx, lost, renew); err != nil {
			return err
		}
		if len(found) < limit {
			return nil
		}
	}
	return nil
}

// notQueued leaves out those that the queue has a Job for.
func (r *Relay) notQueued(ctx context.Context, jobs []store.Job) ([]store.Job, error) {
	var lost []store.Job
	for _, j := range jobs {
		has, err := r.cfg.Streams.HasJob(ctx, jobSubject(j, r.cfg.Pool))
		if err != nil {
			return nil, err
		}
		if !has {
			lost = append(lost, j)
		}
	}
	return lost, nil
}

// addJobs puts them into the outbox, some in each transaction.
func (r *Relay) addJobs(ctx context.Context, lost []store.Job, renew renewer) error {
	for len(lost) > 0 {
		n := min(len(lost), addBatch)
		err := r.cfg.Store.Update(ctx, func(tx store.Tx) error {
			for _, j := range lost[:n] {
				if err := addJob(tx, j, renew); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("add lost jobs: %w", err)
		}
		lost = lost[n:]
	}
	return nil
}

// addJob locks the Secret, looks again, and adds the Job.
func addJob(tx store.Tx, j store.Job, renew renewer) error {
	if _, err := tx.LockSecret(j.Secret); err != nil {
		return ignoreGone(err)
	}
	slot, err := tx.Slot(j.Secret)
	if err != nil {
		return ignoreGone(err)
	}
	if slot.Holder != "" && slot.Expires.After(tx.Now()) {
		return nil
	}
	needed, err := renew(tx, &j)
	if err != nil || !needed {
		return ignoreGone(err)
	}
	return tx.AddJob(&j)
}

// ignoreGone: what is gone since it was listed needs no Job.
func ignoreGone(err error) error {
	if errors.Is(err, lockstep.ErrNotFound) {
		return nil
	}
	return err
}

// address fills in whose Job it is.
func address(tx store.ReadTx, j store.Job) (store.Job, error) {
	s, err := tx.Secret(j.Secret)
	if err != nil {
		return j, err
	}
	j.Account, j.Region, j.Name = s.Account, s.Region, s.Name
	return j, nil
}

func lostRuns(tx store.ReadTx, limit int) ([]store.Job, error) {
	runs, err := tx.StrandedRuns(limit)
	if err != nil {
		return nil, err
	}
	jobs := make([]store.Job, len(runs))
	for i, run := range runs {
		if jobs[i], err = address(tx, store.Job{Kind: store.JobRun, Secret: run.Secret, Run: run.ID, Version: run.Version}); err != nil {
			return nil, err
		}
	}
	return jobs, nil
}

func renewRun(tx store.Tx, j *store.Job) (bool, error) {
	run, err := tx.Run(j.Run)
	if err != nil || run.State.Final() || run.RetryAt.After(tx.Now()) {
		return false, err
	}
	run.JobSeq++
	j.Seq = run.JobSeq
	return true, tx.SaveRun(run, nil)
}

func lostRetirements(tx store.ReadTx, limit int) ([]store.Job, error) {
	versions, err := tx.DueRetirements(limit)
	if err != nil {
		return nil, err
	}
	jobs := make([]store.Job, 0, len(versions))
	seen := make(map[lockstep.SecretID]bool, len(versions))
	for _, v := range versions {
		if seen[v.Secret] {
			continue // one message a subject; the next one follows this
		}
		seen[v.Secret] = true
		j, err := address(tx, store.Job{Kind: store.JobRetire, Secret: v.Secret, Version: v.ID})
		if err != nil {
			return nil, err
		}
		jobs = append(jobs, j)
	}
	return jobs, nil
}

func renewRetirement(tx store.Tx, j *store.Job) (bool, error) {
	v, err := tx.Version(j.Secret, j.Version)
	if err != nil || !v.Retirement.Blocks() {
		return false, err
	}
	j.Seq = v.RetireAttempts
	return true, nil
}

func lostVerifies(tx store.ReadTx, limit int) ([]store.Job, error) {
	ids, err := tx.UnverifiedDue(limit)
	if err != nil {
		return nil, err
	}
	return jobsOf(tx, store.JobVerify, ids)
}

// jobsOf are Jobs that are about a Secret as a whole.
func jobsOf(tx store.ReadTx, kind store.JobKind, ids []lockstep.SecretID) ([]store.Job, error) {
	jobs := make([]store.Job, len(ids))
	for i, id := range ids {
		var err error
		if jobs[i], err = address(tx, store.Job{Kind: kind, Secret: id}); err != nil {
			return nil, err
		}
	}
	return jobs, nil
}

func lostSweeps(tx store.ReadTx, limit int) ([]store.Job, error) {
	ids, err := tx.SweepsDue(limit)
	if err != nil {
		return nil, err
	}
	return jobsOf(tx, store.JobSweep, ids)
}

// renewSweep: what is not due any more is found so under the claim.
func renewSweep(tx store.Tx, j *store.Job) (bool, error) {
	_, err := tx.OpenRun(j.Secret)
	if errors.Is(err, lockstep.ErrNotFound) {
		return true, nil
	}
	return false, err
}

func renewVerify(tx store.Tx, j *store.Job) (bool, error) {
	s, err := tx.Secret(j.Secret)
	if err != nil || !s.Unverified {
		return false, err
	}
	_, err = tx.OpenRun(j.Secret)
	if errors.Is(err, lockstep.ErrNotFound) {
		return true, nil
	}
	return false, err
}
