// Package ledger writes what must be written together. A [Book] is one locked
// Secret inside one transaction; each of its methods makes one change of the
// domain complete: labels, retirement of the Version left behind, the end of
// an open Run, Events and Jobs.
//
// keeper (calls by hand) and runs (the engine) both move AWSCURRENT; that they
// do it through the same method is what makes "whoever moves AWSCURRENT onto
// the pending Version finishes the Run" true by construction.
package ledger

import (
	"errors"
	"fmt"
	"maps"
	"time"

	"lockstep"
	"lockstep/store"
)

// Book is one locked Secret in one transaction. Close writes what changed;
// without Close, labels and the Secret's own fields are not saved.
type Book struct {
	Secret *lockstep.Secret
	Stages lockstep.Stages
	// Now is the store's clock when the Book was opened.
	Now time.Time

	tx     store.Tx
	traits lockstep.Traits
	before lockstep.Stages
}

// Open starts a Book for a Secret that the transaction has locked. Traits are
// those of its rotator; the zero value is right for a Secret without one.
func Open(tx store.Tx, s *lockstep.Secret, traits lockstep.Traits) (*Book, error) {
	stages, err := tx.Stages(s.ID)
	if err != nil {
		return nil, fmt.Errorf("read labels: %w", err)
	}
	return &Book{Secret: s, Stages: stages, Now: tx.Now(), tx: tx, traits: traits, before: stages.Clone()}, nil
}

// Close saves the labels and the Secret.
func (b *Book) Close() error {
	if err := b.saveStages(); err != nil {
		return err
	}
	if err := b.tx.SaveSecret(b.Secret); err != nil {
		return fmt.Errorf("save secret: %w", err)
	}
	return b.tellReplicas()
}

// saveStages writes the labels if they changed since they were last written.
func (b *Book) saveStages() error {
	if maps.Equal(b.before, b.Stages) {
		return nil
	}
	if err := b.tx.SaveStages(b.Secret.ID, b.Stages); err != nil {
		return fmt.Errorf("save labels: %w", err)
	}
	b.before = b.Stages.Clone()
	return nil
}

// targeted tells whether values of this Secret are credentials at a target
// that Lockstep looks after.
func (b *Book) targeted() bool {
	return b.Secret.Rotation != nil && b.traits.Chooser != lockstep.ValueOnly
}

// Emit adds an Event of the Secret to the outbox.
func (b *Book) Emit(typ lockstep.EventType, data lockstep.EventData) error {
	id, err := lockstep.NewID("evt")
	if err != nil {
		return err
	}
	s := b.Secret
	err = b.tx.AddEvent(&lockstep.Event{
		ID: id, Type: typ, Secret: s.ID, Account: s.Account, Region: s.Region, Name: s.Name, ARN: s.ARN,
		Time: b.Now, Data: data,
	})
	if err != nil {
		return fmt.Errorf("add event %s: %w", typ, err)
	}
	return nil
}

// AddJob puts a Job for this Secret into the outbox; the addressing fields are
// filled in.
func (b *Book) AddJob(j store.Job) error {
	j.Secret, j.Account, j.Region, j.Name = b.Secret.ID, b.Secret.Account, b.Secret.Region, b.Secret.Name
	if err := b.tx.AddJob(&j); err != nil {
		return fmt.Errorf("add %s job: %w", j.Kind, err)
	}
	return nil
}

// PublishRun asks the workers for a Run's next work, at the given time or, if
// it is zero, at once. It raises r.JobSeq; the caller saves the Run.
func (b *Book) PublishRun(r *lockstep.Run, at time.Time) error {
	r.JobSeq++
	return b.AddJob(store.Job{Kind: store.JobRun, Run: r.ID, Version: r.Version, Seq: r.JobSeq, DueAt: at})
}

// stageData is the part of an Event that shows where the labels stand.
func (b *Book) stageData() map[string]lockstep.VersionID {
	out := make(map[string]lockstep.VersionID, len(b.Stages))
	for st, v := range b.Stages {
		out[string(st)] = v
	}
	return out
}

// SaveVersion writes a Version of this Secret.
func (b *Book) SaveVersion(v *lockstep.Version) error {
	if err := b.tx.SaveVersion(v); err != nil {
		return fmt.Errorf("save version: %w", err)
	}
	return nil
}

// OpenRun reads the Secret's open Run; nil if there is none.
func (b *Book) OpenRun() (*lockstep.Run, error) {
	r, err := b.tx.OpenRun(b.Secret.ID)
	if errors.Is(err, lockstep.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read open run: %w", err)
	}
	return r, nil
}

// RunOf is the open Run if its Version is the given one; nil otherwise.
func (b *Book) RunOf(v lockstep.VersionID) (*lockstep.Run, error) {
	run, err := b.OpenRun()
	if err != nil || run == nil || run.Version != v {
		return nil, err
	}
	return run, nil
}
