// Package tracing tells an OpenTelemetry collector what the workers do: a Run
// is a trace, each Job that carried it a span in it, each Step a span in that.
//
// A Run may be begun by one node, interrupted by a crash, and ended by another
// an hour later. All of it is one trace, since the trace's id, and its first
// span's, are made from the Run's id: the Job that names the Run carries the
// trace with it, and nothing is stored for it. The first span is sent by
// whoever ends the Run, with the times from the store.
//
// Spans have the names of secrets, runs, rotators and steps, and the words of
// errors; never a value. Without an endpoint there is no Tracer, and nothing of
// this is in the way of the work.
package tracing

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/url"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"lockstep"
	"lockstep/bus"
	"lockstep/workers"
)

// Config says where traces go.
type Config struct {
	// Endpoint is the collector's OTLP address over HTTP, without "/v1/traces":
	// "http://127.0.0.1:4318". Empty: as OTEL_EXPORTER_OTLP_ENDPOINT says.
	// Headers, timeouts and certificates are OpenTelemetry's own variables.
	Endpoint string
	// Node and Version describe this process.
	Node, Version string
}

// Tracer is a workers.Observer. Its methods may be called concurrently.
type Tracer struct {
	provider *sdk.TracerProvider
	tracer   trace.Tracer
}

// New makes a Tracer. A collector that is away costs spans, nothing else.
// Errors: ErrInvalid for an endpoint that is none.
func New(ctx context.Context, c Config) (*Tracer, error) {
	var opts []otlptracehttp.Option
	if c.Endpoint != "" {
		at, err := url.Parse(c.Endpoint)
		if err != nil || at.Host == "" {
			return nil, fmt.Errorf("--otlp-endpoint %q is no URL such as http://127.0.0.1:4318: %w", c.Endpoint, lockstep.ErrInvalid)
		}
		opts = append(opts, otlptracehttp.WithEndpointURL(at.JoinPath("v1", "traces").String()))
	}
	exporter, err := otlptracehttp.New(ctx, opts...)
	if err != nil {
		return nil, fmt.Errorf("open OTLP exporter: %w: %w", err, lockstep.ErrInvalid)
	}
	return newTracer(c, sdk.WithBatcher(exporter)), nil
}

func newTracer(c Config, sink sdk.TracerProviderOption) *Tracer {
	about := resource.NewSchemaless(
		attribute.String("service.name", "lockstep"), attribute.String("service.version", c.Version),
		attribute.String("service.instance.id", c.Node),
	)
	p := sdk.NewTracerProvider(sink, sdk.WithResource(about), sdk.WithIDGenerator(ids{}), sdk.WithSampler(sdk.AlwaysSample()))
	return &Tracer{provider: p, tracer: p.Tracer("lockstep")}
}

// Close sends what is left, until ctx ends.
func (t *Tracer) Close(ctx context.Context) error {
	if err := t.provider.Shutdown(ctx); err != nil {
		return fmt.Errorf("send last spans: %w", err)
	}
	return nil
}

// JobBegins is workers.Observer's.
func (t *Tracer) JobBegins(ctx context.Context, j bus.JobMessage) (context.Context, func(error)) {
	attributes := []attribute.KeyValue{attribute.String("lockstep.secret", j.Name), attribute.String("lockstep.job", j.Kind)}
	if j.Run != "" {
		ctx = trace.ContextWithRemoteSpanContext(ctx, of(j.Run))
		attributes = append(attributes, attribute.String("lockstep.run", string(j.Run)))
	}
	ctx, span := t.tracer.Start(ctx, "job "+j.Kind, trace.WithSpanKind(trace.SpanKindConsumer), trace.WithAttributes(attributes...))
	return ctx, func(err error) { end(span, err) }
}

// StepBegins is workers.Observer's.
func (t *Tracer) StepBegins(ctx context.Context, s workers.StepBegun) (context.Context, func(error)) {
	ctx, span := t.tracer.Start(ctx, string(s.Step), trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(
		attribute.String("lockstep.secret", s.Secret), attribute.String("lockstep.run", string(s.Run)),
		attribute.String("lockstep.rotator", s.Rotator), attribute.Int("lockstep.attempt", s.Attempt),
	))
	return ctx, func(err error) {
		span.SetAttributes(attribute.String("lockstep.result", workers.Result(err)))
		end(span, err)
	}
}

// RunEnded is workers.Observer's.
func (t *Tracer) RunEnded(ctx context.Context, r *lockstep.Run, rotator string) {
	ctx = context.WithValue(ctx, runKey{}, r.ID)
	_, span := t.tracer.Start(ctx, "rotation", trace.WithNewRoot(), trace.WithTimestamp(r.Created), trace.WithAttributes(
		attribute.String("lockstep.run", string(r.ID)), attribute.String("lockstep.rotator", rotator),
		attribute.String("lockstep.state", string(r.State)), attribute.String("lockstep.trigger", string(r.Trigger)),
	))
	if r.State != lockstep.RunSucceeded {
		span.SetStatus(codes.Error, r.Reason)
	}
	span.End(trace.WithTimestamp(r.Finished))
}

// LeaseLost is workers.Observer's.
func (t *Tracer) LeaseLost(ctx context.Context, _ string) {
	trace.SpanFromContext(ctx).AddEvent("lease lost", trace.WithTimestamp(time.Now()))
}

func end(span trace.Span, err error) {
	if err != nil && !errors.Is(err, context.Canceled) {
		span.SetStatus(codes.Error, err.Error())
	}
	span.End()
}

// of is where a Run's trace begins, on whichever node.
func of(run lockstep.RunID) trace.SpanContext {
	sum := sha256.Sum256([]byte("lockstep " + string(run)))
	return trace.NewSpanContext(trace.SpanContextConfig{
		TraceID: trace.TraceID(sum[:16]), SpanID: trace.SpanID(sum[16:24]), TraceFlags: trace.FlagsSampled, Remote: true,
	})
}

type runKey struct{}

// ids draws ids at random, but for the first span of a Run.
type ids struct{}

// NewIDs is sdk.IDGenerator's.
func (g ids) NewIDs(ctx context.Context) (trace.TraceID, trace.SpanID) {
	if run, ok := ctx.Value(runKey{}).(lockstep.RunID); ok {
		at := of(run)
		return at.TraceID(), at.SpanID()
	}
	var id trace.TraceID
	_, _ = rand.Read(id[:]) // never fails
	return id, g.NewSpanID(ctx, id)
}

// NewSpanID is sdk.IDGenerator's.
func (ids) NewSpanID(context.Context, trace.TraceID) trace.SpanID {
	var id trace.SpanID
	_, _ = rand.Read(id[:]) // never fails
	return id
}
