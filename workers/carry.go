package workers

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"lockstep"
	"lockstep/bus"
	"lockstep/keeper"
	"lockstep/rotators"
	"lockstep/runs"
)

// errSettled ends the carrying of a Run: all that is to be done now is in the
// store.
var errSettled = errors.New("settled")

// errAgain means that the Run is in another state now: look at it anew.
var errAgain = errors.New("look again")

// carrier carries one claim.
type carrier struct {
	pool    *Pool
	claim   *runs.Claim
	rotator rotators.Rotator
	// function is set instead of rotator where the rotator is a custom one.
	function rotators.Function
	values   keeper.EngineValues
	// fresh is the state for which values are good as they are: those that the
	// write into that state was checked against. Empty: for none.
	fresh lockstep.RunState
	// marker names what this claim has the target issue; empty until it intends.
	marker lockstep.Marker
	// refused counts the values that the target refused in this claim.
	refused int
	// failure is what the present Step failed by.
	failure error
	// callEnds is when the present call to the target must be over, in unix
	// nanoseconds; the heartbeat stops some time after it.
	callEnds atomic.Int64
	// recorded waits for the last record of this claim; unrecorded is why one
	// could not be made.
	recorded   func(context.Context) error
	unrecorded error
	log        *slog.Logger
}

// run carries a Run as far as it goes now.
func (p *Pool) run(ctx context.Context, job bus.JobMessage, holder string) (err error) {
	c, err := p.take(ctx, job, holder)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(c.settleRecords(ctx), err) }()
	live, stop := c.heartbeat(ctx)
	defer stop()
	for {
		err := c.advance(live)
		if errors.Is(err, lockstep.ErrConflict) {
			err = c.overtaken(live)
		}
		c.tellEnd(live, err)
		var waiting *runs.Waiting
		switch {
		case err == nil, errors.Is(err, errAgain):
		case errors.Is(err, errSettled):
			return nil
		case errors.Is(err, runs.ErrEnded), errors.As(err, &waiting):
			return err
		default:
			c.letGo(ctx)
			return fmt.Errorf("carry run %s: %w", job.Run, err)
		}
	}
}

// letGoTime bounds the release of a slot by a worker that gives up.
const letGoTime = 2 * time.Second

// letGo frees the slot of a claim that cannot go on, as far as that is safe,
// so that the next one need not wait for the lease to run out.
func (c *carrier) letGo(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), letGoTime)
	defer cancel()
	if err := c.claim.Release(ctx); err != nil {
		c.log.WarnContext(ctx, "slot not released, its lease runs out", "error", err)
	}
}

func (p *Pool) carrier(claim *runs.Claim) *carrier {
	c := &carrier{pool: p, claim: claim, log: p.log.With("secret", claim.Secret.Name)}
	if claim.Run != nil {
		c.log = c.log.With("run", claim.Run.ID)
	}
	c.callEnds.Store(time.Now().Add(p.cfg.CallTimeout).UnixNano())
	return c
}

// heartbeat extends the lease at a third of its length, until stop is called,
// the lease is lost (then the returned context is cancelled), or a call to the
// target is long overdue.
func (c *carrier) heartbeat(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	var wg sync.WaitGroup
	wg.Go(func() {
		tick := time.NewTicker(c.pool.cfg.Engine.LeaseLength() / 3)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case now := <-tick.C:
				if now.UnixNano() > c.callEnds.Load()+int64(c.pool.cfg.CallTimeout) {
					return // the lease runs out, and another takes over
				}
				if err := c.claim.Extend(ctx); errors.Is(err, lockstep.ErrFenced) {
					cancel(err)
					return
				}
			}
		}
	})
	return ctx, func() { cancel(nil); wg.Wait() }
}

// advance does the next thing that the Run's state asks for.
func (c *carrier) advance(ctx context.Context) error {
	run := c.claim.Run
	if run.State != lockstep.RunUndo && run.Stop != lockstep.StopNone && !c.forwardOnly() {
		return c.decided(c.claim.Stop(ctx, run.Stop, run.StopReason))
	}
	if run.State == lockstep.RunUndo && !run.Doubt {
		return c.undone(ctx, "") // every call is proven not to have been applied
	}
	if err := c.prepareFor(ctx, run.State); err != nil {
		return err
	}
	if c.function != nil {
		return c.carryFunction(ctx)
	}
	switch run.State { // prepare wrote nothing, or returned an error
	case lockstep.RunQueued, lockstep.RunCreated:
		if run.TestOnly {
			return c.observed(ctx, lockstep.StepTest, c.testOnly)
		}
		return c.observed(ctx, lockstep.StepCreate, either(c.issues(), c.intend, c.create))
	case lockstep.RunSetting:
		return c.observed(ctx, lockstep.StepSet, either(c.issues(), c.issue, c.set))
	case lockstep.RunSet:
		if err := c.observed(ctx, lockstep.StepTest, c.test); err != nil {
			return err
		}
		return c.observed(ctx, lockstep.StepFinish, c.finish)
	case lockstep.RunTested:
		return c.observed(ctx, lockstep.StepFinish, c.finish)
	case lockstep.RunUndo:
		return c.observed(ctx, lockstep.StepUndo, either(c.issues(), c.undoIssued, c.undo))
	}
	return errSettled
}

// overtaken is what follows when a guard did not hold: the Run was asked to
// stop, or AWSCURRENT was moved by hand.
func (c *carrier) overtaken(ctx context.Context) error {
	return c.decided(c.claim.Stop(ctx, lockstep.StopSuperseded, "AWSCURRENT was moved by hand while the run was under way"))
}

// decided looks at the Run anew, or settles, as the engine decided. It never
// returns nil: what was under way is over.
func (c *carrier) decided(d runs.Decision, err error) error {
	if err != nil {
		return err
	}
	if d == runs.Undo {
		return errAgain
	}
	return errSettled
}

// prepareFor is prepare, unless the values that led into this state are at hand:
// set tells what was just stored, and test logs in with what set has just told.
// Nothing has written the pending value since, the write into the state saw
// AWSCURRENT where it was, and finish sees whether it moved afterwards.
func (c *carrier) prepareFor(ctx context.Context, state lockstep.RunState) error {
	fresh := c.fresh
	c.fresh = ""
	if fresh == state && c.claim.Secret.Rotation != nil {
		return nil
	}
	return c.prepare(ctx)
}

// prepare finds the rotator and opens the values, anew for each advance, since
// hands may move labels at any time. An error means that the advance is over.
func (c *carrier) prepare(ctx context.Context) error {
	rotation := c.claim.Secret.Rotation
	if rotation == nil {
		return c.fail(ctx, permanent(fmt.Errorf("secret has no rotation: %w", lockstep.ErrState), "turn rotation on"))
	}
	var err error
	if rotation.Custom {
		if err := c.findFunction(ctx, rotation.Rotator); err != nil {
			return err
		}
	} else if c.rotator, err = c.pool.rotatorOf(ctx, c.claim.Secret); err != nil {
		return c.fail(ctx, permanent(err, "name one of these in RotationLambdaARN"))
	}
	pending := c.claim.Version
	if c.claim.Run != nil {
		pending = c.claim.Run.Version
	}
	c.values, err = c.pool.cfg.Vault.EngineValues(ctx, c.claim.Secret.ID, pending)
	if err != nil {
		return c.unopened(ctx, fmt.Errorf("open values: %w", err))
	}
	if c.values.NoAdmin != nil && c.claim.Run != nil && c.claim.Run.State != lockstep.RunUndo {
		return c.unopened(ctx, fmt.Errorf("open values: %w", c.values.NoAdmin))
	}
	return nil
}

// unopened is what follows when values cannot be opened or sealed. What a retry
// or a person can mend is a failure of the Step, told and counted; if only the
// store is away, nothing can be written down anyhow.
func (c *carrier) unopened(ctx context.Context, err error) error {
	if te := keyFault(err); te != nil {
		return c.fail(ctx, te)
	}
	return err
}

// keyFault reads an error of the vault; nil if it is the store's.
func keyFault(err error) *lockstep.TargetError {
	switch {
	case errors.Is(err, lockstep.ErrSealed):
		return &lockstep.TargetError{Outcome: lockstep.NotApplied, Hint: "bring the root key back", Err: err}
	case errors.Is(err, lockstep.ErrNotFound):
		return permanent(err, "create what is missing, or correct masterarn in the value")
	case errors.Is(err, lockstep.ErrState), errors.Is(err, lockstep.ErrDecrypt), errors.Is(err, lockstep.ErrInvalid):
		return permanent(err, "see that the secret's key is enabled and the store undamaged")
	}
	return nil
}

// permanent is a fault that a person must mend, found before any call.
func permanent(err error, hint string) *lockstep.TargetError {
	return &lockstep.TargetError{Outcome: lockstep.NotApplied, Fault: lockstep.FaultPermanent, Hint: hint, Err: err}
}

// fail writes down that the open Step failed. It never returns nil.
func (c *carrier) fail(ctx context.Context, te *lockstep.TargetError) error {
	te = c.excused(ctx, te)
	c.failure = te
	c.log.WarnContext(ctx, "step failed", "state", c.claim.Run.State, "outcome", te.Outcome.String(), "error", te.Error(), "hint", te.Hint)
	step := stepOf(c.claim.Run)
	if step == lockstep.StepUndo {
		if err := c.claim.UndoFailed(ctx, te); err != nil {
			return err
		}
		c.record(step, te)
		return errSettled
	}
	decision, err := c.claim.Failed(ctx, te)
	if err == nil {
		c.record(step, te)
	}
	return c.decided(decision, err)
}

// excused takes a permanent failure for a passing one if the admin's credential
// was changed, or is being changed, since it was opened: the next try opens it
// anew.
func (c *carrier) excused(ctx context.Context, te *lockstep.TargetError) *lockstep.TargetError {
	if te.Fault != lockstep.FaultPermanent || c.values.AdminID == 0 {
		return te
	}
	busy, err := c.claim.AdminBusy(ctx, c.values.AdminID)
	if err != nil {
		return te
	}
	if !busy {
		now, err := c.pool.cfg.Vault.EngineValues(ctx, c.claim.Secret.ID, c.version())
		if err != nil || now.Admin.Equal(c.values.Admin) {
			return te
		}
	}
	passing := *te
	passing.Fault, passing.Hint = lockstep.FaultTransient, "the admin's credential is being rotated"
	return &passing
}

// request is what the rotator is asked about now.
func (c *carrier) request() *rotators.Request {
	v := c.values
	return &rotators.Request{
		ARN: v.Secret.ARN, Name: v.Secret.Name, Version: c.version(),
		Pending: v.Pending, Current: v.Current, Live: v.Live, Admin: v.Admin,
		Since: v.Secret.LastRotated, Passwords: passwordsOf(v.Secret),
		Guard: rotators.Guard{Fence: c.claim.Lease().Fence, NotAfter: c.claim.NotAfter},
	}
}

// passwordsOf is a Secret's own policy for new values.
func passwordsOf(s *lockstep.Secret) lockstep.PasswordPolicy {
	if s.Rotation == nil {
		return lockstep.PasswordPolicy{}
	}
	return s.Rotation.Passwords
}

func (c *carrier) version() lockstep.VersionID {
	if c.claim.Run != nil {
		return c.claim.Run.Version
	}
	return c.claim.Version
}

// call bounds one call to the target.
func (c *carrier) call(ctx context.Context, fn func(ctx context.Context) error) error {
	return c.callFor(ctx, c.pool.cfg.CallTimeout, fn)
}

// callFor bounds one call that may take another time.
func (c *carrier) callFor(ctx context.Context, limit time.Duration, fn func(ctx context.Context) error) error {
	c.callEnds.Store(time.Now().Add(limit).UnixNano())
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	return fn(ctx)
}
