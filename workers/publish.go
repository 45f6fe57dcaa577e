package workers

import (
	"context"
	"errors"
	"fmt"

	"lockstep"
	"lockstep/keeper"
	"lockstep/rotators"
	"lockstep/rotators/jsonvalue"
	"lockstep/runs"
)

// republish is how often a value to be published is made anew in one claim because
// somebody wrote the Secret that it is for.
const republish = 5

// finishPublishing finishes a Run whose value is in part for another Secret, both
// in one transaction. A Run that has to end finishes without, if the other Secret
// can't be written: its own value counts more.
func (c *carrier) finishPublishing(ctx context.Context) error {
	for range republish {
		p, err := c.published(ctx, c.values.Pending)
		if err != nil && c.claim.Run.Stop != lockstep.StopNone {
			c.log.WarnContext(ctx, "finished without publishing", "error", err)
			p, err = nil, nil
		}
		switch {
		case err != nil:
			return c.unpublished(ctx, err)
		case p == nil:
			return c.claim.Finish(ctx)
		}
		err = c.claim.FinishPublishing(ctx, p)
		if !errors.Is(err, runs.ErrRepublish) {
			return err
		}
	}
	return c.unpublished(ctx, runs.ErrRepublish)
}

// published is what a value has for another Secret, made ready; nil for nothing.
func (c *carrier) published(ctx context.Context, v lockstep.Value) (*keeper.Published, error) {
	publisher, ok := c.rotator.(rotators.Publisher)
	if !ok {
		return nil, nil
	}
	part, err := publisher.Publication(v)
	if err != nil || part.Secret == "" {
		return nil, err
	}
	from := c.claim.Secret
	at := keeper.PublishedAt{Into: part.Secret, Version: c.version()}
	return c.pool.cfg.Vault.Publish(ctx, from, at, func(present lockstep.Value) (lockstep.Value, error) {
		return laidOver(present, from, part.Fields)
	})
}

// errNoConsent: whoever may write a Secret says who else may.
var errNoConsent = errors.New(`its value does not name this secret as its "source"`)

// laidOver is a value with the published fields in it. It has to name the Secret
// that publishes: else whoever can write that one could write any other.
func laidOver(present lockstep.Value, from *lockstep.Secret, fields []rotators.PublishedField) (lockstep.Value, error) {
	o, err := jsonvalue.Parse(present)
	if err != nil {
		return lockstep.Value{}, err
	}
	source, err := o.Text("source", "")
	if err != nil {
		return lockstep.Value{}, err
	}
	if source != from.Name && source != string(from.ARN) {
		return lockstep.Value{}, fmt.Errorf("%w: %w", errNoConsent, lockstep.ErrDenied)
	}
	out := make([]jsonvalue.Field, len(fields))
	for i, f := range fields {
		if f.Name == "source" {
			return lockstep.Value{}, fmt.Errorf("publish the field %q: %w", f.Name, lockstep.ErrInvalid)
		}
		out[i] = jsonvalue.Field{Name: f.Name, JSON: f.JSON}
	}
	return o.WithAll(out...)
}

// publishable sees that what is going to be issued can be published, while nothing
// is issued yet. An error means that the advance is over.
func (c *carrier) publishable(ctx context.Context) error {
	_, err := c.published(ctx, c.values.Current)
	if err == nil {
		return nil
	}
	if te := publishFault(err); te != nil {
		return c.fail(ctx, te)
	}
	return err
}

// publishUntested publishes a value that test has not accepted, where there is
// nothing else to give: asking for it may have killed the one before, and the Run
// goes forward only. What goes wrong is told; the finish publishes too.
func (c *carrier) publishUntested(ctx context.Context) {
	if !c.claim.Traits.IssuesOne() {
		return
	}
	p, err := c.published(ctx, c.values.Pending)
	if err == nil && p != nil {
		err = c.claim.Publish(ctx, p)
	}
	if err != nil {
		c.log.WarnContext(ctx, "not published yet", "error", err)
	}
}

// unpublished is what follows when the value is there, and cannot be published:
// it is tried again.
func (c *carrier) unpublished(ctx context.Context, err error) error {
	te := publishFault(err)
	if te == nil {
		return err
	}
	te.Fault = lockstep.FaultTransient
	return c.fail(ctx, te)
}

// publishFault reads why something cannot be published; nil if only the store is
// away.
func publishFault(err error) *lockstep.TargetError {
	var refusal *lockstep.Refusal
	if errors.As(err, &refusal) || errors.Is(err, lockstep.ErrInvalid) || errors.Is(err, lockstep.ErrDenied) {
		return permanent(err, `create the secret that "publish" names, with a value like {"source":"NAME OF THIS SECRET"} and no rotation of its own`)
	}
	if errors.Is(err, runs.ErrRepublish) {
		return &lockstep.TargetError{Outcome: lockstep.NotApplied, Err: fmt.Errorf("publish: %w", err)}
	}
	return keyFault(err)
}
