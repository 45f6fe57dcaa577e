package redis

import (
	"context"
	"net"
	"strconv"
	"strings"
	"time"

	"lockstep"
	"lockstep/rotators"
)

// Sessions lists the connections of v's user on every node. Redis does not say
// which of a user's two passwords a connection gave, only how old it is: one that
// was opened before AWSCURRENT was in force is an older value's, a later one is
// AWSCURRENT's if its client has moved by then, and so is not certain. Errors:
// TargetErrors.
func (r *Rotator) Sessions(ctx context.Context, req *rotators.Request, v lockstep.Value) ([]rotators.Session, error) {
	var all []rotators.Connection
	certain := false
	err := r.watch(ctx, req, v, func(n *node, of sight) error {
		list, err := n.clients(ctx, of)
		for _, c := range list {
			all = append(all, c.Connection)
		}
		certain = of.former
		return err
	})
	if err != nil {
		return nil, err
	}
	return rotators.Gather(all, certain), nil
}

// KillSessions ends those that are older than AWSCURRENT. A client that has
// logged in again on such a connection, with the new password, has to connect
// anew: Redis does not show that it did. Errors: TargetErrors with Unknown.
func (r *Rotator) KillSessions(ctx context.Context, req *rotators.Request, old lockstep.Value) error {
	err := r.watch(ctx, req, old, func(n *node, of sight) error {
		if !of.former {
			return nil
		}
		list, err := n.clients(ctx, of)
		if err != nil {
			return err
		}
		for _, c := range list {
			// One that is gone meanwhile is not found, which is no error.
			if err := n.conn.Do(ctx, "CLIENT", "KILL", "ID", c.id).Err(); err != nil {
				return askFault("end sessions of user "+strconv.Quote(of.user)+" at "+n.addr, n.as, err)
			}
		}
		return nil
	})
	if err == nil {
		return nil
	}
	te := *lockstep.AsTargetError(err)
	te.Outcome = lockstep.Unknown
	return &te
}

// sight is which connections one question is about.
type sight struct {
	user string
	ages rotators.Ages
	// former: the value is not AWSCURRENT.
	former bool
}

// watch calls do for each node.
func (r *Rotator) watch(ctx context.Context, req *rotators.Request, v lockstep.Value, do func(*node, sight) error) error {
	seen, err := parse(v)
	if err != nil {
		return malformed("the value", err)
	}
	current, err := parse(req.Current)
	if err != nil {
		return malformed("AWSCURRENT", err)
	}
	of := sight{user: seen.user, former: !seen.sameUser(current) || seen.password != current.password}
	if seen.sameUser(current) {
		of.ages = req.AgesOf(rotators.Present(!of.former))
		// The nodes and the admin's ARN as they are now.
		seen = current
	}
	return r.withNodes(ctx, req, seen, func(ns *nodes) error {
		for _, n := range ns.all {
			if err := do(n, of); err != nil {
				return err
			}
		}
		return nil
	})
}

// client is one line of CLIENT LIST.
type client struct {
	rotators.Connection
	id, user string
}

// clients asks a node for its connections, but for our own.
func (n *node) clients(ctx context.Context, of sight) ([]client, error) {
	doing := "list sessions of user " + strconv.Quote(of.user) + " at " + n.addr
	mine, err := n.conn.ClientID(ctx).Result()
	if err != nil {
		return nil, askFault(doing, n.as, err)
	}
	text, err := n.conn.ClientList(ctx).Result()
	if err != nil {
		return nil, askFault(doing, n.as, err)
	}
	var out []client
	for line := range strings.Lines(text) {
		c := readClient(line)
		// Ages are whole seconds, rounded down: one from the last second before
		// AWSCURRENT came into force may be taken for AWSCURRENT's, never the
		// other way round.
		if c.user == of.user && c.id != strconv.FormatInt(mine, 10) && of.ages.Hold(c.Age) {
			out = append(out, c)
		}
	}
	return out, nil
}

// readClient reads a line of CLIENT LIST: words with a name and a value, in any
// order and of any number.
func readClient(line string) client {
	c := client{Connection: rotators.Connection{Age: -1}}
	for word := range strings.FieldsSeq(line) {
		name, value, _ := strings.Cut(word, "=")
		switch name {
		case "id":
			c.id = value
		case "user":
			c.user = value
		case "name":
			c.Application = value
		case "lib-name":
			if c.Application == "" {
				c.Application = value
			}
		case "addr":
			c.Address = value
			if host, _, err := net.SplitHostPort(value); err == nil {
				c.Address = host
			}
		case "age":
			if n, err := strconv.ParseInt(value, 10, 32); err == nil {
				c.Age = time.Duration(n) * time.Second
			}
		}
	}
	return c
}
