package plugin_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"

	"github.com/fosite-sessions/sessions"
	"github.com/fosite-sessions/sessions/plugin"
	"github.com/fosite-sessions/sessions/plugin/badger"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// A host starts the plugin, pinned to the binary that it was built with, and uses its stores.
func Example() {
	ctx := context.Background()
	backend, err := plugin.Open(ctx, plugin.Config{
		Path:     "/usr/lib/op/sessions-badger",
		Checksum: os.Getenv("SESSIONS_BADGER_SHA256"),
		Settings: badger.Settings{Path: "/var/lib/op/sessions"},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer backend.Close()
	page, err := backend.Tickets().Query(ctx,
		ticketstore.SessionQuery{Filter: ticketstore.SessionFilter{SubjectID: "42"}})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(page.TotalCount, "sessions")
}

// The main function of a plugin.
func ExampleServe() {
	plugin.Serve(plugin.ServeConfig{
		Open: func(ctx context.Context, raw []byte, logger *slog.Logger) (sessions.Backend, error) {
			settings, err := badger.ParseSettings(raw)
			if err != nil {
				return nil, err
			}
			settings.LimitProcess()
			return badger.Open(ctx, settings, logger)
		},
	})
}
