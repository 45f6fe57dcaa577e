package events

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"lockstep"
	"lockstep/bus"
	"lockstep/store"
)

const (
	// firstDelay and lastDelay bound how long a Job whose subject is taken
	// waits before it is tried again.
	firstDelay = 50 * time.Millisecond
	lastDelay  = time.Second
	// maxBusy bounds the memory of delays; beyond it they begin anew.
	maxBusy = 100_000
)

// verdict is what becomes of an outbox row.
type verdict struct {
	row int64
	// delay is zero if the row is done with.
	delay time.Duration
}

// sendJobs publishes one batch of due Jobs and completes or delays their rows.
func (r *Relay) sendJobs(ctx context.Context) (time.Duration, error) {
	var jobs []store.Job
	wait := r.cfg.Poll
	err := r.cfg.Store.View(ctx, func(tx store.ReadTx) (err error) {
		if jobs, err = tx.Jobs(batchSize); err != nil {
			return err
		}
		next, err := tx.NextJob()
		if !next.IsZero() {
			wait = min(r.cfg.Poll, max(next.Sub(tx.Now()), time.Millisecond))
		}
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("read outbox: %w", err)
	}
	if len(jobs) == 0 {
		return wait, nil
	}
	if len(jobs) == batchSize {
		wait = 0
	}
	verdicts, err := r.publishJobs(ctx, jobs)
	if len(verdicts) > 0 {
		err = errors.Join(err, r.mark(ctx, func(tx store.Tx) error { return settle(tx, verdicts) }))
	}
	return wait, err
}

func settle(tx store.Tx, verdicts []verdict) error {
	var sent []int64
	for _, v := range verdicts {
		if v.delay == 0 {
			sent = append(sent, v.row)
			continue
		}
		if err := tx.DelayJob(v.row, tx.Now().Add(v.delay)); err != nil {
			return err
		}
	}
	return tx.JobsSent(sent)
}

// publishJobs returns a verdict for each row but those that failed, which stay
// as they are.
func (r *Relay) publishJobs(ctx context.Context, jobs []store.Job) ([]verdict, error) {
	var verdicts []verdict
	var rows []int64
	var ms []bus.Message
	for _, j := range jobs {
		m, err := jobMessage(j, r.cfg.Pool)
		if err != nil {
			// No retry would help; reconcile makes a new one if it is needed.
			r.log.Error("job cannot be published and is dropped", "row", j.Row, "kind", j.Kind, "secret", j.Name, "error", err)
			verdicts = append(verdicts, verdict{row: j.Row})
			continue
		}
		rows, ms = append(rows, j.Row), append(ms, m)
	}
	var failed error
	for i, err := range r.cfg.Publisher.PublishJobs(ctx, ms) {
		switch {
		case err == nil:
			delete(r.busy, rows[i])
			verdicts = append(verdicts, verdict{row: rows[i]})
		case errors.Is(err, lockstep.ErrBusy):
			d := r.nextDelay(rows[i])
			verdicts = append(verdicts, verdict{row: rows[i], delay: d})
			if d == lastDelay {
				failed = errors.Join(failed, r.awaken(ctx, ms[i].Subject))
			}
		default:
			failed = errors.Join(failed, err)
		}
	}
	return verdicts, failed
}

// awaken looks at the Job that keeps a subject busy for long: one that no
// consumer delivers would keep it so for ever.
func (r *Relay) awaken(ctx context.Context, subject string) error {
	_, err := r.cfg.Streams.HasJob(ctx, subject)
	return err
}

// nextDelay doubles the delay of a row each time its subject is busy.
func (r *Relay) nextDelay(row int64) time.Duration {
	if len(r.busy) > maxBusy {
		clear(r.busy)
	}
	d := min(max(2*r.busy[row], firstDelay), lastDelay)
	r.busy[row] = d
	return d
}

// jobMessage is the queue message of a Job.
func jobMessage(j store.Job, pool string) (bus.Message, error) {
	body, err := bus.EncodeJob(bus.JobMessage{
		Kind: string(j.Kind), Account: j.Account, Region: j.Region, SecretID: j.Secret, Name: j.Name,
		Run: j.Run, Version: j.Version, Plan: j.Plan, Seq: j.Seq,
	})
	return bus.Message{ID: jobID(j), Subject: jobSubject(j, pool), Body: body}, err
}

func jobSubject(j store.Job, pool string) string {
	return lockstep.JobSubject(j.Account, j.Region, pool, string(j.Kind), j.Name)
}

// jobID is the same whenever the same row is published, and never the same for
// two: for a Run, its id and sequence; for the other kinds, which have no
// sequence of their own, the outbox row as well.
func jobID(j store.Job) string {
	if j.Kind == store.JobRun {
		return string(j.Run) + "-" + strconv.Itoa(j.Seq)
	}
	return fmt.Sprintf("%s-%d-%d-%d", j.Kind, j.Secret, j.Seq, j.Row)
}
