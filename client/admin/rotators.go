package admin

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"lockstep"
)

// Rotator is a rotator of somebody's own that was registered.
type Rotator struct {
	Name string `json:"name"`
	ARN  string `json:"arn"`
	// Kind is "recipe", "webhook", "exec" or "nats-service".
	Kind string `json:"kind"`
	// Target is a webhook's URL or a command.
	Target string `json:"target,omitempty"`
	// Recipe is the text of a recipe.
	Recipe string `json:"recipe,omitempty"`
	// CA holds the authorities that the certificate of a webhook or of a recipe's
	// API is checked against.
	CA string `json:"ca,omitempty"`
	// Addresses are those that a webhook or an API may have beside public ones:
	// "loopback", "private".
	Addresses []string `json:"addresses,omitempty"`
	Timeout   string   `json:"timeout"`
	// SigningKey of a webhook is there in the answer of CreateRotator alone.
	SigningKey string    `json:"signingKey,omitempty"`
	CreatedBy  string    `json:"createdBy"`
	Created    time.Time `json:"created"`
}

// RotatorSpec is a rotator to be registered; its fields are Rotator's. An empty
// Timeout is a minute; a recipe has its own.
type RotatorSpec struct {
	Name      string   `json:"name"`
	Kind      string   `json:"kind"`
	Target    string   `json:"target,omitempty"`
	Recipe    string   `json:"recipe,omitempty"`
	CA        string   `json:"ca,omitempty"`
	Addresses []string `json:"addresses,omitempty"`
	Timeout   string   `json:"timeout,omitempty"`
}

// Rotators lists all that were registered, by name. Errors: *Error, or the
// transport's.
func (c *Client) Rotators(ctx context.Context) (all []Rotator, err error) {
	err = everyPage(func(q url.Values) (string, error) {
		var page struct {
			Rotators []Rotator `json:"rotators"`
			Next     string    `json:"next"`
		}
		err := c.get(ctx, call{path: "/v1/rotators", query: q}, &page)
		all = append(all, page.Rotators...)
		return page.Next, err
	})
	return all, err
}

// Rotator reads one. Errors: *Error (ErrNotFound), or the transport's.
func (c *Client) Rotator(ctx context.Context, name string) (Rotator, error) {
	var out Rotator
	return out, c.get(ctx, call{path: named("rotators", name)}, &out)
}

// CreateRotator registers one. Errors: *Error (ErrExists, ErrInvalid,
// ErrState), or the transport's.
func (c *Client) CreateRotator(ctx context.Context, spec RotatorSpec) (Rotator, error) {
	var out Rotator
	return out, c.do(ctx, call{method: http.MethodPost, path: "/v1/rotators", body: spec}, &out)
}

// DeleteRotator forgets one that no Secret uses. Errors: *Error (ErrNotFound,
// ErrState), or the transport's.
func (c *Client) DeleteRotator(ctx context.Context, name string) error {
	return c.do(ctx, call{method: http.MethodDelete, path: named("rotators", name)}, nil)
}

// Trial rotates a Secret while its custom rotator is called as it must bear to be
// called: lockstep.TriggerTwice or lockstep.TriggerCut. It returns the Run, whose
// end is the result. Errors: *Error (ErrNotFound, ErrState, ErrInvalid), or the
// transport's.
func (c *Client) Trial(ctx context.Context, secret string, kind lockstep.Trigger) (lockstep.RunID, error) {
	var out struct {
		Run lockstep.RunID `json:"run"`
	}
	body := struct {
		Case lockstep.Trigger `json:"case"`
	}{kind}
	err := c.do(ctx, call{method: http.MethodPost, path: "/v1/trials", query: url.Values{"secret": {secret}}, body: body}, &out)
	return out.Run, err
}
