// Command sessions-postgres is the session plugin on a PostgreSQL database. An authorization server starts it
// (plugin.Config.Path) with the settings of package postgres. On a command line it offers the commands of
// package cli.
package main

import (
	"context"
	"log/slog"

	"github.com/fosite-sessions/sessions"
	"github.com/fosite-sessions/sessions/plugin"
	"github.com/fosite-sessions/sessions/plugin/internal/offline"
	"github.com/fosite-sessions/sessions/plugin/postgres"
	"github.com/fosite-sessions/sessions/plugin/postgres/cli"
)

func main() {
	if plugin.Launched() {
		plugin.Serve(plugin.ServeConfig{Open: open})
		return
	}
	offline.Main(plugin.ProtocolVersion, cli.Run)
}

func open(ctx context.Context, raw []byte, logger *slog.Logger) (sessions.Backend, error) {
	settings, err := postgres.ParseSettings(raw)
	if err != nil {
		return nil, err
	}
	postgres.LimitProcess()
	return postgres.Open(ctx, settings, logger)
}
