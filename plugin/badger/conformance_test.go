package badger_test

import (
	"log/slog"
	"testing"

	"github.com/fosite-sessions/sessions/grantstore/granttest"
	"github.com/fosite-sessions/sessions/logout/logouttest"
	"github.com/fosite-sessions/sessions/plugin/badger"
	"github.com/fosite-sessions/sessions/ticketstore/tickettest"
)

// The suites decide whether the engine is right; here they run on it in process.

func TestTickets(t *testing.T) {
	t.Parallel()
	tickettest.Run(t, tickettest.Config{New: stores})
}

func TestGrants(t *testing.T) {
	t.Parallel()
	granttest.Run(t, granttest.Config{New: stores})
}

func TestLogout(t *testing.T) {
	t.Parallel()
	logouttest.Run(t, logouttest.Config{New: stores})
}

func stores(t *testing.T) tickettest.Stores {
	t.Helper()
	e := open(t, t.TempDir())
	return tickettest.Stores{Tickets: e.Tickets(), Grants: e.Grants(), Logout: e.Logout()}
}

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
