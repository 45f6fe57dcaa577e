// Package workers carries Runs through their Steps. A [Pool] takes Jobs from
// the queue; for each it claims what the Job is about in the store, asks the
// Rotator, and writes down what came of it, Step by Step. It may be killed at
// any point: the next claim goes on from what was written.
//
// A Job is only a hint to look: everything that matters is read from the
// store under the claim. The Job is acknowledged last, after the store holds
// the result; if the acknowledgement is lost, the Job comes again and finds
// nothing to do.
//
// While a claim is held a heartbeat extends its lease and tells the queue that
// the Job is in progress. Both stop when a call to a target exceeds its
// deadline by far, so that a hung worker frees its slot.
package workers

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"lockstep"
	"lockstep/bus"
	"lockstep/keeper"
	"lockstep/rotators"
	"lockstep/runs"
	"lockstep/store"
)

// Queue hands out Jobs; bus.JobQueue is one.
type Queue interface {
	// Next waits for a Job. After an error other than the context's, back off
	// and call again.
	Next(ctx context.Context) (*bus.Delivery, error)
}

// Engine is what a worker writes down; runs.Service is one.
type Engine interface {
	Claim(ctx context.Context, id lockstep.RunID, holder string) (*runs.Claim, error)
	ClaimWith(ctx context.Context, id lockstep.RunID, holder string, p runs.Pending) (*runs.Claim, error)
	ClaimRetire(ctx context.Context, id lockstep.SecretID, v lockstep.VersionID, holder string) (*runs.Claim, error)
	ClaimVerify(ctx context.Context, id lockstep.SecretID, holder string) (*runs.Claim, error)
	ClaimSweep(ctx context.Context, id lockstep.SecretID, holder string) (*runs.Claim, error)
	AnswerPlan(ctx context.Context, id string, answer func(*store.Plan)) error
	Scene(ctx context.Context, inspection string, id lockstep.SecretID) (runs.Scene, error)
	AnswerLook(ctx context.Context, l store.Look) error
	LeaseLength() time.Duration
}

// Vault opens and seals values for the engine; keeper.Keeper is one.
type Vault interface {
	EngineValues(ctx context.Context, id lockstep.SecretID, pending lockstep.VersionID) (keeper.EngineValues, error)
	RetiredValues(ctx context.Context, id lockstep.SecretID, limit int) (map[lockstep.VersionID]lockstep.Value, error)
	IdleValues(ctx context.Context, id lockstep.SecretID, pending lockstep.VersionID) (map[lockstep.VersionID]lockstep.Value, error)
	SealPending(ctx context.Context, s *lockstep.Secret, id lockstep.VersionID, v lockstep.Value) (*lockstep.Sealed, lockstep.AccountKey, error)
	SealIssued(ctx context.Context, s *lockstep.Secret, id lockstep.VersionID, v lockstep.Value) (*lockstep.Sealed, lockstep.AccountKey, error)
	Publish(ctx context.Context, from *lockstep.Secret, at keeper.PublishedAt, fill func(lockstep.Value) (lockstep.Value, error)) (*keeper.Published, error)
}

// Rotators finds a Rotator by name; rotators.Registry is one.
type Rotators interface {
	Lookup(name string) (rotators.Rotator, error)
}

// Functions finds custom rotators; custom.Registrations is one.
type Functions interface {
	// Function is what an account has registered under a name.
	// ErrUnknownRotator; ErrInvalid if it cannot run here.
	Function(ctx context.Context, account lockstep.AccountID, name string) (rotators.Function, error)
}

// Recipes finds rotators that were registered as recipes; custom.Registrations is
// one.
type Recipes interface {
	// Recipe is what an account has registered under a name. ErrUnknownRotator;
	// ErrInvalid if it cannot be read here.
	Recipe(ctx context.Context, account lockstep.AccountID, name string) (rotators.Rotator, error)
}

// Callbacks makes the credentials with which functions call back.
type Callbacks interface {
	Open(ctx context.Context, s CallbackScope) (rotators.Callback, error)
}

// CallbackScope is what a function may touch.
type CallbackScope struct {
	Secret  *lockstep.Secret
	Session keeper.Session
	// Admin is the Secret that the value names as its masterarn, to be read;
	// empty: none.
	Admin lockstep.ARN
	// Lifetime is how long the call may take.
	Lifetime time.Duration
}

// Config is what a Pool needs.
type Config struct {
	Queue    Queue
	Engine   Engine
	Vault    Vault
	Rotators Rotators
	// Recipes are those that were registered; nil: there are none.
	Recipes Recipes
	// Functions and Callbacks are for custom rotators; nil: there are none.
	Functions Functions
	Callbacks Callbacks
	// Workers is how many Jobs are carried at once; zero means 16.
	Workers int
	// CallTimeout bounds one call to a target; zero means two thirds of the
	// lease.
	CallTimeout time.Duration
	// AckWait is the queue's: a third of it is the pace of the signs of life.
	// Zero means 15 seconds.
	AckWait time.Duration
	// Observer hears of the work; nil: nobody.
	Observer Observer
	// Audit records the Steps; nil: nobody does.
	Audit  Recorder
	Logger *slog.Logger
}

// Pool is a set of workers in this process. Start it once; Stop waits for the
// Jobs in hand.
type Pool struct {
	cfg    Config
	name   string
	log    *slog.Logger
	cancel context.CancelFunc
	wg     sync.WaitGroup
}

// New makes a Pool.
func New(cfg Config) (*Pool, error) {
	if cfg.Workers <= 0 {
		cfg.Workers = 16
	}
	if cfg.CallTimeout <= 0 {
		cfg.CallTimeout = cfg.Engine.LeaseLength() * 2 / 3
	}
	if cfg.AckWait <= 0 {
		cfg.AckWait = 15 * time.Second
	}
	if cfg.Observer == nil {
		cfg.Observer = unobserved{}
	}
	if cfg.Audit == nil {
		cfg.Audit = nobody{}
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	host, err := os.Hostname()
	if err != nil {
		return nil, fmt.Errorf("name the workers: %w", err)
	}
	id, err := lockstep.NewID(fmt.Sprintf("%s-%d", host, os.Getpid()))
	if err != nil {
		return nil, err
	}
	return &Pool{cfg: cfg, name: id, log: cfg.Logger}, nil
}

// rotatorOf finds the Rotator of a Secret that has a Rotation, and no function. A
// recipe is read anew each time: it may have been registered on another node a
// moment ago.
func (p *Pool) rotatorOf(ctx context.Context, s *lockstep.Secret) (rotators.Rotator, error) {
	if !s.Rotation.Recipe {
		return p.cfg.Rotators.Lookup(s.Rotation.Rotator)
	}
	if p.cfg.Recipes == nil {
		return nil, fmt.Errorf("%w %q: this worker reads no recipes", lockstep.ErrUnknownRotator, s.Rotation.Rotator)
	}
	return p.cfg.Recipes.Recipe(ctx, s.Account, s.Rotation.Rotator)
}

// Start begins to take Jobs. Cancelling ctx ends the Jobs in hand at once, but for
// one that has a value of which the target alone knows: it stores it first. Stop
// lets them finish.
func (p *Pool) Start(ctx context.Context) {
	taking, cancel := context.WithCancel(ctx)
	p.cancel = cancel
	for i := range p.cfg.Workers {
		p.wg.Go(func() { p.loop(ctx, taking, fmt.Sprintf("%s/%d", p.name, i)) })
	}
}

// Stop takes no further Jobs and waits until those in hand are settled. It may
// be called more than once.
func (p *Pool) Stop() {
	if p.cancel == nil {
		return
	}
	p.cancel()
	p.wg.Wait()
}

// loop is one worker. Taking ends when the Pool is to stop; ctx only when the
// process is to end at once.
func (p *Pool) loop(ctx, taking context.Context, holder string) {
	for taking.Err() == nil {
		d, err := p.cfg.Queue.Next(taking)
		if err != nil {
			pause(taking, 200*time.Millisecond)
			continue
		}
		p.handle(ctx, d, holder)
	}
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

// handle carries one Job and settles it.
func (p *Pool) handle(ctx context.Context, d *bus.Delivery, holder string) {
	job, err := bus.DecodeJob(d.Body())
	if err == nil {
		err = job.CheckSubject(d.Subject())
	}
	if err != nil {
		p.log.ErrorContext(ctx, "job set aside", "subject", d.Subject(), "error", err)
		p.settled(ctx, d.Dead(ctx, err.Error()))
		return
	}
	alive := p.signsOfLife(ctx, d)
	seen, end := p.cfg.Observer.JobBegins(ctx, job)
	err = p.work(seen, job, holder)
	alive()
	end(err)
	p.settle(ctx, d, job, err)
}

func (p *Pool) work(ctx context.Context, job bus.JobMessage, holder string) error {
	if err := p.cfg.Audit.Ready(); err != nil {
		return err
	}
	switch store.JobKind(job.Kind) {
	case store.JobRun:
		return p.run(ctx, job, holder)
	case store.JobRetire:
		return p.retire(ctx, job.SecretID, job.Version, holder)
	case store.JobVerify:
		return p.verify(ctx, job.SecretID, holder, job.Seq)
	case store.JobLook:
		return p.look(ctx, job)
	case store.JobSweep:
		return p.sweep(ctx, job.SecretID, holder)
	case store.JobSessions:
		return p.sessions(ctx, job.SecretID, job.Plan)
	default:
		return p.plan(ctx, job.SecretID, job.Plan)
	}
}

// settle acknowledges a Job whose result is in the store, and gives back one
// that has to be looked at again.
func (p *Pool) settle(ctx context.Context, d *bus.Delivery, job bus.JobMessage, err error) {
	var busy *runs.Busy
	var waiting *runs.Waiting
	switch {
	case err == nil, errors.Is(err, runs.ErrEnded), errors.As(err, &waiting):
		p.settled(ctx, d.Ack(ctx))
	case errors.As(err, &busy):
		p.settled(ctx, d.Nak(busy.Until))
	default:
		p.log.WarnContext(ctx, "job interrupted", "kind", job.Kind, "secret", job.Name, "run", job.Run, "error", err)
		p.settled(ctx, d.Nak(time.Second))
	}
}

// settled logs a failed acknowledgement: the Job comes again and finds its
// work done.
func (p *Pool) settled(ctx context.Context, err error) {
	if err != nil && ctx.Err() == nil {
		p.log.WarnContext(ctx, "job not settled, it will come again", "error", err)
	}
}

// signsOfLife tells the queue that the Job is in progress until the returned
// function is called.
func (p *Pool) signsOfLife(ctx context.Context, d *bus.Delivery) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() {
		tick := time.NewTicker(p.cfg.AckWait / 3)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				if err := d.InProgress(); err != nil {
					return
				}
			}
		}
	})
	return func() { cancel(); wg.Wait() }
}
