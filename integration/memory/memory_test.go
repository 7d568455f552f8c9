package memory_test

import (
	"context"
	"log/slog"
	"testing"

	"github.com/fosite-sessions/sessions/grantstore/granttest"
	"github.com/fosite-sessions/sessions/integration/memory"
	"github.com/fosite-sessions/sessions/logout/logouttest"
	"github.com/fosite-sessions/sessions/plugin"
	"github.com/fosite-sessions/sessions/plugin/badger"
	"github.com/fosite-sessions/sessions/plugin/plugintest"
	"github.com/fosite-sessions/sessions/ticketstore/tickettest"
	"github.com/fosite-sessions/sessions/ticketstore/transfer/transfertest"
)

func stores(*testing.T) tickettest.Stores {
	s := memory.New()
	return tickettest.Stores{Tickets: s.Tickets(), Grants: s.Grants(), Logout: s.Logout(), Properties: s.Properties()}
}

func TestTickets(t *testing.T) { t.Parallel(); tickettest.Run(t, tickettest.Config{New: stores}) }
func TestGrants(t *testing.T)  { t.Parallel(); granttest.Run(t, granttest.Config{New: stores}) }
func TestLogout(t *testing.T)  { t.Parallel(); logouttest.Run(t, logouttest.Config{New: stores}) }

func TestTransfer(t *testing.T) {
	t.Parallel()
	transfertest.Run(t, transfertest.Config{New: movable})
}

// Every suite through the protocol.
func TestPlugin(t *testing.T) {
	t.Parallel()
	plugintest.Run(t, func(*testing.T) plugin.Backend { return memory.New() })
}

// The same records have the same sums in both engines, and mean the same.
func TestToBadger(t *testing.T) {
	t.Parallel()
	transfertest.Run(t, transfertest.Config{New: movable, Target: movableBadger, MovesAlone: true})
}

func TestFromBadger(t *testing.T) {
	t.Parallel()
	transfertest.Run(t, transfertest.Config{New: movableBadger, Target: movable, MovesAlone: true})
}

func movable(*testing.T) transfertest.Backend {
	s := memory.New()
	return transfertest.Backend{
		Stores: tickettest.Stores{Tickets: s.Tickets(), Grants: s.Grants(), Logout: s.Logout(), Properties: s.Properties()}, Transfer: s.Transfer(),
	}
}

// movableBadger opens an engine that is checked as a whole in the end.
func movableBadger(t *testing.T) transfertest.Backend {
	t.Helper()
	noSync := false
	e, err := badger.Open(t.Context(), badger.Settings{Path: t.TempDir(), Sync: &noSync}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if report, err := e.Check(context.Background(), badger.CheckConfig{}); err != nil || len(report.Findings) > 0 {
			t.Errorf("the database is not consistent: %+v, error %v", report, err)
		}
		if err := e.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return transfertest.Backend{
		Stores: tickettest.Stores{Tickets: e.Tickets(), Grants: e.Grants(), Logout: e.Logout(), Properties: e.Properties()}, Transfer: e.Transfer(),
	}
}
