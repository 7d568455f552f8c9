package main

// A server under load: its host processes and their state.

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/fosite-sessions/sessions/plugin/badger"
	"github.com/fosite-sessions/sessions/plugin/plugintest/pgserver"
	"github.com/fosite-sessions/sessions/plugin/postgres"
)

// Environment variables of a host's process. serveEnv runs this program as a host with the named store.
// telemetryEnv selects the tracing, settingsEnv has the plugin's settings, folderEnv is the host's folder,
// groupEnv is the cgroup that limits its share of a core, and engineEnv names the plugin's engine.
const (
	serveEnv     = "LOAD_SERVE"
	telemetryEnv = "LOAD_TELEMETRY"
	settingsEnv  = "LOAD_SETTINGS"
	folderEnv    = "LOAD_FOLDER"
	groupEnv     = "LOAD_GROUP"
	engineEnv    = "LOAD_ENGINE"
)

// kind is the configuration of a server.
type kind struct {
	store, telemetry string
	hosts            int // number of hosts that share the store
}

func (k kind) String() string {
	name := k.store
	if k.telemetry != "" {
		name += "+" + k.telemetry
	}
	if k.hosts > 1 {
		name = fmt.Sprintf("%s(%d)", name, k.hosts)
	}
	return name
}

// engine returns the store without its suffix, or "" for a store without a plugin.
func (k kind) engine() string {
	engine := strings.TrimSuffix(k.store, uncached)
	if engine == storeNone || engine == storeMemory {
		return ""
	}
	return engine
}

// The sockets of the debug servers, in the host's folder.
const (
	hostSocket   = "host.sock"
	pluginSocket = "plugin.sock"
)

// server is a server under load.
type server struct {
	kind
	folder   string
	hosts    []*running
	users    []login
	codes    int              // unused codes for exchanges
	database *pgserver.Server // nil if the store needs none
}

// running is a running host of a server.
type running struct {
	address string
	host    *debugged
	plugin  *debugged // nil if there is no plugin
	process *exec.Cmd // nil if the host is in this process
	input   io.Closer
	local   *host // nil if the host is another process
	group   *cgroup
}

// startServer starts the hosts of a server, each in its own process, or one in this process.
func startServer(ctx context.Context, k kind, o *options, database *pgserver.Server) (s *server, err error) {
	s = &server{kind: k, codes: o.codes}
	if s.folder, err = os.MkdirTemp(o.data, "load-"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.stop())
		}
	}()
	var settings any
	switch k.engine() {
	case storeBadger:
		settings = badger.Settings{Path: filepath.Join(s.folder, "store")}
	case storePostgres:
		s.database = database
		settings = postgres.Settings{
			DSN: database.Superuser(), Schema: strings.ReplaceAll(filepath.Base(s.folder), "-", "_"),
		}
	}
	for i := range max(k.hosts, 1) {
		if err := s.startHost(ctx, filepath.Join(s.folder, fmt.Sprint("host", i)), settings, o); err != nil {
			return nil, err
		}
	}
	if k.store == storeNone {
		return s, nil
	}
	s.users, err = many(ctx, s, o.users, func(a asker, _ int) (login, error) {
		return newLogin(a, withIDToken)
	})
	return s, err
}

func (s *server) startHost(ctx context.Context, folder string, settings any, o *options) (err error) {
	if err := os.Mkdir(folder, 0o700); err != nil {
		return err
	}
	h := &running{host: newDebugged(filepath.Join(folder, hostSocket))}
	s.hosts = append(s.hosts, h)
	if s.engine() != "" {
		h.plugin = newDebugged(filepath.Join(folder, pluginSocket))
	}
	if o.direct {
		if h.local, err = newHost(ctx, hostConfigOf(s.kind, folder, settings)); err != nil {
			return err
		}
		return serveDebug(ctx, filepath.Join(folder, hostSocket))
	}
	if o.core > 0 {
		if h.group, err = newCgroup(o.core); err != nil {
			return err
		}
	}
	return h.start(ctx, s.kind, folder, settings)
}

func hostConfigOf(k kind, folder string, settings any) hostConfig {
	return hostConfig{
		kind: k, settings: settings, debug: filepath.Join(folder, pluginSocket),
		logger: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})),
	}
}

// start starts a process and waits until it prints its address.
func (h *running) start(ctx context.Context, k kind, folder string, settings any) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	raw, err := json.Marshal(settings)
	if err != nil {
		return err
	}
	h.process = exec.CommandContext(ctx, self)
	h.process.Env = append(os.Environ(), serveEnv+"="+k.store, telemetryEnv+"="+k.telemetry,
		folderEnv+"="+folder, settingsEnv+"="+string(raw), groupEnv+"="+h.group.join())
	h.process.Stderr = os.Stderr
	output, err := h.process.StdoutPipe()
	if err != nil {
		return err
	}
	if h.input, err = h.process.StdinPipe(); err != nil {
		return err
	}
	if err := h.process.Start(); err != nil {
		h.process = nil
		return err
	}
	address, err := bufio.NewReader(output).ReadString('\n')
	h.address = strings.TrimSpace(address)
	return err
}

// serveProcess is the main function of a host's process: it prints its address and stops when its standard
// input closes. It joins its cgroup before it starts the plugin, so that the plugin is in it too.
func serveProcess(ctx context.Context, k kind) error {
	if file := os.Getenv(groupEnv); file != "" {
		if err := os.WriteFile(file, fmt.Append(nil, os.Getpid()), 0o600); err != nil {
			return err
		}
	}
	folder := os.Getenv(folderEnv)
	h, err := newHost(ctx, hostConfigOf(k, folder, json.RawMessage(os.Getenv(settingsEnv))))
	if err != nil {
		return err
	}
	if err := serveDebug(ctx, filepath.Join(folder, hostSocket)); err != nil {
		return errors.Join(err, h.close())
	}
	var listen net.ListenConfig
	listener, err := listen.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return errors.Join(err, h.close())
	}
	serving := newServer(h.handler)
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		_ = serving.Close()
	}()
	fmt.Println(listener.Addr())
	_ = serving.Serve(listener) // until it is closed
	return h.close()
}

// connect returns an asker for a caller. Callers are distributed over the hosts.
func (s *server) connect(ctx context.Context, caller int) (asker, error) {
	h := s.hosts[caller%len(s.hosts)]
	if h.local != nil {
		return newDirect(h.local.handler), nil
	}
	return dial(ctx, h.address)
}

// stop stops the server and removes its files.
func (s *server) stop() error {
	var errs []error
	for _, h := range s.hosts {
		switch {
		case h.local != nil:
			errs = append(errs, h.local.close())
		case h.process != nil:
			_ = h.input.Close()
			errs = append(errs, h.process.Wait())
		}
		errs = append(errs, h.group.remove())
	}
	return errors.Join(append(errs, os.RemoveAll(s.folder))...)
}
