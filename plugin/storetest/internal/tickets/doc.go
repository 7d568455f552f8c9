// Package tickets holds the cases of ticketstore.Store: how sessions are created, renewed and found.
package tickets
