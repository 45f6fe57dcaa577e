package v1

import (
	"context"
	"time"

	"lockstep/store"
)

type planOutput struct {
	ID      string    `json:"id"`
	Created time.Time `json:"created"`
	// Done is false until a worker has answered.
	Done bool `json:"done"`
	// Ready is true if nothing was found that would make a Run fail.
	Ready    bool                `json:"ready"`
	Actions  []string            `json:"actions"`
	Problems []store.PlanProblem `json:"problems"`
	Error    string              `json:"error,omitempty"`
}

func showPlan(p *store.Plan) planOutput {
	out := planOutput{
		ID: p.ID, Created: p.Created.UTC(), Done: p.Done, Actions: p.Actions, Problems: p.Problems, Error: p.Error,
		Ready: p.Done && p.Error == "" && len(p.Problems) == 0,
	}
	if out.Actions == nil {
		out.Actions = []string{}
	}
	if out.Problems == nil {
		out.Problems = []store.PlanProblem{}
	}
	return out
}

func (a *API) createPlan(ctx context.Context, c call) (any, error) {
	ref, err := a.ref(ctx, c)
	if err != nil {
		return nil, err
	}
	p, err := a.config.Rotations.Plan(ctx, ref)
	if err != nil {
		return nil, err
	}
	return showPlan(p), nil
}

// The bounds of waiting for an answer. look is how often the store is asked
// when no change is heard of.
const (
	maxWait = time.Minute
	look    = 250 * time.Millisecond
)

func (a *API) getPlan(ctx context.Context, c call) (any, error) {
	p, err := a.answered(ctx, c)
	if err != nil {
		return nil, err
	}
	return showPlan(p), nil
}

// answered reads a question that was asked, as long as its caller waits.
func (a *API) answered(ctx context.Context, c call) (*store.Plan, error) {
	if err := a.may(ctx, c, nil); err != nil {
		return nil, err
	}
	wait, err := durationOf("wait", c.URL.Query().Get("wait"))
	if err != nil {
		return nil, err
	}
	return a.awaitPlan(ctx, c, min(wait, maxWait))
}

// awaitPlan reads a plan until it is answered or the wait is over.
func (a *API) awaitPlan(ctx context.Context, c call, wait time.Duration) (*store.Plan, error) {
	changed, cancel := a.config.Changes.Subscribe(store.TopicRuns)
	defer cancel()
	end := time.NewTimer(wait)
	defer end.Stop()
	tick := time.NewTicker(look)
	defer tick.Stop()
	for {
		p, err := a.config.Rotations.PlanResult(ctx, c.caller.Owner(), c.id)
		if err != nil || p.Done || wait <= 0 {
			return p, err
		}
		select {
		case <-changed:
		case <-tick.C:
		case <-end.C:
			return p, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}
