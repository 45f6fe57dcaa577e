// Package runs is the engine's memory: it starts Runs, hands them out under
// leases, and moves them from state to state, each move one transaction that
// asks lockstep.Transition first.
//
// The scheduler calls [Service.AdmitDue]; the APIs call [Service.Rotate] and
// its kin; workers call [Service.Claim] and then the methods of the [Claim]
// they got. A Claim's every write carries its lease: a worker that was
// overtaken is refused with ErrFenced and must stop. Nothing here touches a
// target or opens a value.
package runs

import (
	"context"
	"errors"
	"fmt"
	"time"

	"lockstep"
	"lockstep/keeper"
	"lockstep/ledger"
	"lockstep/store"
)

// Vault names the Accounts of a Secret's value; keeper.Keeper is one.
type Vault interface {
	TargetAccounts(ctx context.Context, id lockstep.SecretID, rotator string) (keeper.TargetAccounts, error)
	// SealCopy seals the value of a Version again, for another Version's place;
	// nil if there is no value.
	SealCopy(ctx context.Context, id lockstep.SecretID, of, as lockstep.VersionID) (*lockstep.Sealed, error)
}

// Rotators says what is known about rotators; rotators.Registry is one.
type Rotators interface {
	// Traits of a rotator. ErrUnknownRotator.
	Traits(rotator string) (lockstep.Traits, error)
}

// Config is what a Service needs.
type Config struct {
	Store    store.Store
	Vault    Vault
	Rotators Rotators
	// RecipeTraits reads the Traits of a registered recipe from its text; nil:
	// recipes cannot be named here.
	RecipeTraits func(recipe string) (lockstep.Traits, error)
	// MinInterval is the shortest interval of a schedule; zero means one
	// minute.
	MinInterval time.Duration
	// Lease is how long a claim lasts without a heartbeat; zero means 15
	// seconds. It also bounds how long a call to a target may take effect.
	Lease time.Duration
	// CallLife is how long after its intent a call that asks a target to issue a
	// value may still take effect; then the target is searched for orphans once
	// more. Zero means four leases.
	CallLife time.Duration
	// ManualAttempts is how often a Run that a person started is tried before
	// it fails: a person is there to see it. Zero means 4.
	ManualAttempts int
	// Observer hears of what was admitted; nil: nobody.
	Observer Observer
	// Limits is how many Runs may be under way at once; the zero value has safe
	// ones. All nodes of a store should have the same.
	Limits Limits
	// Now is the clock by which a slot is watched whose lease does not end (the
	// store's clock was stepped back); nil means time.Now. Nothing else is
	// measured by it. All nodes of a store have the same Lease.
	Now func() time.Time
}

// Observer hears of Runs that the schedule started.
type Observer interface {
	// Admitted is told how long after its time a Run was started. It returns
	// at once.
	Admitted(late time.Duration)
}

// Service starts and moves Runs. It is safe for concurrent use.
type Service struct {
	store          store.Store
	vault          Vault
	rotators       Rotators
	recipeTraits   func(recipe string) (lockstep.Traits, error)
	minInterval    time.Duration
	lease          time.Duration
	callLife       time.Duration
	manualAttempts int
	limits         Limits
	now            func() time.Time
	watch          watch
	observer       Observer
}

// New makes a Service.
func New(cfg Config) *Service {
	s := &Service{
		store: cfg.Store, vault: cfg.Vault, rotators: cfg.Rotators, recipeTraits: cfg.RecipeTraits,
		minInterval: cfg.MinInterval, lease: cfg.Lease, callLife: cfg.CallLife, manualAttempts: cfg.ManualAttempts,
		limits: cfg.Limits.withDefaults(), now: cfg.Now,
		observer: cfg.Observer,
	}
	if s.now == nil {
		s.now = time.Now
	}
	if s.minInterval <= 0 {
		s.minInterval = time.Minute
	}
	if s.lease <= 0 {
		s.lease = 15 * time.Second
	}
	if s.callLife <= 0 {
		s.callLife = 4 * s.lease
	}
	if s.manualAttempts <= 0 {
		s.manualAttempts = 4
	}
	return s
}

// LeaseLength is how long a claim lasts without a heartbeat.
func (s *Service) LeaseLength() time.Duration { return s.lease }

// open starts a Book for a locked Secret. A rotator that is not registered
// here counts as one with a target.
func (s *Service) open(tx store.Tx, secret *lockstep.Secret) (*ledger.Book, lockstep.Traits, error) {
	traits, err := s.traits(secret)
	if err != nil {
		return nil, traits, err
	}
	b, err := ledger.Open(tx, secret, traits)
	return b, traits, err
}

func (s *Service) traits(secret *lockstep.Secret) (lockstep.Traits, error) {
	if secret.Rotation == nil {
		return lockstep.Traits{}, nil
	}
	if secret.Rotation.Recipe {
		return secret.Rotation.Declared, nil
	}
	traits, err := s.rotators.Traits(secret.Rotation.Rotator)
	if errors.Is(err, lockstep.ErrUnknownRotator) {
		return lockstep.Traits{}, nil
	}
	return traits, err
}

// newRun is a Run about to be started.
type newRun struct {
	trigger  lockstep.Trigger
	version  lockstep.VersionID
	testOnly bool
	// sealed is the Version's value from the start: AWSCURRENT's, for a test.
	sealed *lockstep.Sealed
}

// start writes a Run with its Version staged AWSPENDING, empty but for a test's,
// and its Job, or lets it wait for a place.
func (g *gate) start(b *ledger.Book, in newRun) (*lockstep.Run, error) {
	tx := g.tx
	id, err := lockstep.NewID("run")
	if err != nil {
		return nil, err
	}
	run := &lockstep.Run{
		ID: lockstep.RunID(id), Secret: b.Secret.ID, Version: in.version, State: lockstep.RunQueued,
		Trigger: in.trigger, TestOnly: in.testOnly, Created: b.Now,
	}
	err = tx.InsertVersion(&lockstep.Version{Secret: b.Secret.ID, ID: in.version, Created: b.Now, Sealed: in.sealed})
	if err != nil {
		return nil, fmt.Errorf("insert pending version: %w", err)
	}
	b.Stages.Place(lockstep.Pending, in.version)
	if err := g.enter(b, run); err != nil {
		return nil, err
	}
	if err := tx.InsertRun(run); err != nil {
		return nil, fmt.Errorf("insert run: %w", err)
	}
	return run, nil
}
