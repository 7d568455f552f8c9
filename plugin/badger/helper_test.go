package badger_test

// Stores of these tests, which are checked when they close.

import (
	"context"
	"log/slog"
	"testing"

	"github.com/fosite-sessions/sessions/plugin/badger"
)

func open(t *testing.T, path string) *badger.Engine {
	t.Helper()
	noSync := false // syncs are slow, and durability is not tested here
	e, err := badger.Open(t.Context(), badger.Settings{Path: path, Sync: &noSync},
		slog.New(slog.DiscardHandler))
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

// consistent checks the whole database.
func consistent(t *testing.T, e *badger.Engine) {
	t.Helper()
	report, err := e.Check(context.Background(), badger.CheckConfig{})
	if err != nil {
		t.Errorf("the database cannot be checked: %v", err)
		return
	}
	for _, f := range report.Findings {
		t.Errorf("the database is not consistent: %s", f)
	}
}
