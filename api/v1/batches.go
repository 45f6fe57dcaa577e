package v1

import (
	"context"
	"net/http"
	"time"

	"lockstep"
	"lockstep/runs"
	"lockstep/store"
)

// Batches rotates many secrets as one thing; runs.Service does.
type Batches interface {
	StartBatch(ctx context.Context, in runs.NewBatch) (runs.BatchReport, error)
	Batches(ctx context.Context, owner store.Owner, limit int) ([]runs.BatchReport, error)
	Batch(ctx context.Context, owner store.Owner, id string) (runs.BatchReport, error)
	ResumeBatch(ctx context.Context, owner store.Owner, id string) (runs.BatchReport, error)
	CancelBatch(ctx context.Context, owner store.Owner, id string) (runs.BatchReport, error)
}

// batchRoutes are about many secrets at once, so that a policy must allow them on
// "*". An emergency has an action of its own.
func batchRoutes() []route {
	return []route{
		{http.MethodGet, "/v1/batches", "ListBatches", http.StatusOK, (*API).listBatches},
		{http.MethodPost, "/v1/batches", "CreateBatch", http.StatusAccepted, (*API).createBatch},
		{http.MethodPost, "/v1/batches/emergency", "CreateEmergencyBatch", http.StatusAccepted, (*API).createEmergency},
		{http.MethodGet, "/v1/batches/{id}", "GetBatch", http.StatusOK, (*API).getBatch},
		{http.MethodPost, "/v1/batches/{id}/resume", "ResumeBatch", http.StatusOK, (*API).resumeBatch},
		{http.MethodPost, "/v1/batches/{id}/cancel", "CancelBatch", http.StatusOK, (*API).cancelBatch},
	}
}

type batchInput struct {
	// Match and Tag select secrets; neither: all that rotate.
	Match string   `json:"match"`
	Tag   *tagBody `json:"tag"`
}

type batchFailure struct {
	Secret string `json:"secret"`
	Run    string `json:"run,omitempty"`
	State  string `json:"state"`
	Reason string `json:"reason,omitempty"`
}

// batchCount is how many secrets are in one state.
type batchCount struct {
	State   string `json:"state"`
	Secrets int    `json:"secrets"`
}

type batchOutput struct {
	ID      string    `json:"id"`
	Match   string    `json:"match,omitempty"`
	Tag     *tagBody  `json:"tag,omitempty"`
	Trigger string    `json:"trigger"`
	State   string    `json:"state"`
	By      string    `json:"by"`
	Created time.Time `json:"created"`
	// Done is true once nothing of it is under way any more.
	Done bool `json:"done"`
	// Expanded is true once all secrets were found; Total may grow until then.
	Expanded bool           `json:"expanded"`
	Total    int            `json:"total"`
	Counts   []batchCount   `json:"counts"`
	Failures []batchFailure `json:"failures,omitempty"`
}

// batchStates is the order in which counts are shown.
func batchStates() []string {
	out := []string{string(store.ItemPending), string(store.ItemWaiting)}
	for _, s := range lockstep.RunStates() {
		out = append(out, string(s))
	}
	return append(out, string(store.ItemRefused))
}

func showBatch(r runs.BatchReport) batchOutput {
	b := r.Batch
	out := batchOutput{
		ID: b.ID, Match: b.Match, Trigger: string(b.Trigger), State: string(b.State), By: b.By, Created: b.Created.UTC(),
		Done: r.Done(), Expanded: b.Expanded, Total: r.Total(), Counts: []batchCount{},
	}
	if b.Tag.Key != "" {
		tag := tagBody(b.Tag)
		out.Tag = &tag
	}
	for _, s := range batchStates() {
		if n := r.Counts[s]; n > 0 {
			out.Counts = append(out.Counts, batchCount{s, n})
		}
	}
	for _, f := range r.Failures {
		out.Failures = append(out.Failures, batchFailure{f.Name, string(f.Run), f.State, f.Reason})
	}
	return out
}

func (a *API) createBatch(ctx context.Context, c call) (any, error) {
	return a.startBatch(ctx, c, runs.NewBatch{})
}

func (a *API) createEmergency(ctx context.Context, c call) (any, error) {
	return a.startBatch(ctx, c, runs.NewBatch{Emergency: true})
}

func (a *API) startBatch(ctx context.Context, c call, in runs.NewBatch) (any, error) {
	if err := a.may(ctx, c, nil); err != nil {
		return nil, err
	}
	var body batchInput
	if err := read(c, &body); err != nil {
		return nil, err
	}
	in.Owner, in.Match, in.By = c.caller.Owner(), body.Match, string(c.caller.ARN)
	if body.Tag != nil {
		in.Tag = lockstep.Tag(*body.Tag)
	}
	r, err := a.config.Batches.StartBatch(ctx, in)
	if err != nil {
		return nil, err
	}
	return showBatch(r), nil
}

type batchesOutput struct {
	Batches []batchOutput `json:"batches"`
}

// The page sizes of batches.
const (
	defaultBatches = 20
	maxBatches     = 100
)

func (a *API) listBatches(ctx context.Context, c call) (any, error) {
	if err := a.may(ctx, c, nil); err != nil {
		return nil, err
	}
	limit, err := numberOf(c, "limit", bounds{defaultBatches, 1, maxBatches})
	if err != nil {
		return nil, err
	}
	list, err := a.config.Batches.Batches(ctx, c.caller.Owner(), int(limit))
	if err != nil {
		return nil, err
	}
	out := batchesOutput{Batches: []batchOutput{}}
	for _, r := range list {
		out.Batches = append(out.Batches, showBatch(r))
	}
	return out, nil
}

func (a *API) getBatch(ctx context.Context, c call) (any, error) {
	return a.oneBatch(ctx, c, a.config.Batches.Batch)
}

func (a *API) resumeBatch(ctx context.Context, c call) (any, error) {
	return a.oneBatch(ctx, c, a.config.Batches.ResumeBatch)
}

func (a *API) cancelBatch(ctx context.Context, c call) (any, error) {
	return a.oneBatch(ctx, c, a.config.Batches.CancelBatch)
}

func (a *API) oneBatch(ctx context.Context, c call, do func(context.Context, store.Owner, string) (runs.BatchReport, error)) (any, error) {
	if err := a.may(ctx, c, nil); err != nil {
		return nil, err
	}
	r, err := do(ctx, c.caller.Owner(), c.id)
	if err != nil {
		return nil, err
	}
	return showBatch(r), nil
}
