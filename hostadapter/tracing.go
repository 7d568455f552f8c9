package hostadapter

// Tracing of the host's operations, by OpenTelemetry's API.

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/fosite-sessions/sessions/ticketstore"
)

// TelemetryConfig configures where traces and metrics are sent. Its zero value sends nothing, not even to the
// global providers of OpenTelemetry's API: only the configuration decides what leaves the server. A host that
// uses the global providers sets otel.GetTracerProvider() and otel.GetMeterProvider().
type TelemetryConfig struct {
	// TracerProvider creates spans of sign-ins, session lookups, sign-outs, users' own changes, queries,
	// removals, sweeps that find something, deliveries, swaps and backups. A backend creates child spans of
	// its own (plugin.Config.TracerProvider).
	TracerProvider trace.TracerProvider
	// MeterProvider gets the metrics whose names begin with "fosite_sessions.". Collecting some of them
	// queries the backend. No label identifies a person, a session or a client.
	MeterProvider metric.MeterProvider
	// SpanAttributes lists which of SpanSession, SpanUser and SpanClient are set on spans. None by default,
	// because they identify people.
	SpanAttributes []string
}

// Attributes of spans that identify a person, a session or a client.
const (
	SpanSession = "session.id"
	SpanUser    = "user.id"
	SpanClient  = "fosite_sessions.client.id"
)

// scope is the instrumentation scope of spans and metrics.
const scope = "github.com/fosite-sessions/sessions/hostadapter"

func (c *TelemetryConfig) check() error {
	for _, name := range c.SpanAttributes {
		if !slices.Contains([]string{SpanSession, SpanUser, SpanClient}, name) {
			return invalidf("Telemetry.SpanAttributes", "has %q: only %s, %s and %s are known", name,
				SpanSession, SpanUser, SpanClient)
		}
	}
	return nil
}

// tracing creates spans. The zero tracing creates none, without an allocation.
type tracing struct {
	tracer trace.Tracer
	named  []string
}

func newTracing(c *TelemetryConfig) tracing {
	t := tracing{named: c.SpanAttributes}
	if c.TracerProvider != nil {
		t.tracer = c.TracerProvider.Tracer(scope)
	}
	return t
}

// noSpan is returned by start if there is no tracer.
var noSpan trace.Span = noop.Span{}

// start begins a span; call end to end it.
func (t *tracing) start(ctx context.Context, name string) (context.Context, trace.Span) {
	if t.tracer == nil {
		return ctx, noSpan
	}
	return t.tracer.Start(ctx, name)
}

// startAbout is start for an operation on a session or a user; either id may be empty.
func (t *tracing) startAbout(
	ctx context.Context, name, sessionID, subjectID string,
) (context.Context, trace.Span) {
	ctx, span := t.start(ctx, name)
	t.name(span, SpanSession, sessionID)
	t.name(span, SpanUser, subjectID)
	return ctx, span
}

// startRequest is start for a request's context.
func (t *tracing) startRequest(r *http.Request, name string) (*http.Request, trace.Span) {
	if t.tracer == nil {
		return r, noSpan
	}
	ctx, span := t.tracer.Start(r.Context(), name)
	return r.WithContext(ctx), span
}

// lateSpan is a span that is created only once there is something to record, with an earlier start time.
// Calls made before that lie within it in time, but are not its children.
type lateSpan struct {
	*tracing
	name  string
	began time.Time
	span  trace.Span // nil before it begins
}

// begin returns the context of the span; the first call creates it.
func (s *lateSpan) begin(ctx context.Context) context.Context {
	if s.tracer == nil {
		return ctx
	}
	if s.span != nil {
		return trace.ContextWithSpan(ctx, s.span)
	}
	ctx, s.span = s.tracer.Start(ctx, s.name, trace.WithTimestamp(s.began))
	return ctx
}

// end ends the span, if it was created. An error creates it.
func (s *lateSpan) end(ctx context.Context, err error) {
	if err != nil {
		s.begin(ctx)
	}
	if s.span != nil {
		end(s.span, err)
	}
}

// name sets an identifying attribute, if it is configured.
func (t *tracing) name(span trace.Span, key, value string) {
	if t.tracer != nil && value != "" && slices.Contains(t.named, key) {
		span.SetAttributes(attribute.String(key, value))
	}
}

// end ends a span. The text of an error is left out, because it may identify a person. The caller's mistakes,
// such as an unknown session id, are not failures.
func end(span trace.Span, err error) {
	if err == nil {
		span.End()
		return
	}
	var wrong badRequest
	switch {
	case errors.Is(err, ticketstore.ErrNotFound), errors.Is(err, ticketstore.ErrInvalid),
		errors.As(err, &wrong):
	case IsUnavailable(err):
		span.SetStatus(codes.Error, "unavailable")
	default:
		span.SetStatus(codes.Error, "error")
	}
	span.End()
}
