package v1

import (
	"context"
	"encoding/json"

	"lockstep/store"
)

type checkOutput struct {
	OK         bool              `json:"ok"`
	Violations []store.Violation `json:"violations"`
}

func (a *API) check(ctx context.Context, c call) (any, error) {
	if err := a.may(ctx, c, nil); err != nil {
		return nil, err
	}
	found, err := a.config.History.Check(ctx)
	if err != nil {
		return nil, err
	}
	if found == nil {
		found = []store.Violation{}
	}
	return checkOutput{len(found) == 0, found}, nil
}

type statusOutput struct {
	Version string   `json:"version"`
	Account string   `json:"account"`
	Regions []string `json:"regions"`
	NATSURL string   `json:"natsUrl,omitempty"`
}

func (a *API) status(ctx context.Context, c call) (any, error) {
	if err := a.may(ctx, c, nil); err != nil {
		return nil, err
	}
	st := a.config.Status
	out := statusOutput{Version: st.Version, Account: string(c.caller.Account), Regions: st.Regions, NATSURL: st.NATSURL}
	if out.Regions == nil {
		out.Regions = []string{}
	}
	return out, nil
}

func (a *API) openAPI(ctx context.Context, c call) (any, error) {
	if err := a.may(ctx, c, nil); err != nil {
		return nil, err
	}
	return json.RawMessage(openAPI), nil
}
