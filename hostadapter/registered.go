package hostadapter

// Clients are treated as they are registered when a session ends, not as they were at their last
// authorization. The store says which clients an ending or a sweep is about, and the host what these have
// registered, in the call that ends: a store may be wrong about the former, which costs look-ups.

import (
	"context"
	"errors"
	"maps"
	"slices"
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

// registeredOf returns what the clients of those sessions have registered by now that a sign-in of their
// subject ends, the oldest: most is how many sessions the subject may have. A session that falls due before
// the sign-in makes it fewer.
func (a *Adapter) registeredOf(ctx context.Context, subject string, most int) ticketstore.Registrations {
	query := ticketstore.SessionQuery{
		Filter: ticketstore.SessionFilter{SubjectID: subject}, Order: ticketstore.Ascending, Count: 1,
	}
	page, err := a.config.Backend.Tickets().Query(ctx, query)
	if err == nil {
		switch excess := page.TotalCount - most + 1; {
		case excess < 1:
			return nil
		case excess > 1:
			query.Count = min(excess, ticketstore.MaxCount)
			page, err = a.config.Backend.Tickets().Query(ctx, query)
		}
	}
	if err != nil {
		a.config.Logger.WarnContext(ctx,
			"clients of sessions that a sign-in may end are treated as at their last authorization",
			"error", err)
		return nil
	}
	clients := map[string]bool{}
	for i := range page.Sessions {
		for _, use := range page.Sessions[i].Clients {
			if len(clients) < ticketstore.MaxRegistrations {
				clients[use.ClientID] = true
			}
		}
	}
	return a.registered(ctx, slices.Sorted(maps.Keys(clients)))
}
