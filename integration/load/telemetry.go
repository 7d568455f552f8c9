package main

// Servers with traces and metrics, as operators have them.

import (
	"context"
	"fmt"
	"net/http"

	"go.opentelemetry.io/otel/sdk/metric"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/fosite-sessions/sessions/hostadapter"
)

// The ways in which a server may be traced. What a span of each request costs, as of otelhttp, and those that
// fosite has below it, is the server's own affair: the library's cost is what the same sampler costs with it
// and without.
const (
	telemetryOff           = "off"            // nothing is traced or measured
	telemetryRatioRequests = "ratio-requests" // one trace in a hundred, of the requests alone
	telemetryRatio         = "ratio"          // the same, what the library does with it; metrics
	telemetryRequests      = "requests"       // every trace, of the requests alone
	telemetryAlways        = "always"         // the same, what the library does with it; metrics
)

var telemetries = []string{
	telemetryOff, telemetryRatioRequests, telemetryRatio, telemetryRequests, telemetryAlways,
}

// ratio is the part of the traces that operators of busy servers keep.
const ratio = 0.01

// telemetry is what a server has of OpenTelemetry's SDK.
type telemetry struct {
	tracer  trace.Tracer // of requests; nil for none
	library hostadapter.TelemetryConfig
}

// discarding is an exporter that does nothing.
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

// traced has a span of each request.
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
