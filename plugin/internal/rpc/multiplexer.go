package rpc

// CallsService, client: unary calls over one stream.

import (
	"context"
	"sync"
	"time"

	"google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	grpcstatus "google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	pb "github.com/fosite-sessions/sessions/plugin/internal/pluginpb"
)

// CallsService is the name of the service among those that a backend describes.
const CallsService = "calls"

const (
	// maxMultiplexed is the largest request that goes over the stream, in bytes. A larger one would hold up
	// those behind it.
	maxMultiplexed = 64 << 10
	// maxUnanswered is how many bytes of requests without an answer a caller adds to by itself. HTTP/2 lets
	// 64 KiB be under way before the plugin has read any of it, so that sending them never waits.
	maxUnanswered = 32 << 10
)

// Multiplexer is a connection whose unary calls share one stream. A stream that is lost fails the calls on it
// as unavailable; the next call opens another.
type Multiplexer struct {
	// ClientConnInterface takes large requests and streams. Its end is that of the stream.
	grpc.ClientConnInterface

	mu     sync.Mutex
	stream *callStream // nil before the first call, and where the last one was lost
}

var _ grpc.ClientConnInterface = (*Multiplexer)(nil)

// Invoke implements grpc.ClientConnInterface. Options other than a traceOption count for large requests only.
func (m *Multiplexer) Invoke(
	ctx context.Context, method string, request, answer any, options ...grpc.CallOption,
) error {
	_, _, err := m.invoke(ctx, method, request, answer, options...)
	return err
}

// invoke makes a call and returns the position of its answer where that says one (kills.proto).
func (m *Multiplexer) invoke(
	ctx context.Context, method string, request, answer any, options ...grpc.CallOption,
) (position uint64, said bool, err error) {
	encoded, err := proto.Marshal(request.(proto.Message))
	if err != nil {
		return 0, false, grpcstatus.Error(codes.Internal, err.Error())
	}
	if len(encoded) > maxMultiplexed {
		return invokePositioned(ctx, m.ClientConnInterface, method, request, answer, options...)
	}
	stream, err := m.current()
	if err != nil {
		return 0, false, err
	}
	call, traced := &pb.Call{Method: method, Request: encoded}, tracedBy(options)
	if traced != nil {
		call.Traceparent = traced.parent
	}
	got, err := stream.ask(ctx, call)
	if err != nil {
		return 0, false, err
	}
	if traced != nil {
		*traced.spans = got.GetSpans()
	}
	return got.GetPosition(), got.Position != nil, read(got, answer.(proto.Message))
}

// read takes an answer apart.
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

// current returns the stream, which it opens where there is none.
func (m *Multiplexer) current() (*callStream, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.stream != nil {
		return m.stream, nil
	}
	// Not the caller's context: the stream outlives the call.
	ctx, cancel := context.WithCancel(context.Background())
	stream, err := pb.NewCallsServiceClient(m.ClientConnInterface).Calls(ctx)
	if err != nil {
		cancel()
		return nil, unavailable(err)
	}
	s := &callStream{waiting: map[uint64]*waiter{}}
	s.out.send = sending(stream.Send, cancel)
	go func() {
		defer cancel()
		s.fail(s.receive(stream))
		m.mu.Lock()
		defer m.mu.Unlock()
		m.stream = nil
	}()
	m.stream = s
	return s, nil
}

// unavailable is the error of the stream as that of a call: its outcome is unknown.
func unavailable(err error) error {
	return grpcstatus.Errorf(codes.Unavailable, "the stream of calls was lost: %v", err)
}

// callStream is one stream and the calls on it.
type callStream struct {
	out outbox[pb.CallsRequest]

	mu         sync.Mutex
	waiting    map[uint64]*waiter
	unanswered int // bytes of their requests
	last       uint64
	lost       error
}

// waiter is a call that waits for its answer. It is used again, with its channel and its timer.
type waiter struct {
	size   int
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

// wait returns when the answer is there, or with the error of the context. left is how long it has, 0 for as
// long as it takes.
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
		w.answer, w.err = nil, nil
		waiters.Put(w)
	}()
	w.size = len(call.GetRequest())
	others, calm, err := s.begin(call, w)
	if err != nil {
		return nil, err
	}
	flush, err := s.out.put(w.size, func(m *pb.CallsRequest) { m.Calls = append(m.Calls, call) })
	switch {
	case err != nil: // the stream was lost, and receive learns that too
	case flush && calm:
		s.out.flush(others)
	case flush:
		go s.out.flush(others) // it may wait for the plugin longer than this call may
	}
	if ended := w.wait(ctx, left); ended != nil {
		if s.forget(call.GetId(), w) {
			s.cancel(call.GetId())
			return nil, grpcstatus.FromContextError(ended).Err()
		}
		<-w.done // the answer came at the same moment
	}
	return w.answer, w.err
}

// cancel tells the plugin that nobody waits for a call any more.
func (s *callStream) cancel(id uint64) {
	flush, err := s.out.put(0, func(m *pb.CallsRequest) { m.Cancelled = append(m.Cancelled, id) })
	if err == nil && flush {
		go s.out.flush(true)
	}
}

// begin gives the call an id and has its answer waited for. others: calls are under way besides. calm:
// sending it cannot wait.
func (s *callStream) begin(call *pb.Call, w *waiter) (others, calm bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lost != nil {
		return false, false, s.lost
	}
	s.last++
	call.Id = s.last
	others = len(s.waiting) > 0
	s.waiting[call.GetId()] = w
	s.unanswered += w.size
	return others, s.unanswered < maxUnanswered, nil
}

// forget has nobody wait for an answer. It reports false where the answer, or the end of the stream, was
// first.
func (s *callStream) forget(id uint64, w *waiter) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.waiting[id] != w {
		return false
	}
	delete(s.waiting, id)
	return true
}

// receive hands answers on until the stream ends, and returns why.
func (s *callStream) receive(stream grpc.BidiStreamingClient[pb.CallsRequest, pb.CallsResponse]) error {
	for {
		message, err := stream.Recv()
		if err != nil {
			return unavailable(err)
		}
		s.mu.Lock()
		for _, answer := range message.GetAnswers() {
			w := s.waiting[answer.GetId()]
			if w == nil {
				continue // of a call that was cancelled
			}
			delete(s.waiting, answer.GetId())
			s.unanswered -= w.size
			w.answer = answer
			w.done <- struct{}{}
		}
		s.mu.Unlock()
	}
}

// fail ends every call that waits.
func (s *callStream) fail(err error) {
	s.out.fail(err)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lost != nil {
		return
	}
	s.lost = err
	for id, w := range s.waiting {
		delete(s.waiting, id)
		w.err = err
		w.done <- struct{}{}
	}
}
