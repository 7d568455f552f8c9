package integration

// Spans and metrics of a plugin's process, with OpenTelemetry's SDK.

import (
	"bytes"
	"fmt"
	"slices"
	"testing"
	"time"

	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// ancestors returns the names from the root of a trace to a span.
func ancestors(spans tracetest.SpanStubs, span *tracetest.SpanStub) (names []string) {
	for ; span != nil; span = spanOf(spans, span.Parent.SpanID()) {
		names = append([]string{span.Name}, names...)
	}
	return names
}

func spanOf(spans tracetest.SpanStubs, id trace.SpanID) *tracetest.SpanStub {
	for i := range spans {
		if spans[i].SpanContext.SpanID() == id {
			return &spans[i]
		}
	}
	return nil
}

// One trace links the host's span, the call and the engine's spans in the plugin's process, whether the call
// is sent over the stream or, if it is large, as a call of its own.
func TestTraceLeadsToTheEngine(t *testing.T) {
	t.Parallel()
	now := time.Now()
	batch := func(size int) *grantstore.Batch {
		return &grantstore.Batch{OperationID: "op" + time.Duration(size).String(), Store: []grantstore.Grant{{
			Ref: grantstore.Ref{
				Type: grantstore.ReferenceToken, Key: ticketstore.KeyOf(time.Duration(size).String()),
			},
			RequestID: "r", ClientID: "c", Created: now, Expires: now.Add(time.Hour),
			Data: bytes.Repeat([]byte{7}, size),
		}}}
	}
	for way, size := range map[string]int{"stream": 100, "unary": 100 << 10} {
		t.Run(way, func(t *testing.T) {
			t.Parallel()
			kept := tracetest.NewInMemoryExporter()
			provider := sdk.NewTracerProvider(sdk.WithSyncer(kept))
			config := badgerConfig(t)
			config.TracerProvider = provider
			client := openPlugin(t, config)
			ctx, root := provider.Tracer("test").Start(t.Context(), "root")
			if _, err := client.Grants().Apply(ctx, batch(size), now); err != nil {
				t.Fatal(err)
			}
			root.End()
			spans := kept.GetSpans()
			const call = "sessions.plugin.v1.GrantsService/ApplyBatch"
			for _, engine := range []string{"commit wait", "commit apply", "commit sync"} {
				at := slices.IndexFunc(spans, func(s tracetest.SpanStub) bool { return s.Name == engine })
				if at < 0 {
					t.Errorf("no span %q among %d spans", engine, len(spans))
					continue
				}
				if got, want := ancestors(spans, &spans[at]),
					[]string{"root", call, "serve", engine}; !slices.Equal(got, want) {
					t.Errorf("%s is below %q, want %q", engine, got, want)
				}
				if spans[at].SpanContext.TraceID() != root.SpanContext().TraceID() {
					t.Errorf("%s has a different trace", engine)
				}
			}
		})
	}
}

// A plugin measures its commits and its disk, and the host counts restarts of the process.
func TestFiguresOfAPlugin(t *testing.T) {
	t.Parallel()
	client := openPlugin(t, badgerConfig(t))
	before, err := client.Figures(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	const commits = 3
	for i := range commits {
		sid := fmt.Sprint("s", i)
		now := time.Now()
		if err := client.Tickets().Create(t.Context(), &ticketstore.Session{
			Key: ticketstore.KeyOf(sid), SessionID: sid, SubjectID: "42", Issuer: "https://op.example",
			AuthTime: now, Created: now, Renewed: now, Expires: now.Add(time.Hour), Version: 1,
		}); err != nil {
			t.Fatal(err)
		}
	}
	after, err := client.Figures(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	// The engine makes changes of its own, which may share a commit with these.
	done, changes := after.Commits-before.Commits, after.Changes-before.Changes
	if done < commits || changes < done {
		t.Errorf("%d commits of %d changes were counted, want %d or more of one or more each", done, changes,
			commits)
	}
	var counted uint64
	for _, n := range after.CommitBuckets {
		counted += n
	}
	if counted > after.Commits || after.CommitTime <= before.CommitTime {
		t.Errorf("%d commits are in buckets of %d, in %s after %s", counted, after.Commits, after.CommitTime,
			before.CommitTime)
	}
	if after.DiskFree <= 0 || after.DiskUsed < 0 {
		t.Errorf("the disk has %d bytes in use and %d free, want both known", after.DiskUsed, after.DiskFree)
	}
}
