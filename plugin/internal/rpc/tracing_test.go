package rpc_test

// Spans of calls: what is sent, what is accepted, and the cost of untraced calls.

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"
	"google.golang.org/grpc"

	"github.com/fosite-sessions/sessions/plugin/internal/rpc"
	"github.com/fosite-sessions/sessions/plugin/spans"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// tracer records the created spans. This package's module does not include the SDK.
type tracer struct {
	noop.Tracer
	mu   sync.Mutex
	kept []*span
}

type span struct {
	noop.Span
	name, parent string
	context      trace.SpanContext
	start, end   time.Time
	attributes   []attribute.KeyValue
}

func (t *tracer) Start(
	ctx context.Context, name string, options ...trace.SpanStartOption,
) (context.Context, trace.Span) {
	config := trace.NewSpanStartConfig(options...)
	t.mu.Lock()
	defer t.mu.Unlock()
	s := &span{
		name: name, start: config.Timestamp(), attributes: config.Attributes(),
		context: trace.SpanContextFromContext(ctx).WithSpanID(trace.SpanID{byte(len(t.kept) + 2)}),
	}
	for _, one := range t.kept {
		if one.context.SpanID() == trace.SpanContextFromContext(ctx).SpanID() {
			s.parent = one.name
		}
	}
	t.kept = append(t.kept, s)
	return trace.ContextWithSpan(ctx, s), s
}

func (s *span) SpanContext() trace.SpanContext { return s.context }

func (s *span) End(options ...trace.SpanEndOption) {
	config := trace.NewSpanEndConfig(options...)
	s.end = config.Timestamp()
}

// lines returns the spans with their parents and attributes.
func (t *tracer) lines() (lines []string) {
	for _, s := range t.kept {
		line := s.parent + " > " + s.name
		for _, a := range s.attributes {
			if !strings.HasPrefix(string(a.Key), "rpc.") {
				line += " " + string(a.Key) + "=" + a.Value.String()
			}
		}
		lines = append(lines, line)
	}
	return lines
}

func under(ctx context.Context, flags trace.TraceFlags) context.Context {
	return trace.ContextWithSpanContext(ctx, trace.NewSpanContext(trace.SpanContextConfig{
		TraceID: trace.TraceID{1}, SpanID: trace.SpanID{1}, TraceFlags: flags,
	}))
}

// eachWay runs a test with a caller for each way of calling.
func eachWay(t *testing.T, e *engine, test func(t *testing.T, caller *rpc.Caller)) {
	for way, wrap := range map[string]func(grpc.ClientConnInterface) grpc.ClientConnInterface{
		"unary": func(conn grpc.ClientConnInterface) grpc.ClientConnInterface {
			if m, ok := conn.(*rpc.Multiplexer); ok {
				conn = m.ClientConnInterface
			}
			return rpc.Unary{ClientConnInterface: conn}
		},
		"stream": func(conn grpc.ClientConnInterface) grpc.ClientConnInterface {
			if _, ok := conn.(*rpc.Multiplexer); ok {
				return conn
			}
			return &rpc.Multiplexer{ClientConnInterface: conn}
		},
	} {
		t.Run(way, func(t *testing.T) {
			caller, _ := configured(t, e)
			caller.Conn = wrap(caller.Conn)
			test(t, caller)
		})
	}
}

func TestEngineSpansAreReturned(t *testing.T) {
	t.Parallel()
	e := &engine{get: func(ctx context.Context, key ticketstore.Key) (*ticketstore.Session, error) {
		r, moment := spans.FromContext(ctx), time.Now()
		r.Add(spans.Span{Name: "commit sync", Start: moment, End: moment, Attributes: []spans.Attribute{
			{Key: spans.System, Value: "badger"}, {Key: spans.BatchSize, Value: "7"},
		}})
		switch key {
		case ticketstore.KeyOf("none"):
			return nil, ticketstore.ErrNotFound
		case ticketstore.KeyOf("many"):
			r.Add(spans.Span{Name: "read", Start: moment, End: moment})
			return session("many"), nil
		}
		return session("s"), nil
	}}
	const call = "sessions.plugin.v1.TicketsService/GetSession"
	eachWay(t, e, func(t *testing.T, caller *rpc.Caller) {
		const sync = " > commit sync db.system.name=badger db.operation.batch.size=7"
		for sid, want := range map[string][]string{
			"s":    {" > " + call, call + sync}, // one step: the plugin has no span of its own
			"none": {" > " + call, call + sync}, // a failed call returns spans too
			"many": {" > " + call, call + " > serve", "serve" + sync, "serve > read"},
		} {
			made := &tracer{}
			caller.Tracer = made
			_, _ = (&rpc.Tickets{Caller: caller}).Get(under(t.Context(), trace.FlagsSampled),
				ticketstore.KeyOf(sid))
			if got := made.lines(); !slices.Equal(got, want) {
				t.Errorf("%s: got spans %q, want %q", sid, got, want)
			}
			for _, s := range made.kept[1:] {
				if s.end.Before(s.start) || s.start.Before(made.kept[0].start) {
					t.Errorf("%s: span %q, %s to %s, lies outside of its call", sid, s.name, s.start, s.end)
				}
			}
		}
	})
}

// A call that is not sampled, or has no tracer, requests no spans.
func TestNoSpansUnlessSampled(t *testing.T) {
	t.Parallel()
	asked := make(chan bool, 1)
	e := &engine{get: func(ctx context.Context, _ ticketstore.Key) (*ticketstore.Session, error) {
		asked <- spans.FromContext(ctx) != nil
		return session("s"), nil
	}}
	eachWay(t, e, func(t *testing.T, caller *rpc.Caller) {
		made := &tracer{}
		for name, c := range map[string]struct {
			ctx    context.Context
			tracer trace.Tracer
			want   bool
		}{
			"no span":     {t.Context(), made, false},
			"not sampled": {under(t.Context(), 0), made, false},
			"no tracer":   {under(t.Context(), trace.FlagsSampled), nil, false},
			"sampled":     {under(t.Context(), trace.FlagsSampled), made, true},
		} {
			made.kept, caller.Tracer = nil, c.tracer
			if _, err := (&rpc.Tickets{Caller: caller}).Get(c.ctx, session("s").Key); err != nil {
				t.Fatal(err)
			}
			if got := <-asked; got != c.want || (len(made.kept) > 0) != c.want {
				t.Errorf("%s: spans requested: %t, %d spans created, want %t", name, got,
					len(made.kept), c.want)
			}
		}
	})
}

// Spans of a plugin are dropped if they could name a person or are outside of the call.
func TestSpansAreValidated(t *testing.T) {
	t.Parallel()
	ago := time.Hour
	e := &engine{get: func(ctx context.Context, _ ticketstore.Key) (*ticketstore.Session, error) {
		r, moment := spans.FromContext(ctx), time.Now()
		for _, s := range []spans.Span{
			{Name: "Ann@example.com", Start: moment, End: moment},
			{Name: strings.Repeat("x", 49), Start: moment, End: moment},
			{Start: moment, End: moment},
			{Name: "too early", Start: moment.Add(-ago), End: moment},
			{Name: "too late", Start: moment, End: moment.Add(ago)},
			{Name: "backwards", Start: moment.Add(time.Microsecond), End: moment},
			{Name: "good", Start: moment, End: moment, Attributes: []spans.Attribute{
				{Key: "user.id", Value: "42"}, {Key: spans.Operation, Value: "for Ann"},
				{Key: spans.BatchSize, Value: "-1"}, {Key: spans.System, Value: "fake"},
			}},
		} {
			r.Add(s)
		}
		return session("s"), nil
	}}
	eachWay(t, e, func(t *testing.T, caller *rpc.Caller) {
		made := &tracer{}
		caller.Tracer = made
		_, err := (&rpc.Tickets{Caller: caller}).Get(under(t.Context(), trace.FlagsSampled), session("s").Key)
		if err != nil {
			t.Fatal(err)
		}
		if got := made.lines()[2:]; !slices.Equal(got, []string{"serve > good db.system.name=fake"}) {
			t.Errorf("got spans %q, want only the valid one", got)
		}
	})
}

// answering is a connection that answers immediately.
type answering struct{ grpc.ClientConnInterface }

func (answering) Invoke(context.Context, string, any, any, ...grpc.CallOption) error { return nil }

// free is a tracer that allocates nothing.
type free struct{ noop.Tracer }

func (free) Start(ctx context.Context, _ string, _ ...trace.SpanStartOption) (context.Context, trace.Span) {
	return ctx, noop.Span{}
}

// An unsampled call allocates nothing for tracing, a sampled one the traceparent, its option and the options
// of its span. Not parallel: it counts allocations of the process.
func TestAllocationsOfTracing(t *testing.T) {
	count := func(tracer trace.Tracer, flags trace.TraceFlags) float64 {
		caller := &rpc.Caller{Conn: answering{}, Timeout: time.Hour, Long: time.Hour, Tracer: tracer}
		ctx, cancel := context.WithTimeout(under(t.Context(), flags), time.Minute)
		defer cancel()
		return testing.AllocsPerRun(1000, func() { _, _ = caller.Describe(ctx) })
	}
	off := count(nil, 0)
	if on := count(free{}, 0); on != off {
		t.Errorf("an unsampled call makes %g allocations with a tracer, want %g as without", on, off)
	}
	const most = 4
	if on := count(free{}, trace.FlagsSampled); on == off || on > off+most {
		t.Errorf("a sampled call makes %g allocations, %g without a tracer: want at most %d more", on, off,
			most)
	}
}
