package main

// Servers with traces and metrics, as in production.

import (
	"context"
	"fmt"
	"net/http"

	"go.opentelemetry.io/otel/sdk/metric"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/fosite-sessions/sessions/hostadapter"
)

// The telemetry configurations. The cost of a span per request, as by otelhttp, and of fosite's own spans is
// the server's: the library's cost is the difference between the same sampler with and without the library.
const (
	telemetryOff           = "off"            // nothing is traced or measured
	telemetryRatioRequests = "ratio-requests" // 1 % of the traces, requests only
	telemetryRatio         = "ratio"          // the same with the library's spans; metrics
	telemetryRequests      = "requests"       // every trace, requests only
	telemetryAlways        = "always"         // the same with the library's spans; metrics
)

var telemetries = []string{
	telemetryOff, telemetryRatioRequests, telemetryRatio, telemetryRequests, telemetryAlways,
}

// ratio is the sampling ratio of a busy server.
const ratio = 0.01

// telemetry holds the objects of OpenTelemetry's SDK.
type telemetry struct {
	tracer  trace.Tracer // of requests; nil for none
	library hostadapter.TelemetryConfig
}

// discarding is an exporter that discards everything.
type discarding struct{}

var _ sdk.SpanExporter = discarding{}

func (discarding) ExportSpans(context.Context, []sdk.ReadOnlySpan) error { return nil }
func (discarding) Shutdown(context.Context) error                        { return nil }

func newTelemetry(name string) (*telemetry, error) {
	sampler := sdk.ParentBased(sdk.AlwaysSample())
	switch name {
	case "", telemetryOff:
		return &telemetry{}, nil
	case telemetryRequests, telemetryAlways:
	case telemetryRatio, telemetryRatioRequests:
		sampler = sdk.ParentBased(sdk.TraceIDRatioBased(ratio))
	default:
		return nil, fmt.Errorf("there is no telemetry %q", name)
	}
	provider := sdk.NewTracerProvider(sdk.WithSampler(sampler), sdk.WithBatcher(discarding{}))
	t := &telemetry{tracer: provider.Tracer("load")}
	if name == telemetryRatio || name == telemetryAlways {
		t.library = hostadapter.TelemetryConfig{
			TracerProvider: provider,
			MeterProvider:  metric.NewMeterProvider(metric.WithReader(metric.NewManualReader())),
		}
	}
	return t, nil
}

// traced creates a span for each request.
func (t *telemetry) traced(next http.Handler) http.Handler {
	if t.tracer == nil {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, span := t.tracer.Start(r.Context(), r.Method+" "+r.URL.Path,
			trace.WithSpanKind(trace.SpanKindServer))
		defer span.End()
		next.ServeHTTP(w, r.WithContext(ctx))
	})
}
