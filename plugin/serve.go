package plugin

// The plugin's side: Serve, and the conditions that end its process.

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
	// drain is how long an exiting plugin waits for running calls. go-plugin kills the process two seconds
	// after its shutdown call.
	drain = time.Second
	// closeLimit is how long a backend may take to close before the process exits anyway.
	closeLimit = 30 * time.Second
	// exitFailed is the exit status of a plugin whose backend has failed.
	exitFailed = 3
	// parentInterval is how often a plugin without a lifeline checks whether its host is alive.
	parentInterval = time.Second
)

// ServeConfig configures a plugin.
type ServeConfig struct {
	// Open opens the backend with the host's settings, a JSON object. It is called by the host's Configure,
	// and again after a failure. A *ticketstore.FieldError is returned to the host as such; the text of any
	// other error is shown to the host's operator and must not hold secrets. The context ends when Open
	// returns. If it carries ids (ticketstore.StoreIDs), the store must have one of them; otherwise Open must
	// create and change nothing and return a *ticketstore.OtherStoreError. Serve closes a backend that opened
	// a different store nevertheless. The logger writes to the host's log. Required.
	Open func(ctx context.Context, settings []byte, logger *slog.Logger) (sessions.Backend, error)
}

// Launched reports whether a host started this process as a plugin. A program that is both host and plugin
// calls Serve first in main if so.
func Launched() bool { return os.Getenv(handshake.MagicCookieKey) == handshake.MagicCookieValue }

// Serve is the main function of a plugin. It serves a backend to the host that started the process and
// returns once the backend is closed: on the host's request, on SIGTERM, or when the host dies. On Unix it
// sets the umask to 007. It exits with status 2 if no host started the process, 1 if closing the backend
// failed, and 3 as soon as a FailingBackend fails.
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
	// go-plugin's Serve replaces os.Stderr: log to the original one.
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
	// SIGHUP is for the host, whose exit ends the plugin. A broken standard error must not end the plugin
	// before its database is closed.
	signal.Ignore(syscall.SIGHUP, syscall.SIGPIPE)
	p.watch()

	goplugin.Serve(&goplugin.ServeConfig{
		HandshakeConfig:  handshake,
		VersionedPlugins: versions(&grpcPlugin{server: p.server}),
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
	// The host removes the socket's folder unless it has died. Remove only succeeds on an empty folder.
	if folder := os.Getenv(goplugin.EnvUnixSocketDir); folder != "" {
		_ = os.Remove(folder)
	}
	return err
}

// hclogLevel suppresses go-plugin's informational messages except at debug level.
func hclogLevel(level slog.Level) hclog.Level {
	if level <= slog.LevelDebug {
		return hclog.Debug
	}
	return hclog.Warn
}

// served is a running plugin process.
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

// close closes the backend. After closeLimit it ends the process.
func (p *served) close() error {
	limit := time.AfterFunc(closeLimit, func() {
		p.logger.ErrorContext(context.Background(), "backend did not close in time",
			"limit", closeLimit.String())
		os.Exit(1)
	})
	defer limit.Stop()
	err := p.server.Close(drain)
	if err != nil {
		p.logger.ErrorContext(context.Background(), "closing the backend failed", "error", err)
	}
	return err
}

// stop closes the backend and then makes go-plugin's Serve return.
func (p *served) stop(why string) {
	p.logger.InfoContext(context.Background(), "plugin ends", "reason", why)
	_ = p.close()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.grpc == nil { // not listening yet
		os.Exit(1)
	}
	p.grpc.Stop()
}

// endWith exits the process as soon as its backend fails, without closing the backend: its memory must not be
// stored (rule 11).
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
			p.stop("SIGTERM")
		case <-orphaned:
			p.stop("the host is gone")
		case <-p.ended:
		}
	}()
}

// pollParent detects the exit of a host that provides no lifeline.
func (p *served) pollParent(orphaned chan<- struct{}) {
	parent := os.Getppid()
	ticker := time.NewTicker(parentInterval)
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
