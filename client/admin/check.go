package admin

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"lockstep"
)

// CheckResult is the answer to Check.
type CheckResult struct {
	OK         bool        `json:"ok"`
	Violations []Violation `json:"violations"`
}

// checkPage is a part of an answer; next is zero on the last.
type checkPage struct {
	Violations []Violation       `json:"violations"`
	Next       lockstep.SecretID `json:"next"`
}

// Check asks the server to look for broken invariants. Errors: *Error, or the
// transport's; violations are no error.
func (c *Client) Check(ctx context.Context) (CheckResult, error) {
	out := CheckResult{Violations: []Violation{}}
	err := c.EachViolation(ctx, func(v Violation) error {
		out.Violations = append(out.Violations, v)
		return nil
	})
	out.OK = err == nil && len(out.Violations) == 0
	return out, err
}

// EachViolation is Check in constant memory: it gives each broken invariant to fn
// as soon as it is known, a page of Secrets at a time. Each page is one snapshot.
// Errors: fn's; *Error, or the transport's.
func (c *Client) EachViolation(ctx context.Context, fn func(Violation) error) error {
	return c.eachPage(ctx, "/v1/check", fn)
}

func (c *Client) eachPage(ctx context.Context, path string, fn func(Violation) error) error {
	query := url.Values{}
	for {
		var page checkPage
		if err := c.get(ctx, call{path: path, query: query}, &page); err != nil {
			return err
		}
		for _, v := range page.Violations {
			if err := fn(v); err != nil {
				return err
			}
		}
		if page.Next == 0 {
			return nil
		}
		query.Set("after", strconv.FormatInt(int64(page.Next), 10))
	}
}

// Inspection looks at the target of every Secret that rotates.
type Inspection struct {
	ID      string    `json:"id"`
	By      string    `json:"by"`
	Created time.Time `json:"created"`
	// Done is true once every Secret was looked at.
	Done bool `json:"done"`
	// Expanded is true once all Secrets were found; Total may grow until then.
	Expanded bool `json:"expanded"`
	Total    int  `json:"total"`
	Answered int  `json:"answered"`
	// Excused are those whose AWSCURRENT need not log in at present, Broken those
	// that break a rule, Unseen those whose target gave no verdict.
	Excused int `json:"excused"`
	Broken  int `json:"broken"`
	Unseen  int `json:"unseen"`
}

// Inspect starts an Inspection, or gives the one that is under way; it goes on by
// itself. Errors: *Error, or the transport's.
func (c *Client) Inspect(ctx context.Context) (Inspection, error) {
	var out Inspection
	return out, c.do(ctx, call{method: http.MethodPost, path: "/v1/inspections"}, &out)
}

// Inspection reads one. Errors: *Error (ErrNotFound after seven days), or the
// transport's.
func (c *Client) Inspection(ctx context.Context, id string) (Inspection, error) {
	var out Inspection
	return out, c.get(ctx, call{path: "/v1/inspections/" + url.PathEscape(id)}, &out)
}

// EachFinding gives what an Inspection has found so far to fn, in constant memory.
// Errors: fn's; *Error (ErrNotFound), or the transport's.
func (c *Client) EachFinding(ctx context.Context, id string, fn func(Violation) error) error {
	return c.eachPage(ctx, "/v1/inspections/"+url.PathEscape(id)+"/findings", fn)
}
