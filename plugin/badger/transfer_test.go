package badger_test

import (
	"log/slog"
	"strings"
	"testing"

	"github.com/fosite-sessions/sessions/plugin/badger"
	"github.com/fosite-sessions/sessions/ticketstore/tickettest"
	"github.com/fosite-sessions/sessions/ticketstore/transfer/transfertest"
)

func TestTransfer(t *testing.T) {
	t.Parallel()
	transfertest.Run(t, transfertest.Config{New: func(t *testing.T) transfertest.Backend { return movable(t, badger.Settings{}) }})
}

func TestTransferFromPlainToEncrypted(t *testing.T) {
	t.Parallel()
	transfertest.Run(t, transfertest.Config{
		MovesAlone: true,
		New:        func(t *testing.T) transfertest.Backend { return movable(t, badger.Settings{}) },
		Target: func(t *testing.T) transfertest.Backend {
			return movable(t, badger.Settings{EncryptionKey: strings.Repeat("ab", 32)})
		},
	})
}

// movable opens an engine that is checked as a whole in the end.
func movable(t *testing.T, settings badger.Settings) transfertest.Backend {
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
	return transfertest.Backend{
		Stores: tickettest.Stores{Tickets: e.Tickets(), Grants: e.Grants(), Logout: e.Logout(), Properties: e.Properties()}, Transfer: e.Transfer(),
	}
}
