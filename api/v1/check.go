package v1

import (
	"context"
	"math"
	"net/http"
	"time"

	"lockstep"
	"lockstep/store"
)

// Inspections looks at the targets of secrets; runs.Service does.
type Inspections interface {
	Inspect(ctx context.Context, owner store.Owner, by string) (*store.Inspection, error)
	Inspection(ctx context.Context, owner store.Owner, id string) (*store.Inspection, error)
	Findings(ctx context.Context, owner store.Owner, id string, after lockstep.SecretID, limit int) ([]store.Look, error)
}

func checkRoutes() []route {
	return []route{
		{http.MethodGet, "/v1/check", "Check", http.StatusOK, (*API).check},
		{http.MethodPost, "/v1/inspections", "CreateInspection", http.StatusAccepted, (*API).createInspection},
		{http.MethodGet, "/v1/inspections/{id}", "GetInspection", http.StatusOK, (*API).getInspection},
		{http.MethodGet, "/v1/inspections/{id}/findings", "ListFindings", http.StatusOK, (*API).listFindings},
	}
}

type checkOutput struct {
	// OK is about this page alone.
	OK         bool              `json:"ok"`
	Violations []store.Violation `json:"violations"`
	// Next goes into "after" for the next page; absent on the last.
	Next lockstep.SecretID `json:"next,omitempty"`
}

// afterOf is where a page begins.
func afterOf(c call) (lockstep.SecretID, error) {
	n, err := numberOf(c, "after", bounds{0, 0, math.MaxInt64})
	return lockstep.SecretID(n), err
}

func (a *API) check(ctx context.Context, c call) (any, error) {
	if err := a.may(ctx, c, nil); err != nil {
		return nil, err
	}
	after, err := afterOf(c)
	if err != nil {
		return nil, err
	}
	page, err := a.config.History.Check(ctx, after)
	if err != nil {
		return nil, err
	}
	if page.Violations == nil {
		page.Violations = []store.Violation{}
	}
	return checkOutput{len(page.Violations) == 0, page.Violations, page.Next}, nil
}

type inspectionOutput struct {
	ID      string    `json:"id"`
	By      string    `json:"by"`
	Created time.Time `json:"created"`
	// Done is true once every secret was looked at.
	Done bool `json:"done"`
	// Expanded is true once all secrets were found; Total may grow until then.
	Expanded bool `json:"expanded"`
	Total    int  `json:"total"`
	Answered int  `json:"answered"`
	Excused  int  `json:"excused"`
	Broken   int  `json:"broken"`
	Unseen   int  `json:"unseen"`
}

func showInspection(i *store.Inspection) inspectionOutput {
	return inspectionOutput{
		ID: i.ID, By: i.By, Created: i.Created.UTC(), Done: !i.Active, Expanded: i.Expanded, Total: i.Total,
		Answered: i.Answered, Excused: i.Excused, Broken: i.Broken, Unseen: i.Unseen,
	}
}

func (a *API) createInspection(ctx context.Context, c call) (any, error) {
	if err := a.may(ctx, c, nil); err != nil {
		return nil, err
	}
	i, err := a.config.Inspections.Inspect(ctx, c.caller.Owner(), string(c.caller.ARN))
	if err != nil {
		return nil, err
	}
	return showInspection(i), nil
}

func (a *API) getInspection(ctx context.Context, c call) (any, error) {
	if err := a.may(ctx, c, nil); err != nil {
		return nil, err
	}
	i, err := a.config.Inspections.Inspection(ctx, c.caller.Owner(), c.id)
	if err != nil {
		return nil, err
	}
	return showInspection(i), nil
}

// findingsPage is how many secrets one page of findings has.
const findingsPage = 200

func (a *API) listFindings(ctx context.Context, c call) (any, error) {
	if err := a.may(ctx, c, nil); err != nil {
		return nil, err
	}
	after, err := afterOf(c)
	if err != nil {
		return nil, err
	}
	looks, err := a.config.Inspections.Findings(ctx, c.caller.Owner(), c.id, after, findingsPage)
	if err != nil {
		return nil, err
	}
	return showFindings(looks), nil
}

func showFindings(looks []store.Look) checkOutput {
	out := checkOutput{Violations: []store.Violation{}, OK: len(looks) == 0}
	for _, l := range looks {
		for _, v := range l.Found {
			if v.ARN == "" {
				v.ARN = l.ARN
			}
			out.Violations = append(out.Violations, v)
		}
	}
	if len(looks) == findingsPage {
		out.Next = looks[len(looks)-1].Secret
	}
	return out
}
