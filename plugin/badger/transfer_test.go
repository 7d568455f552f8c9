package badger_test

import (
	"log/slog"
	"strings"
	"testing"

	"github.com/fosite-sessions/sessions/plugin/badger"
	"github.com/fosite-sessions/sessions/plugin/storetest"
)

func TestTransferFromPlainToEncrypted(t *testing.T) {
	t.Parallel()
	storetest.Run(t, storetest.Config{
		New: func(t *testing.T) storetest.Fixture { return movable(t, badger.Settings{}) },
		Target: func(t *testing.T) storetest.Fixture {
			return movable(t, badger.Settings{EncryptionKey: strings.Repeat("ab", 32)})
		},
	})
}

// movable opens an engine that is checked as a whole at the end.
func movable(t *testing.T, settings badger.Settings) storetest.Fixture {
	t.Helper()
	noSync := false
	settings.Path, settings.Sync = t.TempDir(), &noSync
	e, err := badger.Open(t.Context(), settings, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		consistent(t, e)
		if err := e.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return storetest.Fixture{
		Stores: storetest.Stores{Tickets: e.Tickets(), Grants: e.Grants(), Logout: e.Logout(),
			Properties: e.Properties(), Kills: e.Kills()}, Transfer: e.Transfer(),
	}
}
