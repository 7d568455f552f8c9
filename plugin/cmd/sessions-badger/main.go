// Command sessions-badger is a session plugin that keeps everything in an embedded Badger database. An authorization server starts it
// (plugin.Config.Path); its settings are those of package badger.
package main

import (
	"context"
	"log/slog"

	"github.com/fosite-sessions/sessions/plugin"
	"github.com/fosite-sessions/sessions/plugin/badger"
)

func main() {
	plugin.Serve(plugin.ServeConfig{Open: open})
}

func open(ctx context.Context, raw []byte, logger *slog.Logger) (plugin.Backend, error) {
	settings, err := badger.ParseSettings(raw)
	if err != nil {
		return nil, err
	}
	return badger.Open(ctx, settings, logger)
}
