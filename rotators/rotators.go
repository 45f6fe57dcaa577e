// Package rotators is the seam between the engine and the kinds of target: the
// [Rotator] interface, the further abilities as further small interfaces, and
// the [Registry] that cmd fills. Each kind of target is one folder below.
//
// What comes in is a [Request]: the values of a Secret that matter (pending,
// AWSCURRENT, the others that the target may accept, the admin's) and a
// [Guard] that keeps a late call from undoing newer work. What goes out is nil
// or a lockstep.TargetError that says what the call did at the target
// (Outcome) and what kind of trouble it met (Fault), in the target's own words
// and never with a value.
//
// A Rotator holds no state of a Run: the engine writes everything down before
// and after each call. Every method may be called again, by another process,
// for the same Request, and must come to the same result.
package rotators

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"lockstep"
)

// Rotator knows one kind of target. All methods may be called concurrently for
// different Secrets, and each must honour its context's deadline. Its Traits say
// which further interface it is, for [Registry.Register] to see to: a [Chooser],
// or an [Issuer].
type Rotator interface {
	// Traits says which rules the engine follows. They never change.
	Traits() lockstep.Traits
	// Test logs in with v as an application would and runs the declared
	// permission probes. nil: accepted. FaultRefusedLogin: the target refused
	// the login. FaultPermanent: the login works but a probe fails for good.
	// Any other fault: no verdict.
	Test(ctx context.Context, r *Request, v lockstep.Value) error
}

// Chooser is a Rotator that makes the value itself and tells the target
// (lockstep.Chosen), or that has no target (lockstep.ValueOnly).
type Chooser interface {
	Rotator
	// Create makes the pending value from AWSCURRENT, without touching the
	// target. For two accounts it names the account that AWSCURRENT does not.
	// Errors are permanent: the value lacks a field, is no JSON, ….
	Create(ctx context.Context, r *Request) (lockstep.Value, error)
	// Set makes the target accept r.Pending. It logs in as the pending value
	// (then it is done), else as AWSCURRENT, else with one of r.Live, else
	// with r.Admin, as its kind allows. Applied is returned as nil. Where an
	// account may have two values (TwoValues), it accepts AWSCURRENT and
	// r.Pending afterwards and none of r.Live; but if r.Pending is AWSCURRENT
	// itself, which undo and verify bring back, nothing is taken away.
	Set(ctx context.Context, r *Request) error
}

// Request is what a Rotator is asked about.
type Request struct {
	ARN     lockstep.ARN
	Name    string
	Version lockstep.VersionID
	// Pending is the value to be set; zero in Create, Issue, Retire and Plan.
	Pending lockstep.Value
	// Current is AWSCURRENT as it is now.
	Current lockstep.Value
	// Live is the rest of what the target may accept, AWSPREVIOUS first.
	Live []lockstep.Value
	// Admin is AWSCURRENT of the secret that Current names as its "masterarn";
	// zero if it names none.
	Admin lockstep.Value
	// Since is when AWSCURRENT was finished, by the store's clock; zero if it
	// never was. Witness and SessionKiller tell sessions apart by it.
	Since time.Time
	// Passwords is the Secret's own policy for new values, which Create lays
	// over the rotator's (password.Policy.With).
	Passwords lockstep.PasswordPolicy
	// Marker names what Issue is about to issue; empty in every other call.
	Marker lockstep.Marker
	Guard  Guard
}

// Guard keeps a call that was held up on its way from landing after newer work
// (ROTATION-PROTOCOL.md section 4).
type Guard struct {
	// Fence is the number of the present claim. A target that can keep a
	// marker refuses a call with a lower one, and a marker of another Secret.
	Fence uint64
	// NotAfter is called with the target's clock, read right before the change
	// is sent. It extends the lease in the store and returns the latest time,
	// by the target's clock, at which the change may still take effect. An
	// error (the lease is lost) means: send nothing.
	NotAfter func(ctx context.Context, targetNow time.Time) (time.Time, error)
}

// Account is a principal at a target. Its keyed hash tells Accounts apart.
type Account struct {
	Engine string
	Host   string
	Port   int
	User   string
}

// Identifier tells which Accounts a value is about, without touching the
// target. A Rotator of chosen values implements it.
type Identifier interface {
	// Account is the principal that v logs in as. Errors: ErrInvalid, naming
	// the field that is missing.
	Account(v lockstep.Value) (Account, error)
	// Accounts lists every principal that a Secret with this AWSCURRENT owns:
	// one, or both of an alternating pair.
	Accounts(v lockstep.Value) ([]Account, error)
}

// Fencer can raise the marker at its target, so that no call of an older claim
// lands afterwards. Raise returns the fence that the target now holds: the
// Guard's, or a higher one found there (the store was restored). A target
// without means for this login returns FaultPermanent with NotApplied; the
// engine then trusts NOT-AFTER alone.
type Fencer interface {
	Raise(ctx context.Context, r *Request) (fence uint64, err error)
}

// ErrCurrents is in the chain of what Retire returns if old and AWSCURRENT log
// in with the same credential: there is nothing to remove.
var ErrCurrents = errors.New("the credential is AWSCURRENT's")

// Retirer removes an old credential at the target: so that old no longer logs
// in, and Current still does. Done already is success. Sessions are the business
// of a SessionKiller.
type Retirer interface {
	Retire(ctx context.Context, r *Request, old lockstep.Value) error
}

// Planner says what a Run would do and which right is missing, without
// changing anything.
type Planner interface {
	Plan(ctx context.Context, r *Request) (Plan, error)
}

// Registry finds a Rotator by its name. The zero Registry is empty and ready.
type Registry struct {
	mu     sync.RWMutex
	byName map[string]Rotator
}

// Register adds a Rotator. Errors: ErrExists if the name is taken, ErrInvalid
// if it is empty, or if the Rotator lacks an ability that its Traits ask for: a
// chosen value or none at a target needs a [Chooser]; an issued one an [Issuer],
// and, where several are valid, either a [Retirer] that is an [OrphanFinder] too,
// or an [Expirer].
func (g *Registry) Register(name string, r Rotator) error {
	if name == "" {
		return fmt.Errorf("register rotator: empty name: %w", lockstep.ErrInvalid)
	}
	if lack := lacks(r); lack != "" {
		return fmt.Errorf("register rotator %q: its traits ask for %s: %w", name, lack, lockstep.ErrInvalid)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if _, taken := g.byName[name]; taken {
		return fmt.Errorf("register rotator %q: %w", name, lockstep.ErrExists)
	}
	if g.byName == nil {
		g.byName = make(map[string]Rotator)
	}
	g.byName[name] = r
	return nil
}

// Lookup finds a Rotator. Errors: ErrUnknownRotator, listing those there are.
func (g *Registry) Lookup(name string) (Rotator, error) {
	g.mu.RLock()
	defer g.mu.RUnlock()
	if r, ok := g.byName[name]; ok {
		return r, nil
	}
	return nil, fmt.Errorf("%w %q: there are %v", lockstep.ErrUnknownRotator, name, g.namesLocked())
}

// Names lists the registered names in order.
func (g *Registry) Names() []string {
	g.mu.RLock()
	defer g.mu.RUnlock()
	return g.namesLocked()
}

func (g *Registry) namesLocked() []string {
	names := make([]string, 0, len(g.byName))
	for n := range g.byName {
		names = append(names, n)
	}
	slices.Sort(names)
	return names
}
