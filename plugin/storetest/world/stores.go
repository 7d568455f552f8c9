package world

// The stores of a case.

import (
	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// Stores are the stores of one backend. They share their data: if Logout ends a session of Tickets, its
// grants in Grants die.
type Stores struct {
	Tickets ticketstore.Store
	Grants  grantstore.Store
	Logout  logout.Store
	// Properties are the properties of the same backend.
	Properties ticketstore.Properties
	// Kills are the kills of the same backend, or nil if it streams none.
	Kills grantstore.Kills
}
