// Command sessions-postgres is the session plugin on a PostgreSQL database. An authorization server starts it
// (plugin.Config.Path) with the settings of package postgres. On a command line it has the commands of cli.
package main

import (
	"context"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/fosite-sessions/sessions"
	"github.com/fosite-sessions/sessions/plugin"
	"github.com/fosite-sessions/sessions/plugin/internal/program"
	"github.com/fosite-sessions/sessions/plugin/postgres"
	"github.com/fosite-sessions/sessions/plugin/postgres/cli"
	"github.com/fosite-sessions/sessions/plugin/smallfile"
)

func main() {
	if plugin.Launched() {
		plugin.Serve(plugin.ServeConfig{Open: open})
		return
	}
	smallfile.RestrictUmask()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := cli.Run(ctx, cli.Env{
		Name: filepath.Base(os.Args[0]), Args: os.Args[1:], Protocol: plugin.ProtocolVersion,
		Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr, Terminal: program.Terminal(os.Stderr),
	})
	stop()
	os.Exit(code)
}

func open(ctx context.Context, raw []byte, logger *slog.Logger) (sessions.Backend, error) {
	settings, err := postgres.ParseSettings(raw)
	if err != nil {
		return nil, err
	}
	return postgres.Open(ctx, settings, logger)
}
