package redis

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"lockstep"
	"lockstep/rotators"
)

// change is what is to become of a user's passwords, as hashes.
type change struct {
	// doing says what it is, for errors.
	doing  string
	user   string
	add    string   // empty: nothing
	remove []string // those that are not there are left out
}

// changeAll makes the change on every node, after a look at all of them: an
// error with NotApplied means that none was changed.
func (r *Rotator) changeAll(ctx context.Context, req *rotators.Request, of *value, c change) error {
	return r.withNodes(ctx, req, of, func(ns *nodes) error {
		for _, n := range ns.all {
			if _, err := n.look(ctx, c.user); err != nil {
				return err
			}
			// What can't be saved now can't be saved afterwards either.
			if err := n.save(ctx); err != nil {
				return err
			}
		}
		for i, n := range ns.all {
			err := n.apply(ctx, req, c)
			if err != nil && i > 0 {
				te := *lockstep.AsTargetError(err)
				te.Outcome = lockstep.Unknown // the nodes before it were changed
				return &te
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// look reads the hashes of a user's passwords. It refuses a user that is not
// there, since ACL SETUSER would make it, and one that takes any password:
// there is nothing to rotate.
func (n *node) look(ctx context.Context, user string) (hashes []string, err error) {
	answer, err := n.conn.Do(ctx, "ACL", "GETUSER", user).Slice()
	if errors.Is(err, redis.Nil) {
		return nil, rotators.Permanent(`correct the field "username" of the secret, or create the user on this node: Redis does not replicate users`,
			"there is no user %q at %s", user, n.addr)
	}
	if err != nil {
		return nil, askFault(fmt.Sprintf("look at user %q at %s", user, n.addr), n.as, err)
	}
	for i := 0; i+1 < len(answer); i += 2 {
		list := texts(answer[i+1])
		switch {
		case answer[i] == "passwords":
			hashes = list
		case answer[i] == "flags" && slices.Contains(list, "nopass"):
			return nil, rotators.Permanent("ACL SETUSER "+user+" resetpass, then add the password of the secret",
				"user %q at %s has nopass: it logs in with any password", user, n.addr)
		}
	}
	return hashes, nil
}

func texts(answer any) []string {
	list, _ := answer.([]any)
	var out []string
	for _, one := range list {
		if s, ok := one.(string); ok {
			out = append(out, s)
		}
	}
	return out
}

// rules are the arguments of ACL SETUSER. Removing a hash that is not there is
// an error to Redis, so only those that were seen are named.
func (c change) rules(there []string) []any {
	out := []any{"ACL", "SETUSER", c.user}
	if c.add != "" {
		out = append(out, "#"+c.add)
	}
	for _, h := range c.remove {
		if slices.Contains(there, h) {
			out = append(out, "!"+h)
		}
	}
	return out
}

// apply makes the guarded change on one node, and saves it. The hashes are read
// after WATCH: another change of ours in between would make EXEC do nothing.
func (n *node) apply(ctx context.Context, req *rotators.Request, c change) error {
	g, err := n.guard(c.user)
	if err != nil {
		return err
	}
	if err := n.lease(ctx, req, c, g); err != nil {
		return err
	}
	if err := n.watch(ctx, req, c, g); err != nil {
		return err
	}
	there, err := n.look(ctx, c.user)
	if err != nil {
		return err
	}
	_, err = n.conn.TxPipelined(ctx, func(tx redis.Pipeliner) error {
		tx.Do(ctx, c.rules(there)...)
		if !n.replica {
			tx.Set(ctx, g.marker, g.text(req), 0)
		}
		return nil
	})
	if err != nil {
		return changeFault(c.doing+" at "+n.addr, n.as, err)
	}
	if err := n.save(ctx); err != nil {
		te := *lockstep.AsTargetError(err)
		te.Outcome = lockstep.Unknown // done, but a restart would undo it
		return &te
	}
	return nil
}

// guard names the keys of a change.
type guard struct {
	marker string // "fence ARN"; stays
	until  string // gone at the latest time for this change
}

func (n *node) guard(user string) (guard, error) {
	tag, err := n.tag()
	if err != nil {
		return guard{}, err
	}
	prefix := "lockstep:{" + tag + "}:"
	return guard{marker: prefix + "acl:" + user, until: prefix + "until:" + strings.ToLower(rand.Text())}, nil
}

func (g guard) text(req *rotators.Request) string {
	return strconv.FormatUint(req.Guard.Fence, 10) + " " + string(req.ARN)
}

// lease extends the lease in the store by the node's clock and makes the key
// that lasts until then.
func (n *node) lease(ctx context.Context, req *rotators.Request, c change, g guard) error {
	now, err := n.conn.Time(ctx).Result()
	if err != nil {
		return askFault("read the clock of "+n.addr, n.as, err)
	}
	notAfter, err := req.Guard.NotAfter(ctx, now)
	if err != nil {
		return &lockstep.TargetError{Outcome: lockstep.NotApplied, Err: fmt.Errorf("%s: extend lease: %w", c.doing, err)}
	}
	if err := n.primary.conn.Do(ctx, "SET", g.until, "1", "PXAT", notAfter.UnixMilli()).Err(); err != nil {
		return askFault("set the time limit at "+n.primary.addr, n.as, err)
	}
	if !n.replica {
		return nil
	}
	// What the primary wrote before has arrived when this has.
	return n.await(ctx, notAfter.Sub(now), func() (bool, error) {
		_, err := n.conn.Get(ctx, g.until).Result()
		if errors.Is(err, redis.Nil) {
			return false, nil
		}
		return err == nil, err
	})
}

// awaitPoll is how often a replica is asked.
const awaitPoll = 5 * time.Millisecond

// await waits until a replica has what its primary wrote.
func (n *node) await(ctx context.Context, limit time.Duration, there func() (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, max(limit, time.Millisecond))
	defer cancel()
	tick := time.NewTicker(awaitPoll)
	defer tick.Stop()
	for {
		ok, err := there()
		if err != nil {
			return askFault("read from the replica "+n.addr, n.as, err)
		}
		if ok {
			return nil
		}
		select {
		case <-ctx.Done():
			return rotators.Transient("the replica %s is behind its primary: %w", n.addr, ctx.Err())
		case <-tick.C:
		}
	}
}

// watch lets EXEC do nothing from here on if the marker is written or the time
// limit passes, and looks at both.
func (n *node) watch(ctx context.Context, req *rotators.Request, c change, g guard) error {
	if err := n.conn.Do(ctx, "WATCH", g.marker, g.until).Err(); err != nil {
		return askFault("watch the marker at "+n.addr, n.as, err)
	}
	held, err := n.marked(ctx, req, c.user, g)
	if err != nil {
		return err
	}
	if held > req.Guard.Fence {
		return rotators.Transient("%s: user %q at %s has the marker of a newer claim, %d", c.doing, c.user, n.addr, held)
	}
	err = n.conn.Get(ctx, g.until).Err()
	if errors.Is(err, redis.Nil) {
		return rotators.Transient("%s at %s: the change came too late", c.doing, n.addr)
	}
	if err != nil {
		return askFault("read the time limit at "+n.addr, n.as, err)
	}
	return nil
}

// marked reads the marker; 0 if there is none. Errors: FaultPermanent if it is
// another Secret's.
func (n *node) marked(ctx context.Context, req *rotators.Request, user string, g guard) (uint64, error) {
	text, err := n.conn.Get(ctx, g.marker).Result()
	if errors.Is(err, redis.Nil) {
		return 0, nil
	}
	if err != nil {
		return 0, askFault("read the marker at "+n.addr, n.as, err)
	}
	number, arn, _ := strings.Cut(text, " ")
	fence, err := strconv.ParseUint(number, 10, 64)
	if err != nil || arn != string(req.ARN) {
		return 0, rotators.Permanent(fmt.Sprintf("let one secret alone manage this user; if the other one is gone, DEL %q at %s", g.marker, n.addr),
			"user %q at %s is managed by another secret, %s", user, n.addr, arn)
	}
	return fence, nil
}

// raiseTimeout bounds the wait for a replica in raise.
const raiseTimeout = 10 * time.Second

// raise writes the marker alone; it returns the fence that is there then.
func (n *node) raise(ctx context.Context, req *rotators.Request, user string) (uint64, error) {
	g, err := n.guard(user)
	if err != nil {
		return 0, err
	}
	if n.replica {
		return req.Guard.Fence, n.await(ctx, raiseTimeout, func() (bool, error) {
			held, err := n.marked(ctx, req, user, g)
			return held >= req.Guard.Fence, err
		})
	}
	if err := n.conn.Do(ctx, "WATCH", g.marker).Err(); err != nil {
		return 0, askFault("watch the marker at "+n.addr, n.as, err)
	}
	held, err := n.marked(ctx, req, user, g)
	if err != nil || held > req.Guard.Fence {
		return held, err
	}
	if _, err := n.conn.TxPipelined(ctx, func(tx redis.Pipeliner) error {
		tx.Set(ctx, g.marker, g.text(req), 0)
		return nil
	}); err != nil {
		return 0, changeFault("raise the marker at "+n.addr, n.as, err)
	}
	if err := n.save(ctx); err != nil {
		te := *lockstep.AsTargetError(err)
		te.Fault = lockstep.FaultTransient // else it would count as a target without markers
		return 0, &te
	}
	return req.Guard.Fence, nil
}

// save writes the users to where the server reads them at its start; a server
// without an ACL file and without a configuration file has no such place.
func (n *node) save(ctx context.Context) error {
	files, err := n.conn.ConfigGet(ctx, "aclfile").Result()
	if err != nil {
		return saveFault(n.as, n.addr, err)
	}
	if files["aclfile"] != "" {
		if err := n.conn.Do(ctx, "ACL", "SAVE").Err(); err != nil {
			return saveFault(n.as, n.addr, err)
		}
		return nil
	}
	info, err := n.conn.Info(ctx, "server").Result()
	if err != nil {
		return saveFault(n.as, n.addr, err)
	}
	for line := range strings.Lines(info) {
		if file, ok := strings.CutPrefix(strings.TrimSpace(line), "config_file:"); ok && file != "" {
			if err := n.conn.ConfigRewrite(ctx).Err(); err != nil {
				return saveFault(n.as, n.addr, err)
			}
		}
	}
	return nil
}
