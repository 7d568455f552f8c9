package plugin

// Start of a plugin: process, handshake, connection, Configure.

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"
	goplugin "github.com/hashicorp/go-plugin"
	"github.com/hashicorp/go-plugin/runner"
	"google.golang.org/grpc"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/plugin/internal/grantcache"
	"github.com/fosite-sessions/sessions/plugin/internal/logline"
	"github.com/fosite-sessions/sessions/plugin/internal/rpc"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// errStartTimeout is the cause of the start's context after a timeout.
var errStartTimeout = errors.New("start timeout")

// instance is one plugin process, connected and with its backend open.
type instance struct {
	*process
	client *goplugin.Client
	// keep disarms the kill at the start's timeout. It reports whether it was in time.
	keep        func() bool
	conn        *grpc.ClientConn
	description ticketstore.Description
	// calls is the connection used by the stores: conn, multiplexed over one stream if the plugin supports
	// it, and with answers held back for the cache if there is one.
	calls grpc.ClientConnInterface
	// kills and cache are nil if nothing is cached.
	kills *rpc.Kills
	cache *grantcache.Cache
}

// launch starts the plugin and opens its backend. If wanted is not empty, the store's id must be in it. A
// failed launch leaves nothing behind.
func launch(ctx context.Context, config *Config, settings []byte, wanted []string) (_ *instance, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("session plugin %s: %w", config.Path, err)
		}
	}()
	path, err := config.locate()
	if err != nil {
		return nil, err
	}
	// Verified at each start, including restarts: the file may have been replaced.
	sum, err := config.verify(path)
	if err != nil {
		return nil, err
	}
	if err := config.checkSocketDir(); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, config.StartTimeout, errStartTimeout)
	defer cancel()
	in, err := begin(ctx, config, path, config.StartTimeout/3)
	if errors.Is(err, errNoHandshake) && ctx.Err() == nil {
		config.Logger.WarnContext(ctx, "session plugin is started again", "path", path, "error", err)
		in, err = begin(ctx, config, path, config.StartTimeout)
	}
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			in.keep() // its backend may be open, and is to be closed
			in.stop(config.CloseTimeout)
		}
	}()
	if err := in.configure(ctx, config, settings, wanted); err != nil {
		return nil, err
	}
	if err := in.prepare(ctx, config); err != nil {
		return nil, err
	}
	if !in.keep() {
		return nil, in.explain(ctx, ctx.Err(), config.StartTimeout)
	}
	in.ready.Store(true)
	in.logger.InfoContext(ctx, "session plugin is ready",
		"path", path, "sha256", sum, "pinned", config.Checksum != "",
		"backend", in.description.Name, "version", in.description.Version, "format", in.description.Format,
		"store_id", in.description.StoreID)
	return in, nil
}

// begin starts a process and connects to it. If it sends no handshake within patience, it is killed
// (errNoHandshake): nothing is open yet, so that another one can be started.
func begin(ctx context.Context, config *Config, path string, patience time.Duration) (*instance, error) {
	p := &process{
		path: path, args: config.Args, env: config.Env, ended: make(chan struct{}),
		logger: config.Logger.With("plugin", filepath.Base(path)),
	}
	p.aborted = func() bool { return ctx.Err() != nil }
	in := &instance{process: p, client: newGoPluginClient(config, p, patience)}
	// go-plugin's start has no context: only the end of the process aborts it.
	in.keep = context.AfterFunc(ctx, func() { _ = p.Kill(context.Background()) })
	if err := in.connect(); err != nil {
		err = in.explain(ctx, err, config.StartTimeout)
		in.keep()
		in.stop(config.CloseTimeout)
		return nil, err
	}
	return in, nil
}

func newGoPluginClient(config *Config, p *process, patience time.Duration) *goplugin.Client {
	logger := p.logger
	lines := logline.Writer{Logger: logger}
	level := hclog.Warn
	if logger.Enabled(context.Background(), slog.LevelDebug) {
		level = hclog.Debug
	}
	return goplugin.NewClient(&goplugin.ClientConfig{
		HandshakeConfig:  handshake,
		VersionedPlugins: versions(&grpcPlugin{}),
		RunnerFunc: func(_ hclog.Logger, spec *exec.Cmd, socketDir string) (runner.Runner, error) {
			return p.attach(spec, socketDir)
		},
		AutoMTLS:         true,
		SkipHostEnv:      true,
		AllowedProtocols: []goplugin.Protocol{goplugin.ProtocolGRPC},
		StartTimeout:     patience,
		Logger:           hclog.New(&hclog.LoggerOptions{Output: lines, JSONFormat: true, Level: level}),
		SyncStdout:       lines,
		SyncStderr:       lines,
		UnixSocketConfig: &goplugin.UnixSocketConfig{TempDir: config.SocketDir},
		GRPCDialOptions: []grpc.DialOption{grpc.WithDefaultCallOptions(
			grpc.MaxCallRecvMsgSize(rpc.MaxAnswer), grpc.MaxCallSendMsgSize(rpc.MaxRequest),
		)},
	})
}

// connect starts the process and makes the connection.
func (in *instance) connect() error {
	protocol, err := in.client.Client()
	if err != nil {
		return err
	}
	raw, err := protocol.Dispense(serviceSet)
	if err != nil {
		return err
	}
	conn, ok := raw.(*grpc.ClientConn)
	if !ok {
		return errors.New("no gRPC connection")
	}
	in.conn = conn
	return nil
}

// configure opens the backend and checks its description.
func (in *instance) configure(ctx context.Context, config *Config, settings []byte, wanted []string) error {
	caller := &rpc.Caller{Conn: in.conn, Timeout: config.StartTimeout, Long: config.StartTimeout}
	ids := wanted
	if slices.Contains(ids, "") { // a store without an id cannot be requested, only checked
		ids = nil
	}
	err := caller.Configure(ctx, settings, ids...)
	if other, ok := errors.AsType[*ticketstore.OtherStoreError](err); ok {
		return otherStore(settings, wanted, other.Found)
	}
	if err != nil {
		return in.startError(ctx, config, err)
	}
	if in.description, err = caller.Describe(ctx); err != nil {
		return in.startError(ctx, config, err)
	}
	if len(wanted) > 0 && !slices.Contains(wanted, in.description.StoreID) {
		return otherStore(settings, wanted, in.description.StoreID)
	}
	missing := slices.DeleteFunc(slices.Clone(rpc.Services), func(service string) bool {
		return slices.Contains(in.description.Services, service)
	})
	if len(missing) > 0 {
		return fmt.Errorf("backend %s does not serve %s: this host needs them", in.description.Name,
			strings.Join(missing, ", "))
	}
	return nil
}

// prepare builds the connection for the stores and, if the backend streams its kills, the cache in front of
// it.
func (in *instance) prepare(ctx context.Context, config *Config) error {
	in.calls = rpc.Unary{ClientConnInterface: in.conn}
	if slices.Contains(in.description.Services, rpc.CallsService) {
		stream := &rpc.Multiplexer{ClientConnInterface: in.conn, Patience: config.CallTimeout}
		if err := stream.Try(ctx); err != nil {
			return in.startError(ctx, config, fmt.Errorf("backend %s names the service %q: %w",
				in.description.Name, rpc.CallsService, err))
		}
		in.calls = stream
	}
	// On a shared store other hosts commit and acknowledge kills too, so a cache needs leases.
	if config.Cache < 0 || !slices.Contains(in.description.Services, grantstore.KillsService) ||
		(in.description.Shared && !slices.Contains(in.description.Services, grantstore.LeasesService)) {
		return nil
	}
	in.kills = &rpc.Kills{Conn: in.calls}
	caching := grantcache.Config{
		Kills: in.kills, Bound: config.Cache, Patience: config.CallTimeout / 2, Meter: config.meter,
		Logger: in.logger,
	}
	if in.description.Shared {
		caching.Leases = in.kills
	}
	in.cache = grantcache.New(caching)
	in.calls = &rpc.Positioned{Kills: in.kills, Await: in.cache.Await}
	return nil
}

// follow runs the cache's kill stream until the process has ended or the context ends.
func (in *instance) follow(ctx context.Context) {
	if in.cache == nil {
		return
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case <-in.ended:
			cancel()
		case <-ctx.Done():
		}
	}()
	in.cache.Follow(ctx)
}

// otherStore returns the error for a store with a wrong id. Of the settings it includes only the path: the
// others may hold secrets.
func otherStore(settings []byte, wanted []string, found string) error {
	var where struct {
		Path string `json:"path"`
	}
	_ = json.Unmarshal(settings, &where) // other settings belong to the backend
	if where.Path != "" {
		// A relative path means another folder if the host has changed its working directory.
		if path, err := filepath.Abs(where.Path); err == nil {
			where.Path = path
		}
	}
	return &ticketstore.OtherStoreError{Place: where.Path, Wanted: wanted, Found: found}
}

// startError returns the timeout or the exit of the process if that explains err.
func (in *instance) startError(ctx context.Context, config *Config, err error) error {
	switch {
	case errors.Is(context.Cause(ctx), errStartTimeout) || errors.Is(err, context.DeadlineExceeded):
		return in.notReady(config.StartTimeout)
	case errors.Is(err, ticketstore.ErrUnavailable) && in.endedByItself():
		return in.withLastOutput(fmt.Errorf("ended while it was starting (%s): %w", in.exit(), err))
	}
	return err
}

// stop ends the process, gracefully if its backend is open, and removes the socket's folder. After the
// timeout it kills the process, which may not answer go-plugin's shutdown call.
func (in *instance) stop(timeout time.Duration) {
	watchdog := time.AfterFunc(timeout, func() {
		in.logger.WarnContext(context.Background(), "session plugin did not end in time and is killed",
			"timeout", timeout.String())
		in.killAll()
	})
	defer watchdog.Stop()
	if in.conn == nil {
		// Killed here because go-plugin would try to connect for its shutdown call.
		_ = in.Kill(context.Background())
	}
	in.client.Kill()
	_ = in.Kill(context.Background())
	in.clearGroup()
	if in.socketDir != "" {
		_ = os.RemoveAll(in.socketDir)
	}
}
