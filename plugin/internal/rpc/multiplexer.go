package rpc

// CallsService, client: unary calls over one stream.

import (
	"cmp"
	"context"
	"errors"
	"math"
	"sync"
	"time"

	"google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	grpcstatus "google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	pb "github.com/fosite-sessions/sessions/plugin/internal/pluginpb"
	"github.com/fosite-sessions/sessions/plugin/internal/wire"
)

// CallsService is the name of the service in a backend's description.
const CallsService = "calls"

const (
	// maxMultiplexed is the size of the largest request sent over the stream, in bytes. A larger one would
	// delay those behind it.
	maxMultiplexed = 64 << 10
	// maxUnsent bounds the calls waiting to be sent while the plugin does not read, in bytes. Further calls
	// are refused.
	maxUnsent = 16 << 20
	// maxCancelled bounds the cancellations in one message.
	maxCancelled = 1 << 12
)

// Multiplexer is a connection whose unary calls share one stream. When the stream breaks, its pending calls
// fail with Unavailable; the next call opens a new one.
type Multiplexer struct {
	// ClientConnInterface carries large requests and streams. The stream ends with it.
	grpc.ClientConnInterface
	// Patience bounds the opening of the stream and the sending of each message; after that the stream counts
	// as broken. Zero means no bound.
	Patience time.Duration

	mu     sync.Mutex
	stream *callStream // nil before the first call, and after the last one broke
}

var _ grpc.ClientConnInterface = (*Multiplexer)(nil)

// Try makes a call over the stream and returns its error: if the plugin does not serve the stream, every call
// would have the same error.
func (m *Multiplexer) Try(ctx context.Context) error {
	err := m.Invoke(ctx, describe.path, &pb.DescribeRequest{}, &pb.DescribeResponse{})
	if err != nil {
		return wire.Error(err)
	}
	return nil
}

// Invoke implements grpc.ClientConnInterface. Options other than a traceOption apply to large requests only.
func (m *Multiplexer) Invoke(
	ctx context.Context, method string, request, answer any, options ...grpc.CallOption,
) error {
	_, _, err := m.invoke(ctx, method, request, answer, options...)
	return err
}

// invoke makes a call and returns the position of its answer, if it has one (kills.proto).
func (m *Multiplexer) invoke(
	ctx context.Context, method string, request, answer any, options ...grpc.CallOption,
) (position uint64, hasPosition bool, err error) {
	encoded, err := proto.Marshal(request.(proto.Message))
	if err != nil {
		return 0, false, grpcstatus.Error(codes.Internal, err.Error())
	}
	if len(encoded) > maxMultiplexed {
		return Unary{m.ClientConnInterface}.invoke(ctx, method, request, answer, options...)
	}
	call, traced := &pb.Call{Method: method, Request: encoded}, tracedBy(options)
	if traced != nil {
		call.Traceparent = traced.parent
	}
	got, err := m.current().ask(ctx, call)
	if err != nil {
		return 0, false, err
	}
	if traced != nil {
		traced.spans = got.GetSpans()
	}
	return got.GetPosition(), got.Position != nil, read(got, answer.(proto.Message))
}

// read decodes an answer.
func read(got *pb.Answer, answer proto.Message) error {
	if len(got.GetStatus()) > 0 {
		failed := &status.Status{}
		if err := proto.Unmarshal(got.GetStatus(), failed); err != nil {
			return grpcstatus.Errorf(codes.Internal, "status: %v", err)
		}
		if failed.GetCode() == int32(codes.OK) {
			return grpcstatus.Error(codes.Internal, "a call that failed as OK")
		}
		return grpcstatus.ErrorProto(failed)
	}
	if err := proto.Unmarshal(got.GetAnswer(), answer); err != nil {
		return grpcstatus.Errorf(codes.Internal, "answer: %v", err)
	}
	return nil
}

// current returns the stream. If there is none, it starts one; calls wait for its opening as for their
// answers.
func (m *Multiplexer) current() *callStream {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.stream == nil {
		m.stream = &callStream{woken: newWake(), waiting: map[uint64]*waiter{}}
		go m.run(m.stream)
	}
	return m.stream
}

// errStuck is the cause of ending a stream that the plugin does not read.
var errStuck = errors.New("the plugin took nothing from it")

// run opens the stream, sends and receives until it ends, and then fails its calls.
func (m *Multiplexer) run(s *callStream) {
	// Not the caller's context, because the stream outlives the call.
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	patience := cmp.Or(m.Patience, math.MaxInt64)
	stuck := time.AfterFunc(patience, func() { cancel(errStuck) })
	stream, err := pb.NewCallsServiceClient(m.ClientConnInterface).Calls(ctx)
	stuck.Stop()
	if err == nil {
		go func() {
			// A failed send ends the stream, so that no call is left waiting.
			cancel(send(ctx, s.woken, s.take, func(message *pb.CallsRequest) error {
				stuck.Reset(patience)
				defer stuck.Stop()
				return stream.Send(message)
			}))
		}()
		err = s.receive(stream)
	}
	if context.Cause(ctx) == errStuck { //nolint:errorlint // it is ours
		err = errStuck
	}
	m.mu.Lock()
	m.stream = nil
	m.mu.Unlock()
	s.fail(unavailable(err))
}

// unavailable maps the error of the stream to that of a call: its outcome is unknown.
func unavailable(err error) error {
	return grpcstatus.Errorf(codes.Unavailable, "the stream of calls was lost: %v", err)
}

// callStream is one stream and the calls on it.
type callStream struct {
	woken wake

	mu        sync.Mutex
	waiting   map[uint64]*waiter
	unsent    []*pb.Call // some may be cancelled
	size      int        // size of unsent in bytes
	cancelled []uint64   // calls that were sent: at most as many as the plugin has read
	last      uint64
	lost      error
}

// waiter waits for the answer of a call. It is reused, with its channel and its timer.
type waiter struct {
	sent   bool
	answer *pb.Answer
	err    error
	done   chan struct{} // has room for one
	timer  *time.Timer
}

var waiters = sync.Pool{New: func() any {
	w := &waiter{done: make(chan struct{}, 1), timer: time.NewTimer(time.Hour)}
	w.timer.Stop()
	return w
}}

// wait waits for the answer or returns the context's error. left is the remaining time, 0 for no limit.
func (w *waiter) wait(ctx context.Context, left time.Duration) error {
	if bounded, ok := ctx.(*boundedContext); ok {
		ctx = bounded.Context // its deadline is in left
	}
	if left > 0 {
		w.timer.Reset(left)
		defer w.timer.Stop()
	}
	select {
	case <-w.done:
		return nil
	case <-w.timer.C:
		return context.DeadlineExceeded
	case <-ctx.Done():
		return ctx.Err()
	}
}

// ask sends a call and waits for its answer.
func (s *callStream) ask(ctx context.Context, call *pb.Call) (*pb.Answer, error) {
	var left time.Duration
	if deadline, ok := ctx.Deadline(); ok {
		if left = time.Until(deadline); left <= 0 {
			return nil, grpcstatus.FromContextError(context.DeadlineExceeded).Err()
		}
		call.Timeout = int64(left)
	}
	w := waiters.Get().(*waiter)
	defer func() {
		w.sent, w.answer, w.err = false, nil, nil
		waiters.Put(w)
	}()
	if err := s.begin(call, w); err != nil {
		return nil, err
	}
	if ended := w.wait(ctx, left); ended != nil {
		if s.forget(call, w) {
			return nil, grpcstatus.FromContextError(ended).Err()
		}
		<-w.done // the answer arrived at the same moment
	}
	return w.answer, w.err
}

// begin gives the call an id and enqueues it.
func (s *callStream) begin(call *pb.Call, w *waiter) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lost != nil {
		return s.lost
	}
	if s.size > maxUnsent {
		return grpcstatus.Error(codes.Unavailable, "too many calls wait to be sent to the plugin")
	}
	s.last++
	call.Id = s.last
	s.waiting[call.GetId()] = w
	s.unsent = append(s.unsent, call)
	s.size += sizeOfCall(call)
	s.woken.signal()
	return nil
}

// sizeOfCall returns the size of a call in bytes, most of which is its request.
func sizeOfCall(call *pb.Call) int { return perCall + len(call.GetRequest()) }

// take returns the next message to send, or nil. Calls cancelled before they were sent are dropped.
func (s *callStream) take() *pb.CallsRequest {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := min(len(s.cancelled), maxCancelled)
	message := &pb.CallsRequest{Cancelled: s.cancelled[:n:n]}
	s.cancelled = remaining(s.cancelled, n)
	taken, gathered := 0, 0
	for _, call := range s.unsent {
		size := sizeOfCall(call)
		if gathered > 0 && gathered+size > maxGathered {
			break
		}
		taken++
		s.size -= size
		if w := s.waiting[call.GetId()]; w != nil {
			w.sent = true
			gathered += size
			message.Calls = append(message.Calls, call)
		}
	}
	s.unsent = remaining(s.unsent, taken)
	if n == 0 && len(message.GetCalls()) == 0 {
		return nil
	}
	return message
}

// forget abandons a call. It returns false if the answer, or the end of the stream, came first.
func (s *callStream) forget(call *pb.Call, w *waiter) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.waiting[call.GetId()] != w {
		return false
	}
	delete(s.waiting, call.GetId())
	if w.sent {
		s.cancelled = append(s.cancelled, call.GetId())
		s.woken.signal()
		return true
	}
	// The call stays in the queue, but its request is released.
	s.size -= len(call.GetRequest())
	call.Request = nil
	return true
}

// receive dispatches answers until the stream ends, and returns the error.
func (s *callStream) receive(stream grpc.BidiStreamingClient[pb.CallsRequest, pb.CallsResponse]) error {
	for {
		message, err := stream.Recv()
		if err != nil {
			return err
		}
		s.mu.Lock()
		for _, answer := range message.GetAnswers() {
			w := s.waiting[answer.GetId()]
			if w == nil {
				continue // of a cancelled call
			}
			delete(s.waiting, answer.GetId())
			w.answer = answer
			w.done <- struct{}{}
		}
		s.mu.Unlock()
	}
}

// fail fails all pending and future calls.
func (s *callStream) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lost = err
	for id, w := range s.waiting {
		delete(s.waiting, id)
		w.err = err
		w.done <- struct{}{}
	}
}
