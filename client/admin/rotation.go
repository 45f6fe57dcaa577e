package admin

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"lockstep"
)

// Schedule is when a Secret rotates. Jitter and MaxAge (how old a credential may
// become) are a duration's text, "90s".
type Schedule struct {
	Expression string `json:"expression,omitempty"`
	AfterDays  int64  `json:"afterDays,omitempty"`
	Duration   string `json:"duration,omitempty"`
	TimeZone   string `json:"timeZone,omitempty"`
	Jitter     string `json:"jitter,omitempty"`
	CatchUp    string `json:"catchUp,omitempty"`
	MaxAge     string `json:"maxAge,omitempty"`
}

// Retirement is the policy for the old credential. Delay is a duration's text.
type Retirement struct {
	After lockstep.RetireAfter `json:"after,omitempty"`
	Delay string               `json:"delay,omitempty"`
}

// Rotation is the policy on a Secret, as the server shows it.
type Rotation struct {
	Secret     SecretName  `json:"secret"`
	Enabled    bool        `json:"enabled"`
	Rotator    string      `json:"rotator,omitempty"`
	RotatorARN string      `json:"rotatorArn,omitempty"`
	Schedule   *Schedule   `json:"schedule,omitempty"`
	Retirement *Retirement `json:"retirement,omitempty"`
	// Passwords is nil where the rotator's own policy holds alone.
	Passwords *lockstep.PasswordPolicy `json:"passwords,omitempty"`
	// VerifyEvery is how often AWSCURRENT is tried at the target; "off": never.
	VerifyEvery string `json:"verifyEvery,omitempty"`
	// NextRotation is zero if there is none to come.
	NextRotation time.Time `json:"nextRotation,omitzero"`
	LastRotated  time.Time `json:"lastRotated,omitzero"`
}

// RotationChange is what to set. What is nil stays as it is; a Schedule or a
// Retirement replaces the stored one as a whole.
type RotationChange struct {
	// Rotator is a name ("postgres-alternating") or an ARN that ends with one.
	Rotator    *string     `json:"rotator,omitempty"`
	Schedule   *Schedule   `json:"schedule,omitempty"`
	Retirement *Retirement `json:"retirement,omitempty"`
	// Passwords replaces the stored policy as a whole; an empty one asks for
	// nothing beyond the rotator's own.
	Passwords *lockstep.PasswordPolicy `json:"passwords,omitempty"`
	// VerifyEvery is a duration's text, "off", or "" for once a day.
	VerifyEvery *string `json:"verifyEvery,omitempty"`
}

// Rotation reads the Rotation of a Secret, given by name or ARN. Errors:
// *Error (ErrNotFound), or the transport's.
func (c *Client) Rotation(ctx context.Context, secret string) (Rotation, error) {
	var out Rotation
	return out, c.get(ctx, call{path: "/v1/rotation", query: ofSecret(secret)}, &out)
}

// SetRotation changes the Rotation of a Secret and turns it on; nothing is
// rotated by it. Errors: *Error (ErrNotFound, ErrInvalid, ErrUnknownRotator,
// ErrState), or the transport's.
func (c *Client) SetRotation(ctx context.Context, secret string, change RotationChange) (Rotation, error) {
	var out Rotation
	in := call{method: http.MethodPut, path: "/v1/rotation", query: ofSecret(secret), body: change}
	return out, c.do(ctx, in, &out)
}

// PlanProblem is something that would make a Run fail.
type PlanProblem struct {
	Step    lockstep.Step `json:"step"`
	Problem string        `json:"problem"`
	Hint    string        `json:"hint,omitempty"`
}

// Plan is a dry run: what a rotation would do, and what stands in its way.
type Plan struct {
	ID      string    `json:"id"`
	Created time.Time `json:"created"`
	// Done is false until a worker has answered.
	Done bool `json:"done"`
	// Ready is true if nothing was found that would make a Run fail.
	Ready    bool          `json:"ready"`
	Actions  []string      `json:"actions"`
	Problems []PlanProblem `json:"problems"`
	// Error is set if the worker could not look.
	Error string `json:"error,omitempty"`
}

// planWait is how long one request for a Plan is held by the server.
const planWait = 10 * time.Second

// Plan asks for a dry run of a Secret's rotation and waits for the answer, as
// long as ctx allows. Errors: *Error (ErrNotFound, ErrState), the transport's,
// or ctx's with the Plan that is not done.
func (c *Client) Plan(ctx context.Context, secret string) (Plan, error) {
	var out Plan
	in := call{method: http.MethodPost, path: "/v1/plans", query: ofSecret(secret)}
	if err := c.do(ctx, in, &out); err != nil {
		return out, err
	}
	for !out.Done {
		next, err := c.PlanResult(ctx, out.ID, planWait)
		if err != nil {
			return out, err
		}
		out = next
	}
	return out, nil
}

// PlanResult reads a Plan, and waits up to the given time for it to be done.
// Errors: *Error (ErrNotFound after an hour), or the transport's.
func (c *Client) PlanResult(ctx context.Context, id string, wait time.Duration) (Plan, error) {
	in := call{path: "/v1/plans/" + url.PathEscape(id), wait: wait}
	if wait > 0 {
		in.query = url.Values{"wait": {wait.String()}}
	}
	var out Plan
	return out, c.get(ctx, in, &out)
}
