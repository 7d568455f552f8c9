package badger_test

import (
	"log/slog"
	"testing"

	"github.com/fosite-sessions/sessions/plugin/badger"
)

func open(t *testing.T, path string) *badger.Engine {
	t.Helper()
	noSync := false // what is durable is not the question here, and thousands of syncs are slow
	e, err := badger.Open(t.Context(), badger.Settings{Path: path, Sync: &noSync}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatalf("open %s: %v", path, err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return e
}
