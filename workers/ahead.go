package workers

import (
	"context"

	"lockstep"
	"lockstep/bus"
	"lockstep/keeper"
	"lockstep/rotators"
	"lockstep/runs"
)

// ahead is a value that was made for a Run before anything was claimed: making
// one needs nothing of the target, and so claim and create are one write.
type ahead struct {
	rotator rotators.Chooser
	values  keeper.EngineValues
	pending runs.Pending
}

// take claims a Run. For one that nobody has begun, as far as its Job tells, the
// value is made ahead; the claim sees whether it fits.
func (p *Pool) take(ctx context.Context, job bus.JobMessage, holder string) (*carrier, error) {
	made := p.makeAhead(ctx, job)
	if made == nil {
		claim, err := p.cfg.Engine.Claim(ctx, job.Run, holder)
		if err != nil {
			return nil, err
		}
		return p.carrier(claim), nil
	}
	_, created := p.cfg.Observer.StepBegins(ctx, StepBegun{
		Secret: job.Name, Run: job.Run, Rotator: made.values.Secret.Rotation.Rotator, Step: lockstep.StepCreate, Attempt: 1,
	})
	claim, err := p.cfg.Engine.ClaimWith(ctx, job.Run, holder, made.pending)
	if err != nil {
		return nil, err
	}
	c := p.carrier(claim)
	if claim.Run.State == lockstep.RunSetting && !claim.Resumed {
		c.rotator, c.values = made.rotator, made.values
		c.stored(made.values.Pending)
		c.record(lockstep.StepCreate, nil)
		created(nil) // else there was no create, and nobody hears of its end
	}
	return c, nil
}

// makeAhead makes a value for the Run of a Job that was published once; nil if
// anything at all is in the way. What that is shows under the claim, where it
// can be written down.
func (p *Pool) makeAhead(ctx context.Context, job bus.JobMessage) *ahead {
	if job.Seq != 1 || job.Version == "" {
		return nil
	}
	values, err := p.cfg.Vault.EngineValues(ctx, job.SecretID, job.Version)
	if err != nil || values.Current.IsZero() || !values.Pending.IsZero() || values.Secret.Rotation == nil || values.Secret.Rotation.Custom {
		return nil
	}
	found, err := p.rotatorOf(ctx, values.Secret)
	if err != nil {
		return nil
	}
	rotator, ok := found.(rotators.Chooser)
	if !ok {
		return nil // the target makes the value
	}
	ctx, cancel := context.WithTimeout(ctx, p.cfg.CallTimeout)
	defer cancel()
	values.Pending, err = rotator.Create(ctx, &rotators.Request{
		ARN: values.Secret.ARN, Name: values.Secret.Name, Version: job.Version,
		Current: values.Current, Live: values.Live, Admin: values.Admin, Passwords: passwordsOf(values.Secret),
	})
	if err != nil {
		return nil
	}
	sealed, account, err := p.cfg.Vault.SealPending(ctx, values.Secret, job.Version, values.Pending)
	if err != nil || sealed == nil {
		return nil
	}
	return &ahead{rotator: rotator, values: values, pending: runs.Pending{
		Base: values.CurrentID, Sealed: sealed, Account: account, AdminRef: keeper.NamedAdmin(values.Pending), Admin: values.AdminID,
	}}
}
