package admin

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"lockstep"
)

// RetryRun makes a Run that waits due now, or starts another for one that failed
// or was cancelled; the Run that is under way is returned. Errors: *Error
// (ErrNotFound, ErrState), or the transport's.
func (c *Client) RetryRun(ctx context.Context, id lockstep.RunID) (Run, error) {
	return c.hand(ctx, id, "retry")
}

// DiscardRun throws the pending Version of an open Run away, or marks a failed
// one as dealt with. Errors: *Error (ErrNotFound, ErrState), or the transport's.
func (c *Client) DiscardRun(ctx context.Context, id lockstep.RunID) (Run, error) {
	return c.hand(ctx, id, "discard")
}

// CancelRun ends an open Run and turns its Secret's rotation off. Errors: *Error
// (ErrNotFound, ErrState), or the transport's.
func (c *Client) CancelRun(ctx context.Context, id lockstep.RunID) (Run, error) {
	return c.hand(ctx, id, "cancel")
}

func (c *Client) hand(ctx context.Context, id lockstep.RunID, what string) (Run, error) {
	var out Run
	in := call{method: http.MethodPost, path: "/v1/runs/" + url.PathEscape(string(id)) + "/" + what}
	return out, c.do(ctx, in, &out)
}

// Released is what ReleaseRetirement came to.
type Released struct {
	Secret SecretName `json:"secret"`
	// Versions are those whose credential is removed at the target as soon as a
	// worker comes to it.
	Versions []lockstep.VersionID `json:"versionIds"`
}

// retirement is the body of the requests about old credentials.
type retirement struct {
	Version lockstep.VersionID `json:"versionId,omitempty"`
}

// ReleaseRetirement lets old credentials go whose retirement waits for a person
// or for another try: the given Version's, or, if it is empty, all of the
// Secret's. Errors: *Error (ErrNotFound, ErrState), or the transport's.
func (c *Client) ReleaseRetirement(ctx context.Context, secret string, version lockstep.VersionID) (Released, error) {
	return c.release(ctx, "/v1/retirements", secret, version)
}

// OverrideRetirement is ReleaseRetirement also for what the policy would keep.
// Errors: as ReleaseRetirement.
func (c *Client) OverrideRetirement(ctx context.Context, secret string, version lockstep.VersionID) (Released, error) {
	return c.release(ctx, "/v1/retirements/override", secret, version)
}

func (c *Client) release(ctx context.Context, path, secret string, version lockstep.VersionID) (Released, error) {
	var out Released
	return out, c.do(ctx, call{method: http.MethodPost, path: path, query: ofSecret(secret), body: retirement{version}}, &out)
}

// DeadJob is a Job that nobody could carry out.
type DeadJob struct {
	// Number orders them; later ones have higher numbers.
	Number  int64     `json:"number"`
	Time    time.Time `json:"time"`
	Subject string    `json:"subject"`
	Reason  string    `json:"reason"`
	// Bytes is the length of its body, which is not shown.
	Bytes int `json:"bytes"`
}

// DeadJobs lists up to limit of them (1 to 200; 0: 50), newest first. Errors:
// *Error, or the transport's.
func (c *Client) DeadJobs(ctx context.Context, limit int) ([]DeadJob, error) {
	query := url.Values{}
	if limit > 0 {
		query.Set("limit", strconv.Itoa(limit))
	}
	var out struct {
		Jobs []DeadJob `json:"jobs"`
	}
	err := c.get(ctx, call{path: "/v1/dead-jobs", query: query}, &out)
	return out.Jobs, err
}
