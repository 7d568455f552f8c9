package integration

import (
	"log/slog"
	"testing"

	"github.com/fosite-sessions/sessions/grantstore/granttest"
	"github.com/fosite-sessions/sessions/logout/logouttest"
	"github.com/fosite-sessions/sessions/plugin"
	"github.com/fosite-sessions/sessions/plugin/badger"
	"github.com/fosite-sessions/sessions/ticketstore/tickettest"
	"github.com/fosite-sessions/sessions/ticketstore/transfer/transfertest"
)

// The suites run on the plugin as it is installed: a process of its own for each case.

func TestBuiltPluginTickets(t *testing.T) {
	t.Parallel()
	tickettest.Run(t, tickettest.Config{New: builtPlugin})
}

func TestBuiltPluginGrants(t *testing.T) {
	t.Parallel()
	granttest.Run(t, granttest.Config{New: builtPlugin})
}

func TestBuiltPluginLogout(t *testing.T) {
	t.Parallel()
	logouttest.Run(t, logouttest.Config{New: builtPlugin})
}

func TestBuiltPluginTransfer(t *testing.T) {
	t.Parallel()
	transfertest.Run(t, transfertest.Config{
		MovesAlone: true,
		New: func(t *testing.T) transfertest.Backend {
			client := openBuiltPlugin(t)
			return transfertest.Backend{Stores: storesOf(client), Transfer: client.Transfer()}
		},
	})
}

func builtPlugin(t *testing.T) tickettest.Stores {
	t.Helper()
	return storesOf(openBuiltPlugin(t))
}

func storesOf(client *plugin.Client) tickettest.Stores {
	return tickettest.Stores{Tickets: client.Tickets(), Grants: client.Grants(), Logout: client.Logout()}
}

func openBuiltPlugin(t *testing.T) *plugin.Client {
	t.Helper()
	client, err := plugin.Open(t.Context(), plugin.Config{
		Path: binary(t, "sessions-badger"), Settings: badger.Settings{Path: t.TempDir()}, Logger: slog.New(slog.NewTextHandler(watched.log(), nil)),
		CallTimeout: patience, LongCallTimeout: patience,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := client.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return client
}
