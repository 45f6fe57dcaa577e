package tracing

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"lockstep"
	"lockstep/bus"
	"lockstep/workers"
)

// step is one Step under a Tracer.
func step(t *testing.T, tr *Tracer, name lockstep.Step, err error) {
	t.Helper()
	ctx, jobEnds := tr.JobBegins(t.Context(), bus.JobMessage{Kind: "run", Name: "app/db", Run: "run-1"})
	_, stepEnds := tr.StepBegins(ctx, workers.StepBegun{Secret: "app/db", Run: "run-1", Rotator: "postgres", Step: name, Attempt: 1})
	stepEnds(err)
	jobEnds(err)
}

// TestARunIsOneTraceOverNodes: two nodes carry it, and a third one ends it.
func TestARunIsOneTraceOverNodes(t *testing.T) {
	got := tracetest.NewInMemoryExporter()
	node := func(name string) *Tracer { return newTracer(Config{Node: name}, sdk.WithSyncer(got)) }
	step(t, node("a"), lockstep.StepCreate, nil)
	step(t, node("b"), lockstep.StepSet, &lockstep.TargetError{Outcome: lockstep.Unknown, Err: errors.New("gone")})
	begin := time.Now().Add(-time.Minute)
	last := node("c")
	last.RunEnded(t.Context(), &lockstep.Run{ID: "run-1", State: lockstep.RunSucceeded, Created: begin, Finished: begin.Add(time.Second)}, "postgres")
	last.RunEnded(t.Context(), &lockstep.Run{ID: "run-2", State: lockstep.RunFailed, Created: begin, Finished: begin.Add(time.Second)}, "postgres")

	spans := make(map[string]tracetest.SpanStub)
	for _, s := range got.GetSpans() {
		if s.SpanContext.TraceID() == of("run-1").TraceID() {
			spans[s.Name] = s
		} else if s.SpanContext.TraceID() != of("run-2").TraceID() || s.Status.Code != codes.Error {
			t.Errorf("a span outside of the run's trace: %+v", s)
		}
	}
	root := spans["rotation"]
	if root.SpanContext.SpanID() != of("run-1").SpanID() || root.Parent.IsValid() || !root.StartTime.Equal(begin) || root.EndTime.Sub(begin) != time.Second {
		t.Errorf("the first span: %+v", root)
	}
	if job := spans["job run"]; job.Parent.SpanID() != root.SpanContext.SpanID() {
		t.Errorf("a job is not in its run: %+v", job)
	}
	if s := spans["create"]; s.Status.Code != codes.Unset || !has(s, "lockstep.result", "ok") {
		t.Errorf("create: %+v", s)
	}
	if s := spans["set"]; s.Status.Code != codes.Error || !has(s, "lockstep.result", "unknown") || !has(s, "lockstep.secret", "app/db") {
		t.Errorf("set: %+v", s)
	}
}

func has(s tracetest.SpanStub, key, value string) bool {
	for _, a := range s.Attributes {
		if a == attribute.String(key, value) {
			return true
		}
	}
	return false
}

// TestSpansReachACollector: over OTLP, also those of the last moment.
func TestSpansReachACollector(t *testing.T) {
	var mu sync.Mutex
	var body []byte
	collector := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		if err != nil || r.URL.Path != "/v1/traces" {
			t.Errorf("%s: %v", r.URL.Path, err)
		}
		mu.Lock()
		defer mu.Unlock()
		body = append(body, b...)
	}))
	defer collector.Close()
	tr, err := New(t.Context(), Config{Endpoint: collector.URL, Node: "node-a"})
	if err != nil {
		t.Fatal(err)
	}
	step(t, tr, lockstep.StepTest, nil)
	if err := tr.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	defer mu.Unlock()
	if _, err := New(t.Context(), Config{Endpoint: "collector"}); !errors.Is(err, lockstep.ErrInvalid) {
		t.Errorf("an endpoint that is none: %v", err)
	}
	for _, want := range []string{"node-a", "job run", "test", "postgres"} {
		if !bytes.Contains(body, []byte(want)) {
			t.Errorf("the collector did not get %q", want)
		}
	}
}
