package main

// Traces and metrics: OpenTelemetry's SDK, exporters, and the spans of requests.

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/gorilla/mux"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	exporter "go.opentelemetry.io/otel/exporters/prometheus"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	otlp "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/fosite-sessions/sessions/hostadapter"
)

// pathMetrics is the path of the Prometheus metrics.
const pathMetrics = "/metrics"

// telemetry holds the SDK's objects. The zero value disables telemetry.
type telemetry struct {
	tracer  *sdktrace.TracerProvider // nil without -traces
	meter   *sdkmetric.MeterProvider
	metrics http.Handler
}

// newTelemetry sets up the SDK. traces is a file or a URL, or "".
func newTelemetry(ctx context.Context, traces string) (*telemetry, error) {
	registry := prometheus.NewRegistry()
	reader, err := exporter.New(exporter.WithRegisterer(registry), exporter.WithoutScopeInfo())
	if err != nil {
		return nil, err
	}
	described := resource.NewSchemaless(attribute.String("service.name", "fosite-server"))
	t := &telemetry{
		meter:   sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader), sdkmetric.WithResource(described)),
		metrics: promhttp.HandlerFor(registry, promhttp.HandlerOpts{}),
	}
	if traces == "" {
		return t, nil
	}
	var client otlptrace.Client = &jsonFile{path: traces}
	if scheme, _, isURL := strings.Cut(traces, "://"); isURL {
		if scheme != "http" && scheme != "https" { // the exporter would use http instead
			return nil, fmt.Errorf("-traces: %q is no scheme of a collector: use http or https", scheme)
		}
		client = otlptracehttp.NewClient(otlptracehttp.WithEndpointURL(traces))
	}
	sender, err := otlptrace.New(ctx, client)
	if err != nil {
		return nil, fmt.Errorf("-traces: %w", err)
	}
	t.tracer = sdktrace.NewTracerProvider(sdktrace.WithBatcher(sender), sdktrace.WithResource(described))
	return t, nil
}

// host returns the adapter's telemetry configuration.
func (t *telemetry) host() hostadapter.TelemetryConfig {
	config := hostadapter.TelemetryConfig{MeterProvider: t.meter}
	if t.tracer != nil {
		config.TracerProvider = t.tracer
	}
	return config
}

// plugins returns the tracer provider for plugin calls, or nil without -traces.
func (t *telemetry) plugins() trace.TracerProvider {
	if t.tracer == nil {
		return nil
	}
	return t.tracer
}

// handler creates a span for each request if tracing is enabled, with the route that served it.
func (t *telemetry) handler(router *mux.Router) http.Handler {
	if t.tracer == nil {
		return router
	}
	router.Use(func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if template, err := mux.CurrentRoute(r).GetPathTemplate(); err == nil {
				span := trace.SpanFromContext(r.Context())
				span.SetName(r.Method + " " + template)
				span.SetAttributes(attribute.String("http.route", template))
			}
			next.ServeHTTP(w, r)
		})
	})
	return otelhttp.NewHandler(router, "HTTP", otelhttp.WithTracerProvider(t.tracer),
		otelhttp.WithMeterProvider(t.meter),
		otelhttp.WithPublicEndpointFn(func(*http.Request) bool { return true }))
}

// close exports what remains.
func (t *telemetry) close(ctx context.Context) error {
	if t.tracer == nil {
		return t.meter.Shutdown(ctx)
	}
	return errors.Join(t.tracer.Shutdown(ctx), t.meter.Shutdown(ctx))
}

// mountMetrics serves the metrics behind the admin token, or on a separate address.
func (s *running) mountMetrics(ctx context.Context, router *mux.Router) error {
	if s.options.metricsAddr == "" {
		router.Handle(pathMetrics, s.provider.requireReader(s.telemetry.metrics)).Methods(http.MethodGet)
		return nil
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", s.options.metricsAddr)
	if err != nil {
		return fmt.Errorf("-metrics-addr: %w", err)
	}
	alone := http.NewServeMux()
	alone.Handle("GET "+pathMetrics, s.telemetry.metrics)
	server := newHTTPServer(alone)
	s.metricsAddress = listener.Addr()
	s.closeLast = append(s.closeLast, server.Close)
	go serve(context.WithoutCancel(ctx), server, listener, s.provider.logger)
	return nil
}

// requireReader admits requests with the admin token as bearer. Cookies do not count: only the store knows
// whether one is good, and metrics are needed most while it is down. Wrong tokens are limited by address, by
// this server alone.
func (p *provider) requireReader(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		o, header := p.operators, r.Header.Get("Authorization")
		key := limit{operatorTries, "metrics", "", addressPrefix(p.sessions.RemoteAddr(r))}.key()
		if header != "" {
			if _, wait := o.limiter.take(operatorTries, key, o.now()); wait > 0 {
				w.Header().Set("Retry-After", strconv.Itoa(int(wait/time.Second)+1))
				http.Error(w, "too many requests with a wrong token", http.StatusTooManyRequests)
				return
			}
		}
		if !o.isBearer(header) {
			if header != "" {
				p.limitedLogger(r).WarnContext(r.Context(), "metrics refused: the admin token is wrong")
			}
			w.Header().Set("WWW-Authenticate", "Bearer")
			http.Error(w, "the admin token is missing or wrong", http.StatusUnauthorized)
			return
		}
		o.limiter.giveBack(operatorTries, key)
		next.ServeHTTP(w, r)
	})
}

// jsonFile appends traces to a file, one OTLP request as JSON per line, as collectors read them.
type jsonFile struct {
	path string
	file *os.File
}

// Start implements otlptrace.Client.
func (j *jsonFile) Start(context.Context) (err error) {
	j.file, err = os.OpenFile(j.path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	return err
}

// Stop implements otlptrace.Client.
func (j *jsonFile) Stop(context.Context) error { return j.file.Close() }

// UploadTraces implements otlptrace.Client. The SDK makes one call at a time.
func (j *jsonFile) UploadTraces(_ context.Context, spans []*otlp.ResourceSpans) error {
	encoded, err := proto.Marshal(&collector.ExportTraceServiceRequest{ResourceSpans: spans})
	if err != nil {
		return err
	}
	// protojson would encode ids in base64; OTLP requires hex.
	read, err := new(ptrace.ProtoUnmarshaler).UnmarshalTraces(encoded)
	if err != nil {
		return err
	}
	line, err := new(ptrace.JSONMarshaler).MarshalTraces(read)
	if err != nil {
		return err
	}
	_, err = j.file.Write(append(line, '\n'))
	return err
}
