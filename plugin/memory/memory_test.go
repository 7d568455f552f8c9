package memory_test

import (
	"context"
	"log/slog"
	"testing"

	"github.com/fosite-sessions/sessions"
	"github.com/fosite-sessions/sessions/plugin/badger"
	"github.com/fosite-sessions/sessions/plugin/memory"
	"github.com/fosite-sessions/sessions/plugin/plugintest"
	"github.com/fosite-sessions/sessions/plugin/storetest"
)

func TestConformance(t *testing.T) {
	t.Parallel()
	storetest.Run(t, storetest.Config{New: movable})
}

// Every suite through the protocol.
func TestPlugin(t *testing.T) {
	t.Parallel()
	plugintest.Run(t, func(*testing.T) sessions.Backend { return memory.New() })
}

// Both engines compute the same sums and results from the same records.
func TestToBadger(t *testing.T) {
	t.Parallel()
	storetest.Run(t, storetest.Config{New: movable, Target: movableBadger})
}

func TestFromBadger(t *testing.T) {
	t.Parallel()
	storetest.Run(t, storetest.Config{New: movableBadger, Target: movable})
}

func movable(*testing.T) storetest.Fixture {
	s := memory.New()
	return storetest.Fixture{
		Stores: storetest.Stores{
			Tickets: s.Tickets(), Grants: s.Grants(), Logout: s.Logout(), Properties: s.Properties(),
			Kills: s.Kills(),
		},
		Transfer: s.Transfer(),
	}
}

// movableBadger opens an engine that is checked as a whole at the end.
func movableBadger(t *testing.T) storetest.Fixture {
	t.Helper()
	noSync := false
	settings := badger.Settings{Path: t.TempDir(), Sync: &noSync}
	e, err := badger.Open(t.Context(), settings, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if report, err := e.Check(context.Background(), badger.CheckConfig{}); err != nil ||
			len(report.Findings) > 0 {
			t.Errorf("the database is not consistent: %+v, error %v", report, err)
		}
		if err := e.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return storetest.Fixture{
		Stores: storetest.Stores{
			Tickets: e.Tickets(), Grants: e.Grants(), Logout: e.Logout(), Properties: e.Properties(),
			Kills: e.Kills(),
		},
		Transfer: e.Transfer(),
	}
}
