package v1

import (
	"context"
	"net/http"

	"lockstep"
	"lockstep/keeper"
	"lockstep/runs"
)

// Trials tries custom rotators; runs.Service does.
type Trials interface {
	Trial(ctx context.Context, ref keeper.Ref, kind lockstep.Trigger) (runs.RotateOutput, error)
}

func trialRoutes() []route {
	return []route{{http.MethodPost, "/v1/trials", "CreateTrial", http.StatusAccepted, (*API).createTrial}}
}

type trialInput struct {
	Case lockstep.Trigger `json:"case"`
}

type trialOutput struct {
	Run lockstep.RunID `json:"run"`
}

func (a *API) createTrial(ctx context.Context, c call) (any, error) {
	ref, err := a.ref(ctx, c)
	if err != nil {
		return nil, err
	}
	if _, err := a.config.Secrets.Describe(ctx, ref); err != nil {
		return nil, err // who may not is told nothing about the body
	}
	var in trialInput
	if err := read(c, &in); err != nil {
		return nil, err
	}
	out, err := a.config.Trials.Trial(ctx, ref, in.Case)
	if err != nil {
		return nil, err
	}
	return trialOutput{out.Run}, nil
}
