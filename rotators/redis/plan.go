package redis

import (
	"context"
	"fmt"
	"strings"

	"lockstep"
	"lockstep/rotators"
)

// Plan says what a Run would do. It logs in and reads, and queues commands that
// are never executed, to learn whether it may; it changes nothing. What the
// servers or the secret stand in the way of is a Problem; an error means that
// ctx ended.
func (r *Rotator) Plan(ctx context.Context, req *rotators.Request) (rotators.Plan, error) {
	var p rotators.Plan
	current, err := parse(req.Current)
	if err != nil {
		p.Fails(lockstep.StepCreate, malformed("AWSCURRENT", err))
		return p, ctx.Err()
	}
	p.Will("create: make a new password for user %q", current.user)
	err = r.withNodes(ctx, req, current, func(ns *nodes) error {
		for _, n := range ns.all {
			if err := n.plan(ctx, req, current, &p); err != nil {
				return fmt.Errorf("%s: %w", n.addr, err)
			}
		}
		return nil
	})
	if err != nil {
		p.Fails(lockstep.StepSet, err)
	}
	p.Will("test: log in to each node as %q%s", current.user, rotators.ProbesInWords(len(current.probes)))
	p.Will("retire: remove the old password from each node and end the connections that are older than the new one, when the policy allows")
	return p, ctx.Err()
}

func (n *node) plan(ctx context.Context, req *rotators.Request, current *value, p *rotators.Plan) error {
	hashes, err := n.look(ctx, current.user)
	if err != nil {
		return err
	}
	g, err := n.guard(current.user)
	if err != nil {
		return err
	}
	if _, err := n.marked(ctx, req, current.user, g); err != nil {
		return err
	}
	p.Will("set: log in to %s as %q, add the new password to the %d of user %q, and %s",
		n.addr, n.as.user, len(hashes), current.user, n.saving(ctx))
	return n.mayChange(ctx, current.user, g)
}

// saving is how a change outlives a restart, in words.
func (n *node) saving(ctx context.Context) string {
	files, err := n.conn.ConfigGet(ctx, "aclfile").Result()
	if err == nil && files["aclfile"] != "" {
		return "save the ACL file"
	}
	return "save the configuration file, if there is one"
}

// mayChange queues what set and retire would send, and never sends EXEC: the
// server judges the rights when it queues. The connection is of no use after.
func (n *node) mayChange(ctx context.Context, user string, g guard) error {
	commands := [][]any{
		{"WATCH", g.marker}, {"MULTI"}, {"ACL", "SETUSER", user}, {"ACL", "SAVE"}, {"CONFIG", "REWRITE"}, {"TIME"}, {"INFO"}, {"GET", g.until},
	}
	if !n.replica {
		commands = append(commands, []any{"SET", g.until, "1"}, []any{"SET", g.marker, "1"})
	}
	for _, c := range commands {
		if err := n.conn.Do(ctx, c...).Err(); err != nil {
			return askFault("ask whether "+strings.ToUpper(fmt.Sprint(c[0]))+" is allowed", n.as, err)
		}
	}
	return nil
}
