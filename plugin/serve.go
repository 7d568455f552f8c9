package plugin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/hashicorp/go-hclog"
	goplugin "github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"

	"github.com/fosite-sessions/sessions"
	"github.com/fosite-sessions/sessions/plugin/internal/logline"
	"github.com/fosite-sessions/sessions/plugin/internal/rpc"
	"github.com/fosite-sessions/sessions/plugin/smallfile"
)

const (
	// drain is how long a plugin that ends waits for calls that run. go-plugin's own hosts kill two seconds
	// after they asked.
	drain = time.Second
	// closeLimit is how long a backend may take to close before the process ends without it.
	closeLimit = 30 * time.Second
	// exitFailed is the status of a plugin whose backend has failed.
	exitFailed = 3
	// parentEvery is how often a plugin without a lifeline looks whether its host lives.
	parentEvery = time.Second
)

// ServeConfig configures a plugin.
type ServeConfig struct {
	// Open opens the backend with the host's settings, a JSON object. It is called by the host's Configure,
	// again after it failed. A *ticketstore.FieldError reaches the host as one; the text of any other error
	// reaches the host's operator, so that it must not hold secrets. The context ends when Open returns.
	// Where it has ids (ticketstore.StoreIDs), the store must have one of them: otherwise Open creates and
	// changes nothing and returns a *ticketstore.OtherStoreError. Serve closes a backend that opened another
	// all the same. The logger writes to the host's log. Required.
	Open func(ctx context.Context, settings []byte, logger *slog.Logger) (sessions.Backend, error)
}

// Launched tells whether this process was started as a plugin by a host. A program that is host and plugin in
// one calls Serve first thing in main when it was.
func Launched() bool { return os.Getenv(handshake.MagicCookieKey) == handshake.MagicCookieValue }

// Serve is all that the main function of a plugin does: it serves a backend to the host that started the
// process, and returns when the backend is closed: told to by the host, on SIGTERM, or because the host has
// died. On Unix it sets the umask of the process to 007. It ends the process with status 2 when it was not
// started by a host, 1 when the backend did not close well, and 3 as soon as a backend that can
// (FailingBackend) has failed.
func Serve(config ServeConfig) {
	if !Launched() {
		name := filepath.Base(os.Args[0])
		fmt.Fprintf(os.Stderr,
			"%s keeps the sessions of an authorization server, which starts it: name this file as\n"+
				"plugin.Config.Path (github.com/fosite-sessions/sessions/plugin, protocol version %d).\n",
			name, ProtocolVersion)
		os.Exit(2)
	}
	if err := serve(config); err != nil {
		os.Exit(1)
	}
}

func serve(config ServeConfig) error {
	smallfile.RestrictUmask()
	// go-plugin's Serve replaces os.Stderr: the log goes to the real one.
	stderr := os.Stderr
	level, _ := logline.ParseLevel(os.Getenv(levelEnv))
	p := &served{logger: slog.New(logline.NewHandler(stderr, level)), ended: make(chan struct{})}
	p.server = &rpc.Server{
		Logger: p.logger,
		Open: func(ctx context.Context, settings []byte) (sessions.Backend, error) {
			backend, err := config.Open(ctx, settings, p.logger)
			if failing, ok := backend.(FailingBackend); ok && err == nil {
				go p.endWith(failing) //nolint:gosec // it lives as long as the backend
			}
			return backend, err
		},
	}
	// The terminal's end is the host's affair, whose end is ours. A log line that nobody reads must not end
	// us before the database is closed: a broken pipe on standard error would.
	signal.Ignore(syscall.SIGHUP, syscall.SIGPIPE)
	p.watch()

	goplugin.Serve(&goplugin.ServeConfig{
		HandshakeConfig:  handshake,
		VersionedPlugins: versions(&glue{server: p.server}),
		GRPCServer:       p.newGRPCServer,
		Logger: hclog.New(&hclog.LoggerOptions{
			Output: stderr, JSONFormat: true, Level: hclogLevel(level),
		}),
	})
	err := p.close()
	if !p.listened() {
		err = errors.Join(err, errors.New("go-plugin could not serve"))
	}
	close(p.ended)
	// go-plugin's host removes the folder of the socket, but a dead one cannot. It is removed only when
	// empty.
	if folder := os.Getenv(goplugin.EnvUnixSocketDir); folder != "" {
		_ = os.Remove(folder)
	}
	return err
}

// hclogLevel keeps go-plugin's own chatter out of the log unless debugging is wanted.
func hclogLevel(level slog.Level) hclog.Level {
	if level <= slog.LevelDebug {
		return hclog.Debug
	}
	return hclog.Warn
}

// served is a plugin process at work.
type served struct {
	server *rpc.Server
	logger *slog.Logger
	ended  chan struct{}

	mu   sync.Mutex
	grpc *grpc.Server
}

func (p *served) newGRPCServer(options []grpc.ServerOption) *grpc.Server {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.grpc = grpc.NewServer(append(options, grpc.MaxRecvMsgSize(rpc.MaxRequest),
		grpc.MaxSendMsgSize(rpc.MaxAnswer))...)
	return p.grpc
}

func (p *served) listened() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.grpc != nil
}

// close closes the backend, however slow, within closeLimit.
func (p *served) close() error {
	limit := time.AfterFunc(closeLimit, func() {
		p.logger.ErrorContext(context.Background(), "backend did not close in time", "limit",
			closeLimit.String())
		os.Exit(1)
	})
	defer limit.Stop()
	err := p.server.Close(drain)
	if err != nil {
		p.logger.ErrorContext(context.Background(), "backend did not close well", "error", err)
	}
	return err
}

// stop closes the backend and then ends go-plugin's Serve.
func (p *served) stop(why string) {
	p.logger.InfoContext(context.Background(), "plugin ends", "reason", why)
	_ = p.close()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.grpc == nil { // not even listening yet
		os.Exit(1)
	}
	p.grpc.Stop()
}

// endWith ends the process when its backend has failed, at once and without closing it: what it still has in
// memory must not be stored.
func (p *served) endWith(backend FailingBackend) {
	select {
	case <-backend.Failed():
		p.logger.ErrorContext(context.Background(), "plugin ends", "reason", "its backend has failed",
			"error", backend.Failure())
		os.Exit(exitFailed)
	case <-p.ended:
	}
}

// watch ends the plugin on SIGTERM and when its host is gone.
func (p *served) watch() {
	terminate := make(chan os.Signal, 1)
	signal.Notify(terminate, syscall.SIGTERM)
	orphaned := make(chan struct{})
	if os.Getenv(lifelineEnv) == lifelineStdin {
		go func() {
			_, _ = io.Copy(io.Discard, os.Stdin)
			close(orphaned)
		}()
	} else {
		go p.pollParent(orphaned)
	}
	go func() {
		select {
		case <-terminate:
			p.stop("told to by a signal")
		case <-orphaned:
			p.stop("the host is gone")
		case <-p.ended:
		}
	}()
}

// pollParent serves hosts that hold no lifeline.
func (p *served) pollParent(orphaned chan<- struct{}) {
	parent := os.Getppid()
	ticker := time.NewTicker(parentEvery)
	defer ticker.Stop()
	for os.Getppid() == parent {
		select {
		case <-ticker.C:
		case <-p.ended:
			return
		}
	}
	close(orphaned)
}
