//go:build unix

package plugin_test

// A plugin that does not serve the stream of calls, such as one in another language.

import (
	"context"
	"log/slog"
	"os"
	"path"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	goplugin "github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"

	"github.com/fosite-sessions/sessions"
	"github.com/fosite-sessions/sessions/plugin"
	pb "github.com/fosite-sessions/sessions/plugin/internal/pluginpb"
	"github.com/fosite-sessions/sessions/plugin/internal/rpc"
)

// unaryPlugin serves unary calls only.
type unaryPlugin struct {
	nothing
	server *rpc.Server
}

func (u unaryPlugin) GRPCServer(_ *goplugin.GRPCBroker, server *grpc.Server) error {
	u.server.Register(withoutCalls{server})
	return nil
}

// withoutCalls registers all services but the stream of calls.
type withoutCalls struct{ grpc.ServiceRegistrar }

func (w withoutCalls) RegisterService(service *grpc.ServiceDesc, implementation any) {
	if service.ServiceName != pb.CallsService_ServiceDesc.ServiceName {
		w.ServiceRegistrar.RegisterService(service, implementation)
	}
}

// serveUnary serves a plugin without the stream; if named, its description names the stream. It marks each
// called method.
func serveUnary(named bool) {
	logger := slog.New(slog.DiscardHandler)
	open := func(ctx context.Context, settings []byte) (sessions.Backend, error) {
		return openMemory(ctx, settings, logger)
	}
	server := &rpc.Server{Logger: logger, Open: open}
	seen := func(
		ctx context.Context, request any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler,
	) (any, error) {
		mark(os.Getenv(folderEnv), "called-"+path.Base(info.FullMethod))
		answer, err := handler(ctx, request)
		if described, ok := answer.(*pb.DescribeResponse); ok && described != nil && !named {
			described.Services = slices.DeleteFunc(described.Services,
				func(service string) bool { return service == rpc.CallsService })
		}
		return answer, err
	}
	goplugin.Serve(&goplugin.ServeConfig{
		HandshakeConfig: goplugin.HandshakeConfig{
			MagicCookieKey: cookieKey, MagicCookieValue: os.Getenv(cookieKey),
		},
		VersionedPlugins: map[int]goplugin.PluginSet{
			plugin.ProtocolVersion: {"sessions": unaryPlugin{server: server}},
		},
		GRPCServer: func(options []grpc.ServerOption) *grpc.Server {
			return grpc.NewServer(append(options, grpc.UnaryInterceptor(seen))...)
		},
	})
	if err := server.Close(time.Second); err != nil {
		panic(err)
	}
}

// A plugin that does not name the stream is served by unary calls.
func TestPluginWithoutCalls(t *testing.T) {
	t.Parallel()
	b := newFixture(t)
	client := b.start(b.config("unary", settings{}))
	var group sync.WaitGroup
	for _, id := range []string{"1", "2", "3", "4"} {
		group.Go(func() {
			want := session(id)
			if err := client.Tickets().Create(t.Context(), want); err != nil {
				t.Error(err)
			}
			if got, err := client.Tickets().Get(t.Context(), want.Key); err != nil || got.SessionID != id {
				t.Errorf("got %v and %v, want the session %s", got, err, id)
			}
		})
	}
	group.Wait()
	if !b.marked("called-CreateSession") || !b.marked("called-GetSession") {
		t.Error("the calls were not unary")
	}
}

// A plugin that names the stream but does not serve it is refused at startup, not at each call.
func TestPluginWithUnservedCalls(t *testing.T) {
	t.Parallel()
	b := newFixture(t)
	client, err := plugin.Open(t.Context(), b.config("calls in name only", settings{}))
	if err == nil {
		_ = client.Close()
		t.Fatal("opened")
	}
	t.Log(err)
	for _, want := range []string{`names the service "calls"`, "Unimplemented"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("got %q, want %s in it", err, want)
		}
	}
}
