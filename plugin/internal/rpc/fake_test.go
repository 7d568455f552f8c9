package rpc_test

// A fake engine, and connections to it, for the tests of this package.

import (
	"context"
	"log/slog"
	"net"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"

	"github.com/fosite-sessions/sessions"
	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/plugin/internal/rpc"
	"github.com/fosite-sessions/sessions/plugin/plugintest/testenv"
	"github.com/fosite-sessions/sessions/ticketstore"
)

var now = time.Date(2026, 5, 1, 12, 0, 0, 123456789, time.UTC)

// engine is a backend whose calls are answered by the test. A call without an answer panics.
type engine struct {
	ticketstore.Store
	grants
	ending
	get    func(ctx context.Context, key ticketstore.Key) (*ticketstore.Session, error)
	rekey  func() (*ticketstore.Session, error)
	query  func(ticketstore.SessionQuery) (*ticketstore.Page, error)
	closed int
}

func (e *engine) Tickets() ticketstore.Store { return e }
func (e *engine) Grants() grantstore.Store   { return &e.grants }
func (e *engine) Logout() logout.Store       { return &e.ending }
func (e *engine) Close() error               { e.closed++; return nil }

func (e *engine) Properties() ticketstore.Properties { return nil }

func (e *engine) Describe(context.Context) (ticketstore.Description, error) {
	return ticketstore.Description{Name: "fake", Services: rpc.Services}, nil
}

func (e *engine) Get(ctx context.Context, key ticketstore.Key) (*ticketstore.Session, error) {
	return e.get(ctx, key)
}

func (e *engine) Rekey(context.Context, ticketstore.Rekey, time.Time) (*ticketstore.Session, error) {
	return e.rekey()
}

func (e *engine) Query(_ context.Context, q ticketstore.SessionQuery) (*ticketstore.Page, error) {
	return e.query(q)
}

type grants struct {
	grantstore.Store
	apply func(*grantstore.Batch) (*grantstore.Result, error)
	find  func(grantstore.Ref) (*grantstore.GetResult, error)
	purge func(limit int) (int, error)
}

func (g *grants) Apply(_ context.Context, b *grantstore.Batch, _ time.Time) (*grantstore.Result, error) {
	return g.apply(b)
}

func (g *grants) Get(_ context.Context, ref grantstore.Ref, _ time.Time) (*grantstore.GetResult, error) {
	return g.find(ref)
}

func (g *grants) Purge(_ context.Context, limit int, _ time.Time) (int, error) { return g.purge(limit) }

type ending struct {
	logout.Store
	end func(ctx context.Context, e *logout.Ending) (*logout.Result, error)
}

func (e *ending) End(ctx context.Context, ending *logout.Ending, _ time.Time) (*logout.Result, error) {
	return e.end(ctx, ending)
}

// serve serves backend services and returns a caller for them, and the server.
func serve(
	t *testing.T, register func(grpc.ServiceRegistrar), dial ...grpc.DialOption,
) (*rpc.Caller, *grpc.Server) {
	t.Helper()
	listener := bufconn.Listen(1 << 20)
	server := grpc.NewServer(grpc.MaxRecvMsgSize(rpc.MaxRequest))
	register(server)
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	conn, err := grpc.NewClient("passthrough:///test", append(dial,
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
			return listener.DialContext(ctx)
		}),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(rpc.MaxAnswer),
			grpc.MaxCallSendMsgSize(rpc.MaxRequest)))...)
	if err != nil {
		t.Fatalf("dial: %v", err)
	}
	t.Cleanup(func() {
		_ = conn.Close()
		server.Stop()
		if err := <-served; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	// No call times out on a busy machine.
	caller := &rpc.Caller{Conn: conn, Timeout: 2 * testenv.Patience, Long: 2 * testenv.Patience}
	if overStream {
		caller.Conn = &rpc.Multiplexer{ClientConnInterface: conn}
	}
	return caller, server
}

// configured serves an engine with our server.
func configured(t *testing.T, e *engine) (*rpc.Caller, *rpc.Server) {
	t.Helper()
	server := &rpc.Server{
		Open:   func(context.Context, []byte) (sessions.Backend, error) { return e, nil },
		Logger: slog.New(slog.NewTextHandler(t.Output(), nil)),
	}
	caller, _ := serve(t, server.Register)
	if err := caller.Configure(t.Context(), nil); err != nil {
		t.Fatalf("configure: %v", err)
	}
	return caller, server
}

func session(id string) *ticketstore.Session {
	return &ticketstore.Session{
		Key: ticketstore.KeyOf(id), SessionID: id, SubjectID: "42", Issuer: "https://op.example",
		AuthTime: now, Created: now, Renewed: now, Expires: now.Add(time.Hour), Version: 1,
	}
}

func grant(handle string) grantstore.Grant {
	return grantstore.Grant{
		Ref:       grantstore.Ref{Type: grantstore.RefreshToken, Key: ticketstore.KeyOf(handle)},
		RequestID: "r", Created: now, Data: []byte("sealed"),
	}
}
