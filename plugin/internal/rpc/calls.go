package rpc

// CallsService, server: calls that come over one stream.

import (
	"context"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	pb "github.com/fosite-sessions/sessions/plugin/internal/pluginpb"
	"github.com/fosite-sessions/sessions/plugin/spans"
)

// MaxCalls is how many calls of one stream run at once. Further ones wait in it, unread.
const MaxCalls = 1024

// callTable finds the unary methods of services by their full names. It registers them as a gRPC server does.
type callTable map[string]handler

type handler struct {
	service any
	method  grpc.MethodHandler
}

var _ grpc.ServiceRegistrar = callTable(nil)

// RegisterService implements grpc.ServiceRegistrar.
func (t callTable) RegisterService(service *grpc.ServiceDesc, implementation any) {
	for _, m := range service.Methods {
		t["/"+service.ServiceName+"/"+m.MethodName] = handler{service: implementation, method: m.Handler}
	}
}

// registrars registers services with each of them.
type registrars []grpc.ServiceRegistrar

// RegisterService implements grpc.ServiceRegistrar.
func (r registrars) RegisterService(service *grpc.ServiceDesc, implementation any) {
	for _, registrar := range r {
		registrar.RegisterService(service, implementation)
	}
}

type callsServer struct {
	pb.UnimplementedCallsServiceServer
	server  *Server
	methods callTable
}

// Calls serves the calls of one stream until it ends. A server that closes refuses them one by one.
func (c *callsServer) Calls(stream grpc.BidiStreamingServer[pb.CallsRequest, pb.CallsResponse]) error {
	ctx, cancel := context.WithCancel(stream.Context())
	r := &runningCalls{
		stream: ctx, methods: c.methods, work: make(chan *runningCall), calls: map[uint64]*runningCall{},
	}
	r.out.send = sending(stream.Send, cancel)
	defer r.workers.Wait()
	defer r.end()
	defer cancel()
	// Until the host has it, gRPC keeps what the host sends, for a retry.
	if err := stream.SendHeader(nil); err != nil {
		return err
	}
	received := make(chan error, 1)
	go func() { received <- r.receive(stream) }()
	select {
	case err := <-received:
		return err
	case <-ctx.Done(): // an answer could not be sent
		return ctx.Err()
	}
}

// runningCalls are the calls of one stream.
type runningCalls struct {
	stream  context.Context //nolint:containedctx // of the stream
	methods callTable
	out     outbox[pb.CallsResponse]
	// work is where workers without work wait for some. They stay with the stream: their stacks have grown.
	work    chan *runningCall
	workers sync.WaitGroup

	mu      sync.Mutex
	started int // workers
	calls   map[uint64]*runningCall
	over    bool
}

// receive begins and cancels calls until the stream ends.
func (r *runningCalls) receive(stream grpc.BidiStreamingServer[pb.CallsRequest, pb.CallsResponse]) error {
	for {
		message, err := stream.Recv()
		if err != nil {
			return err
		}
		now := time.Now()
		for _, call := range message.GetCalls() {
			r.begin(newRunningCall(r.stream, call, now))
		}
		r.mu.Lock()
		for _, id := range message.GetCancelled() {
			if call := r.calls[id]; call != nil {
				call.end(context.Canceled)
			}
		}
		r.mu.Unlock()
	}
}

// begin hands a call to a worker, for which it waits while MaxCalls have work.
func (r *runningCalls) begin(call *runningCall) {
	if !r.know(call) {
		return
	}
	select {
	case r.work <- call:
		return
	default:
	}
	if r.hire(call) {
		return
	}
	select {
	case r.work <- call:
	case <-r.stream.Done():
	}
}

// know has the call cancelled with the others. It reports false when that has happened.
func (r *runningCalls) know(call *runningCall) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.over {
		r.calls[call.GetId()] = call
	}
	return !r.over
}

// hire starts a worker. It reports false where there are enough, or none is wanted any more.
func (r *runningCalls) hire(call *runningCall) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.over || r.started == MaxCalls {
		return false
	}
	r.started++
	r.workers.Go(func() { r.serve(call) })
	return true
}

// serve is a worker, with its first call.
func (r *runningCalls) serve(call *runningCall) {
	for {
		r.run(call)
		select {
		case call = <-r.work:
		case <-r.stream.Done():
			return
		}
	}
}

// end cancels all calls and lets no worker start: under the lock, so that all are waited for.
func (r *runningCalls) end() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.over = true
	for _, call := range r.calls {
		call.end(context.Canceled)
	}
}

// run runs a call and sends its answer.
func (r *runningCalls) run(call *runningCall) {
	answer := r.methods.answer(call)
	call.end(context.Canceled)
	r.mu.Lock()
	delete(r.calls, call.GetId())
	others := len(r.calls) > 0
	r.mu.Unlock()
	// It cannot be sent when the stream is lost: then nobody waits for it.
	flush, _ := r.out.put(len(answer.GetAnswer()), func(m *pb.CallsResponse) {
		m.Answers = append(m.Answers, answer)
	})
	if flush {
		r.out.flush(others)
	}
}

// answer runs a call.
func (t callTable) answer(call *runningCall) *pb.Answer {
	answer := &pb.Answer{Id: call.GetId()}
	var began time.Time
	if parent := call.GetTraceparent(); parent != "" && sampled(parent) {
		began, call.spans = time.Now(), &spans.Recorder{}
	}
	var err error
	if answer.Answer, err = t.call(call); err != nil {
		answer.Status = encodeStatus(err)
	}
	answer.Position = call.position
	if call.spans != nil {
		answer.Spans = encodeSpans(began, call.spans)
	}
	return answer
}

// call runs a method and returns its answer, encoded.
func (t callTable) call(call *runningCall) ([]byte, error) {
	h, ok := t[call.GetMethod()]
	if !ok {
		return nil, status.Error(codes.Unimplemented, "no unary method of that name is served")
	}
	answer, err := h.method(h.service, call, func(request any) error {
		err := proto.Unmarshal(call.GetRequest(), request.(proto.Message))
		if err != nil {
			return status.Error(codes.Internal, err.Error())
		}
		return nil
	}, nil)
	if err != nil {
		return nil, err
	}
	encoded, err := proto.Marshal(answer.(proto.Message))
	if err != nil {
		return nil, status.Error(codes.Internal, err.Error())
	}
	// Within the message it would end the stream, and with it the calls of others.
	if len(encoded) > MaxAnswer-maxGathered {
		return nil, status.Error(codes.ResourceExhausted, "the answer is larger than an answer may be")
	}
	return encoded, nil
}

// encodeStatus returns the google.rpc.Status of an error.
func encodeStatus(err error) []byte {
	encoded, err := proto.Marshal(status.Convert(err).Proto())
	if err != nil { // a text that is not UTF-8
		encoded, _ = proto.Marshal(status.New(codes.Internal, "").Proto())
	}
	return encoded
}
