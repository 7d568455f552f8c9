package main

// A server under load: its process, and what the load knows of it.

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// serveEnv makes this program a server with the store that it names, telemetryEnv says how it is traced,
// dataEnv is its folder.
const (
	serveEnv     = "LOAD_SERVE"
	telemetryEnv = "LOAD_TELEMETRY"
	dataEnv      = "LOAD_DATA"
)

// kind is what kind of server it is.
type kind struct{ store, telemetry string }

func (k kind) String() string {
	if k.telemetry == "" {
		return k.store
	}
	return k.store + "+" + k.telemetry
}

// The sockets of debug servers, in the server's folder.
const (
	hostSocket   = "host.sock"
	pluginSocket = "plugin.sock"
)

// server is a server under load.
type server struct {
	kind
	folder  string
	address string
	users   []login
	codes   int // that an exchange may use
	host    *debugged
	plugin  *debugged // nil without one
	process *exec.Cmd // nil where it is this process
	input   io.Closer
	local   *host // nil where it is another process
}

// startServer starts a server in a process of its own, or in this one.
func startServer(ctx context.Context, k kind, o *options) (s *server, err error) {
	s = &server{kind: k, codes: o.codes}
	if s.folder, err = os.MkdirTemp(o.data, "load-"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.stop())
		}
	}()
	s.host = newDebugged(filepath.Join(s.folder, hostSocket))
	if slices.Contains(ours, k.store) {
		s.plugin = newDebugged(filepath.Join(s.folder, pluginSocket))
	}
	if o.direct {
		s.local, err = newHost(ctx, s.hostConfig())
		if err == nil {
			err = serveDebug(ctx, filepath.Join(s.folder, hostSocket))
		}
	} else {
		err = s.startProcess(ctx)
	}
	if err != nil {
		return nil, err
	}
	if k.store == storeNone {
		return s, nil
	}
	s.users, err = many(ctx, s, o.users, func(a asker, _ int) (login, error) {
		return newLogin(a, withIDToken)
	})
	return s, err
}

func (s *server) hostConfig() hostConfig {
	cache := int64(0)
	if s.store == storeMisses {
		cache = -1
	}
	return hostConfig{
		kind: s.kind, cache: cache,
		data: filepath.Join(s.folder, "store"), debug: filepath.Join(s.folder, pluginSocket),
		logger: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})),
	}
}

func (s *server) startProcess(ctx context.Context) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	s.process = exec.CommandContext(ctx, self)
	s.process.Env = append(os.Environ(), serveEnv+"="+s.store, telemetryEnv+"="+s.telemetry,
		dataEnv+"="+s.folder)
	s.process.Stderr = os.Stderr
	output, err := s.process.StdoutPipe()
	if err != nil {
		return err
	}
	if s.input, err = s.process.StdinPipe(); err != nil {
		return err
	}
	if err := s.process.Start(); err != nil {
		s.process = nil
		return err
	}
	address, err := bufio.NewReader(output).ReadString('\n')
	s.address = strings.TrimSpace(address)
	return err
}

// serveProcess is the main function of a server's process: it says where it listens, and ends with its
// standard input.
func serveProcess(ctx context.Context, k kind, folder string) error {
	s := &server{kind: k, folder: folder}
	h, err := newHost(ctx, s.hostConfig())
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

// connect returns what asks the server.
func (s *server) connect(ctx context.Context) (asker, error) {
	if s.local != nil {
		return newDirect(s.local.handler), nil
	}
	return dial(ctx, s.address)
}

// stop ends the server and removes what it kept.
func (s *server) stop() error {
	var err error
	switch {
	case s.local != nil:
		err = s.local.close()
	case s.process != nil:
		_ = s.input.Close()
		err = s.process.Wait()
	}
	return errors.Join(err, os.RemoveAll(s.folder))
}
