package v1

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"lockstep"
	"lockstep/runs"
	"lockstep/store"
)

// secretName says which Secret something is about.
type secretName struct {
	Name string `json:"name"`
	ARN  string `json:"arn"`
}

func nameOf(s *lockstep.Secret) secretName { return secretName{s.Name, string(s.ARN)} }

type stepOutput struct {
	Step    string    `json:"step"`
	Attempt int       `json:"attempt"`
	Started time.Time `json:"started"`
	// Ended is absent while the Step is under way, or its worker was lost.
	Ended time.Time `json:"ended,omitzero"`
	// Outcome is "ok", or what the failed call did at the target.
	Outcome string `json:"outcome,omitempty"`
	Error   string `json:"error,omitempty"`
	Hint    string `json:"hint,omitempty"`
}

type runOutput struct {
	ID         string     `json:"id"`
	Secret     secretName `json:"secret"`
	VersionID  string     `json:"versionId"`
	Base       string     `json:"baseVersionId,omitempty"`
	State      string     `json:"state"`
	Final      bool       `json:"final"`
	Trigger    string     `json:"trigger"`
	TestOnly   bool       `json:"testOnly,omitempty"`
	Attempts   int        `json:"attempts"`
	RetryAt    time.Time  `json:"retryAt,omitzero"`
	Deadline   time.Time  `json:"deadline,omitzero"`
	Stop       string     `json:"stop,omitempty"`
	StopReason string     `json:"stopReason,omitempty"`
	// FailedStep is the Step that failed last, if the Run did not succeed.
	FailedStep string       `json:"failedStep,omitempty"`
	Reason     string       `json:"reason,omitempty"`
	Hint       string       `json:"hint,omitempty"`
	Created    time.Time    `json:"created"`
	Started    time.Time    `json:"started,omitzero"`
	Finished   time.Time    `json:"finished,omitzero"`
	Steps      []stepOutput `json:"steps,omitempty"`
}

func showRun(h runs.History) runOutput {
	r := h.Run
	out := runOutput{
		ID: string(r.ID), Secret: nameOf(h.Secret), VersionID: string(r.Version), Base: string(r.Base),
		State: string(r.State), Final: r.State.Final(), Trigger: string(r.Trigger), TestOnly: r.TestOnly,
		Attempts: r.Attempts, Stop: string(r.Stop), StopReason: r.StopReason, Reason: r.Reason, Hint: r.Hint,
		Created: r.Created.UTC(), Started: r.Started.UTC(), Finished: r.Finished.UTC(),
	}
	if !out.Final {
		out.RetryAt, out.Deadline = r.RetryAt.UTC(), r.Deadline.UTC()
	}
	for _, s := range h.Steps {
		out.Steps = append(out.Steps, showStep(s))
	}
	out.FailedStep = string(h.FailedStep())
	return out
}

func showStep(s lockstep.StepRecord) stepOutput {
	out := stepOutput{
		Step: string(s.Step), Attempt: s.Attempt, Started: s.Started.UTC(), Ended: s.Ended.UTC(), Error: s.Error, Hint: s.Hint,
	}
	switch {
	case s.Ended.IsZero():
	case s.OK:
		out.Outcome = "ok"
	default:
		out.Outcome = s.Outcome.String()
	}
	return out
}

type runsOutput struct {
	Runs []runOutput `json:"runs"`
	// Next is the value of "before" for the next page; absent on the last.
	Next string `json:"next,omitempty"`
}

// The page sizes of lists.
const (
	defaultRuns   = 50
	maxRuns       = 200
	defaultEvents = 100
	maxEvents     = 1000
)

func (a *API) listRuns(ctx context.Context, c call) (any, error) {
	q := c.URL.Query()
	limit, err := numberOf(c, "limit", bounds{defaultRuns, 1, maxRuns})
	if err != nil {
		return nil, err
	}
	open, err := flagOf(c, "open")
	if err != nil {
		return nil, err
	}
	failed, err := flagOf(c, "failed")
	if err != nil {
		return nil, err
	}
	states, err := statesOf(q.Get("state"))
	if err != nil {
		return nil, err
	}
	query := store.RunQuery{
		Owner: c.caller.Owner(), Open: open, Failed: failed, States: states,
		Before: lockstep.RunID(q.Get("before")), Limit: int(limit) + 1,
	}
	if err := a.selectSecret(ctx, c, &query); err != nil {
		return nil, err
	}
	found, err := a.config.History.Runs(ctx, query)
	if err != nil {
		return nil, err
	}
	out := runsOutput{Runs: []runOutput{}}
	if len(found) > int(limit) {
		found = found[:limit]
		out.Next = string(found[limit-1].Run.ID)
	}
	for _, h := range found {
		out.Runs = append(out.Runs, showRun(h))
	}
	return out, nil
}

// statesOf reads a list of states, separated by commas.
func statesOf(given string) ([]lockstep.RunState, error) {
	if given == "" {
		return nil, nil
	}
	var out []lockstep.RunState
	for word := range strings.SplitSeq(given, ",") {
		state := lockstep.RunState(strings.TrimSpace(word))
		if !slices.Contains(lockstep.RunStates(), state) {
			return nil, invalid("There is no run state "+strconv.Quote(word)+".", "Give some of queued, created, setting, set, tested, undo, succeeded, failed, cancelled, lost, separated by commas.")
		}
		out = append(out, state)
	}
	return out, nil
}

// selectSecret limits a query to the Secret that the request names, if any.
func (a *API) selectSecret(ctx context.Context, c call, query *store.RunQuery) error {
	if c.URL.Query().Get("secret") == "" {
		return a.may(ctx, c, nil)
	}
	ref, err := a.ref(ctx, c)
	if err != nil {
		return err
	}
	d, err := a.config.Secrets.Describe(ctx, ref)
	if err != nil {
		return err
	}
	query.Secret = d.Secret.ID
	return nil
}

func (a *API) getRun(ctx context.Context, c call) (any, error) {
	h, err := a.config.History.Run(ctx, c.caller.Owner(), lockstep.RunID(c.id))
	if err != nil {
		return nil, err
	}
	if err := a.may(ctx, c, h.Secret); err != nil {
		return nil, err
	}
	return showRun(h), nil
}

type eventsOutput struct {
	Events []lockstep.Event `json:"events"`
}

func (a *API) listEvents(ctx context.Context, c call) (any, error) {
	ref, err := a.ref(ctx, c)
	if err != nil {
		return nil, err
	}
	after, err := numberOf(c, "after", bounds{0, 0, 1 << 62})
	if err != nil {
		return nil, err
	}
	limit, err := numberOf(c, "limit", bounds{defaultEvents, 1, maxEvents})
	if err != nil {
		return nil, err
	}
	events, err := a.config.History.Events(ctx, ref, uint64(after), int(limit)) // #nosec G115 -- the limit was checked to be positive
	if err != nil {
		return nil, err
	}
	if events == nil {
		events = []lockstep.Event{}
	}
	return eventsOutput{events}, nil
}

// bounds are the limits of a number in the query, and what it is by default.
type bounds struct{ fallback, min, max int64 }

func numberOf(c call, name string, b bounds) (int64, error) {
	given := c.URL.Query().Get(name)
	if given == "" {
		return b.fallback, nil
	}
	n, err := strconv.ParseInt(given, 10, 64)
	if err != nil || n < b.min || n > b.max {
		return 0, invalid("The query parameter \""+name+"\" is not a number that can be used here.",
			"Give one from "+strconv.FormatInt(b.min, 10)+" to "+strconv.FormatInt(b.max, 10)+".")
	}
	return n, nil
}

func flagOf(c call, name string) (bool, error) {
	given := c.URL.Query().Get(name)
	if given == "" {
		return false, nil
	}
	set, err := strconv.ParseBool(given)
	if err != nil {
		return false, invalid("The query parameter \""+name+"\" is neither true nor false.", "")
	}
	return set, nil
}
