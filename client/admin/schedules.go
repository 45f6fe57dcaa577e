package admin

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"lockstep"
)

// HoldSpec is a freeze or a pause as it is set. Match (a pattern of names) or Tag
// selects Secrets; neither: all.
type HoldSpec struct {
	Kind  lockstep.HoldKind `json:"kind"`
	Match string            `json:"match,omitempty"`
	Tag   *Tag              `json:"tag,omitempty"`
	// From and To bound a freeze that happens once, RFC 3339.
	From string `json:"from,omitempty"`
	To   string `json:"to,omitempty"`
	// Expression is when each stretch of a freeze that comes back begins, For how
	// long it lasts (a duration's text).
	Expression string `json:"expression,omitempty"`
	TimeZone   string `json:"timeZone,omitempty"`
	For        string `json:"for,omitempty"`
	Reason     string `json:"reason,omitempty"`
}

// Hold is a freeze or a pause that is set.
type Hold struct {
	Name string `json:"name"`
	HoldSpec
	By      string    `json:"by"`
	Created time.Time `json:"created"`
}

// Holds lists freezes and pauses, by name. Errors: *Error, or the transport's.
func (c *Client) Holds(ctx context.Context) ([]Hold, error) {
	var out struct {
		Holds []Hold `json:"holds"`
	}
	err := c.get(ctx, call{path: "/v1/holds"}, &out)
	return out.Holds, err
}

// SetHold sets a freeze or a pause; one of that name is replaced. Errors: *Error
// (ErrInvalid), or the transport's.
func (c *Client) SetHold(ctx context.Context, name string, spec HoldSpec) (Hold, error) {
	var out Hold
	return out, c.do(ctx, call{method: http.MethodPut, path: "/v1/holds/" + url.PathEscape(name), body: spec}, &out)
}

// RemoveHold ends a freeze or a pause. Errors: *Error (ErrNotFound), or the
// transport's.
func (c *Client) RemoveHold(ctx context.Context, name string) error {
	var out struct{}
	return c.do(ctx, call{method: http.MethodDelete, path: "/v1/holds/" + url.PathEscape(name)}, &out)
}

// Fire is one date of a Preview.
type Fire struct {
	At time.Time `json:"at"`
	// Until is the end of the window that it stands in; zero if none bounds it.
	Until time.Time `json:"until,omitzero"`
	// Why is "regular", or what moved it: "frozen", "deadline", "caught-up",
	// "next-window", "skipped".
	Why string `json:"why"`
}

// Preview is when a schedule fires.
type Preview struct {
	TimeZone string `json:"timeZone"`
	Fires    []Fire `json:"fires"`
}

type previewInput struct {
	Schedule *Schedule `json:"schedule,omitempty"`
	Count    int       `json:"count,omitempty"`
}

// PreviewSecret gives the next n dates (1 to 100; 0: 5) at which a Secret will
// rotate. Errors: *Error (ErrNotFound, ErrState), or the transport's.
func (c *Client) PreviewSecret(ctx context.Context, secret string, n int) (Preview, error) {
	var out Preview
	in := call{method: http.MethodPost, path: "/v1/previews", query: ofSecret(secret), body: previewInput{Count: n}}
	return out, c.do(ctx, in, &out)
}

// PreviewSchedule gives the next n fires of a Schedule. Errors: *Error
// (ErrInvalid), or the transport's.
func (c *Client) PreviewSchedule(ctx context.Context, s Schedule, n int) (Preview, error) {
	var out Preview
	return out, c.do(ctx, call{method: http.MethodPost, path: "/v1/previews", body: previewInput{Schedule: &s, Count: n}}, &out)
}

// Load is how many Runs come in each hour from a full hour on.
type Load struct {
	From  time.Time `json:"from"`
	Hours []int     `json:"hours"`
	// Secrets is how many have a schedule.
	Secrets int `json:"secrets"`
}

// Load counts the Runs of the coming days, 1 to 31; 0: 7. Errors: *Error, or the
// transport's.
func (c *Client) Load(ctx context.Context, days int) (Load, error) {
	query := url.Values{}
	if days > 0 {
		query.Set("days", strconv.Itoa(days))
	}
	var out Load
	return out, c.get(ctx, call{path: "/v1/load", query: query}, &out)
}
