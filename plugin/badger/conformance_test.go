package badger_test

import (
	"testing"

	"github.com/fosite-sessions/sessions/grantstore/granttest"
	"github.com/fosite-sessions/sessions/logout/logouttest"
	"github.com/fosite-sessions/sessions/ticketstore/tickettest"
)

// The suites decide whether the engine is right; here they run on it in process.

func TestTickets(t *testing.T) {
	t.Parallel()
	tickettest.Run(t, tickettest.Config{New: stores, WalkRows: 10_000})
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
	t.Cleanup(func() { consistent(t, e) })
	return tickettest.Stores{Tickets: e.Tickets(), Grants: e.Grants(), Logout: e.Logout(), Properties: e.Properties()}
}
