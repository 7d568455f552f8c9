package plugintest

// The suite through gRPC in process (Run), and on a built plugin (RunBinary).

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"slices"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"

	"github.com/fosite-sessions/sessions"
	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/plugin"
	"github.com/fosite-sessions/sessions/plugin/internal/grantcache"
	"github.com/fosite-sessions/sessions/plugin/internal/rpc"
	"github.com/fosite-sessions/sessions/plugin/storetest"
	"github.com/fosite-sessions/sessions/plugin/transfer"
	"github.com/fosite-sessions/sessions/ticketstore"
)

const (
	callTimeout = 30 * time.Second
	bufferSize  = 1 << 20
)

// Run runs all suites, that of moves for a backend that has a method Transfer, over both ways of the protocol
// to make calls. open returns an empty backend each time; Run closes it. With sections of storetest.Config
// only those run.
func Run(t *testing.T, open func(t *testing.T) sessions.Backend, sections ...string) {
	immovable, uncached := lacks(t, open(t))
	for name, over := range map[string]transport{"Unary": unary, "Stream": stream} {
		t.Run(name, func(t *testing.T) {
			storetest.Run(t, storetest.Config{
				New:       func(t *testing.T) storetest.Fixture { return connect(t, open(t), over) },
				Immovable: immovable, Uncached: uncached, Sections: sections,
			})
		})
	}
}

// transport is how calls are made over a connection.
type transport func(grpc.ClientConnInterface) grpc.ClientConnInterface

func unary(conn grpc.ClientConnInterface) grpc.ClientConnInterface { return conn }

func stream(conn grpc.ClientConnInterface) grpc.ClientConnInterface {
	return &rpc.Multiplexer{ClientConnInterface: conn}
}

// RunBinary runs all suites on a built plugin, which may be written in any language: a process of its own for
// each case. config says how to start one with an empty backend each time. The suite of moves is left out for
// a plugin without the service transfer. With sections of storetest.Config only those run.
func RunBinary(t *testing.T, config func(t *testing.T) plugin.Config, sections ...string) {
	open := func(t *testing.T) *plugin.Client {
		t.Helper()
		client, err := plugin.Open(t.Context(), config(t))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := client.Close(); err != nil {
				t.Errorf("close: %v", err)
			}
		})
		return client
	}
	probe := open(t)
	about, err := probe.Describe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Run("StoreID", func(t *testing.T) { t.Parallel(); pinned(t, config(t)) })
	storetest.Run(t, storetest.Config{
		New: func(t *testing.T) storetest.Fixture {
			client := open(t)
			return storetest.Fixture{
				Stores: storetest.Stores{
					Tickets: client.Tickets(), Grants: client.Grants(), Logout: client.Logout(),
					Properties: client.Properties(), Kills: client.Kills(),
				},
				Transfer: client.Transfer(), Shared: about.Shared,
			}
		},
		Immovable: probe.Transfer() == nil, Uncached: probe.Kills() == nil, Sections: sections,
	})
}

// pinned checks that only a store with a wanted id is opened, and that none is made (rule 11).
func pinned(t *testing.T, config plugin.Config) {
	t.Helper()
	open := func(wanted ...string) (id string, err error) {
		client, err := plugin.Open(ticketstore.WithStoreIDs(t.Context(), wanted...), config)
		if err != nil {
			return "", err
		}
		description, err := client.Describe(t.Context())
		return description.StoreID, errors.Join(err, client.Close())
	}
	refused := func(found string) {
		t.Helper()
		_, err := open("a store that is nowhere")
		var other *ticketstore.OtherStoreError
		if !errors.As(err, &other) || other.Found != found {
			t.Errorf("another store is wanted: got %v, want ErrOtherStore with the id %q", err, found)
		}
	}
	refused("") // and not made
	refused("")
	id, err := open()
	if err != nil {
		t.Fatal(err)
	}
	refused(id)
	if again, err := open(); again != id || err != nil {
		t.Errorf("the store is opened again: got %q, error %v, want %q", again, err, id)
	}
	if id == "" {
		return // the data does not outlive the process
	}
	if again, err := open("a store that is nowhere", id); again != id || err != nil {
		t.Errorf("the store is wanted: got %q, error %v, want %q", again, err, id)
	}
}

// lacks returns which of the optional services a backend does not have.
func lacks(t *testing.T, backend sessions.Backend) (transfers, kills bool) {
	t.Helper()
	description, err := backend.Describe(t.Context())
	if err := errors.Join(err, backend.Close()); err != nil {
		t.Fatal(err)
	}
	_, moves := backend.(rpc.Mover)
	_, tells := backend.(rpc.Killer)
	for service, able := range map[string]bool{transfer.Service: moves, grantstore.KillsService: tells} {
		if says := slices.Contains(description.Services, service); says != able {
			t.Fatalf("the backend says that it serves %v, and its method for %s: %t", description.Services,
				service, able)
		}
	}
	return !moves, !tells
}

// Connect serves a backend and returns its stores at the other end of a connection. Both end with the test.
func Connect(t *testing.T, backend sessions.Backend) storetest.Stores {
	t.Helper()
	return connect(t, backend, stream).Stores
}

func connect(t *testing.T, backend sessions.Backend, over transport) storetest.Fixture {
	t.Helper()
	caller := &rpc.Caller{Conn: over(dial(t, backend)), Timeout: callTimeout, Long: callTimeout}
	if err := caller.Configure(t.Context(), []byte("{}")); err != nil {
		t.Fatalf("configure: %v", err)
	}
	stores := storetest.Stores{
		Tickets: &rpc.Tickets{Caller: caller}, Grants: &rpc.Grants{Caller: caller},
		Logout: &rpc.Logout{Caller: caller}, Properties: &rpc.Properties{Caller: caller},
	}
	shared := false
	if killer, tells := backend.(rpc.Killer); tells {
		_, shared = killer.Kills().(grantstore.Leases)
		cached(t, caller, &stores, shared)
	}
	return storetest.Fixture{Stores: stores, Transfer: &rpc.Transfer{Caller: caller}, Shared: shared}
}

// cached puts a cache before the grants, as a host does.
func cached(t *testing.T, caller *rpc.Caller, stores *storetest.Stores, shared bool) {
	t.Helper()
	kills := &rpc.Kills{Conn: caller.Conn}
	config := grantcache.Config{
		Kills: kills, Bound: plugin.DefaultCache, Patience: callTimeout / 2, Meter: &grantcache.Meter{},
		Logger: slog.New(slog.NewTextHandler(t.Output(), nil)),
	}
	if shared {
		config.Leases = kills
	}
	cache := grantcache.New(config)
	caller.Conn = &rpc.Positioned{Kills: kills, Await: cache.Await}
	stores.Grants = &grantcache.Store{Store: stores.Grants, Cache: func() *grantcache.Cache { return cache }}
	stores.Kills = kills
	ctx, cancel := context.WithCancel(context.Background())
	followed := make(chan struct{})
	go func() {
		defer close(followed)
		cache.Follow(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		<-followed
	})
}

func dial(t *testing.T, backend sessions.Backend) grpc.ClientConnInterface {
	t.Helper()
	listener := bufconn.Listen(bufferSize)
	server := &rpc.Server{
		Open:   func(context.Context, []byte) (sessions.Backend, error) { return backend, nil },
		Logger: slog.New(slog.NewTextHandler(t.Output(), nil)),
	}
	grpcServer := grpc.NewServer(grpc.MaxRecvMsgSize(rpc.MaxRequest))
	server.Register(grpcServer)
	served := make(chan error, 1)
	go func() { served <- grpcServer.Serve(listener) }()

	conn, err := grpc.NewClient("passthrough:///plugin",
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
			return listener.DialContext(ctx)
		}),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(rpc.MaxAnswer),
			grpc.MaxCallSendMsgSize(rpc.MaxRequest)))
	if err != nil {
		t.Fatalf("dial: %v", err)
	}
	t.Cleanup(func() {
		if err := server.Close(callTimeout); err != nil {
			t.Errorf("close: %v", err)
		}
		_ = conn.Close()
		grpcServer.Stop()
		if err := <-served; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	return conn
}
