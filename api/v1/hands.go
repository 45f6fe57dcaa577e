package v1

import (
	"context"
	"net/http"
	"strings"
	"time"

	"lockstep"
	"lockstep/keeper"
	"lockstep/runs"
)

// Hands are what a person may do to Runs and old credentials; runs.Service does
// it.
type Hands interface {
	Retry(ctx context.Context, h runs.Hand, id lockstep.RunID) (runs.History, error)
	Discard(ctx context.Context, h runs.Hand, id lockstep.RunID) (runs.History, error)
	Cancel(ctx context.Context, h runs.Hand, id lockstep.RunID) (runs.History, error)
	ReleaseRetirement(ctx context.Context, ref keeper.Ref, in runs.Release) (runs.Released, error)
}

// DeadLetters lists the Jobs that nobody could carry out; bus.Bus does.
type DeadLetters interface {
	DeadJobs(ctx context.Context, before uint64, limit int) ([]lockstep.DeadJob, error)
}

// handRoutes are those by which people intervene. Each has an action of its own,
// so that a policy can let one person retry and another override.
func handRoutes() []route {
	return []route{
		{http.MethodPost, "/v1/runs/{id}/retry", "RetryRun", http.StatusOK, (*API).retryRun},
		{http.MethodPost, "/v1/runs/{id}/discard", "DiscardRun", http.StatusOK, (*API).discardRun},
		{http.MethodPost, "/v1/runs/{id}/cancel", "CancelRun", http.StatusOK, (*API).cancelRun},
		{http.MethodPost, "/v1/retirements", "ReleaseRetirement", http.StatusOK, (*API).releaseRetirement},
		{http.MethodPost, "/v1/retirements/override", "OverrideRetirement", http.StatusOK, (*API).overrideRetirement},
		{http.MethodGet, "/v1/dead-jobs", "ListDeadJobs", http.StatusOK, (*API).listDead},
	}
}

func (a *API) retryRun(ctx context.Context, c call) (any, error) {
	return a.byHand(ctx, c, a.config.Hands.Retry)
}

func (a *API) discardRun(ctx context.Context, c call) (any, error) {
	return a.byHand(ctx, c, a.config.Hands.Discard)
}

func (a *API) cancelRun(ctx context.Context, c call) (any, error) {
	return a.byHand(ctx, c, a.config.Hands.Cancel)
}

func (a *API) byHand(ctx context.Context, c call, do func(context.Context, runs.Hand, lockstep.RunID) (runs.History, error)) (any, error) {
	h, err := do(ctx, runs.Hand{
		Owner: c.caller.Owner(), By: string(c.caller.ARN), Allow: func(s *lockstep.Secret) error { return a.may(ctx, c, s) },
	}, lockstep.RunID(c.id))
	if err != nil {
		return nil, err
	}
	return showRun(h), nil
}

// retirementInput names what to let go; an empty versionId means all that waits.
type retirementInput struct {
	VersionID string `json:"versionId"`
}

type releasedOutput struct {
	Secret   secretName `json:"secret"`
	Versions []string   `json:"versionIds"`
}

func (a *API) releaseRetirement(ctx context.Context, c call) (any, error) {
	return a.release(ctx, c, runs.Release{})
}

func (a *API) overrideRetirement(ctx context.Context, c call) (any, error) {
	return a.release(ctx, c, runs.Release{Override: true})
}

func (a *API) release(ctx context.Context, c call, in runs.Release) (any, error) {
	ref, err := a.ref(ctx, c)
	if err != nil {
		return nil, err
	}
	var body retirementInput
	if err := read(c, &body); err != nil {
		return nil, err
	}
	in.Version, in.By = lockstep.VersionID(body.VersionID), string(c.caller.ARN)
	done, err := a.config.Hands.ReleaseRetirement(ctx, ref, in)
	if err != nil {
		return nil, err
	}
	out := releasedOutput{Secret: nameOf(done.Secret), Versions: []string{}}
	for _, v := range done.Versions {
		out.Versions = append(out.Versions, string(v))
	}
	return out, nil
}

type deadJob struct {
	Number  int64     `json:"number"`
	Time    time.Time `json:"time"`
	Subject string    `json:"subject"`
	Reason  string    `json:"reason"`
	Bytes   int       `json:"bytes"`
}

type deadOutput struct {
	Jobs []deadJob `json:"jobs"`
}

// The page sizes of dead Jobs.
const (
	defaultDead = 50
	maxDead     = 200
)

func (a *API) listDead(ctx context.Context, c call) (any, error) {
	if err := a.may(ctx, c, nil); err != nil {
		return nil, err
	}
	limit, err := numberOf(c, "limit", bounds{defaultDead, 1, maxDead})
	if err != nil {
		return nil, err
	}
	before, err := numberOf(c, "before", bounds{0, 0, 1 << 62})
	if err != nil {
		return nil, err
	}
	found, err := a.config.Dead.DeadJobs(ctx, uint64(before), int(limit)) // #nosec G115 -- it was checked to be positive
	if err != nil {
		return nil, err
	}
	out := deadOutput{Jobs: []deadJob{}}
	for _, d := range found {
		if !isAnothers(d.Subject, c.caller.Account) {
			out.Jobs = append(out.Jobs, deadJob{int64(d.Seq), d.At, d.Subject, d.Reason, d.Bytes}) // #nosec G115 -- a count
		}
	}
	return out, nil
}

// isAnothers tells whether a Job's subject names another account.
func isAnothers(subject string, own lockstep.AccountID) bool {
	rest, ours := strings.CutPrefix(subject, lockstep.JobSubjectPrefix+".")
	if !ours {
		return false
	}
	account, _, _ := strings.Cut(rest, ".")
	return account != string(own)
}
