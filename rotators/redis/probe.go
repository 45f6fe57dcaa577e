package redis

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"

	"lockstep"
	"lockstep/rotators"
)

// probeTimeout bounds one declared probe.
const probeTimeout = 10 * time.Second

// Test logs in with v to every node, as an application would, and runs its
// probes there. Errors: TargetErrors. FaultRefusedLogin if every node answered
// and at least one refused; FaultPermanent if a probe fails for good. A node
// that gives no answer means no verdict.
func (r *Rotator) Test(ctx context.Context, req *rotators.Request, v lockstep.Value) error {
	val, err := parse(v)
	if err != nil {
		return malformed("the value", err)
	}
	addrs, err := r.addresses(ctx, req, val)
	if err != nil {
		return err
	}
	var verdict error
	for _, addr := range addrs {
		err := r.testNode(ctx, val, addr)
		te := lockstep.AsTargetError(err)
		switch {
		case err == nil:
		case te.Fault == lockstep.FaultTransient:
			return err
		case verdict == nil || te.Fault == lockstep.FaultRefusedLogin:
			verdict = err
		}
	}
	return verdict
}

// addresses are those of all nodes: by the word of a cluster, asked as v, or by
// the admin if v's user may not ask.
func (r *Rotator) addresses(ctx context.Context, req *rotators.Request, v *value) ([]string, error) {
	first, err := r.dial(ctx, v, v.nodes[0])
	if err != nil {
		return nil, err
	}
	found, err := first.members(ctx)
	first.close()
	if err != nil && lockstep.AsTargetError(err).Fault == lockstep.FaultPermanent {
		found, err = r.membersByAdmin(ctx, req, v)
	}
	if err != nil {
		return nil, err
	}
	return union(v.nodes, found), nil
}

// membersByAdmin asks as the admin; without one, only the declared nodes are
// known.
func (r *Rotator) membersByAdmin(ctx context.Context, req *rotators.Request, v *value) ([]member, error) {
	admin, is, err := adminOf(req, v)
	if !is || err != nil {
		return nil, err
	}
	n, err := r.dial(ctx, admin, v.nodes[0])
	if err != nil {
		te := *lockstep.AsTargetError(err)
		te.Fault = lockstep.FaultTransient // the admin's trouble is no verdict on v
		return nil, &te
	}
	defer n.close()
	return n.members(ctx)
}

func (r *Rotator) testNode(ctx context.Context, v *value, addr string) error {
	n, err := r.dial(ctx, v, addr)
	if err != nil {
		return err
	}
	defer n.close()
	for i, probe := range v.probes {
		if err := n.probe(ctx, probe); err != nil {
			return probeFault(fmt.Sprintf("run probe %d at %s as %q", i+1, addr, v.user), v, err)
		}
	}
	return nil
}

func (n *node) probe(ctx context.Context, words []string) error {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	args := make([]any, len(words))
	for i, w := range words {
		args[i] = w
	}
	err := n.conn.Do(ctx, args...).Err()
	if errors.Is(err, redis.Nil) || slices.Contains(elsewhere, code(err)) {
		return nil
	}
	return err
}
