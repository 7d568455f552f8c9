package rpc_test

// Properties of the stream of calls.

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/proto"

	"github.com/fosite-sessions/sessions/grantstore"
	pb "github.com/fosite-sessions/sessions/plugin/internal/pluginpb"
	"github.com/fosite-sessions/sessions/plugin/internal/rpc"
	"github.com/fosite-sessions/sessions/plugin/plugintest/testenv"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// multiplexed serves an engine over a stream of calls.
func multiplexed(t *testing.T, e *engine) (*rpc.Caller, *rpc.Server) {
	t.Helper()
	caller, server := configured(t, e)
	if _, ok := caller.Conn.(*rpc.Multiplexer); !ok {
		caller.Conn = &rpc.Multiplexer{ClientConnInterface: caller.Conn}
	}
	return caller, server
}

// The context of an engine's call ends with the deadline of the caller, which is sent, and with its
// cancellation.
func TestMultiplexedCallsEnd(t *testing.T) {
	t.Parallel()
	ends := make(chan error, 100)
	deadlines := make(chan time.Duration, 100)
	running := make(chan struct{}, 100)
	e := &engine{get: func(ctx context.Context, _ ticketstore.Key) (*ticketstore.Session, error) {
		deadline, _ := ctx.Deadline()
		deadlines <- time.Until(deadline)
		running <- struct{}{}
		err := until(ctx)
		ends <- ctx.Err()
		return nil, err
	}}
	caller, _ := multiplexed(t, e)
	get := func(ctx context.Context) error {
		_, err := (&rpc.Tickets{Caller: caller}).Get(ctx, ticketstore.Key{1})
		return err
	}

	canceled, cancel := context.WithCancel(t.Context())
	go func() { <-running; cancel() }()
	if err := get(canceled); !errors.Is(err, context.Canceled) {
		t.Errorf("a canceled call: got %v, want Canceled", err)
	}
	if err := <-ends; !errors.Is(err, context.Canceled) {
		t.Errorf("its engine: got %v, want Canceled", err)
	}
	if left := <-deadlines; left <= 0 || left > caller.Timeout {
		t.Errorf("its engine had %s, want at most %s", left, caller.Timeout)
	}

	// A call that ends before it is sent does not reach the engine, so several are made.
	for began, left := false, 20*time.Millisecond; !began; left *= 2 {
		late, cancel := context.WithTimeout(t.Context(), left)
		if err := get(late); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a call beyond its deadline: got %v, want DeadlineExceeded", err)
		}
		cancel()
		select {
		case <-running:
			began = true
		case <-time.After(left):
		}
	}
	if err := <-ends; err == nil {
		t.Error("the call of its engine was not canceled")
	}
}

// A long call does not delay others, and many run concurrently.
func TestMultiplexedCallsRunConcurrently(t *testing.T) {
	t.Parallel()
	slow, release := ticketstore.KeyOf("slow"), make(chan struct{})
	e := &engine{get: func(_ context.Context, key ticketstore.Key) (*ticketstore.Session, error) {
		if key == slow {
			<-release
		}
		s := session("s")
		s.Key = key
		return s, nil
	}}
	caller, _ := multiplexed(t, e)
	store := &rpc.Tickets{Caller: caller}
	var group sync.WaitGroup
	var late atomic.Int32
	for range 100 {
		group.Go(func() {
			if _, err := store.Get(t.Context(), slow); err != nil {
				t.Error(err)
			}
			late.Add(1)
		})
	}
	for i := range 200 {
		key := ticketstore.KeyOf(fmt.Sprint(i))
		if got, err := store.Get(t.Context(), key); err != nil || got.Key != key {
			t.Fatalf("got %v and %v, want its own session", got, err)
		}
	}
	if late.Load() != 0 {
		t.Error("slow calls were answered before they were released")
	}
	close(release)
	group.Wait()
}

// Calls that wait while a message is sent are batched into one message.
func TestMultiplexedCallsAreBatched(t *testing.T) {
	t.Parallel()
	const calls = 200
	var messages, requests atomic.Int32
	fake := &fakeCalls{serve: func(stream callsStream) error {
		for {
			message, err := stream.Recv()
			if err != nil {
				return err
			}
			messages.Add(1)
			requests.Add(int32(len(message.GetCalls())))
			if err := stream.Send(answersTo(message)); err != nil {
				return err
			}
		}
	}}
	conn := fake.connect(t)
	var group sync.WaitGroup
	for range calls {
		group.Go(func() {
			if err := described(t.Context(), conn); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if requests.Load() != calls || messages.Load() == calls {
		t.Errorf("%d calls in %d messages, want %d in fewer", requests.Load(), messages.Load(), calls)
	}
}

// A server runs a bounded number of calls; the others wait in its queue.
func TestMultiplexedCallsAreBounded(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	var inside, most atomic.Int32
	e := &engine{get: func(context.Context, ticketstore.Key) (*ticketstore.Session, error) {
		most.Store(max(most.Load(), inside.Add(1)))
		<-release
		inside.Add(-1)
		return session("s"), nil
	}}
	caller, _ := multiplexed(t, e)
	store := &rpc.Tickets{Caller: caller}
	var group sync.WaitGroup
	for range rpc.MaxCalls + 500 {
		group.Go(func() {
			if _, err := store.Get(t.Context(), session("s").Key); err != nil {
				t.Error(err)
			}
		})
	}
	testenv.Eventually(t, "MaxCalls calls run", func() bool { return inside.Load() >= rpc.MaxCalls })
	close(release)
	group.Wait()
	if most.Load() > rpc.MaxCalls {
		t.Errorf("%d calls ran at once, want at most %d", most.Load(), rpc.MaxCalls)
	}
}

// After a malformed answer a call fails with an error of its own, and the next one succeeds.
func TestMultiplexedMalformedAnswers(t *testing.T) {
	t.Parallel()
	encode := func(m proto.Message) []byte {
		b, err := proto.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	ok := encode(&pb.DescribeResponse{Name: "fake"})
	for name, c := range map[string]struct {
		answers func(id uint64) []*pb.Answer
		want    codes.Code
		lost    bool // the stream breaks with the answer
	}{
		"with an answer to an unknown call": {answers: func(id uint64) []*pb.Answer {
			return []*pb.Answer{{Id: id + 7, Answer: ok}, {Id: 0, Answer: ok}, {Id: id, Answer: ok}}
		}},
		"twice": {answers: func(id uint64) []*pb.Answer {
			return []*pb.Answer{{Id: id, Answer: ok}, {Id: id, Status: []byte("x")}}
		}},
		"no message": {answers: func(id uint64) []*pb.Answer {
			return []*pb.Answer{{Id: id, Answer: []byte("\xff")}}
		}, want: codes.Internal},
		"no status": {answers: func(id uint64) []*pb.Answer {
			return []*pb.Answer{{Id: id, Status: []byte("\xff")}}
		}, want: codes.Internal},
		"an error with the status OK": {answers: func(id uint64) []*pb.Answer {
			return []*pb.Answer{{Id: id, Status: encode(status.New(codes.OK, "fine").Proto())}, {Id: id}}
		}, want: codes.Internal},
		"the end of the stream": {
			answers: func(uint64) []*pb.Answer { return nil }, want: codes.Unavailable, lost: true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var broken atomic.Bool
			fake := &fakeCalls{serve: func(stream callsStream) error {
				for {
					message, err := stream.Recv()
					if err != nil {
						return err
					}
					for _, call := range message.GetCalls() {
						answers := []*pb.Answer{{Id: call.GetId(), Answer: ok}}
						first := broken.CompareAndSwap(false, true)
						if first {
							answers = c.answers(call.GetId())
						}
						err := stream.Send(&pb.CallsResponse{Answers: answers})
						if err != nil || first && c.lost {
							return err
						}
					}
				}
			}}
			conn := fake.connect(t)
			if err := described(t.Context(), conn); status.Code(err) != c.want {
				t.Errorf("got %v, want %s", err, c.want)
			}
			// A broken stream is reopened; an earlier call may detect it first.
			testenv.Eventually(t, "the next call works", func() bool {
				return described(t.Context(), conn) == nil
			})
		})
	}
}

// All calls on a broken stream fail as unavailable, and a retry resolves them (rule 3).
func TestMultiplexedCallsOnALostStream(t *testing.T) {
	t.Parallel()
	var streams, ids atomic.Int32
	fake := &fakeCalls{serve: func(stream callsStream) error {
		first := streams.Add(1) == 1
		for {
			message, err := stream.Recv()
			if err != nil {
				return err
			}
			ids.Add(int32(len(message.GetCalls())))
			if first && ids.Load() >= 10 {
				return status.Error(codes.Unavailable, "going")
			}
			if !first {
				if err := stream.Send(answersTo(message)); err != nil {
					return err
				}
			}
		}
	}}
	caller := &rpc.Caller{Conn: fake.connect(t), Timeout: time.Minute, Long: time.Minute}
	var group sync.WaitGroup
	for i := range 10 {
		group.Go(func() {
			batch := &grantstore.Batch{
				OperationID: fmt.Sprint(i), Store: []grantstore.Grant{grant(fmt.Sprint(i))},
			}
			if err := apply(batch)(t.Context(), caller); err != nil {
				t.Errorf("got %v, want the answer of the second stream", err)
			}
		})
	}
	group.Wait()
}

// Large requests are unary calls, large answers use the stream, and one that is too large fails alone.
func TestMultiplexedSizes(t *testing.T) {
	t.Parallel()
	var unary, long atomic.Int32
	fake := &fakeCalls{
		configure: func(r *pb.ConfigureRequest) { unary.Add(1); long.Store(int32(len(r.GetSettings()))) },
		serve:     func(stream callsStream) error { <-stream.Context().Done(); return nil },
	}
	large := &pb.ConfigureRequest{Settings: []byte(strings.Repeat("x", 1<<20))}
	err := fake.connect(t).Invoke(t.Context(), pb.BackendService_Configure_FullMethodName, large,
		&pb.ConfigureResponse{})
	if err != nil || unary.Load() != 1 || long.Load() != 1<<20 {
		t.Errorf("a large request: %v, %d unary calls with %d bytes, want one with 1 MiB", err, unary.Load(),
			long.Load())
	}

	e := &engine{get: func(context.Context, ticketstore.Key) (*ticketstore.Session, error) {
		s := session("s")
		s.Ticket = make([]byte, 20<<20) // four of them exceed the limit of a message
		return s, nil
	}}
	caller, _ := multiplexed(t, e)
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			_, err := (&rpc.Tickets{Caller: caller}).Get(t.Context(), session("s").Key)
			// The answer was received: the client rejects a ticket of that size.
			if err == nil || !strings.Contains(err.Error(), "ticket") {
				t.Errorf("got %v, want a broken answer", err)
			}
		})
	}
	group.Wait()
}

// A closing server answers running calls and refuses new ones.
func TestMultiplexedServerCloses(t *testing.T) {
	t.Parallel()
	running, release := make(chan struct{}), make(chan struct{})
	e := &engine{get: func(context.Context, ticketstore.Key) (*ticketstore.Session, error) {
		close(running)
		<-release
		return session("s"), nil
	}}
	caller, server := multiplexed(t, e)
	store := &rpc.Tickets{Caller: caller}
	brief := *caller
	brief.Timeout = 10 * time.Millisecond // it retries for that long
	answered := make(chan error)
	go func() {
		_, err := store.Get(t.Context(), session("s").Key)
		answered <- err
	}()
	<-running
	closed := make(chan error)
	go func() { closed <- server.Close(time.Minute) }()
	testenv.Eventually(t, "new calls are refused", func() bool {
		_, err := brief.Describe(t.Context())
		return errors.Is(err, ticketstore.ErrUnavailable) && !errors.Is(err, rpc.ErrNoAnswer)
	})
	close(release)
	if err := errors.Join(<-answered, <-closed); err != nil {
		t.Errorf("the call that ran, and closing: %v", err)
	}
	if e.closed != 1 {
		t.Errorf("the backend was closed %d times, want once", e.closed)
	}
}

// answersTo answers the calls of a message with empty answers.
func answersTo(message *pb.CallsRequest) *pb.CallsResponse {
	answers := &pb.CallsResponse{}
	for _, call := range message.GetCalls() {
		answers.Answers = append(answers.Answers, &pb.Answer{Id: call.GetId()})
	}
	return answers
}

type callsStream = grpc.BidiStreamingServer[pb.CallsRequest, pb.CallsResponse]

// fakeCalls is a plugin whose stream of calls is controlled by the test.
type fakeCalls struct {
	pb.UnimplementedCallsServiceServer
	pb.UnimplementedBackendServiceServer
	serve     func(callsStream) error
	configure func(*pb.ConfigureRequest)
}

func (f *fakeCalls) Calls(stream callsStream) error { return f.serve(stream) }

func (f *fakeCalls) Configure(_ context.Context, r *pb.ConfigureRequest) (*pb.ConfigureResponse, error) {
	f.configure(r)
	return &pb.ConfigureResponse{}, nil
}

// connect returns a connection to it. Its server stops when the streams end.
func (f *fakeCalls) connect(t *testing.T) *rpc.Multiplexer {
	t.Helper()
	return &rpc.Multiplexer{ClientConnInterface: f.dial(t)}
}

func (f *fakeCalls) dial(t *testing.T) *grpc.ClientConn {
	t.Helper()
	listener := bufconn.Listen(1 << 20)
	server := grpc.NewServer(grpc.MaxRecvMsgSize(rpc.MaxRequest))
	pb.RegisterCallsServiceServer(server, f)
	pb.RegisterBackendServiceServer(server, f)
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)
	conn, err := grpc.NewClient("passthrough:///test",
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
			return listener.DialContext(ctx)
		}), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func described(ctx context.Context, conn grpc.ClientConnInterface) error {
	return conn.Invoke(ctx, pb.BackendService_Describe_FullMethodName, &pb.DescribeRequest{},
		&pb.DescribeResponse{})
}
