package plugintest_test

import (
	"log/slog"
	"testing"

	"github.com/fosite-sessions/sessions"
	"github.com/fosite-sessions/sessions/plugin/badger"
	"github.com/fosite-sessions/sessions/plugin/plugintest"
)

// In a test file of a backend.
func Example() {
	_ = func(t *testing.T) {
		plugintest.Run(t, func(t *testing.T) sessions.Backend {
			engine, err := badger.Open(t.Context(), badger.Settings{Path: t.TempDir()},
				slog.New(slog.DiscardHandler))
			if err != nil {
				t.Fatal(err)
			}
			return engine
		})
	}
}
