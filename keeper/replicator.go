package keeper

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"lockstep/store"
)

// replicatorPause is how long a Replicator sleeps at most: a safety net, since
// signals wake it.
const replicatorPause = 30 * time.Second

// Replicator keeps replicas up to date in the background: after the finish of a
// rotation, which does not wait for other regions, and after a crash between a
// change and its copying. Any number of nodes may run one.
type Replicator struct {
	keeper *Keeper
	log    *slog.Logger
	wake   <-chan struct{}
	cancel func()
	stop   context.CancelFunc
	done   sync.WaitGroup
}

// NewReplicator makes a Replicator that does not run yet. log may not be nil.
func NewReplicator(k *Keeper, log *slog.Logger) *Replicator {
	wake, cancel := k.store.Subscribe(store.TopicReplicas)
	return &Replicator{keeper: k, log: log, wake: wake, cancel: cancel, stop: func() {}}
}

// Start runs it until Stop, or until ctx ends.
func (r *Replicator) Start(ctx context.Context) {
	ctx, r.stop = context.WithCancel(ctx)
	r.done.Go(func() { r.run(ctx) })
}

// Stop ends it and waits. It may be called twice.
func (r *Replicator) Stop() {
	r.stop()
	r.done.Wait()
	r.cancel()
}

func (r *Replicator) run(ctx context.Context) {
	for ctx.Err() == nil {
		pause, err := r.keeper.ReplicateDue(ctx)
		if err != nil && ctx.Err() == nil {
			r.log.WarnContext(ctx, "replication waits", "error", err)
			pause = time.Second
		}
		if pause <= 0 || pause > replicatorPause {
			pause = replicatorPause
		}
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
		case <-timer.C:
		case <-r.wake:
		}
		timer.Stop()
	}
}
