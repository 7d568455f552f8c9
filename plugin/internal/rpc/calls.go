package rpc

// CallsService, server: calls multiplexed over one stream.

import (
	"context"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	pb "github.com/fosite-sessions/sessions/plugin/internal/pluginpb"
	"github.com/fosite-sessions/sessions/plugin/spans"
)

const (
	// MaxCalls is the number of calls of one stream that run concurrently.
	MaxCalls = 1024
	// MaxWaiting is the number of further calls that are queued. Calls beyond it are refused.
	MaxWaiting = 4096
	// maxRequests bounds the requests of running and queued calls, in bytes.
	maxRequests = 128 << 20
	// maxUnsentAnswers bounds the answers that the host has not read yet, in bytes. At the bound, calls block
	// until the host reads.
	maxUnsentAnswers = 16 << 20
)

type callsServer struct {
	pb.UnimplementedCallsServiceServer
	server *Server
}

// Calls serves the calls of one stream until it ends. Once the server is closing, it refuses each call.
func (c *callsServer) Calls(stream grpc.BidiStreamingServer[pb.CallsRequest, pb.CallsResponse]) error {
	ctx, cancel := context.WithCancel(stream.Context())
	r := &runningCalls{
		stream: ctx, server: c.server, calls: map[uint64]*runningCall{},
		work: make(chan *runningCall, MaxCalls), woken: newWake(),
	}
	r.room.L = &r.mu
	defer r.workers.Wait()
	defer r.end()
	defer cancel()
	// Until the host has received the header, gRPC buffers what the host sends for a retry.
	if err := stream.SendHeader(nil); err != nil {
		return err
	}
	ended := make(chan error, 2)
	go func() { ended <- r.receive(stream) }()
	go func() { ended <- send(ctx, r.woken, r.take, stream.Send) }()
	return <-ended
}

// runningCalls are the calls of one stream.
type runningCalls struct {
	stream context.Context //nolint:containedctx // of the stream
	server *Server
	// work feeds idle workers. Workers are kept until the stream ends, because their stacks have grown.
	work    chan *runningCall // has room for each of them
	workers sync.WaitGroup
	woken   wake

	mu          sync.Mutex
	started     int // workers
	idle        int // idle workers: none if calls are queued
	waiting     []*runningCall
	calls       map[uint64]*runningCall // running or queued
	requests    int                     // their total size in bytes
	answers     []*pb.Answer
	unsentBytes int       // size of the queued answers in bytes
	room        sync.Cond // answers were sent, or the stream has ended
	over        bool
}

// receive starts and cancels calls until the stream ends. It never blocks on a call, so that it can read a
// cancellation while every worker has a call that hangs.
func (r *runningCalls) receive(stream grpc.BidiStreamingServer[pb.CallsRequest, pb.CallsResponse]) error {
	for {
		message, err := stream.Recv()
		if err != nil {
			return err
		}
		now := time.Now()
		for _, id := range message.GetCancelled() { // first: their places are those of the calls
			r.cancel(id)
		}
		for _, call := range message.GetCalls() {
			if !r.begin(newRunningCall(r.stream, call, now)) {
				r.enqueue(refusal(call.GetId()))
			}
		}
	}
}

// begin passes a call to a worker or queues it. It returns false if too many calls are in flight.
func (r *runningCalls) begin(call *runningCall) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.over || r.requests > maxRequests {
		return false
	}
	switch {
	case r.idle > 0:
		r.idle--
		r.work <- call
	case r.started < MaxCalls:
		r.started++
		r.workers.Go(func() { r.serve(call) })
	case len(r.waiting) < MaxWaiting:
		r.waiting = append(r.waiting, call)
	default:
		return false
	}
	r.calls[call.GetId()] = call
	r.requests += len(call.GetRequest())
	return true
}

// cancel ends a call if it is still in flight. A queued call frees its place.
func (r *runningCalls) cancel(id uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	call := r.calls[id]
	if call == nil {
		return
	}
	call.end(context.Canceled)
	if i := slices.Index(r.waiting, call); i >= 0 {
		r.waiting = slices.Delete(r.waiting, i, i+1)
		r.forget(call)
	}
}

// forget removes a call. The caller holds the lock.
func (r *runningCalls) forget(call *runningCall) {
	delete(r.calls, call.GetId())
	r.requests -= len(call.GetRequest())
}

// refusal returns the answer to a call that was not started: it may be retried.
func refusal(id uint64) *pb.Answer {
	tooMany := status.Error(codes.Unavailable, "the plugin has too many calls in flight")
	return &pb.Answer{Id: id, Status: encodeStatus(tooMany)}
}

// serve runs a worker, beginning with its first call.
func (r *runningCalls) serve(call *runningCall) {
	for call != nil {
		answer := answer(r.server, call)
		call.end(context.Canceled)
		r.enqueue(answer)
		call = r.next(call)
	}
}

// next ends a worker's call and returns the next one, or nil if the stream has ended.
func (r *runningCalls) next(ended *runningCall) *runningCall {
	r.mu.Lock()
	r.forget(ended)
	if len(r.waiting) > 0 {
		defer r.mu.Unlock()
		call := r.waiting[0]
		r.waiting = slices.Delete(r.waiting, 0, 1)
		return call
	}
	r.idle++
	r.mu.Unlock()
	select {
	case call := <-r.work:
		return call
	case <-r.stream.Done():
		return nil
	}
}

// end cancels all calls and stops new workers from starting. It does so under the lock, so that every started
// worker is waited for.
func (r *runningCalls) end() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.over = true
	r.room.Broadcast()
	for _, call := range r.calls {
		call.end(context.Canceled)
	}
}

// enqueue enqueues an answer. It blocks while the host does not read its answers: otherwise a host that keeps
// making calls would exhaust the memory.
func (r *runningCalls) enqueue(answer *pb.Answer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for r.unsentBytes > maxUnsentAnswers && !r.over {
		r.room.Wait()
	}
	r.answers = append(r.answers, answer)
	r.unsentBytes += sizeOfAnswer(answer)
	r.woken.signal()
}

func sizeOfAnswer(answer *pb.Answer) int {
	return perCall + len(answer.GetAnswer()) + len(answer.GetStatus()) + len(answer.GetSpans())
}

// take returns the next message to send, or nil.
func (r *runningCalls) take() *pb.CallsResponse {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.answers) == 0 {
		return nil
	}
	n, gathered := 0, 0
	for ; n < len(r.answers); n++ {
		size := sizeOfAnswer(r.answers[n])
		if n > 0 && gathered+size > maxGathered {
			break
		}
		gathered += size
	}
	message := &pb.CallsResponse{Answers: r.answers[:n:n]}
	r.answers = remaining(r.answers, n)
	r.unsentBytes -= gathered
	r.room.Broadcast()
	return message
}

// answer runs a call and returns its answer.
func answer(s *Server, call *runningCall) *pb.Answer {
	answer := &pb.Answer{Id: call.GetId()}
	var began time.Time
	if parent := call.GetTraceparent(); parent != "" && sampled(parent) {
		began, call.spans = time.Now(), &spans.Recorder{}
	}
	var err error
	if answer.Answer, err = run(s, call); err != nil {
		answer.Status = encodeStatus(err)
	}
	answer.Position = call.position
	if call.spans != nil {
		answer.Spans = encodeSpans(began, time.Now(), call.spans)
	}
	return answer
}

// run runs the method of a call and returns its encoded answer.
func run(s *Server, call *runningCall) ([]byte, error) {
	if err := call.Err(); err != nil { // it ended while it was queued
		return nil, status.FromContextError(err).Err()
	}
	h := byPath[call.GetMethod()]
	if h == nil {
		return nil, status.Error(codes.Unimplemented, "no unary method of that name is served")
	}
	request := h.newRequest()
	if err := proto.Unmarshal(call.GetRequest(), request.(proto.Message)); err != nil {
		return nil, status.Error(codes.Internal, err.Error())
	}
	answer, err := h.serve(call, s, request)
	if err != nil {
		return nil, err
	}
	encoded, err := proto.Marshal(answer.(proto.Message))
	if err != nil {
		return nil, status.Error(codes.Internal, err.Error())
	}
	// A message over the limit would end the stream, and with it the calls of others.
	if len(encoded) > MaxAnswer-maxGathered {
		return nil, status.Error(codes.ResourceExhausted, "the answer is larger than an answer may be")
	}
	return encoded, nil
}

// encodeStatus returns the encoded google.rpc.Status of an error.
func encodeStatus(err error) []byte {
	encoded, err := proto.Marshal(status.Convert(err).Proto())
	if err != nil { // the text is not valid UTF-8
		encoded, _ = proto.Marshal(status.New(codes.Internal, "").Proto())
	}
	return encoded
}
