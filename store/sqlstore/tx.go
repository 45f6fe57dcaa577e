package sqlstore

import (
	"context"
	"fmt"
	"time"

	"lockstep"
	"lockstep/store"
)

// tx implements store.Tx over a session of either engine. It is used by one
// goroutine, the one that runs the caller's function.
type tx struct {
	session
	ctx context.Context
	// clock is the store's clock at its first use in this transaction.
	clock time.Time
	// broken is what Now could not return.
	broken error
	// touched are the topics to signal after the commit.
	touched topicSet
	// marks are the Secrets that this transaction has locked, as it read or
	// wrote them last.
	marks map[lockstep.SecretID]dueMark
	// stages are the labels of Secrets that this transaction has locked, as it
	// read or wrote them last.
	stages map[lockstep.SecretID]lockstep.Stages
	// pinned are the columns of Runs with an index, likewise.
	pinned map[lockstep.RunID]pinnedRun
	// guarded are the leases whose slots this transaction has locked.
	guarded map[lockstep.SecretID]lockstep.Lease
}

var _ store.Tx = (*tx)(nil)

// dueMark is what of a locked Secret this transaction knows.
type dueMark struct {
	// rotation and unverified are what the scheduler sleeps on.
	rotation   int64
	drift      int64
	unverified bool
	// args are the columns as they were read or written last; nil if that is
	// not known.
	args []any
}

func newTx(ctx context.Context, s session) *tx {
	return &tx{session: s, ctx: ctx}
}

// Now implements store.ReadTx. It reads the clock once a transaction, at its
// first use; if that fails, the transaction fails.
func (t *tx) Now() time.Time {
	if t.clock.IsZero() && t.broken == nil {
		n, err := t.now()
		if err != nil {
			t.broken = fmt.Errorf("read the store's clock: %w", err)
		}
		t.clock = instant(n)
	}
	return t.clock
}

// verdict is the error of a transaction whose function returned nil.
func (t *tx) verdict() error {
	if t.broken != nil {
		return t.broken
	}
	return t.ctx.Err()
}

func (t *tx) touch(topic store.Topic) { t.touched.add(topic) }
