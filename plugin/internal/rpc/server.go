package rpc

// The server in front of an engine: opening, calls, closing.

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"google.golang.org/grpc"

	"github.com/fosite-sessions/sessions"
	pb "github.com/fosite-sessions/sessions/plugin/internal/pluginpb"
	"github.com/fosite-sessions/sessions/plugin/internal/wire"
	"github.com/fosite-sessions/sessions/plugin/loglimit"
	"github.com/fosite-sessions/sessions/plugin/transfer"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// Server serves one backend, which Configure opens.
type Server struct {
	// Open opens the backend with settings in JSON.
	Open   func(ctx context.Context, settings []byte) (sessions.Backend, error)
	Logger *slog.Logger

	gate      Gate
	opening   sync.Mutex // held while Configure runs
	mu        sync.RWMutex
	backend   sessions.Backend
	giveUp    context.CancelFunc // cancels the running Open
	leaving   context.Context    //nolint:containedctx // ends with Close: streams wait for it
	leave     context.CancelFunc
	closeOnce sync.Once
	closeErr  error
	failures  loglimit.Lines // that are logged
}

// Register registers the services on a gRPC server, as unary calls and over the stream of CallsService.
func (s *Server) Register(registrar grpc.ServiceRegistrar) {
	s.leaving, s.leave = context.WithCancel(context.Background())
	for _, service := range []grpc.ServiceDesc{pb.BackendService_ServiceDesc, pb.TicketsService_ServiceDesc,
		pb.GrantsService_ServiceDesc, pb.LogoutService_ServiceDesc} {
		s.register(registrar, service, nil)
	}
	s.register(registrar, pb.TransferService_ServiceDesc, &transferServer{server: s})
	s.register(registrar, pb.KillsService_ServiceDesc, &killsServer{server: s})
	pb.RegisterCallsServiceServer(registrar, &callsServer{server: s})
}

// Close refuses further calls as unavailable, waits at most timeout for running calls, and closes the
// backend.
func (s *Server) Close(timeout time.Duration) error {
	s.closeOnce.Do(func() {
		if s.leave != nil {
			s.leave()
		}
		s.mu.RLock()
		if s.giveUp != nil {
			s.giveUp()
		}
		s.mu.RUnlock()
		if !s.gate.Close(timeout) {
			s.Logger.WarnContext(context.Background(), "closing the backend under calls that have not ended")
		}
		s.opening.Lock()
		defer s.opening.Unlock()
		if backend := s.current(); backend != nil {
			s.closeErr = backend.Close()
		}
	})
	return s.closeErr
}

func (s *Server) current() sessions.Backend {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.backend
}

// serve runs one call against the backend and converts its error to a gRPC error.
func serve[Answer any](
	ctx context.Context, s *Server, name string, call func(sessions.Backend) (*Answer, error),
) (*Answer, error) {
	if !s.gate.Enter() {
		return nil, s.status(ctx, name, ticketstore.ErrUnavailable)
	}
	defer s.gate.Leave()
	backend := s.current()
	if backend == nil {
		return nil, s.status(ctx, name, wire.ErrNotConfigured)
	}
	answer, err := call(backend)
	setPosition(ctx, backend) // after the call, for errors too
	if err == nil && answer == nil {
		err = errNoAnswer
	}
	if err != nil {
		return nil, s.status(ctx, name, err)
	}
	return answer, nil
}

// errNoAnswer means that the engine returned neither an answer nor an error.
var errNoAnswer = errors.New("the engine gave no answer")

// status converts an error and logs what is not sent to the host: failures of the engine, and why it is
// unavailable.
func (s *Server) status(ctx context.Context, name string, err error) error {
	st, known := wire.Status(err)
	// A fenced store is expected during a swap: the host waits. The engine itself logs once that there is no
	// space, and Describe reports it.
	expected := errors.Is(err, transfer.ErrFenced) || errors.Is(err, ticketstore.ErrNoSpace)
	if (!known || errors.Is(err, ticketstore.ErrUnavailable)) && !expected && ctx.Err() == nil {
		if suppressed, ok := s.failures.Allow(time.Now()); ok {
			s.Logger.ErrorContext(ctx, "call failed", "call", name, "error", err, "suppressed", suppressed)
		}
	}
	return st
}

// Gate counts running calls and refuses further calls once it is closed. The zero Gate is open.
type Gate struct {
	mu     sync.Mutex // of closed, and of entering
	closed bool
	inside sync.WaitGroup
}

// Enter reports whether the gate is open. If so, Leave must follow.
func (g *Gate) Enter() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return false
	}
	g.inside.Add(1)
	return true
}

// Leave ends what Enter began.
func (g *Gate) Leave() { g.inside.Done() }

// Close refuses further calls and reports whether all running calls have left within the timeout.
func (g *Gate) Close(timeout time.Duration) bool {
	g.mu.Lock()
	g.closed = true
	g.mu.Unlock()
	empty := make(chan struct{})
	go func() {
		g.inside.Wait()
		close(empty)
	}()
	select {
	case <-empty:
		return true
	case <-time.After(timeout):
		return false
	}
}
