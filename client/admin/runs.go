package admin

import (
	"context"
	"net/url"
	"strconv"
	"strings"
	"time"

	"lockstep"
)

// SecretName says which Secret something is about.
type SecretName struct {
	Name string       `json:"name"`
	ARN  lockstep.ARN `json:"arn"`
}

// Step is one attempt at one Step of a Run.
type Step struct {
	Step    lockstep.Step `json:"step"`
	Attempt int           `json:"attempt"`
	Started time.Time     `json:"started"`
	// Ended is zero while the Step is under way, or its worker was lost.
	Ended time.Time `json:"ended,omitzero"`
	// Outcome is "ok", or what the failed call did at the target:
	// "not-applied", "applied" or "unknown".
	Outcome string `json:"outcome,omitempty"`
	// Error is the target's words, Hint the next step for a person.
	Error string `json:"error,omitempty"`
	Hint  string `json:"hint,omitempty"`
}

// Run is one execution of a Rotation. Times that do not apply are zero.
type Run struct {
	ID        lockstep.RunID     `json:"id"`
	Secret    SecretName         `json:"secret"`
	VersionID lockstep.VersionID `json:"versionId"`
	Base      lockstep.VersionID `json:"baseVersionId,omitempty"`
	State     lockstep.RunState  `json:"state"`
	// Final is true once the state can no longer change.
	Final      bool              `json:"final"`
	Trigger    lockstep.Trigger  `json:"trigger"`
	TestOnly   bool              `json:"testOnly,omitempty"`
	Attempts   int               `json:"attempts"`
	RetryAt    time.Time         `json:"retryAt,omitzero"`
	Deadline   time.Time         `json:"deadline,omitzero"`
	Stop       lockstep.StopKind `json:"stop,omitempty"`
	StopReason string            `json:"stopReason,omitempty"`
	// FailedStep is the Step that failed last, if the Run did not succeed.
	FailedStep lockstep.Step `json:"failedStep,omitempty"`
	// Reason is why it waits, retries or failed; Hint is the next step.
	Reason   string    `json:"reason,omitempty"`
	Hint     string    `json:"hint,omitempty"`
	Created  time.Time `json:"created"`
	Started  time.Time `json:"started,omitzero"`
	Finished time.Time `json:"finished,omitzero"`
	// Steps are there when one Run was asked for, not in lists.
	Steps []Step `json:"steps,omitempty"`
}

// RunQuery selects Runs. The zero value: the newest 50 of all Secrets.
type RunQuery struct {
	// Secret is a name or ARN; empty: all.
	Secret string
	// Open leaves out those that are final.
	Open bool
	// Failed leaves out all but those that failed or are lost and that nobody
	// has discarded.
	Failed bool
	// States leaves out all others; empty: none.
	States []lockstep.RunState
	// Limit is how many at the most, 1 to 200; 0: 50.
	Limit int
	// Before is a former page's Next.
	Before string
}

// RunPage is one page of Runs, newest first.
type RunPage struct {
	Runs []Run `json:"runs"`
	// Next goes into RunQuery.Before for the next page; empty on the last.
	Next string `json:"next,omitempty"`
}

// Runs lists Runs without their Steps. Errors: *Error, or the transport's.
func (c *Client) Runs(ctx context.Context, q RunQuery) (RunPage, error) {
	query := url.Values{}
	set := func(name, value string) {
		if value != "" {
			query.Set(name, value)
		}
	}
	set("secret", q.Secret)
	set("before", q.Before)
	if q.Open {
		query.Set("open", "true")
	}
	if q.Failed {
		query.Set("failed", "true")
	}
	states := make([]string, 0, len(q.States))
	for _, s := range q.States {
		states = append(states, string(s))
	}
	set("state", strings.Join(states, ","))
	if q.Limit > 0 {
		query.Set("limit", strconv.Itoa(q.Limit))
	}
	var out RunPage
	return out, c.get(ctx, call{path: "/v1/runs", query: query}, &out)
}

// Run reads a Run with its Steps. Errors: *Error (ErrNotFound), or the
// transport's.
func (c *Client) Run(ctx context.Context, id lockstep.RunID) (Run, error) {
	var out Run
	return out, c.get(ctx, call{path: "/v1/runs/" + url.PathEscape(string(id))}, &out)
}

// EventQuery selects Events of one Secret.
type EventQuery struct {
	// Secret is a name or ARN. Required.
	Secret string
	// After is a sequence number; only later Events are given.
	After uint64
	// Limit is how many at the most, 1 to 1000; 0: 100.
	Limit int
}

// Events reads a Secret's Events from the store, oldest first, of the last 30
// days. Errors: *Error (ErrNotFound), or the transport's.
func (c *Client) Events(ctx context.Context, q EventQuery) ([]lockstep.Event, error) {
	query := ofSecret(q.Secret)
	if q.After > 0 {
		query.Set("after", strconv.FormatUint(q.After, 10))
	}
	if q.Limit > 0 {
		query.Set("limit", strconv.Itoa(q.Limit))
	}
	var out struct {
		Events []lockstep.Event `json:"events"`
	}
	err := c.get(ctx, call{path: "/v1/events", query: query}, &out)
	return out.Events, err
}
