package workers

import (
	"context"
	"fmt"

	"lockstep"
)

// Recorder keeps the audit log.
type Recorder interface {
	// Ready returns an error if nothing can be recorded now: then no Job is
	// begun.
	Ready() error
	// RecordStep puts a Step that ended into the log. wait returns once it is
	// durable; whoever says that the Job is done waits first.
	RecordStep(r StepRecord) (wait func(context.Context) error, err error)
}

// StepRecord is a Step that ended.
type StepRecord struct {
	Secret  *lockstep.Secret
	Version lockstep.VersionID
	// Run is empty for retire and verify.
	Run     lockstep.RunID
	Trigger lockstep.Trigger
	Attempt int
	Step    lockstep.Step
	// Code says what kind of failure it was; empty for success. Outcome is what
	// the failed call did at the target.
	Code    string
	Outcome string
}

// nobody records nothing.
type nobody struct{}

func (nobody) Ready() error { return nil }

func (nobody) RecordStep(StepRecord) (func(context.Context) error, error) {
	return func(context.Context) error { return nil }, nil
}

// record puts the end of a Step into the audit log. A log that cannot take it
// keeps the Job from being done, not the Step: that is in the store already.
func (c *carrier) record(step lockstep.Step, te *lockstep.TargetError) {
	r := StepRecord{Secret: c.claim.Secret, Version: c.version(), Step: step}
	if run := c.claim.Run; run != nil {
		r.Run, r.Trigger, r.Attempt = run.ID, run.Trigger, run.Attempts
	}
	if te != nil {
		r.Code, r.Outcome = faultCode(te.Fault), te.Outcome.String()
	}
	wait, err := c.pool.cfg.Audit.RecordStep(r)
	if err != nil {
		c.unrecorded = err
		return
	}
	c.recorded = wait // an entry is durable only after those before it
}

// settleRecords waits until what was recorded is durable.
func (c *carrier) settleRecords(ctx context.Context) error {
	err := c.unrecorded
	if err == nil && c.recorded != nil {
		err = c.recorded(context.WithoutCancel(ctx))
	}
	if err != nil {
		return fmt.Errorf("record steps: %w", err)
	}
	return nil
}

func faultCode(f lockstep.Fault) string {
	switch f {
	case lockstep.FaultPermanent:
		return "PermanentFault"
	case lockstep.FaultRefusedValue:
		return "ValueRefused"
	case lockstep.FaultRefusedLogin:
		return "LoginRefused"
	default:
		return "TransientFault"
	}
}

// stepOf is the Step that a Run's state is in.
func stepOf(r *lockstep.Run) lockstep.Step {
	switch {
	case r.State == lockstep.RunUndo:
		return lockstep.StepUndo
	case r.TestOnly, r.State == lockstep.RunSet:
		return lockstep.StepTest
	case r.State == lockstep.RunSetting:
		return lockstep.StepSet
	case r.State == lockstep.RunTested:
		return lockstep.StepFinish
	default:
		return lockstep.StepCreate
	}
}
