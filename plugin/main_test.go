//go:build unix

package plugin_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	goplugin "github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"

	"github.com/fosite-sessions/sessions"
	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/plugin"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// modeEnv selects what the test binary acts as: a plugin, not a plugin, or a host.
const modeEnv = "PLUGIN_TEST_MODE"

func TestMain(m *testing.M) {
	mode := os.Getenv(modeEnv)
	if mode == "" {
		os.Exit(m.Run())
	}
	if folder := os.Getenv(folderEnv); folder != "" {
		mark(folder, fmt.Sprintf("pid-%d", os.Getpid()))
	}
	switch mode {
	case "plugin":
		plugin.Serve(plugin.ServeConfig{Open: openMemory})
	case "unary":
		serveUnary(false)
	case "calls in name only":
		serveUnary(true)
	case "panics":
		fmt.Fprintln(os.Stderr, `{"@message":5}`)
		plugin.Serve(plugin.ServeConfig{Open: openMemory})
	case "version 1": // before messages carried records
		goplugin.Serve(&goplugin.ServeConfig{
			HandshakeConfig: goplugin.HandshakeConfig{
				MagicCookieKey: cookieKey, MagicCookieValue: os.Getenv(cookieKey),
			},
			VersionedPlugins: map[int]goplugin.PluginSet{1: {"sessions": nothing{}}},
			GRPCServer:       goplugin.DefaultGRPCServer,
		})
	case "another plugin":
		goplugin.Serve(&goplugin.ServeConfig{
			HandshakeConfig: goplugin.HandshakeConfig{MagicCookieKey: "VAULT_PLUGIN", MagicCookieValue: "1"},
			GRPCServer:      goplugin.DefaultGRPCServer,
		})
	case "chatter":
		fmt.Println("usage: something [options]")
		select {}
	case "no handshake":
		select {}
	case "no handshake at first":
		if pids, _ := filepath.Glob(filepath.Join(os.Getenv(folderEnv), "pid-*")); len(pids) == 1 {
			select {}
		}
		plugin.Serve(plugin.ServeConfig{Open: openMemory})
	case "exit":
		fmt.Fprintln(os.Stderr, "error while loading shared libraries")
		os.Exit(3)
	case "no server": // a handshake without a server
		fmt.Println("1|2|unix|" + os.Getenv("PLUGIN_UNIX_SOCKET_DIR") + "/none|grpc|")
		select {}
	case "host":
		host()
	}
}

const (
	// folderEnv is the folder in which a plugin of these tests records its events.
	folderEnv = "PLUGIN_TEST_FOLDER"
	cookieKey = "FOSITE_SESSIONS_PLUGIN"
)

func mark(folder, name string) {
	if err := os.WriteFile(filepath.Join(folder, name), nil, 0o600); err != nil {
		panic(err)
	}
}

type nothing struct {
	goplugin.NetRPCUnsupportedPlugin
}

func (nothing) GRPCServer(*goplugin.GRPCBroker, *grpc.Server) error { return nil }

func (nothing) GRPCClient(context.Context, *goplugin.GRPCBroker, *grpc.ClientConn) (any, error) {
	return nil, errors.ErrUnsupported
}

// host opens a plugin and does nothing until it is killed.
func host() {
	client, err := plugin.Open(context.Background(), plugin.Config{
		Path: os.Args[0], Env: []string{modeEnv + "=plugin", folderEnv + "=" + os.Getenv(folderEnv)},
		SocketDir: os.Getenv(folderEnv),
		// The plugin writes to a log that is not read after this process has exited.
		Logger: slog.New(slog.NewTextHandler(io.Discard, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	if err != nil {
		panic(err)
	}
	fmt.Println("plugin", client.PID())
	select {}
}

// settings of the memory backend.
type settings struct {
	Fail     string        `json:"fail,omitempty"`     // the error of Open
	Field    string        `json:"field,omitempty"`    // a field at fault
	Services []string      `json:"services,omitempty"` // instead of all
	Shared   bool          `json:"shared,omitempty"`
	Hang     bool          `json:"hang,omitempty"`     // Open waits for its context
	SlowEnd  time.Duration `json:"slow_end,omitempty"` // how long Close takes
	// a file with the id of the store; without the file there is no store
	Path string `json:"path,omitempty"`
}

func openMemory(ctx context.Context, raw []byte, logger *slog.Logger) (sessions.Backend, error) {
	var s settings
	if err := json.Unmarshal(raw, &s); err != nil {
		return nil, err
	}
	switch {
	case s.Fail != "":
		return nil, errors.New(s.Fail)
	case s.Field != "":
		return nil, ticketstore.Invalidf(s.Field, "is not a setting of the memory backend")
	case s.Hang:
		<-ctx.Done()
		return nil, ctx.Err()
	}
	logger.WarnContext(ctx, "memory backend is open", "settings", string(raw))
	fmt.Fprintln(os.Stderr, "a line to go-plugin's standard error")
	if s.Services == nil {
		s.Services = stores
	}
	return &memory{
		settings: s, folder: os.Getenv(folderEnv), sessions: map[ticketstore.Key]*ticketstore.Session{},
		failed: make(chan struct{}),
	}, nil
}

// memory is a backend that keeps only sessions, until it is closed.
type memory struct {
	ticketstore.Store
	settings settings
	folder   string
	mu       sync.Mutex
	sessions map[ticketstore.Key]*ticketstore.Session
	fail     sync.Once
	failed   chan struct{}
	asked    atomic.Int32 // calls of Describe while the database was down
}

func (m *memory) Failed() <-chan struct{} { return m.failed }
func (m *memory) Failure() error          { return errors.New("the disk of the test fails") }

func (m *memory) Tickets() ticketstore.Store { return m }
func (m *memory) Grants() grantstore.Store   { return nil }
func (m *memory) Logout() logout.Store       { return nil }

func (m *memory) Properties() ticketstore.Properties { return nil }

func (m *memory) Describe(context.Context) (ticketstore.Description, error) {
	id, _ := os.ReadFile(m.settings.Path)
	// The test makes the database unavailable.
	if _, err := os.Stat(filepath.Join(m.folder, "away")); err == nil {
		mark(m.folder, fmt.Sprintf("asked-%d", m.asked.Add(1)))
		return ticketstore.Description{}, ticketstore.ErrUnavailable
	}
	return ticketstore.Description{
		Name: "memory", Version: "test", Format: 1, Services: m.settings.Services, StoreID: string(id),
		Shared: m.settings.Shared,
	}, nil
}

func (m *memory) Close() error {
	if m.settings.SlowEnd > 0 {
		mark(m.folder, "closing")
		<-time.After(m.settings.SlowEnd)
	}
	if m.folder != "" {
		mark(m.folder, fmt.Sprintf("closed-%d", os.Getpid()))
	}
	return nil
}

func (m *memory) Create(_ context.Context, s *ticketstore.Session) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch s.SubjectID {
	case "panic":
		panic("requested")
	case "exit":
		os.Exit(7)
	case "fail":
		m.fail.Do(func() { close(m.failed) })
		return ticketstore.ErrUnavailable
	}
	m.sessions[s.Key] = s
	return nil
}

func (m *memory) Get(ctx context.Context, key ticketstore.Key) (*ticketstore.Session, error) {
	if key == (ticketstore.Key{0xff}) { // the test requests a slow call
		mark(m.folder, "called")
		for {
			if _, err := os.Stat(filepath.Join(m.folder, "go on")); err == nil {
				return nil, ticketstore.ErrConflict
			}
			select {
			case <-ctx.Done():
				return nil, ctx.Err()
			case <-time.After(5 * time.Millisecond):
			}
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if s := m.sessions[key]; s != nil {
		return s, nil
	}
	return nil, ticketstore.ErrNotFound
}
