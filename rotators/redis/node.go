package redis

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"slices"

	"github.com/redis/go-redis/v9"

	"lockstep"
	"lockstep/rotators"
)

// node is a login to one server of a Secret.
type node struct {
	addr   string
	as     *value
	client *redis.Client
	conn   *redis.Conn // the one connection: WATCH counts for it alone
	// replica is true for one that takes no keys; primary is then the node
	// that writes them. A primary's own primary is itself.
	replica bool
	primary *node
	// clustered is true for a part of a cluster; slots are those it serves.
	clustered bool
	slots     []slotRange
}

// dial opens one connection and logs in. Errors: a TargetError with
// NotApplied; FaultRefusedLogin is the server's word on this credential.
func (r *Rotator) dial(ctx context.Context, as *value, addr string) (*node, error) {
	opt := &redis.Options{
		Addr: addr, Username: as.user, Password: as.password,
		// The oldest protocol, without what newer servers would tell us, and
		// with one try for all: the engine decides what is tried again.
		Protocol: 2, DisableIdentity: true, MaxRetries: -1, DialerRetries: 1, PoolSize: 1,
		DialTimeout: r.connectTimeout, ReadTimeout: -1, WriteTimeout: -1, ContextTimeoutEnabled: true,
	}
	if as.tls {
		host, _, err := net.SplitHostPort(addr)
		if err != nil {
			return nil, loginFault(as, addr, err)
		}
		opt.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12, ServerName: host}
	}
	n := &node{addr: addr, as: as, client: redis.NewClient(opt)}
	n.conn = n.client.Conn()
	limited, cancel := context.WithTimeout(ctx, r.connectTimeout)
	defer cancel()
	// The first command makes the connection and logs in. A user that may not
	// even ping is logged in.
	err := n.conn.Ping(limited).Err()
	if err == nil || code(err) == codeNoPermission {
		return n, nil
	}
	n.close()
	return nil, loginFault(as, addr, err)
}

// close hangs up. Nothing depends on what the goodbye says.
func (n *node) close() {
	_ = n.conn.Close()
	_ = n.client.Close()
}

// nodes are all servers of a Secret, primaries first.
type nodes struct{ all []*node }

func (ns *nodes) close() {
	for _, n := range ns.all {
		n.close()
	}
}

// withNodes logs in to every node of a value, by the admin if there is one,
// and calls fn.
func (r *Rotator) withNodes(ctx context.Context, req *rotators.Request, of *value, fn func(*nodes) error) error {
	logins, err := actors(req, of)
	if err != nil {
		return err
	}
	ns, err := r.reach(ctx, logins, of)
	if err != nil {
		return err
	}
	defer ns.close()
	return fn(ns)
}

// reach logs in to all nodes.
func (r *Rotator) reach(ctx context.Context, logins actorList, of *value) (_ *nodes, err error) {
	ns := &nodes{}
	defer func() {
		if err != nil {
			ns.close()
		}
	}()
	first, err := r.dialAny(ctx, logins, of.nodes[0])
	if err != nil {
		return nil, err
	}
	ns.all = append(ns.all, first)
	members, err := first.members(ctx)
	if err != nil {
		return nil, err
	}
	for _, addr := range union(of.nodes, members) {
		if addr == first.addr {
			continue
		}
		if err := logins.mayReach(addr, members); err != nil {
			return nil, err
		}
		n, err := r.dialAny(ctx, logins, addr)
		if err != nil {
			return nil, err
		}
		ns.all = append(ns.all, n)
	}
	return ns, ns.sort(ctx, members)
}

// union is the declared addresses and those of the cluster that are not
// declared.
func union(declared []string, found []member) []string {
	out := slices.Clone(declared)
	for _, m := range found {
		if !slices.Contains(out, m.addr) {
			out = append(out, m.addr)
		}
	}
	return out
}

// actorList is who may make a change: an admin alone, or the user itself with
// each password that it may have.
type actorList struct {
	logins []*value
	admin  bool
	arn    string
}

// actors finds who makes the change.
func actors(req *rotators.Request, of *value) (actorList, error) {
	if admin, is, err := adminOf(req, of); is || err != nil {
		return actorList{logins: []*value{admin}, admin: true, arn: of.masterARN}, err
	}
	var list actorList
	for _, candidate := range append([]lockstep.Value{req.Pending, req.Current}, req.Live...) {
		v, err := parse(candidate)
		if err != nil || !v.sameUser(of) || slices.ContainsFunc(list.logins, func(o *value) bool { return o.password == v.password }) {
			continue
		}
		list.logins = append(list.logins, v)
	}
	return list, nil
}

// adminOf reads the admin, if another user than the Secret's own is there to
// make the change. An admin's password is sent to no other server than its own.
func adminOf(req *rotators.Request, of *value) (admin *value, is bool, err error) {
	if req.Admin.IsZero() {
		return nil, false, nil
	}
	admin, err = parse(req.Admin)
	if err != nil {
		return nil, true, malformed("the admin's secret "+of.masterARN, err)
	}
	if admin.user == of.user && slices.Contains(admin.nodes, of.nodes[0]) {
		return nil, false, nil // its own admin: the way of all others
	}
	if !slices.Contains(admin.nodes, of.nodes[0]) {
		return nil, true, rotators.Permanent("name the admin of this server in masterarn",
			"the admin's secret %s is for %s, not for %s", of.masterARN, admin.nodes[0], of.nodes[0])
	}
	return admin, true, nil
}

// mayReach refuses to send the admin's password to a node that only the
// managed secret names.
func (l actorList) mayReach(addr string, members []member) error {
	known := !l.admin || slices.Contains(l.logins[0].nodes, addr) ||
		slices.ContainsFunc(members, func(m member) bool { return m.addr == addr })
	if known {
		return nil
	}
	return rotators.Permanent("list the node in the field endpoints of the admin's secret too",
		"the admin's secret %s does not name the node %s", l.arn, addr)
}

// dialAny logs in with the first credential that the node accepts.
func (r *Rotator) dialAny(ctx context.Context, logins actorList, addr string) (*node, error) {
	var refused error
	for _, as := range logins.logins {
		n, err := r.dial(ctx, as, addr)
		if err == nil {
			return n, nil
		}
		if lockstep.AsTargetError(err).Fault != lockstep.FaultRefusedLogin {
			return nil, err
		}
		refused = err
	}
	if logins.admin {
		return nil, adminFault(refused, logins.arn)
	}
	return nil, &lockstep.TargetError{
		Outcome: lockstep.NotApplied, Fault: lockstep.FaultPermanent,
		Hint: "name an admin's secret in the field masterarn, or set the password by hand and put it into the secret",
		Err:  errors.Join(errNoLogin, refused),
	}
}

var errNoLogin = errors.New("none of the known passwords logs in")

// sort learns which nodes are replicas, pairs them with their primaries, and
// puts the primaries first.
func (ns *nodes) sort(ctx context.Context, members []member) error {
	for _, n := range ns.all {
		role, err := n.conn.Do(ctx, "ROLE").Slice()
		if err != nil {
			return askFault("ask "+n.addr+" for its role", n.as, err)
		}
		if len(role) == 0 {
			return rotators.Transient("ask %s for its role: no answer", n.addr)
		}
		n.replica, n.primary = role[0] != "master", n
		n.describe(members)
	}
	slices.SortStableFunc(ns.all, func(a, b *node) int { return rank(a) - rank(b) })
	for _, n := range ns.all {
		if !n.replica {
			continue
		}
		if n.primary = ns.primaryOf(n, members); n.primary == nil {
			te := rotators.Transient("%s is a replica, and its primary is not among the known nodes", n.addr)
			te.Hint = "name the primary in the fields host and port, or in endpoints"
			return te
		}
		if len(members) > 0 {
			if err := n.conn.Do(ctx, "READONLY").Err(); err != nil {
				return askFault("read from the replica "+n.addr, n.as, err)
			}
		}
	}
	return nil
}

func rank(n *node) int {
	if n.replica {
		return 1
	}
	return 0
}

// primaryOf finds the node that writes a replica's keys: by the cluster's word,
// else the only primary there is.
func (ns *nodes) primaryOf(n *node, members []member) *node {
	want := ""
	for _, m := range members {
		if m.addr == n.addr {
			want = m.primary
		}
	}
	var found *node
	for _, p := range ns.all {
		if p.replica || (want != "" && p.addr != want) {
			continue
		}
		if found != nil {
			return nil // two primaries, and nobody says whose it is
		}
		found = p
	}
	return found
}

func (n *node) describe(members []member) {
	for _, m := range members {
		if m.addr == n.addr {
			n.clustered, n.slots = true, m.slots
		}
	}
}
