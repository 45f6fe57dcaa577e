package v1

import (
	"context"
	"net/http"
	"time"

	"lockstep"
	"lockstep/keeper"
	"lockstep/runs"
	"lockstep/store"
)

// Schedules sets what keeps Runs back, and says when they come; runs.Service
// does.
type Schedules interface {
	Holds(ctx context.Context, owner store.Owner) ([]*lockstep.Hold, error)
	SetHold(ctx context.Context, h lockstep.Hold) (*lockstep.Hold, error)
	RemoveHold(ctx context.Context, owner store.Owner, name string) error
	Preview(ctx context.Context, ref keeper.Ref, n int) (runs.Preview, error)
	PreviewExpression(ctx context.Context, in lockstep.Schedule, n int) (runs.Preview, error)
	Load(ctx context.Context, owner store.Owner, days int) (runs.Load, error)
}

func scheduleRoutes() []route {
	return []route{
		{http.MethodGet, "/v1/holds", "ListHolds", http.StatusOK, (*API).listHolds},
		{http.MethodPut, "/v1/holds/{id}", "PutHold", http.StatusOK, (*API).putHold},
		{http.MethodDelete, "/v1/holds/{id}", "DeleteHold", http.StatusOK, (*API).deleteHold},
		{http.MethodPost, "/v1/previews", "PreviewSchedule", http.StatusOK, (*API).preview},
		{http.MethodGet, "/v1/load", "GetLoad", http.StatusOK, (*API).load},
	}
}

// holdInput is what PUT sets: a hold as a whole.
type holdInput struct {
	Kind string `json:"kind"`
	// Match and Tag select secrets; neither: all.
	Match string   `json:"match,omitempty"`
	Tag   *tagBody `json:"tag,omitempty"`
	// From and To bound a freeze that happens once, RFC 3339.
	From string `json:"from,omitempty"`
	To   string `json:"to,omitempty"`
	// Expression, TimeZone and For make it come back.
	Expression string `json:"expression,omitempty"`
	TimeZone   string `json:"timeZone,omitempty"`
	For        string `json:"for,omitempty"`
	Reason     string `json:"reason,omitempty"`
}

type holdOutput struct {
	Name string `json:"name"`
	holdInput
	By      string    `json:"by"`
	Created time.Time `json:"created"`
}

type holdsOutput struct {
	Holds []holdOutput `json:"holds"`
}

func showHold(h *lockstep.Hold) holdOutput {
	out := holdOutput{Name: h.Name, By: h.By, Created: h.Created.UTC(), holdInput: holdInput{
		Kind: string(h.Kind), Match: h.Match, From: timeText(h.From), To: timeText(h.To),
		Expression: h.Recurring.Expression, TimeZone: h.Recurring.TimeZone, For: durationText(h.Recurring.For), Reason: h.Reason,
	}}
	if h.Tag.Key != "" {
		tag := tagBody(h.Tag)
		out.Tag = &tag
	}
	return out
}

func timeText(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

func timeOf(field, given string) (time.Time, error) {
	if given == "" {
		return time.Time{}, nil
	}
	t, err := time.Parse(time.RFC3339, given)
	if err != nil {
		return t, invalid("The field \""+field+"\" is not a time.", "Write it as \"2026-12-20T00:00:00Z\".")
	}
	return t.UTC(), nil
}

func (a *API) listHolds(ctx context.Context, c call) (any, error) {
	if err := a.may(ctx, c, nil); err != nil {
		return nil, err
	}
	list, err := a.config.Schedules.Holds(ctx, c.caller.Owner())
	if err != nil {
		return nil, err
	}
	out := holdsOutput{Holds: []holdOutput{}}
	for _, h := range list {
		out.Holds = append(out.Holds, showHold(h))
	}
	return out, nil
}

func (a *API) putHold(ctx context.Context, c call) (any, error) {
	if err := a.may(ctx, c, nil); err != nil {
		return nil, err
	}
	var in holdInput
	if err := read(c, &in); err != nil {
		return nil, err
	}
	h, err := holdOf(in)
	if err != nil {
		return nil, err
	}
	owner := c.caller.Owner()
	h.Account, h.Region, h.Name, h.By = owner.Account, owner.Region, c.id, string(c.caller.ARN)
	set, err := a.config.Schedules.SetHold(ctx, h)
	if err != nil {
		return nil, err
	}
	return showHold(set), nil
}

func holdOf(in holdInput) (lockstep.Hold, error) {
	h := lockstep.Hold{
		Kind: lockstep.HoldKind(in.Kind), Match: in.Match, Reason: in.Reason,
		Recurring: lockstep.Recurrence{Expression: in.Expression, TimeZone: in.TimeZone},
	}
	if in.Tag != nil {
		h.Tag = lockstep.Tag(*in.Tag)
	}
	var err error
	if h.From, err = timeOf("from", in.From); err != nil {
		return h, err
	}
	if h.To, err = timeOf("to", in.To); err != nil {
		return h, err
	}
	h.Recurring.For, err = durationOf("for", in.For)
	return h, err
}

func (a *API) deleteHold(ctx context.Context, c call) (any, error) {
	if err := a.may(ctx, c, nil); err != nil {
		return nil, err
	}
	return done{}, a.config.Schedules.RemoveHold(ctx, c.caller.Owner(), c.id)
}

type previewInput struct {
	// Schedule is looked at if no secret is named.
	Schedule *scheduleBody `json:"schedule"`
	// Count is how many fires, 1 to 100; zero: 5.
	Count int64 `json:"count"`
}

type fireOutput struct {
	At    time.Time `json:"at"`
	Until time.Time `json:"until,omitzero"`
	Why   string    `json:"why"`
}

type previewOutput struct {
	TimeZone string       `json:"timeZone"`
	Fires    []fireOutput `json:"fires"`
}

// The numbers of fires that a preview shows.
const (
	defaultFires = 5
	maxFires     = 100
)

func (a *API) preview(ctx context.Context, c call) (any, error) {
	var in previewInput
	if err := read(c, &in); err != nil {
		return nil, err
	}
	if in.Count < 0 || in.Count > maxFires {
		return nil, invalid("The field \"count\" is not a number that can be used here.", "Give one from 1 to 100.")
	}
	if in.Count == 0 {
		in.Count = defaultFires
	}
	p, err := a.previewOf(ctx, c, in)
	if err != nil {
		return nil, err
	}
	out := previewOutput{TimeZone: p.Zone, Fires: []fireOutput{}}
	for _, f := range p.Fires {
		out.Fires = append(out.Fires, fireOutput{f.At.UTC(), f.Until.UTC(), f.Why})
	}
	return out, nil
}

func (a *API) previewOf(ctx context.Context, c call, in previewInput) (runs.Preview, error) {
	if in.Schedule == nil {
		ref, err := a.ref(ctx, c)
		if err != nil {
			return runs.Preview{}, err
		}
		return a.config.Schedules.Preview(ctx, ref, int(in.Count))
	}
	if err := a.may(ctx, c, nil); err != nil {
		return runs.Preview{}, err
	}
	s, err := in.Schedule.schedule()
	if err != nil {
		return runs.Preview{}, err
	}
	return a.config.Schedules.PreviewExpression(ctx, s, int(in.Count))
}

type loadOutput struct {
	From    time.Time `json:"from"`
	Hours   []int     `json:"hours"`
	Secrets int       `json:"secrets"`
}

func (a *API) load(ctx context.Context, c call) (any, error) {
	if err := a.may(ctx, c, nil); err != nil {
		return nil, err
	}
	days, err := numberOf(c, "days", bounds{7, 1, runs.MaxLoadDays})
	if err != nil {
		return nil, err
	}
	l, err := a.config.Schedules.Load(ctx, c.caller.Owner(), int(days))
	if err != nil {
		return nil, err
	}
	return loadOutput{l.From.UTC(), l.Hours, l.Secrets}, nil
}
