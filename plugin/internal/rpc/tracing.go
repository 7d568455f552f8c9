package rpc

// Spans of calls, client: one for the call, and below it those that the plugin returns.

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

// clientKind is of the span of each call.
var clientKind = trace.WithSpanKind(trace.SpanKindClient)

// traceOption has a Multiplexer or a Unary ask for the spans of a call, and keep them. gRPC ignores it.
type traceOption struct {
	grpc.EmptyCallOption
	parent string             // the traceparent
	spans  []byte             // of the answer
	all    [2]grpc.CallOption // those of its call
}

func newTraceOption(parent trace.SpanContext) *traceOption {
	o := &traceOption{parent: traceparent(parent)}
	o.all = [...]grpc.CallOption{plain[0], o}
	return o
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
	parent := trace.SpanContextFromContext(ctx)
	sampled := c.Tracer != nil && parent.IsSampled()
	if !sampled && c.Durations == nil {
		return c.attempts(ctx, m, request, answer, plain)
	}
	began, options, traced := time.Now(), plain, (*traceOption)(nil)
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

// traceparent is the context of a span as W3C Trace Context has it, version 00.
func traceparent(parent trace.SpanContext) string {
	trace, span := parent.TraceID(), parent.SpanID()
	var room [64]byte
	text := hex.AppendEncode(append(room[:0], "00-"...), trace[:])
	text = hex.AppendEncode(append(text, '-'), span[:])
	return string(hex.AppendEncode(append(text, '-'), []byte{byte(parent.TraceFlags())}))
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

// record records a call that has ended, and what the plugin says that it did within. The span of the call is
// begun only now, with all that is known of it. Nothing of the plugin's spans is believed but that they lie
// within the call, and nothing is taken that could name a person.
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
		if i == 0 { // the others are below it
			ctx = inner
		}
	}
}
