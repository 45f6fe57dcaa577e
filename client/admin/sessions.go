package admin

import (
	"context"
	"net/http"
	"net/url"
	"time"
)

// TargetSession is all sessions of one application from one address that are
// logged in with a Secret's credential.
type TargetSession struct {
	// Old tells that they use an older credential than AWSCURRENT's.
	Old bool `json:"old"`
	// User is who they are logged in as at the target.
	User        string `json:"user"`
	Address     string `json:"address,omitempty"`
	Application string `json:"application,omitempty"`
	// Since is when the oldest logged in; nil if the target does not say.
	Since *time.Time `json:"since,omitempty"`
	Count int        `json:"count"`
	// Certain is false if they may use another credential of the same user.
	Certain bool `json:"certain"`
}

// SessionList is the target's own word on who uses a Secret's credentials.
type SessionList struct {
	ID      string    `json:"id"`
	Created time.Time `json:"created"`
	// Done is false until a worker has answered.
	Done     bool            `json:"done"`
	Sessions []TargetSession `json:"sessions"`
	// Error is set if the worker could not look.
	Error string `json:"error,omitempty"`
}

// Sessions asks who is logged in with a Secret's credentials, old and present,
// and waits for the answer, as long as ctx allows. Errors: *Error (ErrNotFound,
// ErrState), the transport's, or ctx's with the list that is not done.
func (c *Client) Sessions(ctx context.Context, secret string) (SessionList, error) {
	var out SessionList
	if err := c.do(ctx, call{method: http.MethodPost, path: "/v1/sessions", query: ofSecret(secret)}, &out); err != nil {
		return out, err
	}
	for !out.Done {
		var next SessionList
		in := call{path: "/v1/sessions/" + url.PathEscape(out.ID), wait: planWait, query: url.Values{"wait": {planWait.String()}}}
		if err := c.get(ctx, in, &next); err != nil {
			return out, err
		}
		out = next
	}
	return out, nil
}
