package v1

import (
	"context"
	"time"

	"lockstep/store"
)

type sessionsOutput struct {
	ID      string    `json:"id"`
	Created time.Time `json:"created"`
	// Done is false until a worker has answered.
	Done     bool                `json:"done"`
	Sessions []store.PlanSession `json:"sessions"`
	Error    string              `json:"error,omitempty"`
}

func showSessions(p *store.Plan) sessionsOutput {
	out := sessionsOutput{ID: p.ID, Created: p.Created.UTC(), Done: p.Done, Sessions: p.Sessions, Error: p.Error}
	if out.Sessions == nil {
		out.Sessions = []store.PlanSession{}
	}
	return out
}

func (a *API) createSessionList(ctx context.Context, c call) (any, error) {
	ref, err := a.ref(ctx, c)
	if err != nil {
		return nil, err
	}
	p, err := a.config.Rotations.Sessions(ctx, ref)
	if err != nil {
		return nil, err
	}
	return showSessions(p), nil
}

func (a *API) getSessionList(ctx context.Context, c call) (any, error) {
	p, err := a.answered(ctx, c)
	if err != nil {
		return nil, err
	}
	return showSessions(p), nil
}
