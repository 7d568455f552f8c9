package sessions

// Backend: the three stores that a host needs, as one.

import (
	"context"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// Backend keeps sessions, grants and notifications. Implementations are safe for concurrent use. A
// plugin.Client is one, and so is every engine; whether an implementation is right is decided by
// plugin/storetest.
type Backend interface {
	// Tickets, Grants and Logout return the three stores over the same data. They are good until Close.
	Tickets() ticketstore.Store
	Grants() grantstore.Store
	Logout() logout.Store
	// Properties returns what the host keeps in the store about the store. It is good until Close.
	Properties() ticketstore.Properties
	// Describe says what the backend is, and fails when it cannot be reached.
	Describe(ctx context.Context) (ticketstore.Description, error)
	// Close ends the backend. Calls that come later are ticketstore.ErrUnavailable. It may be called again.
	Close() error
}
