package workers_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"lockstep"
	"lockstep/internal/pgtest"
	"lockstep/rotators/postgres"
	"lockstep/workers"
)

// recorder is an audit log in memory.
type recorder struct {
	mu      sync.Mutex
	steps   []workers.StepRecord
	waited  int
	away    error
	refused chan struct{} // receives when Ready refuses
}

func newRecorder() *recorder { return &recorder{refused: make(chan struct{}, 1)} }

func (r *recorder) Ready() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.away != nil {
		select {
		case r.refused <- struct{}{}:
		default:
		}
	}
	return r.away
}

func (r *recorder) set(away error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.away = away
}

func (r *recorder) RecordStep(s workers.StepRecord) (func(context.Context) error, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.steps = append(r.steps, s)
	return func(context.Context) error {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.waited = len(r.steps)
		return nil
	}, nil
}

func (r *recorder) list() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []string
	for _, s := range r.steps {
		out = append(out, fmt.Sprint(s.Step, " ", s.Code))
	}
	return out
}

func TestStepsAreRecorded(t *testing.T) {
	t.Parallel()
	w := newWorld(t, pgtest.Shared(t))
	s := w.app(t, postgres.NameSingle)
	w.hooks.onceBefore("set", func(context.Context) error {
		return &lockstep.TargetError{Outcome: lockstep.NotApplied, Fault: lockstep.FaultRefusedValue, Err: errors.New("too weak")}
	})
	pool := w.pool(t.Context(), t)
	out := w.rotate(t, "app")
	w.succeeded(t, out.Run)
	pool.Stop()
	want := []string{"create ", "set ValueRefused", "set ", "test ", "finish "}
	if got := w.audit.list(); !slices.Equal(got, want) {
		t.Errorf("recorded %q, want %q", got, want)
	}
	if w.audit.waited != len(want) {
		t.Errorf("the job was done when %d of %d records were durable", w.audit.waited, len(want))
	}
	for _, step := range w.audit.steps {
		if step.Run != out.Run || step.Version != out.Version || step.Secret.ARN != s.ARN || step.Trigger != lockstep.TriggerManual {
			t.Errorf("record %+v", step)
		}
	}
}

// TestNoWorkWithoutAnAuditLog: a Job waits until it can be recorded.
func TestNoWorkWithoutAnAuditLog(t *testing.T) {
	t.Parallel()
	w := newWorld(t, pgtest.Shared(t))
	w.app(t, postgres.NameSingle)
	w.audit.set(fmt.Errorf("disk full: %w", lockstep.ErrBusy))
	w.pool(t.Context(), t)
	out := w.rotate(t, "app")
	select {
	case <-w.audit.refused:
	case <-t.Context().Done():
	}
	if n := w.hooks.count("create"); n != 0 || len(w.audit.list()) != 0 {
		t.Errorf("%d calls to the target, records %q", n, w.audit.list())
	}
	w.audit.set(nil)
	w.succeeded(t, out.Run)
}
