package main

// The plugin mode of this program.

import (
	"context"
	"log/slog"
	"os"

	"github.com/fosite-sessions/sessions"
	"github.com/fosite-sessions/sessions/plugin"
	"github.com/fosite-sessions/sessions/plugin/badger"
	"github.com/fosite-sessions/sessions/plugin/postgres"
)

// servePlugin runs this program as the plugin for the backend named by its argument.
func servePlugin() {
	open := openBadger
	if len(os.Args) > 1 && os.Args[1] == backendPostgres {
		open = openPostgres
	}
	plugin.Serve(plugin.ServeConfig{Open: open})
}

func openBadger(ctx context.Context, raw []byte, logger *slog.Logger) (sessions.Backend, error) {
	settings, err := badger.ParseSettings(raw)
	if err != nil {
		return nil, err
	}
	settings.LimitProcess()
	return badger.Open(ctx, settings, logger)
}

func openPostgres(ctx context.Context, raw []byte, logger *slog.Logger) (sessions.Backend, error) {
	settings, err := postgres.ParseSettings(raw)
	if err != nil {
		return nil, err
	}
	postgres.LimitProcess()
	return postgres.Open(ctx, settings, logger)
}
