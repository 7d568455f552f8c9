package rpc

// Spans of calls, client: one for the call, and below it those that the plugin returns.

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	semconv "go.opentelemetry.io/otel/semconv/v1.41.0"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	pb "github.com/fosite-sessions/sessions/plugin/internal/pluginpb"
	"github.com/fosite-sessions/sessions/plugin/internal/wire"
	"github.com/fosite-sessions/sessions/plugin/records"
	"github.com/fosite-sessions/sessions/plugin/spans"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// The metadata of a traced call (spans.proto).
const (
	traceparentKey = "traceparent"
	spansKey       = "sessions-spans-bin"
)

// Bounds of what a plugin's span may say.
const (
	maxSpanName  = 48
	maxBatchSize = 1 << 20
)

// plain are the options of a call that is not traced. Its capacity is its length: who adds to it copies it.
var plain = []grpc.CallOption{grpc.StaticMethod()}

// traceOption is what a Multiplexer does instead with a traced call's metadata. gRPC itself ignores it.
type traceOption struct {
	grpc.EmptyCallOption
	parent string  // the traceparent
	spans  *[]byte // of the answer
}

// tracedBy returns the option of a traced call, nil for any other.
func tracedBy(options []grpc.CallOption) *traceOption {
	for _, option := range options {
		if traced, ok := option.(*traceOption); ok {
			return traced
		}
	}
	return nil
}

// call makes a call, with a span where the context has one that is sampled.
func (c *Caller) call(ctx context.Context, m *method, request, answer proto.Message) error {
	if c.Durations == nil && (c.Tracer == nil || !trace.SpanContextFromContext(ctx).IsSampled()) {
		return c.attempts(ctx, m, request, answer, plain)
	}
	began := time.Now()
	err := c.traced(ctx, m, request, answer)
	if c.Durations != nil {
		c.Durations.Record(ctx, time.Since(began).Seconds(), m.measured(err)...)
	}
	return err
}

func (c *Caller) traced(ctx context.Context, m *method, request, answer proto.Message) error {
	if c.Tracer == nil || !trace.SpanContextFromContext(ctx).IsSampled() {
		return c.attempts(ctx, m, request, answer, plain)
	}
	began := time.Now()
	ctx, span := c.Tracer.Start(ctx, strings.TrimPrefix(m.path, "/"), trace.WithTimestamp(began),
		trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(
			semconv.RPCSystemNameGRPC, semconv.RPCMethod(strings.TrimPrefix(m.path, "/"))))
	defer span.End()
	carrier := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(ctx, carrier)
	parent := carrier.Get(traceparentKey)
	var trailer metadata.MD
	var told []byte
	options := []grpc.CallOption{
		grpc.StaticMethod(), grpc.Trailer(&trailer), &traceOption{parent: parent, spans: &told},
	}
	err := c.attempts(metadata.AppendToOutgoingContext(ctx, traceparentKey, parent), m, request, answer,
		options)
	if unary := trailer.Get(spansKey); len(unary) > 0 {
		told = []byte(unary[0])
	}
	c.record(ctx, told, began, time.Now())
	code := codeOf(err)
	span.SetAttributes(semconv.RPCResponseStatusCode(code))
	if failed(err) {
		span.SetStatus(codes.Error, "")
		span.SetAttributes(semconv.ErrorTypeKey.String(code))
	}
	return err
}

// codeOf is the code of a call's outcome, without the text of an error, which may have ids in it.
func codeOf(err error) string {
	if err == nil {
		return "OK"
	}
	st, _ := wire.Status(err)
	return codeNames[status.Code(st)]
}

// failed reports whether a call has failed, where others have an answer that is an error in Go: that there is
// no such session, or that a code was used.
func failed(err error) bool {
	if err == nil {
		return false
	}
	_, known := wire.Status(err)
	return !known || errors.Is(err, ticketstore.ErrUnavailable) || errors.Is(err, context.DeadlineExceeded)
}

// record records the spans of a plugin. Nothing of them is believed but that they lie within the call, and
// nothing is taken that could name a person.
func (c *Caller) record(ctx context.Context, encoded []byte, began, ended time.Time) {
	said := &pb.Spans{}
	if proto.Unmarshal(encoded, said) != nil || len(said.GetSpans()) > 1+spans.Max {
		return
	}
	kind := trace.SpanKindServer
	for _, s := range said.GetSpans() {
		start, end := records.Moment(s.GetStart()), records.Moment(s.GetEnd())
		if !isSpanName(s.GetName()) || start.Before(began) || end.After(ended) || end.Before(start) {
			continue
		}
		inner, span := c.Tracer.Start(ctx, s.GetName(), trace.WithTimestamp(start), trace.WithSpanKind(kind),
			trace.WithAttributes(attributesOf(s)...))
		span.End(trace.WithTimestamp(end))
		if kind == trace.SpanKindServer { // the first: the others are below it
			ctx, kind = inner, trace.SpanKindInternal
		}
	}
}

func isSpanName(name string) bool {
	return name != "" && len(name) <= maxSpanName && !strings.ContainsFunc(name, func(c rune) bool {
		return (c < 'a' || c > 'z') && (c < '0' || c > '9') && !strings.ContainsRune(" ._-", c)
	})
}

func attributesOf(s *pb.Span) (attributes []attribute.KeyValue) {
	for _, key := range []string{spans.System, spans.Operation} {
		if value := s.GetAttributes()[key]; isSpanName(value) {
			attributes = append(attributes, attribute.String(key, value))
		}
	}
	size, err := strconv.Atoi(s.GetAttributes()[spans.BatchSize])
	if err == nil && size > 0 && size <= maxBatchSize {
		attributes = append(attributes, attribute.Int(spans.BatchSize, size))
	}
	return slices.Clip(attributes)
}
