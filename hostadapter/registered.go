package hostadapter

// Clients are notified as they are registered when a session ends, not as they were at their last
// authorization.

import (
	"context"
	"errors"
	"time"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// followTimeout bounds the look at the clients of what is about to end.
const followTimeout = 5 * time.Second

// follow writes what the clients of the sessions that an ending selects have registered by now into the
// store, where it is not what the store has. The end follows in any case: a failure is logged, and the client
// is treated as at its last authorization. So are the clients of sessions that a sweep, or a removal of all,
// is about to end: the host does not know beforehand which those are.
func (a *Adapter) follow(ctx context.Context, ending *logout.Ending) {
	if ending.All || ending.DryRun {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, followTimeout)
	defer cancel()
	known := map[string]*logout.Client{}
	err := a.eachSession(ctx, ending, func(s *ticketstore.SessionDetail) error {
		for i := range s.Clients {
			if err := a.followClient(ctx, s.SessionID, &s.Clients[i], known); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		a.config.Logger.WarnContext(ctx,
			"clients of a session that ends are treated as at their last authorization",
			"session_id", ending.SessionID, "subject_id", ending.SubjectID, "error", err)
	}
}

// eachSession calls do with each session that an ending by session or subject selects.
func (a *Adapter) eachSession(
	ctx context.Context, ending *logout.Ending, do func(*ticketstore.SessionDetail) error,
) error {
	tickets := a.config.Backend.Tickets()
	if ending.SessionID != "" {
		detail, err := tickets.Find(ctx, ending.SessionID)
		switch {
		case errors.Is(err, ticketstore.ErrNotFound):
			return nil
		case err != nil:
			return err
		case ending.SubjectID != "" && detail.SubjectID != ending.SubjectID:
			return nil
		}
		return do(detail)
	}
	query := ticketstore.SessionQuery{
		Filter: ticketstore.SessionFilter{SubjectID: ending.SubjectID}, Count: ticketstore.MaxCount,
	}
	return eachPage(func(token string) (next string, more bool, err error) {
		query.ResultsToken = token
		page, err := tickets.Query(ctx, query)
		if err != nil {
			return "", false, err
		}
		for i := range page.Sessions {
			if err := do(&page.Sessions[i]); err != nil {
				return "", false, err
			}
		}
		return page.ResultsToken, page.HasNext, nil
	})
}

func (a *Adapter) followClient(
	ctx context.Context, sessionID string, use *ticketstore.ClientUse, known map[string]*logout.Client,
) error {
	client, found := known[use.ClientID]
	if !found {
		var err error
		client, err = a.config.Clients.LogoutClient(ctx, use.ClientID)
		if err != nil && !errors.Is(err, ticketstore.ErrNotFound) {
			return err
		}
		known[use.ClientID] = client
	}
	if client == nil {
		return nil // it is not registered: a delivery will find out
	}
	now := *use
	now.Notify, now.Muted = client.BackChannelLogoutURI != "", client.Muted
	if now.Coordinated = a.coordinates(client); now == *use {
		return nil
	}
	batch := &grantstore.Batch{OperationID: randomID(), Use: &grantstore.Use{
		SessionID: sessionID, ClientID: use.ClientID, Notify: now.Notify,
		Coordinated: now.Coordinated, Muted: now.Muted,
	}}
	// At the moment of the last use: the client does not use the session now, which may be over too.
	_, err := a.config.Backend.Grants().Apply(ctx, batch, use.LastUsed)
	if errors.Is(err, grantstore.ErrSessionEnded) || errors.Is(err, ticketstore.ErrNotFound) {
		return nil
	}
	return err
}
