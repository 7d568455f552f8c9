package hostadapter

// Registrations at the end of a session: clients are treated by their current registration, not by the one at
// their last authorization. The store tells the host which clients an ending or a sweep affects, and the host
// passes their registrations in the call that ends. A store that returns wrong clients only costs lookups.

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// lookupTimeout bounds the lookup of the clients of sessions that are about to end.
const lookupTimeout = 5 * time.Second

// registered returns the current registrations of clients. A client whose lookup fails is treated as at its
// last authorization.
func (a *Adapter) registered(ctx context.Context, clientIDs []string) ticketstore.Registrations {
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	var failed error
	found := make(ticketstore.Registrations, len(clientIDs))
	for _, id := range clientIDs {
		found[id] = nil
		client, err := a.logoutClient(ctx, id)
		switch {
		case err == nil:
			found[id] = &ticketstore.Registration{
				Notify: client.BackChannelLogoutURI != "", Coordinated: a.coordinates(client),
				Muted: client.Muted,
			}
		case !errors.Is(err, ticketstore.ErrNotFound): // an unknown client is noticed at delivery
			failed = err
		}
	}
	if failed != nil {
		a.config.Logger.WarnContext(ctx,
			"clients of a session that ends are treated as at their last authorization", "error", failed)
	}
	return found
}

// logoutClient looks up a client's registration. A source that returns neither a client nor an error does not
// know the client.
func (a *Adapter) logoutClient(ctx context.Context, id string) (*logout.Client, error) {
	client, err := a.config.Clients.LogoutClient(ctx, id)
	if err == nil && client == nil {
		err = ticketstore.ErrNotFound
	}
	return client, err
}

// registeredOf returns the current registrations of the clients of the subject's oldest sessions that a
// sign-in will end: most is the maximum number of sessions of the subject. Fewer end if a session falls due
// before the sign-in.
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
