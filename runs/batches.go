package runs

import (
	"context"
	"errors"
	"fmt"
	"path"

	"lockstep"
	"lockstep/ledger"
	"lockstep/store"
)

// NewBatch says what to rotate as one thing.
type NewBatch struct {
	Owner store.Owner
	// Match selects Secrets by name (path.Match), Tag by tag; both empty: all that
	// rotate. At most one is set.
	Match string
	Tag   lockstep.Tag
	// Emergency goes before everything else and passes freezes and pauses.
	Emergency bool
	By        string
}

// BatchReport is how far a Batch is.
type BatchReport struct {
	Batch *store.Batch
	// Counts has a number for each state: of the Runs, and "pending", "refused",
	// "cancelled" for Secrets that have none.
	Counts map[string]int
	// Failures lists some of those without success.
	Failures []store.BatchFailure
}

// Total is how many Secrets the Batch has found.
func (r *BatchReport) Total() int {
	sum := 0
	for _, n := range r.Counts {
		sum += n
	}
	return sum
}

// Done tells whether nothing of the Batch is under way any more.
func (r *BatchReport) Done() bool {
	if r.Batch.Working() {
		return false
	}
	for state, n := range r.Counts {
		final := lockstep.RunState(state).Final() || state == string(store.ItemRefused) || state == string(store.ItemCancelled)
		if n > 0 && !final {
			return false
		}
	}
	return true
}

// maxFailures bounds the failures that a report lists.
const maxFailures = 100

// StartBatch stores a Batch; the scheduler finds its Secrets and starts their
// Runs, a page at a time. What a Secret is doing already counts as its Run.
// Errors: a Refusal of kind ErrInvalid.
func (s *Service) StartBatch(ctx context.Context, in NewBatch) (BatchReport, error) {
	if _, err := path.Match(in.Match, ""); err != nil {
		return BatchReport{}, lockstep.Refuse(lockstep.ErrInvalid, "The pattern %q is malformed; an example that works: prod/*.", in.Match)
	}
	if in.Match != "" && in.Tag.Key != "" {
		return BatchReport{}, lockstep.Refuse(lockstep.ErrInvalid, "A batch selects by name or by tag, not both.")
	}
	id, err := lockstep.NewID("batch")
	if err != nil {
		return BatchReport{}, err
	}
	b := &store.Batch{
		ID: id, Owner: in.Owner, Match: in.Match, Tag: in.Tag, Trigger: lockstep.TriggerManual, State: store.BatchActive, By: in.By,
	}
	if in.Emergency {
		b.Trigger = lockstep.TriggerEmergency
	}
	err = s.store.Update(ctx, func(tx store.Tx) error {
		b.Created = tx.Now()
		return tx.SaveBatch(b)
	})
	return BatchReport{Batch: b}, err
}

// Batches lists up to limit Batches of an owner, newest first.
func (s *Service) Batches(ctx context.Context, owner store.Owner, limit int) ([]BatchReport, error) {
	var out []BatchReport
	err := s.store.View(ctx, func(tx store.ReadTx) error {
		out = nil
		list, err := tx.Batches(owner, limit)
		for _, b := range list {
			counts, err := tx.BatchCounts(b.ID)
			if err != nil {
				return err
			}
			out = append(out, BatchReport{Batch: b, Counts: counts})
		}
		return err
	})
	return out, err
}

// Batch reads one. Errors: a Refusal of kind ErrNotFound.
func (s *Service) Batch(ctx context.Context, owner store.Owner, id string) (BatchReport, error) {
	var out BatchReport
	err := s.store.View(ctx, func(tx store.ReadTx) error {
		out = BatchReport{}
		b, err := ownBatch(tx.Batch(id))(owner)
		if err != nil {
			return err
		}
		out.Batch = b
		if out.Counts, err = tx.BatchCounts(id); err != nil {
			return err
		}
		out.Failures, err = tx.BatchFailures(id, maxFailures)
		return err
	})
	return out, err
}

// ownBatch turns what is another's into what is not there.
func ownBatch(b *store.Batch, err error) func(store.Owner) (*store.Batch, error) {
	return func(owner store.Owner) (*store.Batch, error) {
		if errors.Is(err, lockstep.ErrNotFound) || (err == nil && b.Owner != owner) {
			return nil, lockstep.Refuse(lockstep.ErrNotFound, "There is no such batch; `lockstep batch list` shows them.")
		}
		return b, err
	}
}

// ResumeBatch goes on with a Batch that was cancelled, and starts new Runs for
// those of its Secrets that were refused or whose Run failed.
// Errors: a Refusal of kind ErrNotFound.
func (s *Service) ResumeBatch(ctx context.Context, owner store.Owner, id string) (BatchReport, error) {
	return s.changeBatch(ctx, owner, id, func(tx store.Tx, b *store.Batch) error {
		n, err := tx.ReopenItems(id)
		if err != nil {
			return err
		}
		if n > 0 || !b.Expanded || b.State == store.BatchCancelling {
			b.State = store.BatchActive
		}
		return tx.SaveBatch(b)
	})
}

// CancelBatch starts nothing more and takes back the Runs that have not begun;
// those at their targets go on to their end.
// Errors: a Refusal of kind ErrNotFound.
func (s *Service) CancelBatch(ctx context.Context, owner store.Owner, id string) (BatchReport, error) {
	return s.changeBatch(ctx, owner, id, func(tx store.Tx, b *store.Batch) error {
		if b.State == store.BatchCancelled {
			return nil
		}
		b.State = store.BatchCancelling
		return tx.SaveBatch(b)
	})
}

func (s *Service) changeBatch(ctx context.Context, owner store.Owner, id string, fn func(store.Tx, *store.Batch) error) (BatchReport, error) {
	err := s.store.Update(ctx, func(tx store.Tx) error {
		b, err := ownBatch(tx.LockBatch(id))(owner)
		if err != nil {
			return err
		}
		return fn(tx, b)
	})
	if err != nil {
		return BatchReport{}, err
	}
	return s.Batch(ctx, owner, id)
}

// advanceBatch does the next thing about the oldest Batch that needs something,
// for up to limit Secrets, in one transaction. It returns limit as long as there
// is more to do.
func (s *Service) advanceBatch(ctx context.Context, limit int) (int, error) {
	more := 0
	err := s.store.Update(ctx, func(tx store.Tx) error {
		more = 0
		g := s.gate(tx)
		if err := g.lock(); err != nil {
			return err
		}
		if _, err := tx.ReleaseItems(); err != nil {
			return err
		}
		b, err := tx.WorkingBatch()
		if errors.Is(err, lockstep.ErrNotFound) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read the next batch: %w", err)
		}
		more = limit
		switch {
		case b.State == store.BatchCancelling:
			err = g.takeBack(b, limit)
		case !b.Expanded:
			err = g.expand(b, limit)
		default:
			err = g.startItems(b, limit)
		}
		if err != nil {
			return fmt.Errorf("batch %s: %w", b.ID, err)
		}
		return tx.SaveBatch(b)
	})
	return more, err
}

// expand makes items of the next page of Secrets.
func (g *gate) expand(b *store.Batch, limit int) error {
	q := store.SecretQuery{Owner: b.Owner, Limit: limit}
	if b.AfterSecret != 0 {
		q.After = &lockstep.Secret{ID: b.AfterSecret, Created: b.AfterCreated}
	}
	page, err := g.tx.ListSecrets(q)
	if err != nil {
		return fmt.Errorf("list secrets: %w", err)
	}
	selects := lockstep.Hold{Account: b.Owner.Account, Region: b.Owner.Region, Match: b.Match, Tag: b.Tag}
	for _, s := range page {
		if !s.RotationEnabled() || !selects.Covers(s) {
			continue
		}
		if err := g.tx.SaveItem(store.BatchItem{Batch: b.ID, Secret: s.ID, State: store.ItemPending}); err != nil {
			return err
		}
	}
	if len(page) < limit {
		b.Expanded = true
		return nil
	}
	last := page[len(page)-1]
	b.AfterSecret, b.AfterCreated = last.ID, last.Created
	return nil
}

// startItems starts the Runs of the next items.
func (g *gate) startItems(b *store.Batch, limit int) error {
	items, err := g.tx.BatchItems(b.ID, store.ItemPending, 0, limit)
	if err != nil {
		return err
	}
	for _, i := range items {
		if err := g.startItem(b, &i); err != nil {
			return err
		}
		if err := g.tx.SaveItem(i); err != nil {
			return err
		}
	}
	if len(items) < limit {
		b.State = store.BatchStarted
	}
	return nil
}

// startItem starts one Run, or adopts the one that is under way, or has the item
// wait for its admin's.
func (g *gate) startItem(batch *store.Batch, i *store.BatchItem) error {
	secret, err := g.tx.LockSecret(i.Secret)
	if err != nil {
		return fmt.Errorf("lock secret: %w", err)
	}
	if i.Awaits, err = g.awaited(batch, secret); err != nil {
		return err
	}
	if i.Awaits != 0 {
		i.State = store.ItemWaiting
		return g.tx.AwaitItem(batch.ID, i.Awaits)
	}
	b, _, err := g.service.open(g.tx, secret)
	if err != nil {
		return err
	}
	run, refused, err := g.runForBatch(b, batch.Trigger)
	switch {
	case err != nil:
		return err
	case refused != "":
		i.State, i.Reason = store.ItemRefused, refused
		return nil
	}
	i.State, i.Run = store.ItemStarted, run.ID
	return b.Close()
}

func (g *gate) runForBatch(b *ledger.Book, trigger lockstep.Trigger) (run *lockstep.Run, refused string, err error) {
	if !b.Secret.RotationEnabled() || b.Secret.Deleted() {
		return nil, "rotation is off", nil
	}
	open, err := b.OpenRun()
	if err != nil {
		return nil, "", err
	}
	if open != nil {
		err := replaceOpen(g.tx, b, open) // it ends, or is due now
		if errors.Is(err, errStillOpen) {
			return open, "", nil
		}
		if err != nil {
			return nil, "", err
		}
	}
	lost, err := b.HaltedByLost()
	if err != nil || lost {
		return nil, "its last run is lost: put a working value first", err
	}
	version, err := lockstep.NewVersionID()
	if err != nil {
		return nil, "", err
	}
	run, err = g.start(b, newRun{trigger: trigger, version: version})
	return run, "", err
}

// takeBack ends Runs that have not begun, and drops what was not started.
func (g *gate) takeBack(b *store.Batch, limit int) error {
	for _, state := range []store.ItemState{store.ItemPending, store.ItemWaiting} {
		idle, err := g.tx.BatchItems(b.ID, state, 0, limit)
		if err != nil {
			return err
		}
		for _, i := range idle {
			i.State, i.Awaits = store.ItemCancelled, 0
			if err := g.tx.SaveItem(i); err != nil {
				return err
			}
		}
		if len(idle) == limit {
			return nil
		}
	}
	after := lockstep.SecretID(0)
	for {
		started, err := g.tx.BatchItems(b.ID, store.ItemStarted, after, limit)
		if err != nil {
			return err
		}
		for _, i := range started {
			after = i.Secret
			if err := g.takeBackRun(b, i); err != nil {
				return err
			}
		}
		if len(started) < limit {
			b.State = store.BatchCancelled
			return nil
		}
	}
}

func (g *gate) takeBackRun(batch *store.Batch, i store.BatchItem) error {
	run, secret, err := openRunOf(g.tx, i.Run)
	if errors.Is(err, ErrEnded) || (err == nil && run.State.TargetTouched()) {
		return nil
	}
	if err != nil {
		return err
	}
	b, _, err := g.service.open(g.tx, secret)
	if err != nil {
		return err
	}
	if err := b.Stop(run, lockstep.StopCancelled, "batch "+batch.ID+" was cancelled"); err != nil {
		return err
	}
	return b.Close()
}
