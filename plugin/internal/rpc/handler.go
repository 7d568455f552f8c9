package rpc

// The unary methods as a server serves them: each decodes its request, asks the backend, and encodes the
// result.

import (
	"context"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc"

	"github.com/fosite-sessions/sessions"
	"github.com/fosite-sessions/sessions/plugin/internal/wire"
)

// handler is a unary method as a server serves it.
type handler struct {
	*method
	newRequest func() any
	serve      func(ctx context.Context, s *Server, request any) (any, error)
}

// handlers are the handlers of all services, byPath the same by their full names.
var (
	handlers = slices.Concat(backendHandlers, ticketHandlers, grantHandlers, logoutHandlers, transferHandlers,
		killHandlers)
	byPath = func() map[string]*handler {
		paths := make(map[string]*handler, len(handlers))
		for _, h := range handlers {
			paths[h.path] = h
		}
		return paths
	}()
)

// newHandler returns a handler of typed messages.
func newHandler[Request, Answer any](
	m *method, serve func(ctx context.Context, s *Server, request *Request) (*Answer, error),
) *handler {
	return &handler{
		method: m, newRequest: func() any { return new(Request) },
		serve: func(ctx context.Context, s *Server, request any) (any, error) {
			return serve(ctx, s, request.(*Request))
		},
	}
}

// handle returns the handler of a method that asks the backend.
func handle[Request, Answer any](
	m *method, ask func(ctx context.Context, b sessions.Backend, request *Request) (*Answer, error),
) *handler {
	return newHandler(m, func(ctx context.Context, s *Server, request *Request) (*Answer, error) {
		return serve(ctx, s, m.name, func(b sessions.Backend) (*Answer, error) {
			return ask(ctx, b, request)
		})
	})
}

// handleAt is handle for a method whose request must have now.
func handleAt[Request, Answer any, Timed interface {
	*Request
	GetNow() int64
}](
	m *method,
	ask func(ctx context.Context, b sessions.Backend, request *Request, now time.Time) (*Answer, error),
) *handler {
	return handle(m, func(ctx context.Context, b sessions.Backend, request *Request) (*Answer, error) {
		now, err := wire.Now(Timed(request).GetNow())
		if err != nil {
			return nil, err
		}
		return ask(ctx, b, request, now)
	})
}

// forward returns the handler of a method that does no more than to call one of a store: read converts the
// request, write the result.
func forward[Request, Answer, Store, Argument, Result any](
	m *method, read func(*Request) (Argument, error), of func(sessions.Backend) Store,
	call func(Store, context.Context, Argument) (*Result, error), write func(*Result) *Answer,
) *handler {
	return handle(m, func(ctx context.Context, b sessions.Backend, request *Request) (*Answer, error) {
		argument, err := read(request)
		if err != nil {
			return nil, err
		}
		result, err := call(of(b), ctx, argument)
		return toAnswer(result, err, write)
	})
}

// forwardAt is forward for a method whose request must have now.
func forwardAt[Request, Answer, Store, Argument, Result any, Timed interface {
	*Request
	GetNow() int64
}](
	m *method, read func(*Request) (Argument, error), of func(sessions.Backend) Store,
	call func(Store, context.Context, Argument, time.Time) (*Result, error), write func(*Result) *Answer,
) *handler {
	return handleAt[Request, Answer, Timed](m, func(
		ctx context.Context, b sessions.Backend, request *Request, now time.Time,
	) (*Answer, error) {
		argument, err := read(request)
		if err != nil {
			return nil, err
		}
		result, err := call(of(b), ctx, argument, now)
		return toAnswer(result, err, write)
	})
}

// always is for a conversion of a request that cannot fail.
func always[Request, Argument any](read func(*Request) Argument) func(*Request) (Argument, error) {
	return func(request *Request) (Argument, error) { return read(request), nil }
}

// toAnswer converts the result of a store to the answer of a call.
func toAnswer[Result, Answer any](result *Result, err error, from func(*Result) *Answer) (*Answer, error) {
	if err != nil || result == nil {
		return nil, err
	}
	return from(result), nil
}

// register registers a service on a gRPC server, with the implementation of its streams.
func (s *Server) register(registrar grpc.ServiceRegistrar, service grpc.ServiceDesc, streams any) {
	service.Methods = nil
	for _, h := range handlers {
		if name, ok := strings.CutPrefix(h.path, "/"+service.ServiceName+"/"); ok {
			method := grpc.MethodDesc{MethodName: name, Handler: recorder(h.unary(s))}
			service.Methods = append(service.Methods, method)
		}
	}
	registrar.RegisterService(&service, streams)
}

// unary returns the handler as one of gRPC.
func (h *handler) unary(s *Server) grpc.MethodHandler {
	return func(
		_ any, ctx context.Context, decode func(any) error, interceptor grpc.UnaryServerInterceptor,
	) (any, error) {
		request := h.newRequest()
		if err := decode(request); err != nil {
			return nil, err
		}
		if interceptor == nil {
			return h.serve(ctx, s, request)
		}
		return interceptor(ctx, request, &grpc.UnaryServerInfo{Server: s, FullMethod: h.path},
			func(ctx context.Context, request any) (any, error) { return h.serve(ctx, s, request) })
	}
}
