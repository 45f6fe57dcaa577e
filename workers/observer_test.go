package workers_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"lockstep"
	"lockstep/bus"
	"lockstep/internal/pgtest"
	"lockstep/rotators/postgres"
	"lockstep/workers"
)

// notes is an Observer that writes down what it hears.
type notes struct {
	mu    sync.Mutex
	lines []string
	ended chan lockstep.RunState
}

func (n *notes) add(line string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.lines = append(n.lines, line)
}

// JobBegins is workers.Observer's.
func (n *notes) JobBegins(ctx context.Context, j bus.JobMessage) (context.Context, func(error)) {
	return ctx, func(err error) { n.add(j.Kind + " " + workers.Result(err)) }
}

// StepBegins is workers.Observer's.
func (n *notes) StepBegins(ctx context.Context, s workers.StepBegun) (context.Context, func(error)) {
	return ctx, func(err error) { n.add(fmt.Sprintf("%s %s %s", s.Rotator, s.Step, workers.Result(err))) }
}

// RunEnded is workers.Observer's.
func (n *notes) RunEnded(_ context.Context, r *lockstep.Run, _ string) { n.ended <- r.State }

// LeaseLost is workers.Observer's.
func (n *notes) LeaseLost(context.Context, string) { n.add("lease lost") }

func TestTheWorkIsObserved(t *testing.T) {
	t.Parallel()
	w := newWorld(t, pgtest.Shared(t))
	n := &notes{ended: make(chan lockstep.RunState, 10)}
	w.observer = n
	w.app(t, postgres.NameSingle)
	w.pool(t.Context(), t)
	w.rotate(t, "app")
	if state := <-n.ended; state != lockstep.RunSucceeded {
		t.Errorf("the run ended as %s", state)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	// The end of the job may have been heard, too, by now.
	if got := fmt.Sprint(n.lines[:min(4, len(n.lines))]); got != "[postgres create ok postgres set ok postgres test ok postgres finish ok]" {
		t.Errorf("heard %s", got)
	}
}

func TestResult(t *testing.T) {
	for want, err := range map[string]error{
		"ok": nil, "error": errors.New("ours"),
		"not-applied": &lockstep.TargetError{Outcome: lockstep.NotApplied, Err: errors.New("refused")},
		"unknown":     fmt.Errorf("set: %w", &lockstep.TargetError{Outcome: lockstep.Unknown, Err: errors.New("gone")}),
	} {
		if got := workers.Result(err); got != want {
			t.Errorf("%v is %s, want %s", err, got, want)
		}
	}
}
