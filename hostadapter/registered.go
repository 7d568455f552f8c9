package hostadapter

// Clients are treated as they are registered when a session ends, not as they were at their last
// authorization. The store says which clients an ending or a sweep is about, and the host what these have
// registered, in the call that ends: a store may be wrong about the former, which costs look-ups.

import (
	"context"
	"errors"
	"time"

	"github.com/fosite-sessions/sessions/ticketstore"
)

// lookupTimeout bounds the look at the clients of what is about to end.
const lookupTimeout = 5 * time.Second

// registered returns what clients have registered by now. One that cannot be looked up is treated as at its
// last authorization.
func (a *Adapter) registered(ctx context.Context, clientIDs []string) ticketstore.Registrations {
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	var failed error
	found := make(ticketstore.Registrations, len(clientIDs))
	for _, id := range clientIDs {
		found[id] = nil
		client, err := a.config.Clients.LogoutClient(ctx, id)
		switch {
		case err == nil:
			found[id] = &ticketstore.Registration{
				Notify: client.BackChannelLogoutURI != "", Coordinated: a.coordinates(client),
				Muted: client.Muted,
			}
		case !errors.Is(err, ticketstore.ErrNotFound): // else a delivery will find out
			failed = err
		}
	}
	if failed != nil {
		a.config.Logger.WarnContext(ctx,
			"clients of a session that ends are treated as at their last authorization", "error", failed)
	}
	return found
}

// registeredOf returns what the clients of a subject's oldest sessions have registered by now, where a
// sign-in may end some of these: the subject has as many as it may have.
func (a *Adapter) registeredOf(ctx context.Context, subject string, most int) ticketstore.Registrations {
	page, err := a.config.Backend.Tickets().Query(ctx, ticketstore.SessionQuery{
		Filter: ticketstore.SessionFilter{SubjectID: subject}, Order: ticketstore.Ascending,
		Count: min(most, ticketstore.MaxCount),
	})
	if err != nil {
		a.config.Logger.WarnContext(ctx,
			"clients of sessions that a sign-in may end are treated as at their last authorization",
			"error", err)
		return nil
	}
	if page.TotalCount >= 0 && page.TotalCount < most {
		return nil
	}
	seen := map[string]bool{}
	var clients []string
	for i := range page.Sessions {
		for _, use := range page.Sessions[i].Clients {
			if !seen[use.ClientID] && len(clients) < ticketstore.MaxRegistrations {
				seen[use.ClientID] = true
				clients = append(clients, use.ClientID)
			}
		}
	}
	return a.registered(ctx, clients)
}
