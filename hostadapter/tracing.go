package hostadapter

// Spans of what the host does, by OpenTelemetry's API.

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

// TelemetryConfig says where traces and metrics go. Its zero value means nowhere: not to the global providers
// of OpenTelemetry's API, for what leaves the server is said by its configuration alone. A host that has set
// these gives otel.GetTracerProvider() and otel.GetMeterProvider().
type TelemetryConfig struct {
	// TracerProvider makes spans of sign-ins, look-ups of a request's session, sign-outs, what users end and
	// allow, queries, removals, sweeps that find something, deliveries, swaps and backups. A backend makes
	// its own below them (plugin.Config.TracerProvider).
	TracerProvider trace.TracerProvider
	// MeterProvider gets the metrics whose names begin with "fosite_sessions.". Some of them ask the backend
	// each time they are read. No label names a person, a session or a client.
	MeterProvider metric.MeterProvider
	// SpanAttributes are those of SpanSession, SpanUser and SpanClient that spans have. None by default: they
	// name people.
	SpanAttributes []string
}

// The attributes of spans that name somebody.
const (
	SpanSession = "session.id"
	SpanUser    = "user.id"
	SpanClient  = "fosite_sessions.client.id"
)

// scope names what makes the spans and measurements.
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

// tracing makes spans. The zero tracing makes none, without an allocation.
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

// noSpan is what start returns without a tracer.
var noSpan trace.Span = noop.Span{}

// start begins a span, which end must end.
func (t *tracing) start(ctx context.Context, name string) (context.Context, trace.Span) {
	if t.tracer == nil {
		return ctx, noSpan
	}
	return t.tracer.Start(ctx, name)
}

// startAbout is start for what concerns a session or a user, either of which may be empty.
func (t *tracing) startAbout(
	ctx context.Context, name, sessionID, subjectID string,
) (context.Context, trace.Span) {
	ctx, span := t.start(ctx, name)
	t.name(span, SpanSession, sessionID)
	t.name(span, SpanUser, subjectID)
	return ctx, span
}

// startRequest is start for what is given a request.
func (t *tracing) startRequest(r *http.Request, name string) (*http.Request, trace.Span) {
	if t.tracer == nil {
		return r, noSpan
	}
	ctx, span := t.tracer.Start(r.Context(), name)
	return r.WithContext(ctx), span
}

// lateSpan is a span that is made when there is something to tell, from an earlier moment on. Calls that were
// made before lie within it in time, and not below it.
type lateSpan struct {
	*tracing
	name  string
	began time.Time
	span  trace.Span // nil before it begins
}

// begin returns the context of the span, which the first call begins.
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

// end ends the span where there is one. An error is something to tell.
func (s *lateSpan) end(ctx context.Context, err error) {
	if err != nil {
		s.begin(ctx)
	}
	if s.span != nil {
		end(s.span, err)
	}
}

// name says whose a span is, where that is wanted.
func (t *tracing) name(span trace.Span, key, value string) {
	if t.tracer != nil && value != "" && slices.Contains(t.named, key) {
		span.SetAttributes(attribute.String(key, value))
	}
}

// end ends a span. The text of an error may name somebody: it stays out. What the caller got wrong, such as
// the id of a session that there is not, is no failure.
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
