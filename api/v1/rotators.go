package v1

import (
	"context"
	"net/http"
	"time"

	"lockstep/auth"
	"lockstep/store"
)

// rotatorRoutes are those about rotators of somebody's own. Each asks the Guard
// about the rotator's ARN; policies of CreateRotator can tell the kinds apart by
// lockstep:RotatorKind. Who may create one can have its code called with the
// values of every Secret that is given to it, and of the admin Secrets that
// these name.
func rotatorRoutes() []route {
	return []route{
		{http.MethodGet, "/v1/rotators", "ListRotators", http.StatusOK, (*API).listRotators},
		{http.MethodPost, "/v1/rotators", "CreateRotator", http.StatusCreated, (*API).createRotator},
		{http.MethodGet, "/v1/rotators/{id}", "GetRotator", http.StatusOK, (*API).getRotator},
		{http.MethodDelete, "/v1/rotators/{id}", "DeleteRotator", http.StatusOK, (*API).deleteRotator},
	}
}

type rotatorOutput struct {
	Name string `json:"name"`
	ARN  string `json:"arn"`
	Kind string `json:"kind"`
	// Target is a webhook's URL or a command, Recipe a recipe's text.
	Target    string   `json:"target,omitempty"`
	Recipe    string   `json:"recipe,omitempty"`
	CA        string   `json:"ca,omitempty"`
	Addresses []string `json:"addresses,omitempty"`
	Timeout   string   `json:"timeout"`
	// SigningKey of a webhook is told once, when it is made.
	SigningKey string    `json:"signingKey,omitempty"`
	CreatedBy  string    `json:"createdBy"`
	Created    time.Time `json:"created"`
}

func showRotator(c call, r *store.Rotator) rotatorOutput {
	out := rotatorOutput{
		Name: r.Name, ARN: auth.RotatorARN(c.caller.Region, r.Account, r.Name), Kind: string(r.Kind), Target: r.Target, CA: r.CA,
		Addresses: r.Addresses, Timeout: r.Timeout.String(), CreatedBy: r.CreatedBy, Created: r.Created.UTC(),
	}
	if r.Kind == store.RotatorRecipe {
		out.Target, out.Recipe = "", r.Target
	}
	return out
}

// mayRotator asks about one rotator.
func (a *API) mayRotator(ctx context.Context, c call, name string, keys ...auth.Key) error {
	return a.config.Guard.Authorize(ctx, auth.Question{
		Caller: c.caller, Action: c.action, Resource: auth.RotatorARN(c.caller.Region, c.caller.Account, name), Keys: keys,
	})
}

type rotatorsOutput struct {
	Rotators []rotatorOutput `json:"rotators"`
	Next     string          `json:"next,omitempty"`
}

func (a *API) listRotators(ctx context.Context, c call) (any, error) {
	q, err := a.names(ctx, c)
	if err != nil {
		return nil, err
	}
	found, err := a.config.Rotators.Rotators(ctx, q)
	if err != nil {
		return nil, err
	}
	out := rotatorsOutput{Rotators: []rotatorOutput{}}
	found, out.Next = page(found, q, func(r *store.Rotator) string { return r.Name })
	for _, r := range found {
		out.Rotators = append(out.Rotators, showRotator(c, r))
	}
	return out, nil
}

func (a *API) getRotator(ctx context.Context, c call) (any, error) {
	if err := a.mayRotator(ctx, c, c.id); err != nil {
		return nil, err
	}
	r, err := a.config.Rotators.Rotator(ctx, c.caller.Account, c.id)
	if err != nil {
		return nil, err
	}
	return showRotator(c, r), nil
}

type rotatorInput struct {
	Name      string   `json:"name"`
	Kind      string   `json:"kind"`
	Target    string   `json:"target"`
	Recipe    string   `json:"recipe"`
	CA        string   `json:"ca"`
	Addresses []string `json:"addresses"`
	Timeout   string   `json:"timeout"`
}

func (a *API) createRotator(ctx context.Context, c call) (any, error) {
	var in rotatorInput
	if err := read(c, &in); err != nil {
		return nil, err
	}
	if err := a.mayRotator(ctx, c, in.Name, auth.Key{Name: "lockstep:RotatorKind", Values: []string{in.Kind}}); err != nil {
		return nil, err
	}
	r := store.Rotator{
		Name: in.Name, Account: c.caller.Account, Kind: store.RotatorKind(in.Kind), Target: in.Target, CA: in.CA,
		Addresses: in.Addresses, CreatedBy: c.caller.ARN,
	}
	if in.Recipe != "" {
		if r.Kind != store.RotatorRecipe || r.Target != "" {
			return nil, invalid("A recipe belongs to a rotator of the kind recipe, which has no target.", "Give kind \"recipe\" and the field recipe.")
		}
		r.Target = in.Recipe
	}
	if in.Timeout != "" {
		var err error
		if r.Timeout, err = time.ParseDuration(in.Timeout); err != nil {
			return nil, invalid("The timeout can't be read.", "Give a duration such as \"30s\" or \"5m\".")
		}
	}
	made, key, err := a.config.Rotators.Register(ctx, r)
	if err != nil {
		return nil, err
	}
	out := showRotator(c, made)
	out.SigningKey = key.Reveal()
	return out, nil
}

func (a *API) deleteRotator(ctx context.Context, c call) (any, error) {
	if err := a.mayRotator(ctx, c, c.id); err != nil {
		return nil, err
	}
	return done{}, a.config.Rotators.Remove(ctx, c.caller.Account, c.id)
}
