package rpc_test

// The stream of calls if host or plugin does not read, or if calls do not end.

import (
	"context"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	pb "github.com/fosite-sessions/sessions/plugin/internal/pluginpb"
	"github.com/fosite-sessions/sessions/plugin/internal/rpc"
	"github.com/fosite-sessions/sessions/plugin/plugintest/testenv"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// slack is how late after its deadline a call may end on a busy machine.
const slack = 20 * time.Second

// sized makes a call with a request of about that size over the stream.
func sized(ctx context.Context, conn grpc.ClientConnInterface, size int) error {
	return conn.Invoke(ctx, pb.BackendService_Configure_FullMethodName,
		&pb.ConfigureRequest{Settings: make([]byte, size)}, &pb.ConfigureResponse{})
}

// atOnce makes calls of these sizes concurrently, each with its own timeout, waits for them and counts their
// codes. None outlasts its deadline.
func atOnce(
	t *testing.T, conn grpc.ClientConnInterface, timeout time.Duration, sizes ...int,
) map[codes.Code]int {
	t.Helper()
	ends := make(chan codes.Code, len(sizes))
	for _, size := range sizes {
		go func() {
			ctx, cancel := context.WithTimeout(t.Context(), timeout)
			defer cancel()
			ends <- status.Code(sized(ctx, conn, size))
		}()
	}
	late := time.NewTimer(timeout + slack)
	defer late.Stop()
	got := map[codes.Code]int{}
	for range sizes {
		select {
		case code := <-ends:
			got[code]++
		case <-late.C:
			t.Fatalf("calls with %s wait %s longer; ended: %v", timeout, slack, got)
		}
	}
	return got
}

// repeated returns n times the sizes.
func repeated(n int, sizes ...int) []int {
	var all []int
	for range n {
		all = append(all, sizes...)
	}
	return all
}

// A plugin that does not read blocks no call beyond its deadline.
func TestMultiplexedCallsToAStalledPlugin(t *testing.T) {
	t.Parallel()
	for name, sizes := range map[string][]int{
		"large": repeated(64, 16<<10), "small": repeated(10000, 40), "mixed": repeated(200, 40, 60<<10),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			release := make(chan struct{})
			fake := &fakeCalls{serve: func(callsStream) error { <-release; return nil }}
			conn := fake.connect(t)
			defer close(release)
			got := atOnce(t, conn, 300*time.Millisecond, sizes...)
			if got[codes.DeadlineExceeded] != len(sizes) {
				t.Errorf("got %v, want DeadlineExceeded of all %d", got, len(sizes))
			}
		})
	}
}

// Ended calls use no memory of the host, and if they were not sent, a plugin that reads again does not get
// them.
func TestMultiplexedCancelledCallsAreNotSent(t *testing.T) {
	t.Parallel()
	const calls, size = 1000, 20 << 10
	read := make(chan struct{})
	var came atomic.Int32
	fake := &fakeCalls{serve: func(stream callsStream) error {
		select {
		case <-read:
		case <-stream.Context().Done():
		}
		for {
			message, err := stream.Recv()
			if err != nil {
				return err
			}
			came.Add(int32(len(message.GetCalls())))
			if err := stream.Send(answersTo(message)); err != nil {
				return err
			}
		}
	}}
	conn := fake.connect(t)
	for range 3 { // more in total than may wait
		// Concurrent calls are below the limit: none is refused.
		if got := atOnce(t, conn, 100*time.Millisecond, repeated(calls/2, size)...); got[codes.OK] > 0 ||
			got[codes.Unavailable] > 0 {
			t.Errorf("got %v, want DeadlineExceeded of all", got)
		}
	}
	close(read)
	if err := described(t.Context(), conn); err != nil {
		t.Errorf("the next call: %v", err)
	}
	if came.Load() > calls/5 {
		t.Errorf("the plugin got %d calls, want only those in flight", came.Load())
	}
}

// The calls that wait for a stalled plugin are bounded: further calls fail as unavailable at once.
func TestMultiplexedWaitingCallsAreBounded(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	fake := &fakeCalls{serve: func(callsStream) error { <-release; return nil }}
	conn := fake.connect(t)
	defer close(release)
	// Calls wait until others were refused.
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var refused, waited atomic.Int32
	var group sync.WaitGroup
	for range 600 {
		group.Go(func() {
			switch status.Code(sized(ctx, conn, 60<<10)) {
			case codes.Unavailable:
				refused.Add(1)
			case codes.Canceled:
				waited.Add(1)
			}
		})
	}
	testenv.Eventually(t, "calls are refused", func() bool { return refused.Load() >= 200 })
	cancel()
	group.Wait()
	if refused.Load()+waited.Load() != 600 || waited.Load() < 100 {
		t.Errorf("%d calls waited and %d were refused, want about 16 MiB waiting", waited.Load(),
			refused.Load())
	}
}

// A stuck stream is closed, and the next call opens a new one.
func TestMultiplexedStuckStream(t *testing.T) {
	t.Parallel()
	// On a busy machine a stream may be closed before the plugin gets it: all streams before the first read
	// are stuck.
	var reads atomic.Bool
	fake := &fakeCalls{serve: func(stream callsStream) error {
		for {
			if !reads.Load() {
				<-stream.Context().Done()
			}
			message, err := stream.Recv()
			if err != nil {
				return err
			}
			if err := stream.Send(answersTo(message)); err != nil {
				return err
			}
		}
	}}
	conn := fake.connect(t)
	conn.Patience = 2 * time.Second // time for all calls to begin
	if got := atOnce(t, conn, time.Minute, repeated(64, 16<<10)...); got[codes.Unavailable] != 64 {
		t.Errorf("got %v, want all unavailable", got)
	}
	reads.Store(true)
	testenv.Eventually(t, "the next call works", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), slack)
		defer cancel()
		return described(ctx, conn) == nil
	})
}

// While a connection is being established, calls end by their deadlines, and the waiting stream by its
// patience.
func TestMultiplexedCallsWithoutAConnection(t *testing.T) {
	t.Parallel()
	conn, err := grpc.NewClient("passthrough:///test",
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	calls := &rpc.Multiplexer{ClientConnInterface: conn}
	if got := atOnce(t, calls, 100*time.Millisecond, 1, 2, 3); got[codes.DeadlineExceeded] != 3 {
		t.Errorf("got %v, want DeadlineExceeded", got)
	}
	calls = &rpc.Multiplexer{ClientConnInterface: conn, Patience: 100 * time.Millisecond}
	if got := atOnce(t, calls, time.Minute, 1, 2, 3); got[codes.Unavailable] != 3 {
		t.Errorf("got %v, want unavailable", got)
	}
}

// hanging is an engine whose reads end with their context. running counts them.
func hanging(running *atomic.Int32) *engine {
	return &engine{get: func(ctx context.Context, _ ticketstore.Key) (*ticketstore.Session, error) {
		running.Add(1)
		defer running.Add(-1)
		return nil, until(ctx)
	}}
}

// Calls that hang on all workers can be cancelled; others are served afterwards.
func TestMultiplexedHangingCallsAreCancelled(t *testing.T) {
	t.Parallel()
	var running atomic.Int32
	caller, _ := multiplexed(t, hanging(&running))
	store := &rpc.Tickets{Caller: caller}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var group sync.WaitGroup
	for range rpc.MaxCalls + 500 {
		group.Go(func() { _, _ = store.Get(ctx, session("s").Key) })
	}
	testenv.Eventually(t, "MaxCalls calls run", func() bool { return running.Load() == rpc.MaxCalls })
	cancel()
	group.Wait()
	brief, cancel := context.WithTimeout(t.Context(), slack) // far below the deadlines of the hanging calls
	defer cancel()
	if _, err := caller.Describe(brief); err != nil {
		t.Errorf("a call after them: %v", err)
	}
	testenv.Eventually(t, "all calls have ended", func() bool { return running.Load() == 0 })
}

// Calls beyond the queue fail as unavailable at once. A cancelled call leaves the queue.
func TestMultiplexedCallsBeyondTheQueue(t *testing.T) {
	t.Parallel()
	var running atomic.Int32
	caller, _ := multiplexed(t, hanging(&running))
	get := func(ctx context.Context) codes.Code {
		return status.Code(caller.Conn.Invoke(ctx, pb.TicketsService_GetSession_FullMethodName,
			&pb.GetSessionRequest{Key: make([]byte, 32)}, &pb.GetSessionResponse{}))
	}
	var group sync.WaitGroup
	defer group.Wait()
	hang, end := context.WithCancel(t.Context())
	defer end()
	for range rpc.MaxCalls {
		group.Go(func() { get(hang) })
	}
	testenv.Eventually(t, "MaxCalls calls run", func() bool { return running.Load() == rpc.MaxCalls })
	for range 2 {
		waiting, cancel := context.WithCancel(t.Context())
		defer cancel()
		const beyond = 300
		ends := make(chan codes.Code)
		for range rpc.MaxWaiting + beyond {
			go func() { ends <- get(waiting) }()
		}
		for range beyond {
			if code := <-ends; code != codes.Unavailable {
				t.Fatalf("got %v, want Unavailable", code)
			}
		}
		cancel()
		for range rpc.MaxWaiting {
			if code := <-ends; code != codes.Canceled {
				t.Fatalf("got %v, want Canceled", code)
			}
		}
	}
}

// If a host does not read its answers, its calls block: the memory of the plugin is bounded.
func TestMultiplexedUnreadAnswers(t *testing.T) {
	t.Parallel()
	const calls, size = 4000, 60 << 10
	var made atomic.Int32
	e := &engine{get: func(context.Context, ticketstore.Key) (*ticketstore.Session, error) {
		made.Add(1)
		s := session("s")
		s.Ticket = make([]byte, size)
		return s, nil
	}}
	caller, _ := configured(t, e)
	conn := caller.Conn
	if m, ok := conn.(*rpc.Multiplexer); ok {
		conn = m.ClientConnInterface
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	stream, err := pb.NewCallsServiceClient(conn).Calls(ctx)
	if err != nil {
		t.Fatal(err)
	}
	get, err := proto.Marshal(&pb.GetSessionRequest{Key: make([]byte, 32)})
	if err != nil {
		t.Fatal(err)
	}
	request := &pb.CallsRequest{}
	for id := range calls {
		request.Calls = append(request.Calls, &pb.Call{
			Id: uint64(id + 1), Method: pb.TicketsService_GetSession_FullMethodName, Request: get,
		})
	}
	if err := stream.Send(request); err != nil {
		t.Fatal(err)
	}
	before := int32(0)
	testenv.Eventually(t, "no further call runs", func() bool {
		time.Sleep(100 * time.Millisecond)
		last := before
		before = made.Load()
		return before > rpc.MaxCalls && before == last
	})
	// 16 MiB wait, besides one answer of each worker and those in flight.
	if before > rpc.MaxCalls+700 {
		t.Errorf("%d answers before one was read", before)
	}
	for answers := 0; answers < calls; {
		message, err := stream.Recv()
		if err != nil {
			t.Fatal(err)
		}
		answers += len(message.GetAnswers())
	}
}
