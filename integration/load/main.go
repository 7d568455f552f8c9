package main

// The command, and the dispatch to its other processes.

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/fosite-sessions/sessions"
	"github.com/fosite-sessions/sessions/plugin"
	"github.com/fosite-sessions/sessions/plugin/badger"
	"github.com/fosite-sessions/sessions/plugin/plugintest/pgserver"
	"github.com/fosite-sessions/sessions/plugin/postgres"
)

func main() {
	if plugin.Launched() {
		plugin.Serve(plugin.ServeConfig{Open: openBackend})
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	var err error
	if store := os.Getenv(serveEnv); store != "" {
		err = serveProcess(ctx, kind{store: store, telemetry: os.Getenv(telemetryEnv)})
	} else {
		err = run(ctx, os.Args[1:], os.Stdout)
	}
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "load:", err)
		os.Exit(1)
	}
}

// openBackend opens a plugin's backend, with a debug server.
func openBackend(ctx context.Context, raw []byte, logger *slog.Logger) (sessions.Backend, error) {
	if err := serveDebug(ctx, os.Getenv(debugEnv)); err != nil {
		return nil, err
	}
	if os.Getenv(engineEnv) == storePostgres {
		settings, err := postgres.ParseSettings(raw)
		if err != nil {
			return nil, err
		}
		postgres.LimitProcess()
		return postgres.Open(ctx, settings, logger)
	}
	settings, err := badger.ParseSettings(raw)
	if err != nil {
		return nil, err
	}
	settings.LimitProcess()
	return badger.Open(ctx, settings, logger)
}

func run(ctx context.Context, args []string, output io.Writer) (err error) {
	o, err := parse(args, os.Stderr)
	if err != nil {
		return err
	}
	if o.profile != "" {
		if err := os.MkdirAll(o.profile, 0o750); err != nil {
			return err
		}
	}
	kinds := o.kinds()
	if o.serve != "" {
		kinds = []kind{{store: o.serve, hosts: 1}}
	}
	servers, stop, err := startServers(ctx, kinds, o)
	defer func() { err = errors.Join(err, stop()) }()
	switch {
	case err != nil:
		return err
	case o.serve != "":
		return serveUntil(ctx, servers[0], output)
	}
	table := newTable(output)
	for _, f := range flows {
		if o.flow != "" && f.name != o.flow {
			continue
		}
		counts := f.callers
		if len(o.callers) > 0 {
			counts = o.callers
		}
		for _, callers := range counts {
			rows, err := compare(ctx, o, &f, callers, servers)
			if err != nil {
				return fmt.Errorf("%s at %d: %w", f.name, callers, err)
			}
			if o.lines {
				printLines(output, rows)
				continue
			}
			table.print(rows)
		}
	}
	return nil
}

// startServers starts servers and the PostgreSQL that some of them share. They run until stop is called.
func startServers(
	ctx context.Context, kinds []kind, o *options,
) (servers []*server, stop func() error, err error) {
	var database *pgserver.Server
	stop = func() (err error) {
		for _, s := range servers {
			err = errors.Join(err, s.stop())
		}
		if database != nil {
			database.Close()
		}
		return err
	}
	ctx = context.WithoutCancel(ctx) // an interrupt ends the measurement, and stop ends the servers
	for _, k := range kinds {
		if k.engine() == storePostgres && database == nil {
			// A common memory setting, and no checkpoint that would slow down one of the stores.
			database, err = pgserver.New("shared_buffers=1GB", "max_wal_size=16GB", "checkpoint_timeout=1h")
			if err != nil {
				return nil, stop, err
			}
		}
		s, err := startServer(ctx, k, o, database)
		if err != nil {
			return servers, stop, fmt.Errorf("%s: %w", k, err)
		}
		servers = append(servers, s)
	}
	return servers, stop, nil
}

// serveUntil serves for an external load generator until the context ends.
func serveUntil(ctx context.Context, s *server, output io.Writer) error {
	script := filepath.Join(s.folder, "introspect.lua")
	if err := os.WriteFile(script, wrkScript(s.users), 0o600); err != nil {
		return err
	}
	fmt.Fprintf(output, "wrk -t 1 -c 64 -d 5 -s %s http://%s/introspect\n", script, s.hosts[0].address)
	<-ctx.Done()
	return nil
}

// wrkScript returns a script with which wrk introspects random tokens.
func wrkScript(users []login) []byte {
	script := fmt.Appendf(nil, `wrk.method = "POST"
wrk.headers["Authorization"] = %q
wrk.headers["Content-Type"] = "application/x-www-form-urlencoded"
tokens = {
`, authorization())
	for _, user := range users {
		script = fmt.Appendf(script, "%q,\n", "token="+user.access)
	}
	return append(script, `}
function request()
	return wrk.format(nil, nil, nil, tokens[math.random(math.max(#tokens, 1))])
end
`...)
}
