package hostadapter

// Front-channel logout: the frames of a sign-out (Front-Channel Logout 1.0, section 3).

import (
	"context"
	"errors"

	"github.com/fosite-sessions/sessions/ticketstore"
)

// FrontChannelURLs returns the URLs of the frames in which the clients of a session clear their cookies
// (Front-Channel Logout 1.0, section 3), for a host that uses SignOut and shows its own page. Call it before
// the session ends: an unknown or ended session has none.
func (a *Adapter) FrontChannelURLs(ctx context.Context, sessionID string) ([]string, error) {
	detail, err := a.find(ctx, sessionID)
	if err != nil || detail == nil {
		return nil, err
	}
	// A client source that does not answer costs frames, not the sign-out.
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	var urls []string
	for i := range detail.Clients {
		address, err := a.frontChannelURL(ctx, detail.Clients[i].ClientID, &detail.Session)
		if err != nil {
			// One client's invalid registration must not prevent the sign-out.
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
	client, err := a.logoutClient(ctx, clientID)
	if errors.Is(err, ticketstore.ErrNotFound) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	return client.FrontChannelURL(session.Issuer, session.SessionID)
}
