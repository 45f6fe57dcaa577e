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

// patiently tries until it works, or startPatience has passed. What a retry
// cannot mend is returned at once.
func (n *Node) patiently(ctx context.Context, what string, try func(context.Context) error) error {
	deadline := time.Now().Add(startPatience)
	for wait := firstRetry; ; wait = min(2*wait, lastRetry) {
		err := try(ctx)
		switch {
		case err == nil, ctx.Err() != nil, errors.Is(err, lockstep.ErrInvalid), errors.Is(err, lockstep.ErrDecrypt):
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
