// Package tickets has the cases of ticketstore.Store: how sessions are created, renewed and found.
package tickets
