package torture

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"runtime"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/fosite-sessions/sessions"
	"github.com/fosite-sessions/sessions/plugin"
	"github.com/fosite-sessions/sessions/plugin/badger"
	"github.com/fosite-sessions/sessions/plugin/postgres"
)

// Environment variables that make the test binary a host or a plugin.
const (
	modeEnv   = "TORTURE_MODE"
	configEnv = "TORTURE_CONFIG"
	// countEnv makes a plugin write its number of goroutines to a file next to its database.
	countEnv       = "TORTURE_COUNT"
	goroutinesFile = "-goroutines"
	// listenerFD is the file descriptor of a host's listening socket, which outlives the host: the port stays
	// open across restarts.
	listenerFD = 3
)

func TestMain(m *testing.M) {
	switch os.Getenv(modeEnv) {
	case "host":
		if err := runHost(); err != nil {
			fmt.Fprintln(os.Stderr, "host:", err)
			os.Exit(1)
		}
	case "postgres":
		plugin.Serve(plugin.ServeConfig{
			Open: func(ctx context.Context, raw []byte, logger *slog.Logger) (sessions.Backend, error) {
				settings, err := postgres.ParseSettings(raw)
				if err != nil {
					return nil, err
				}
				postgres.LimitProcess()
				return postgres.Open(ctx, settings, logger)
			},
		})
	case "plugin":
		plugin.Serve(plugin.ServeConfig{
			Open: func(ctx context.Context, raw []byte, logger *slog.Logger) (sessions.Backend, error) {
				settings, err := badger.ParseSettings(raw)
				if err != nil {
					return nil, err
				}
				if os.Getenv(countEnv) != "" {
					go countGoroutines(settings.Path + goroutinesFile)
				}
				settings.LimitProcess()
				return badger.Open(ctx, settings, logger)
			},
		})
	default:
		os.Exit(m.Run())
	}
}

// countGoroutines writes the number of goroutines repeatedly until the process ends.
func countGoroutines(path string) {
	for range time.Tick(100 * time.Millisecond) {
		_ = os.WriteFile(path, []byte(strconv.Itoa(runtime.NumGoroutine())), 0o600)
	}
}

// runHost serves until it gets a signal, and shuts down gracefully.
func runHost() (err error) {
	var config hostConfig
	if err := json.Unmarshal([]byte(os.Getenv(configEnv)), &config); err != nil {
		return err
	}
	told := make(chan os.Signal, 1)
	signal.Notify(told, syscall.SIGTERM)
	logger := newLogger(os.Stderr)
	listener, err := net.FileListener(os.NewFile(listenerFD, "listener"))
	if err != nil {
		return err
	}
	ctx := context.Background()
	running := &programs{config: config, logger: logger, opened: map[string]*plugin.Client{}}
	h, err := newHost(ctx, config, running.openers(), logger)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, h.sessions.Close()) }()
	routes := http.NewServeMux()
	routes.HandleFunc("/plugin", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(processes{
			h.sessions.Operations().BackendName(), running.pids(), runtime.NumGoroutine(),
		})
	})
	routes.HandleFunc("/clock", func(_ http.ResponseWriter, r *http.Request) {
		ahead, _ := time.ParseDuration(r.FormValue("ahead"))
		h.ahead.Store(int64(ahead))
	})
	routes.Handle("/", h.handler)
	server := &http.Server{Handler: routes}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	select {
	case err := <-served:
		return err
	case <-told:
	}
	stopping, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	return server.Shutdown(stopping)
}

// processes is a host's report on itself and its plugins.
type processes struct {
	// Serving is the serving store, Plugins are the process ids by store.
	Serving    string
	Plugins    map[string]int
	Goroutines int
}

// programs are the plugins started by a host.
type programs struct {
	config hostConfig
	logger *slog.Logger

	mutex  sync.Mutex
	opened map[string]*plugin.Client // the latest plugin of each store
}

func (p *programs) openers() openers {
	all := openers{}
	for name, folder := range p.config.Stores {
		config := plugin.Config{
			Path: os.Args[0], Env: []string{modeEnv + "=plugin", countEnv + "=" + os.Getenv(countEnv)},
			Settings: badger.Settings{Path: folder, MinFreeMiB: 64}, Logger: p.logger,
		}
		if p.config.Database != nil {
			config.Env = []string{modeEnv + "=postgres"}
			config.Settings = p.config.Database.in(folder).settings()
			config.CallTimeout = 20 * time.Second // the checker decides whether a call took too long
		}
		all[name] = func(ctx context.Context) (sessions.Backend, error) {
			client, err := plugin.Open(ctx, config)
			if err != nil {
				return nil, err
			}
			p.mutex.Lock()
			defer p.mutex.Unlock()
			p.opened[name] = client
			return client, nil
		}
	}
	return all
}

// pids returns the running processes.
func (p *programs) pids() map[string]int {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	pids := map[string]int{}
	for name, client := range p.opened {
		if pid := client.PID(); pid > 0 {
			pids[name] = pid
		}
	}
	return pids
}
