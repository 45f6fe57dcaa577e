package v1

import (
	"context"
	"encoding/json"
)

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
