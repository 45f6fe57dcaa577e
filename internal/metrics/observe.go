package metrics

import (
	"context"
	"time"

	"lockstep"
	"lockstep/bus"
	"lockstep/workers"
)

// JobBegins is workers.Observer's.
func (s *Set) JobBegins(ctx context.Context, _ bus.JobMessage) (context.Context, func(error)) {
	s.working.Inc()
	return ctx, func(error) { s.working.Dec() }
}

// StepBegins is workers.Observer's.
func (s *Set) StepBegins(ctx context.Context, w workers.StepBegun) (context.Context, func(error)) {
	begin := time.Now()
	return ctx, func(err error) {
		s.steps.WithLabelValues(w.Rotator, string(w.Step), workers.Result(err)).Observe(time.Since(begin).Seconds())
	}
}

// RunEnded is workers.Observer's.
func (s *Set) RunEnded(_ context.Context, r *lockstep.Run, rotator string) {
	s.runs.WithLabelValues(string(r.State), rotator).Inc()
	s.runTime.WithLabelValues(string(r.State), rotator).Observe(r.Finished.Sub(r.Created).Seconds())
	if !r.Started.IsZero() {
		s.startDelay.Observe(r.Started.Sub(r.Created).Seconds())
	}
}

// LeaseLost is workers.Observer's.
func (s *Set) LeaseLost(_ context.Context, rotator string) {
	s.leasesLost.WithLabelValues(rotator).Inc()
}

// Admitted is runs.Observer's.
func (s *Set) Admitted(late time.Duration) { s.lateness.Observe(max(late, 0).Seconds()) }

// Published is events.Observer's. Clocks may differ a little, so a delay below
// zero counts as none.
func (s *Set) Published(e lockstep.Event, at time.Time) {
	s.events.WithLabelValues(string(e.Type)).Inc()
	s.eventDelay.Observe(max(at.Sub(e.Time), 0).Seconds())
}

// Answered is api.Observer's.
func (s *Set) Answered(action, code string, took time.Duration) {
	action = s.action(action)
	if action == "other" {
		code = ""
	}
	s.requests.WithLabelValues(action, code).Inc()
	s.requestTime.WithLabelValues(action).Observe(took.Seconds())
}
