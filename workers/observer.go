package workers

import (
	"context"
	"errors"

	"lockstep"
	"lockstep/bus"
)

// Observer hears of the work while it is done; metrics and traces are made of
// it. Its methods return at once, keep nothing they are given, and see no
// value.
type Observer interface {
	// JobBegins is told of a Job that was taken. What is done for it runs under
	// the returned context; the returned function is called at its end, with
	// the error that gave it back to the queue, or nil.
	JobBegins(ctx context.Context, job bus.JobMessage) (context.Context, func(error))
	// StepBegins is told of a Step, in the same way. The error is what the
	// target, or the store, made of it.
	StepBegins(ctx context.Context, s StepBegun) (context.Context, func(error))
	// RunEnded is told of a Run that this Pool brought to its end.
	RunEnded(ctx context.Context, run *lockstep.Run, rotator string)
	// LeaseLost is told of a Run that another worker has taken over.
	LeaseLost(ctx context.Context, rotator string)
}

// StepBegun is a Step that begins.
type StepBegun struct {
	Secret  string
	Run     lockstep.RunID
	Rotator string
	Step    lockstep.Step
	Attempt int
}

// Result is one word for what came of a Step: "ok", the outcome of the call to
// the target ("not-applied", "applied", "unknown"), or "error" for what failed
// on our side.
func Result(err error) string {
	var te *lockstep.TargetError
	switch {
	case err == nil:
		return "ok"
	case errors.As(err, &te):
		return te.Outcome.String()
	}
	return "error"
}

// unobserved is the Observer of a Pool without one.
type unobserved struct{}

func (unobserved) JobBegins(ctx context.Context, _ bus.JobMessage) (context.Context, func(error)) {
	return ctx, func(error) {}
}

func (unobserved) StepBegins(ctx context.Context, _ StepBegun) (context.Context, func(error)) {
	return ctx, func(error) {}
}

func (unobserved) RunEnded(context.Context, *lockstep.Run, string) {}

func (unobserved) LeaseLost(context.Context, string) {}

// observed does a Step under the eyes of the Observer.
func (c *carrier) observed(ctx context.Context, step lockstep.Step, do func(context.Context) error) error {
	c.failure = nil
	run := c.claim.Run
	ctx, end := c.pool.cfg.Observer.StepBegins(ctx, StepBegun{
		Secret: c.claim.Secret.Name, Run: run.ID, Rotator: c.rotatorName(), Step: step, Attempt: run.Attempts + 1,
	})
	err := do(ctx)
	switch {
	case c.failure != nil:
		end(c.failure)
	case errors.Is(err, errSettled), errors.Is(err, errAgain):
		end(nil)
	default:
		end(err)
	}
	return err
}

// rotatorName is the rotator's; empty if rotation was turned off meanwhile.
func (c *carrier) rotatorName() string {
	if c.claim.Secret.Rotation == nil {
		return ""
	}
	return c.claim.Secret.Rotation.Rotator
}

// tellEnd tells the Observer how a claim of a Run was left.
func (c *carrier) tellEnd(ctx context.Context, err error) {
	switch {
	case errors.Is(err, lockstep.ErrFenced), errors.Is(context.Cause(ctx), lockstep.ErrFenced):
		c.pool.cfg.Observer.LeaseLost(ctx, c.rotatorName())
	case errors.Is(err, errSettled) && c.claim.Run.State.Final():
		c.pool.cfg.Observer.RunEnded(ctx, c.claim.Run, c.rotatorName())
	}
}
