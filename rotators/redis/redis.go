// Package redis rotates the password of a Redis or Valkey ACL user
// ("redis"; 6.2 and later). A user may have several passwords at once, so the
// new one is added, applications move, and the old one is removed later: no
// moment comes at which a value that an application may have is refused.
//
// # What the server learns
//
// The SHA-256 of a password ("#hash", "!hash"), which is what it stores
// anyway. Only a login sends the clear password, as the protocol asks; set
// "ssl" where the way to the server is not trusted.
//
// # After set
//
// the user accepts AWSCURRENT and the pending value and nothing else that
// Lockstep ever put there: the same ACL SETUSER that adds the new hash removes
// those of the values that a Run left behind. When set is asked to bring
// AWSCURRENT itself back (undo, verify), it only adds.
//
// # Every node
//
// Redis does not replicate its users: each node has a list of its own. The
// nodes are "host" and "port", those in "endpoints", and, where the server is
// part of a cluster, all that CLUSTER NODES names. Each is changed, saved (ACL
// SAVE, or CONFIG REWRITE where there is a configuration file and no ACL file)
// and tested; a credential is accepted only where each node accepts it, and a
// node that does not answer means no verdict.
//
// # The guard
//
// Each change is a MULTI that watches two keys (docs/decisions/0029). One holds
// the marker, "fence ARN": a newer claim writes it, and the older one's EXEC
// then does nothing. The other is made for this change alone and expires at the
// time that Guard.NotAfter gave; EXEC compares with the server's own clock, and
// does nothing if the key has expired since it was watched. A replica takes no
// keys; there, the change watches the keys that its primary replicates.
//
// # Sessions
//
// that are logged in stay so, whatever becomes of the password. Redis keeps no
// note of which password a session used, so retiring a value ends none; CLIENT
// KILL USER would end those of AWSCURRENT too.
package redis

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strconv"
	"time"

	"lockstep"
	"lockstep/password"
	"lockstep/rotators"
)

// Name is the name under which cmd registers the rotator.
const Name = "redis"

// Config is what the rotator needs. The zero Config is ready to use.
type Config struct {
	// Passwords is the policy of new passwords; the zero Policy means
	// password.ForRotation.
	Passwords password.Policy
	// ConnectTimeout bounds the connection and login to one node; zero means 5
	// seconds. A context with an earlier deadline bounds it too.
	ConnectTimeout time.Duration
}

// Rotator is the rotator "redis". It holds no state and is safe for concurrent
// use.
type Rotator struct {
	passwords      password.Policy
	connectTimeout time.Duration
}

// New makes the rotator. Errors: ErrInvalid if no password can satisfy the
// policy, or for a negative time.
func New(cfg Config) (*Rotator, error) {
	r := &Rotator{passwords: cfg.Passwords, connectTimeout: cfg.ConnectTimeout}
	if r.passwords == (password.Policy{}) {
		r.passwords = password.ForRotation()
	}
	if err := r.passwords.Validate(); err != nil {
		return nil, fmt.Errorf("rotator %s: %w", Name, err)
	}
	if r.connectTimeout == 0 {
		r.connectTimeout = 5 * time.Second
	}
	if r.connectTimeout < 0 {
		return nil, fmt.Errorf("rotator %s: negative connect timeout: %w", Name, lockstep.ErrInvalid)
	}
	return r, nil
}

// Traits: chosen, two values.
func (*Rotator) Traits() lockstep.Traits {
	return lockstep.Traits{Chooser: lockstep.Chosen, Overlap: lockstep.TwoValues}
}

// Account is the ACL user that v names. Errors: ErrInvalid.
func (*Rotator) Account(v lockstep.Value) (rotators.Account, error) {
	val, err := parse(v)
	if err != nil {
		return rotators.Account{}, fmt.Errorf("read secret: %w", err)
	}
	host, port, err := net.SplitHostPort(val.nodes[0])
	if err != nil {
		return rotators.Account{}, fmt.Errorf("read secret: %w", err)
	}
	n, err := strconv.Atoi(port)
	if err != nil {
		return rotators.Account{}, fmt.Errorf("read secret: %w", err)
	}
	return rotators.Account{Engine: "redis", Host: host, Port: n, User: val.user}, nil
}

// Accounts is the one user that v names. Errors: ErrInvalid.
func (r *Rotator) Accounts(v lockstep.Value) ([]rotators.Account, error) {
	a, err := r.Account(v)
	if err != nil {
		return nil, err
	}
	return []rotators.Account{a}, nil
}

// Create is AWSCURRENT with another password. Errors: FaultPermanent if
// AWSCURRENT is malformed.
func (r *Rotator) Create(_ context.Context, req *rotators.Request) (lockstep.Value, error) {
	current, err := parse(req.Current)
	if err != nil {
		return lockstep.Value{}, malformed("AWSCURRENT", err)
	}
	policy, err := r.passwords.With(req.Passwords)
	if err != nil {
		return lockstep.Value{}, rotators.Permanent("", "make password: %w", err)
	}
	pw, err := policy.Generate()
	if err != nil {
		return lockstep.Value{}, rotators.Permanent("", "make password: %w", err)
	}
	v, err := current.object.With("password", pw)
	if err != nil {
		return lockstep.Value{}, rotators.Permanent("shorten the secret's other fields", "make value: %w", err)
	}
	return v, nil
}

// Set adds the pending password and removes what earlier Runs left, on every
// node. Errors: TargetErrors; Outcome NotApplied means that no node was
// changed.
func (r *Rotator) Set(ctx context.Context, req *rotators.Request) error {
	pending, err := parse(req.Pending)
	if err != nil {
		return malformed("the pending value", err)
	}
	c := change{doing: fmt.Sprintf("set password of user %q", pending.user), user: pending.user, add: pending.hash()}
	current, err := parse(req.Current)
	if err == nil && current.password != pending.password && pending.sameUser(current) {
		c.remove = leftovers(req.Live, pending, current)
	}
	return r.changeAll(ctx, req, pending, c)
}

// leftovers are the hashes of what else the target may accept, but for those
// that must stay. Without an AWSCURRENT of the same user nothing is certain to
// be needless, and nothing is removed.
func leftovers(live []lockstep.Value, keep ...*value) []string {
	var out []string
	for _, v := range live {
		old, err := parse(v)
		if err != nil || !old.sameUser(keep[0]) {
			continue
		}
		needed := slices.ContainsFunc(keep, func(k *value) bool { return k.password == old.password })
		if !needed {
			out = append(out, old.hash())
		}
	}
	return out
}

// Retire removes old's password on every node; sessions that used it stay
// logged in until KillSessions. Errors: TargetErrors; FaultPermanent if AWSCURRENT has the same
// password. With several nodes the Outcome is Unknown, since some may have
// been changed.
func (r *Rotator) Retire(ctx context.Context, req *rotators.Request, old lockstep.Value) error {
	gone, err := parse(old)
	if err != nil {
		return malformed("the old value", err)
	}
	current, err := parse(req.Current)
	if err != nil {
		return malformed("AWSCURRENT", err)
	}
	if gone.sameUser(current) && gone.password == current.password {
		return rotators.Permanent("", "password of user %q is not retired: %w", gone.user, rotators.ErrCurrents)
	}
	c := change{doing: fmt.Sprintf("remove old password of user %q", gone.user), user: gone.user, remove: []string{gone.hash()}}
	// The admin's ARN and the nodes as they are now; an old value may name
	// earlier ones.
	if gone.sameUser(current) {
		gone = current
	}
	err = r.changeAll(ctx, req, gone, c)
	if err != nil && len(gone.nodes) > 1 {
		te := *lockstep.AsTargetError(err)
		te.Outcome = lockstep.Unknown
		return &te
	}
	return err
}

// Raise writes the marker on every node, and saves the users: a set whose save
// failed is thereby made durable before it counts. Errors: TargetErrors.
func (r *Rotator) Raise(ctx context.Context, req *rotators.Request) (uint64, error) {
	current, err := parse(req.Current)
	if err != nil {
		return 0, malformed("AWSCURRENT", err)
	}
	fence := req.Guard.Fence
	err = r.withNodes(ctx, req, current, func(ns *nodes) error {
		for _, n := range ns.all {
			held, err := n.raise(ctx, req, current.user)
			if err != nil {
				return err
			}
			fence = max(fence, held)
		}
		return nil
	})
	return fence, err
}
