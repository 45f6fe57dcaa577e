package workers

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"lockstep"
	"lockstep/keeper"
	"lockstep/rotators"
)

// findFunction finds a custom rotator. An error means that the advance is over.
func (c *carrier) findFunction(ctx context.Context, name string) error {
	if c.pool.cfg.Functions == nil || c.pool.cfg.Callbacks == nil {
		return c.fail(ctx, permanent(fmt.Errorf("%w %q: this worker carries no custom rotators", lockstep.ErrUnknownRotator, name), ""))
	}
	f, err := c.pool.cfg.Functions.Function(ctx, c.claim.Secret.Account, name)
	switch {
	case err == nil:
		c.function = f
		return nil
	case errors.Is(err, lockstep.ErrUnknownRotator):
		return c.fail(ctx, permanent(err, "register it again, or name another in RotationLambdaARN"))
	case errors.Is(err, lockstep.ErrInvalid):
		return c.fail(ctx, permanent(err, ""))
	}
	return c.unopened(ctx, err)
}

// carryFunction does the next thing for a Run whose rotator is a function. It
// differs from a native one in who writes: the value and the move of AWSCURRENT
// come through the API, from a session that carries this claim's fence. A
// function can only be called again, never asked what the target accepts; so
// there is neither probe nor undo.
func (c *carrier) carryFunction(ctx context.Context) error {
	run := c.claim.Run
	switch run.State {
	case lockstep.RunQueued, lockstep.RunCreated:
		if run.TestOnly {
			return c.observed(ctx, lockstep.StepTest, c.functionTestOnly)
		}
		return c.observed(ctx, lockstep.StepCreate, c.functionCreate)
	case lockstep.RunSetting:
		return c.observed(ctx, lockstep.StepSet, c.functionSet)
	case lockstep.RunSet:
		return c.observed(ctx, lockstep.StepTest, c.functionTest)
	case lockstep.RunTested:
		return c.observed(ctx, lockstep.StepFinish, c.functionFinish)
	case lockstep.RunUndo:
		return c.observed(ctx, lockstep.StepUndo, c.functionUndo)
	}
	return errSettled
}

// functionCreate has the function put a value, and writes down that set begins.
func (c *carrier) functionCreate(ctx context.Context) error {
	if c.values.Current.IsZero() {
		return c.fail(ctx, permanent(fmt.Errorf("secret has no AWSCURRENT value: %w", lockstep.ErrState), "put the present credential first"))
	}
	if te := c.invoke(ctx, rotators.FunctionCreate); te != nil {
		return c.fail(ctx, te)
	}
	made, err := c.pool.cfg.Vault.EngineValues(ctx, c.claim.Secret.ID, c.version())
	if err != nil {
		return c.unopened(ctx, fmt.Errorf("open values: %w", err))
	}
	if made.Pending.IsZero() {
		return c.fail(ctx, permanent(fmt.Errorf("createSecret answered, but version %s has no value", c.version()),
			"createSecret must call PutSecretValue with the event's ClientRequestToken and VersionStages [AWSPENDING]"))
	}
	if err := c.claim.Deposited(ctx, c.values.CurrentID, c.values.AdminID); err != nil {
		return err
	}
	c.record(lockstep.StepCreate, nil)
	return nil
}

func (c *carrier) functionSet(ctx context.Context) error {
	if c.claim.Resumed {
		if err := c.claim.SetAgain(ctx); err != nil {
			return err
		}
	}
	if te := c.invoke(ctx, rotators.FunctionSet); te != nil {
		return c.fail(ctx, te)
	}
	if err := c.claim.Applied(ctx); err != nil {
		return err
	}
	c.claim.Resumed = false // the function has answered under this claim
	c.record(lockstep.StepSet, nil)
	return nil
}

func (c *carrier) functionTest(ctx context.Context) error {
	if err := c.beginAgain(ctx, lockstep.StepTest); err != nil {
		return err
	}
	if te := c.invoke(ctx, rotators.FunctionTest); te != nil {
		te.Outcome = lockstep.NotApplied // a test changes nothing
		return c.fail(ctx, te)
	}
	if err := c.claim.Tested(ctx); err != nil {
		return err
	}
	c.record(lockstep.StepTest, nil)
	return nil
}

// beginAgain writes down that a Step begins which an earlier claim had reached.
func (c *carrier) beginAgain(ctx context.Context, step lockstep.Step) error {
	if !c.claim.Resumed {
		return nil
	}
	c.claim.Resumed = false
	return c.claim.Begin(ctx, step)
}

// functionFinish has the function move AWSCURRENT. Where it has not when it
// answers, the engine does.
func (c *carrier) functionFinish(ctx context.Context) error {
	if err := c.beginAgain(ctx, lockstep.StepFinish); err != nil {
		return err
	}
	te := c.invoke(ctx, rotators.FunctionFinish)
	over, err := c.claim.Over(ctx)
	switch {
	case err != nil:
		return err
	case over:
		c.record(lockstep.StepFinish, nil)
		c.log.InfoContext(ctx, "rotated", "version", c.claim.Run.Version, "by", "function")
		return errSettled
	case te == nil:
		return c.finish(ctx)
	}
	c.failure = te
	c.log.WarnContext(ctx, "step failed", "state", c.claim.Run.State, "outcome", te.Outcome.String(), "error", te.Error(), "hint", te.Hint)
	decision, err := c.claim.FinishFailed(ctx, te)
	if err == nil {
		c.record(lockstep.StepFinish, te)
	}
	return c.decided(decision, err)
}

// functionUndo ends a Run that set may have been called for.
func (c *carrier) functionUndo(ctx context.Context) error {
	if err := c.claim.NoUndo(ctx); err != nil {
		return err
	}
	c.record(lockstep.StepUndo, &lockstep.TargetError{Outcome: lockstep.Unknown, Fault: lockstep.FaultPermanent})
	c.log.WarnContext(ctx, "run ended without knowing what the target accepts", "reason", c.claim.Run.Reason)
	return errSettled
}

// functionTestOnly has the function test AWSCURRENT's value, which the Run's
// Version has for that purpose.
func (c *carrier) functionTestOnly(ctx context.Context) error {
	if err := c.claim.Begin(ctx, lockstep.StepTest); err != nil {
		return err
	}
	if te := c.invoke(ctx, rotators.FunctionTest); te != nil {
		te.Outcome = lockstep.NotApplied
		return c.fail(ctx, te)
	}
	if err := c.claim.TestDone(ctx); err != nil {
		return err
	}
	c.record(lockstep.StepTest, nil)
	return errSettled
}

// invoke calls the function, in a trial as that asks for.
func (c *carrier) invoke(ctx context.Context, step rotators.FunctionStep) *lockstep.TargetError {
	switch c.claim.Run.Trigger {
	case lockstep.TriggerTwice:
		return c.invokeTwice(ctx, step)
	case lockstep.TriggerCut:
		return c.invokeCut(ctx, step)
	}
	return c.invokeOnce(ctx, step)
}

// invokeTwice calls a step again that has just succeeded. After finishSecret has
// moved AWSCURRENT the run is over, and nobody asks any more.
func (c *carrier) invokeTwice(ctx context.Context, step rotators.FunctionStep) *lockstep.TargetError {
	if te := c.invokeOnce(ctx, step); te != nil {
		return te
	}
	te := c.invokeOnce(ctx, step)
	if te != nil {
		te.Err = fmt.Errorf("called once more after it had succeeded: %w", te.Err)
		te.Fault = lockstep.FaultPermanent
	}
	return te
}

// cutAfter is when the first call of a step is cut off in a trial.
const cutAfter = 150 * time.Millisecond

// invokeCut loses the answer of the first call of each step: the run's failures
// count the steps. What follows is what follows any lost answer.
func (c *carrier) invokeCut(ctx context.Context, step rotators.FunctionStep) *lockstep.TargetError {
	order := []rotators.FunctionStep{rotators.FunctionCreate, rotators.FunctionSet, rotators.FunctionTest, rotators.FunctionFinish}
	if c.claim.Run.Attempts != slices.Index(order, step) {
		return c.invokeOnce(ctx, step)
	}
	ctx, cancel := context.WithTimeout(ctx, cutAfter)
	defer cancel()
	te := c.invokeOnce(ctx, step)
	if te != nil && te.Outcome == lockstep.NotApplied {
		return te // it was not reached at all
	}
	return &lockstep.TargetError{Err: fmt.Errorf("step %s: its answer was lost on purpose, in a trial", step)}
}

// invokeOnce calls the function with credentials of its own. What it returns is fit
// to be shown: no error of a function gets past here as it was.
func (c *carrier) invokeOnce(ctx context.Context, step rotators.FunctionStep) *lockstep.TargetError {
	secret, run, limit := c.claim.Secret, c.claim.Run, c.function.Timeout()
	fence := c.claim.Lease().Fence
	var callback rotators.Callback
	err := c.callFor(ctx, limit, func(ctx context.Context) (err error) {
		callback, err = c.pool.cfg.Callbacks.Open(ctx, CallbackScope{
			Secret: secret, Admin: c.values.AdminARN, Lifetime: limit,
			Session: keeper.Session{Secret: secret.ID, Version: run.Version, Run: run.ID, Fence: fence},
		})
		if err != nil {
			return &lockstep.TargetError{Outcome: lockstep.NotApplied, Err: fmt.Errorf("make credentials for the function: %w", err)}
		}
		return c.function.Invoke(ctx, rotators.Call{
			ID:       fmt.Sprintf("%s-%s-%d", run.ID, step, fence),
			Event:    rotators.FunctionEvent{Step: step, SecretID: secret.ARN, Token: run.Version},
			Callback: callback,
		})
	})
	if err == nil {
		return nil
	}
	te := *lockstep.AsTargetError(err)
	te.Err = fmt.Errorf("rotator %s, step %s: %s", secret.Rotation.Rotator, step, c.redacted(ctx, te.Error(), callback))
	te.Hint = c.redacted(ctx, te.Hint, callback)
	return &te
}

// redacted cuts every value out of a text that this worker can know of: also
// one that the function put a moment ago.
func (c *carrier) redacted(ctx context.Context, text string, callback rotators.Callback) string {
	if text == "" {
		return ""
	}
	known := []lockstep.Value{callback.SecretAccessKey, callback.SessionToken}
	sets := []keeper.EngineValues{c.values}
	if now, err := c.pool.cfg.Vault.EngineValues(context.WithoutCancel(ctx), c.claim.Secret.ID, c.version()); err == nil {
		sets = append(sets, now)
	}
	for _, v := range sets {
		known = append(append(known, v.Pending, v.Current, v.Admin), v.Live...)
	}
	return rotators.Redact(text, known...)
}

// planFunction says how a custom rotator would be called, with which rights, and
// whether it can be reached. What it would do at the target nobody but itself
// knows.
func (p *Pool) planFunction(ctx context.Context, values keeper.EngineValues) (rotators.Plan, error) {
	name := values.Secret.Rotation.Rotator
	if p.cfg.Functions == nil || p.cfg.Callbacks == nil {
		return rotators.Plan{}, fmt.Errorf("%w %q: this worker carries no custom rotators", lockstep.ErrUnknownRotator, name)
	}
	f, err := p.cfg.Functions.Function(ctx, values.Secret.Account, name)
	if err != nil {
		return rotators.Plan{}, err
	}
	plan := rotators.Plan{}
	if planner, ok := f.(rotators.FunctionPlanner); ok {
		plan = planner.PlanCall(ctx)
	}
	rights := fmt.Sprintf("let each step, for %s at the most, read secret %s, put the value of the run's version, and move AWSCURRENT onto it in finishSecret", f.Timeout(), values.Secret.Name)
	if values.AdminARN != "" {
		rights += fmt.Sprintf("; and read the admin secret %s", values.AdminARN)
	}
	plan.Actions = append(plan.Actions, rights,
		"what rotator "+name+" does at the target is not known before it is called, and nothing undoes its setSecret")
	if values.Current.IsZero() {
		plan.Problems = append(plan.Problems, rotators.Problem{Step: lockstep.StepCreate, Problem: "the secret has no AWSCURRENT value", Hint: "put the present credential first"})
	}
	return plan, nil
}
