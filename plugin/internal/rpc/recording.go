package rpc

// Spans of calls, server: what the engine did is returned with the answer.

import (
	"context"
	"slices"
	"time"

	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"

	pb "github.com/fosite-sessions/sessions/plugin/internal/pluginpb"
	"github.com/fosite-sessions/sessions/plugin/records"
	"github.com/fosite-sessions/sessions/plugin/spans"
)

// servedSpan is the name of the span of the whole call.
const servedSpan = "serve"

// recording registers services whose unary methods return their spans as trailing metadata. The methods are
// wrapped here, not by an interceptor: that costs every call some allocations.
type recording struct{ grpc.ServiceRegistrar }

// RegisterService implements grpc.ServiceRegistrar.
func (r recording) RegisterService(service *grpc.ServiceDesc, implementation any) {
	recorded := *service
	recorded.Methods = slices.Clone(service.Methods)
	for i := range recorded.Methods {
		recorded.Methods[i].Handler = recorder(recorded.Methods[i].Handler)
	}
	r.ServiceRegistrar.RegisterService(&recorded, implementation)
}

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
		_ = grpc.SetTrailer(ctx, metadata.Pairs(spansKey, string(encodeSpans(began, kept))))
		return answer, err
	}
}

// sampled reports whether a traceparent is that of a trace that is recorded.
func sampled(parent string) bool {
	ctx := propagation.TraceContext{}.Extract(context.Background(),
		propagation.MapCarrier{traceparentKey: parent})
	return trace.SpanContextFromContext(ctx).IsSampled()
}

// encodeSpans returns a pb.Spans of a call that ends now.
func encodeSpans(began time.Time, kept *spans.Recorder) []byte {
	message := &pb.Spans{Spans: []*pb.Span{spanOf(&spans.Span{
		Name: servedSpan, Start: began, End: time.Now(),
	})}}
	for _, span := range kept.Spans() {
		message.Spans = append(message.Spans, spanOf(&span))
	}
	encoded, err := proto.Marshal(message)
	if err != nil { // a text that is not UTF-8
		return nil
	}
	return encoded
}

func spanOf(s *spans.Span) *pb.Span {
	span := &pb.Span{Name: s.Name, Start: records.Nanos(s.Start), End: records.Nanos(s.End)}
	for _, a := range s.Attributes {
		if span.Attributes == nil {
			span.Attributes = make(map[string]string, len(s.Attributes))
		}
		span.Attributes[a.Key] = a.Value
	}
	return span
}
