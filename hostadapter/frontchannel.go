package hostadapter

// Front-channel logout: the frames of a sign-out (Front-Channel Logout 1.0, section 3).

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// FrontChannelURLs returns the addresses of the frames in which the clients of a session clear their cookies
// (Front-Channel Logout 1.0, section 3), for a host that signs out by SignOut and shows a page of its own.
// Ask before the session ends: an unknown or ended one has none.
func (a *Adapter) FrontChannelURLs(ctx context.Context, sessionID string) ([]string, error) {
	detail, err := a.config.Backend.Tickets().Find(ctx, sessionID)
	switch {
	case errors.Is(err, ticketstore.ErrNotFound):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("hostadapter: reading the clients of a session: %w", err)
	}
	var urls []string
	for i := range detail.Clients {
		address, err := a.frontChannelURL(ctx, detail.Clients[i].ClientID, &detail.Session)
		if err != nil {
			// One client's settings are no reason not to sign out.
			a.config.Logger.WarnContext(ctx, "client is not notified by front channel",
				"client_id", detail.Clients[i].ClientID, "error", err)
			continue
		}
		if address != "" {
			urls = append(urls, address)
		}
	}
	return urls, nil
}

func (a *Adapter) frontChannelURL(
	ctx context.Context, clientID string, session *ticketstore.Session,
) (string, error) {
	client, err := a.config.Clients.LogoutClient(ctx, clientID)
	if errors.Is(err, ticketstore.ErrNotFound) || (err == nil && client == nil) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	return client.FrontChannelURL(session.Issuer, session.SessionID)
}

// Pauses between reads of the notifications of a session.
const (
	firstLook = 5 * time.Millisecond
	mostPause = 200 * time.Millisecond
)

// awaitNotifications returns when every client of the ended sessions has been notified or given up, or the
// time is over.
func (a *Adapter) awaitNotifications(ctx context.Context, ended []*ticketstore.Session, limit time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	timer := time.NewTimer(firstLook)
	defer timer.Stop()
	for pause := firstLook; ; pause = min(2*pause, mostPause) {
		select {
		case <-timer.C:
		case <-ctx.Done():
			return
		}
		for len(ended) > 0 {
			if waiting, err := a.pendingNotifications(ctx, ended[0].SessionID); err != nil || waiting > 0 {
				break
			}
			ended = ended[1:]
		}
		if len(ended) == 0 {
			return
		}
		timer.Reset(pause)
	}
}

// pendingNotifications counts the clients of a session that were not notified yet. One that awaits its second
// delivery was.
func (a *Adapter) pendingNotifications(ctx context.Context, sessionID string) (waiting int, err error) {
	query := logout.NotificationQuery{
		Filter: logout.NotificationFilter{SessionID: sessionID, State: logout.Pending},
		Count:  ticketstore.MaxCount,
	}
	err = eachPage(func(token string) (next string, more bool, err error) {
		query.ResultsToken = token
		page, err := a.config.Backend.Logout().Notifications(ctx, query)
		if err != nil {
			return "", false, err
		}
		for i := range page.Notifications {
			if !wasDelivered(&page.Notifications[i]) {
				waiting++
			}
		}
		return page.ResultsToken, page.HasNext, nil
	})
	if err != nil {
		return 0, err
	}
	return waiting, nil
}

// wasDelivered reports whether a client has accepted a pending notification once, and only its second
// delivery is due.
func wasDelivered(n *logout.Notification) bool {
	return n.State == logout.Pending && !n.LastAttempt.IsZero() && n.LastError == ""
}
