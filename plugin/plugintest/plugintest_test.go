package plugintest_test

import (
	"log/slog"
	"testing"

	"github.com/fosite-sessions/sessions"
	"github.com/fosite-sessions/sessions/plugin/badger"
	"github.com/fosite-sessions/sessions/plugin/plugintest"
	"github.com/fosite-sessions/sessions/plugin/plugintest/testenv"
)

// The Badger engine passes the suite through gRPC as in process.
func TestBadger(t *testing.T) {
	t.Parallel()
	testenv.SkipRace(t, "the engine is tested in process, and gRPC with the backend in memory")
	plugintest.Run(t, func(t *testing.T) sessions.Backend {
		// Durability is not tested here.
		sync := false
		engine, err := badger.Open(t.Context(), badger.Settings{Path: t.TempDir(), Sync: &sync},
			slog.New(slog.NewTextHandler(t.Output(), nil)))
		if err != nil {
			t.Fatalf("open: %v", err)
		}
		return engine
	})
}
