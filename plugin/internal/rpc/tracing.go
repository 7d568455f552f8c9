package rpc

// Spans of calls, client: one span per call, with the spans that the plugin returns as children.

import (
	"context"
	"encoding/hex"
	"errors"
	"time"

	"go.opentelemetry.io/otel/codes"
	semconv "go.opentelemetry.io/otel/semconv/v1.41.0"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/fosite-sessions/sessions/plugin/internal/wire"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// Metadata keys of a traced call (spans.proto).
const (
	traceparentKey = "traceparent"
	spansKey       = "sessions-spans-bin"
)

// Bounds of a plugin's span.
const (
	maxSpanName  = 48
	maxBatchSize = 1 << 20
)

// untraced are the options of an untraced call. Its capacity equals its length, so that append copies it.
var untraced = []grpc.CallOption{grpc.StaticMethod()}

// clientKind is the kind of each call's span.
var clientKind = trace.WithSpanKind(trace.SpanKindClient)

// traceOption makes a Multiplexer or a Unary request the spans of a call and keep them. gRPC ignores it.
type traceOption struct {
	grpc.EmptyCallOption
	parent string             // the traceparent
	spans  []byte             // of the answer
	all    [2]grpc.CallOption // the options of its call
}

func newTraceOption(parent trace.SpanContext) *traceOption {
	o := &traceOption{parent: traceparent(parent)}
	o.all = [...]grpc.CallOption{untraced[0], o}
	return o
}

// tracedBy returns the option of a traced call, or nil.
func tracedBy(options []grpc.CallOption) *traceOption {
	for _, option := range options {
		if traced, ok := option.(*traceOption); ok {
			return traced
		}
	}
	return nil
}

// call makes a call, with a span if the context has a sampled one.
func (c *Caller) call(ctx context.Context, m *method, request, answer proto.Message) error {
	parent := trace.SpanContextFromContext(ctx)
	sampled := c.Tracer != nil && parent.IsSampled()
	if !sampled && c.Durations == nil {
		return c.attempts(ctx, m, request, answer, untraced)
	}
	began, options, traced := time.Now(), untraced, (*traceOption)(nil)
	if sampled {
		traced = newTraceOption(parent)
		options = traced.all[:]
	}
	err := c.attempts(ctx, m, request, answer, options)
	ended := time.Now()
	if sampled {
		c.record(ctx, m, traced.spans, began, ended, err)
	}
	if c.Durations != nil {
		c.Durations.Record(ctx, ended.Sub(began).Seconds(), m.known(err).duration...)
	}
	return err
}

// traceparent encodes the context of a span by W3C Trace Context, version 00.
func traceparent(parent trace.SpanContext) string {
	trace, span := parent.TraceID(), parent.SpanID()
	var room [64]byte
	text := hex.AppendEncode(append(room[:0], "00-"...), trace[:])
	text = hex.AppendEncode(append(text, '-'), span[:])
	return string(hex.AppendEncode(append(text, '-'), []byte{byte(parent.TraceFlags())}))
}

// codeOf returns the code of a call's outcome, without the error's text, which may contain ids.
func codeOf(err error) string {
	if err == nil {
		return "OK"
	}
	st, _ := wire.Status(err)
	return codeNames[status.Code(st)]
}

// failed reports whether a call has failed. Errors that are answers, such as a missing session or a used
// code, are not failures.
func failed(err error) bool {
	if err == nil {
		return false
	}
	_, known := wire.Status(err)
	return !known || errors.Is(err, ticketstore.ErrUnavailable) || errors.Is(err, context.DeadlineExceeded)
}

// record records a finished call and the spans that the plugin returned. It creates the call's span only now,
// with all its attributes. Of the plugin's spans it accepts only those within the call, and nothing that
// could name a person.
func (c *Caller) record(
	ctx context.Context, m *method, encoded []byte, began, ended time.Time, err error,
) {
	ctx, span := c.Tracer.Start(ctx, m.path[len("/"):], trace.WithTimestamp(began),
		clientKind, m.known(err).span)
	if failed(err) {
		span.SetStatus(codes.Error, "")
		span.SetAttributes(semconv.ErrorTypeKey.String(codeOf(err)))
	}
	span.End()
	if len(encoded) == 0 {
		return
	}
	told := decodeSpans(encoded)
	for i := range told {
		s := &told[i]
		kind := trace.SpanKindInternal
		switch {
		case s.name == "" || s.start.Before(began) || s.end.After(ended) || s.end.Before(s.start):
			continue
		case i == 0 && len(told) == 2:
			continue // the call as the plugin saw it is its only step
		case i == 0:
			kind = trace.SpanKindServer
		}
		inner, span := c.Tracer.Start(ctx, s.name, trace.WithTimestamp(s.start), trace.WithSpanKind(kind),
			trace.WithAttributes(s.attributes...))
		span.End(trace.WithTimestamp(s.end))
		if i == 0 { // the others are its children
			ctx = inner
		}
	}
}
