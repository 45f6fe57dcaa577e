package node

import (
	"context"
	"errors"
	"fmt"
	"time"

	"lockstep"
)

const (
	// startPatience is how long a node that starts waits for the database and
	// the NATS cluster that others run: after a power cut all come back
	// together, in any order.
	startPatience = time.Minute
	// firstRetry and lastRetry bound the pauses between the tries.
	firstRetry = 100 * time.Millisecond
	lastRetry  = 2 * time.Second
)

// withStore does what needs the store, and waits for one that is not our own.
func (n *Node) withStore(ctx context.Context, try func(context.Context) error) error {
	if n.cfg.ownStore() {
		return try(ctx)
	}
	return n.patiently(ctx, "PostgreSQL", try)
}

// withNATS does what needs NATS, and waits for one that is not our own.
func (n *Node) withNATS(ctx context.Context, try func(context.Context) error) error {
	if n.cfg.NATSURL == "" {
		return try(ctx)
	}
	return n.patiently(ctx, "NATS", try)
}

// patiently tries until it works, or startPatience has passed. What a retry
// cannot mend is returned at once.
func (n *Node) patiently(ctx context.Context, what string, try func(context.Context) error) error {
	deadline := time.Now().Add(startPatience)
	for wait := firstRetry; ; wait = min(2*wait, lastRetry) {
		err := try(ctx)
		switch {
		case err == nil, ctx.Err() != nil, hopeless(err):
			return err
		case time.Now().After(deadline):
			return fmt.Errorf("waited for %s for %s: %w", what, startPatience, err)
		}
		n.log.WarnContext(ctx, "waiting at the start", "for", what, "error", err)
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
		case <-timer.C:
		}
		timer.Stop()
	}
}

// hopeless errors stay, however often it is tried.
func hopeless(err error) bool {
	for _, kind := range []error{lockstep.ErrInvalid, lockstep.ErrDecrypt, lockstep.ErrConflict, lockstep.ErrNotFound, lockstep.ErrDenied} {
		if errors.Is(err, kind) {
			return true
		}
	}
	return false
}
