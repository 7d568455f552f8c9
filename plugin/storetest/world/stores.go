package world

// The stores of a case.

import (
	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// Stores are the stores of one backend. They share their data: Logout ends a session of Tickets, and its
// grants in Grants die with it.
type Stores struct {
	Tickets ticketstore.Store
	Grants  grantstore.Store
	Logout  logout.Store
	// Properties are those of the same data.
	Properties ticketstore.Properties
	// Kills are those of the same data, nil for a backend that tells none.
	Kills grantstore.Kills
}
