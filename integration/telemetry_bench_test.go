package integration

// What traces and metrics cost a call of the plugin: off, on but not sampled, and on with an exporter that
// does nothing.

import (
	"context"
	"testing"
	"time"

	"go.opentelemetry.io/otel/sdk/metric"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/plugin"
	"github.com/fosite-sessions/sessions/plugin/badger"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// discarding is an exporter that does nothing.
type discarding struct{}

func (discarding) ExportSpans(context.Context, []sdk.ReadOnlySpan) error { return nil }
func (discarding) Shutdown(context.Context) error                        { return nil }

// The read of an access token that is not in the host's cache: what introspection costs the store.
func BenchmarkTelemetry(b *testing.B) {
	for _, c := range []struct {
		name    string
		sampler sdk.Sampler // nil: off
	}{{"off", nil}, {"unsampled", sdk.NeverSample()}, {"sampled", sdk.AlwaysSample()}} {
		b.Run(c.name, func(b *testing.B) {
			config := plugin.Config{
				Path: binary(b, "sessions-badger"), Settings: badger.Settings{Path: b.TempDir()}, Cache: -1,
			}
			var tracer trace.Tracer
			if c.sampler != nil {
				provider := sdk.NewTracerProvider(sdk.WithSampler(c.sampler), sdk.WithBatcher(discarding{}))
				defer func() { _ = provider.Shutdown(context.Background()) }()
				config.TracerProvider, tracer = provider, provider.Tracer("bench")
				config.MeterProvider = metric.NewMeterProvider(metric.WithReader(metric.NewManualReader()))
			}
			client, err := plugin.Open(b.Context(), config)
			if err != nil {
				b.Fatal(err)
			}
			defer client.Close()
			ref := grantstore.Ref{Type: grantstore.ReferenceToken, Key: ticketstore.KeyOf("token")}
			now := time.Now()
			_, err = client.Grants().Apply(b.Context(), &grantstore.Batch{
				OperationID: "op", Store: []grantstore.Grant{{
					Ref: ref, RequestID: "r", ClientID: "c", Created: now, Expires: now.Add(time.Hour),
					Data: []byte("sealed"),
				}},
			}, now)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				ctx := b.Context()
				var span trace.Span
				if tracer != nil {
					ctx, span = tracer.Start(ctx, "introspect")
				}
				if _, err := client.Grants().Get(ctx, ref, now); err != nil {
					b.Fatal(err)
				}
				if span != nil {
					span.End()
				}
			}
		})
	}
}
