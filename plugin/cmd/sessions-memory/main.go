// Command sessions-memory is the in-memory backend as a plugin.
package main

import (
	"bytes"
	"context"
	"log/slog"

	"github.com/fosite-sessions/sessions"
	"github.com/fosite-sessions/sessions/plugin"
	"github.com/fosite-sessions/sessions/plugin/memory"
	"github.com/fosite-sessions/sessions/ticketstore"
)

func main() { plugin.Serve(plugin.ServeConfig{Open: open}) }

// open refuses all settings, because the backend has none.
func open(_ context.Context, settings []byte, _ *slog.Logger) (sessions.Backend, error) {
	if !bytes.Equal(settings, []byte("{}")) {
		return nil, ticketstore.Invalidf("settings", "are not empty: the memory backend has none")
	}
	return memory.New(), nil
}
