// Command sessions-badger is the session plugin on an embedded Badger database. An authorization server
// starts it (plugin.Config.Path) with the settings of package badger. On a command line it offers the offline
// commands of package cli.
package main

import (
	"context"
	"log/slog"

	"github.com/fosite-sessions/sessions"
	"github.com/fosite-sessions/sessions/plugin"
	"github.com/fosite-sessions/sessions/plugin/badger"
	"github.com/fosite-sessions/sessions/plugin/badger/cli"
	"github.com/fosite-sessions/sessions/plugin/internal/offline"
)

func main() {
	if plugin.Launched() {
		plugin.Serve(plugin.ServeConfig{Open: open})
		return
	}
	offline.Main(plugin.ProtocolVersion, cli.Run)
}

func open(ctx context.Context, raw []byte, logger *slog.Logger) (sessions.Backend, error) {
	settings, err := badger.ParseSettings(raw)
	if err != nil {
		return nil, err
	}
	settings.LimitProcess()
	return badger.Open(ctx, settings, logger)
}
