package rpc

// Spans of calls, server: the engine's spans are returned with the answer.

import (
	"context"
	"strconv"
	"time"

	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"github.com/fosite-sessions/sessions/plugin/spans"
)

// servedSpan is the name of the span of the whole call.
const servedSpan = "serve"

// recorder makes a unary method return its spans as trailing metadata. It wraps the method, because an
// interceptor would cost every call some allocations.
func recorder(handle grpc.MethodHandler) grpc.MethodHandler {
	return func(
		service any, ctx context.Context, decode func(any) error, interceptor grpc.UnaryServerInterceptor,
	) (any, error) {
		parent := metadata.ValueFromIncomingContext(ctx, traceparentKey)
		if len(parent) == 0 || !sampled(parent[0]) {
			return handle(service, ctx, decode, interceptor)
		}
		began, kept := time.Now(), &spans.Recorder{}
		answer, err := handle(service, spans.NewContext(ctx, kept), decode, interceptor)
		if told := encodeSpans(began, time.Now(), kept); told != nil {
			_ = grpc.SetTrailer(ctx, metadata.Pairs(spansKey, string(told)))
		}
		return answer, err
	}
}

// sampled reports whether a traceparent belongs to a sampled trace.
func sampled(parent string) bool {
	// W3C Trace Context, version 00: it ends with two hexadecimal digits of flags, whose lowest bit means
	// "sampled".
	const length = len("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	if len(parent) != length || parent[:3] != "00-" {
		return false
	}
	flags, err := strconv.ParseUint(parent[length-2:], 16, 8)
	return err == nil && trace.TraceFlags(flags).IsSampled()
}
