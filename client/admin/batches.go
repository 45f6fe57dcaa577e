package admin

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"lockstep"
)

// BatchSpec selects the Secrets of a Batch: by name (a pattern) or by a tag;
// neither: all that rotate.
type BatchSpec struct {
	Match string `json:"match,omitempty"`
	Tag   *Tag   `json:"tag,omitempty"`
}

// Batch rotates many Secrets as one thing.
type Batch struct {
	ID string `json:"id"`
	BatchSpec
	Trigger lockstep.Trigger `json:"trigger"`
	// State is "active" (Runs are being started), "started", "cancelling" or
	// "cancelled".
	State   string    `json:"state"`
	By      string    `json:"by"`
	Created time.Time `json:"created"`
	// Done is true once nothing of it is under way any more.
	Done bool `json:"done"`
	// Expanded is true once all Secrets were found; Total may grow until then.
	Expanded bool           `json:"expanded"`
	Total    int            `json:"total"`
	Counts   []BatchCount   `json:"counts"`
	Failures []BatchFailure `json:"failures,omitempty"`
}

// BatchCount is how many Secrets of a Batch are in one state: a Run's, or
// "pending", "waiting" (their admin Secret, which is in the Batch too, goes first)
// or "refused".
type BatchCount struct {
	State   string `json:"state"`
	Secrets int    `json:"secrets"`
}

// BatchFailure is a Secret of a Batch that was refused or whose Run ended without
// success.
type BatchFailure struct {
	Secret string         `json:"secret"`
	Run    lockstep.RunID `json:"run,omitempty"`
	State  string         `json:"state"`
	Reason string         `json:"reason,omitempty"`
}

// Count is how many Secrets are in a state.
func (b *Batch) Count(state string) int {
	for _, c := range b.Counts {
		if c.State == state {
			return c.Secrets
		}
	}
	return 0
}

// StartBatch rotates the selected Secrets; it returns at once. Errors: *Error
// (ErrInvalid), or the transport's.
func (c *Client) StartBatch(ctx context.Context, spec BatchSpec) (Batch, error) {
	var out Batch
	return out, c.do(ctx, call{method: http.MethodPost, path: "/v1/batches", body: spec}, &out)
}

// StartEmergencyBatch is StartBatch before everything else, also through freezes
// and pauses. Errors: as StartBatch.
func (c *Client) StartEmergencyBatch(ctx context.Context, spec BatchSpec) (Batch, error) {
	var out Batch
	return out, c.do(ctx, call{method: http.MethodPost, path: "/v1/batches/emergency", body: spec}, &out)
}

// Batches lists up to limit of them (1 to 100; 0: 20), newest first. Errors:
// *Error, or the transport's.
func (c *Client) Batches(ctx context.Context, limit int) ([]Batch, error) {
	query := url.Values{}
	if limit > 0 {
		query.Set("limit", strconv.Itoa(limit))
	}
	var out struct {
		Batches []Batch `json:"batches"`
	}
	err := c.get(ctx, call{path: "/v1/batches", query: query}, &out)
	return out.Batches, err
}

// Batch reads one. Errors: *Error (ErrNotFound), or the transport's.
func (c *Client) Batch(ctx context.Context, id string) (Batch, error) {
	var out Batch
	return out, c.get(ctx, call{path: "/v1/batches/" + url.PathEscape(id)}, &out)
}

// ResumeBatch goes on with a Batch that was cancelled, and starts new Runs for
// its Secrets without success. Errors: *Error (ErrNotFound), or the transport's.
func (c *Client) ResumeBatch(ctx context.Context, id string) (Batch, error) {
	var out Batch
	return out, c.do(ctx, call{method: http.MethodPost, path: "/v1/batches/" + url.PathEscape(id) + "/resume"}, &out)
}

// CancelBatch starts nothing more of it and takes back the Runs that have not
// begun. Errors: *Error (ErrNotFound), or the transport's.
func (c *Client) CancelBatch(ctx context.Context, id string) (Batch, error) {
	var out Batch
	return out, c.do(ctx, call{method: http.MethodPost, path: "/v1/batches/" + url.PathEscape(id) + "/cancel"}, &out)
}
