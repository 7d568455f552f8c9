package fositestore

// Logout settings of clients, from the host's client type or the configuration.

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/ory/fosite"

	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// Optional methods of a host's client type, named after the registration metadata.
type (
	backChannelClient  interface{ GetBackChannelLogoutURI() string }
	sessionClient      interface{ GetBackChannelLogoutSessionRequired() bool }
	frontChannelClient interface{ GetFrontChannelLogoutURI() string }
	frontSessionClient interface{ GetFrontChannelLogoutSessionRequired() bool }
	coordinatingClient interface {
		GetCoordinateLifetimeWithUserSession() *bool
	}
	mutedClient      interface{ GetMutedSessionEnds() ticketstore.Ends }
	postLogoutClient interface{ GetPostLogoutRedirectURIs() []string }
)

// clients looks up the logout settings of the clients in the host's store.
type clients struct {
	store    fosite.ClientManager
	settings logout.ClientSource // may be nil
}

var _ logout.ClientSource = (*clients)(nil)

// LogoutClient returns the settings from the client's own methods, else the configured settings. A client
// with neither is not notified.
func (c *clients) LogoutClient(ctx context.Context, clientID string) (*logout.Client, error) {
	client, err := clientOf(ctx, c.store, clientID)
	switch {
	case errors.Is(err, fosite.ErrNotFound) || errors.Is(err, ticketstore.ErrNotFound):
		return nil, fmt.Errorf("client %q: %w", clientID, ticketstore.ErrNotFound)
	case err != nil:
		return nil, fmt.Errorf("client %q: %w", clientID, err)
	}
	return c.settingsOf(ctx, client)
}

// clientOf reads a client from the host's store. A nil client without an error is one that is not found.
func clientOf(ctx context.Context, store fosite.ClientManager, id string) (fosite.Client, error) {
	client, err := store.GetClient(ctx, id)
	if err == nil && isNil(client) {
		return nil, fosite.ErrNotFound
	}
	return client, err
}

func (c *clients) settingsOf(ctx context.Context, client fosite.Client) (*logout.Client, error) {
	settings := &logout.Client{ClientID: client.GetID()}
	if c.settings != nil {
		known, err := c.settings.LogoutClient(ctx, client.GetID())
		if err != nil && !errors.Is(err, ticketstore.ErrNotFound) {
			return nil, err
		}
		if err == nil && known != nil {
			merged := *known
			settings = &merged
		}
	}
	if own, ok := client.(backChannelClient); ok {
		settings.BackChannelLogoutURI = own.GetBackChannelLogoutURI()
	}
	if own, ok := client.(sessionClient); ok {
		settings.SessionRequired = own.GetBackChannelLogoutSessionRequired()
	}
	if own, ok := client.(frontChannelClient); ok {
		settings.FrontChannelLogoutURI = own.GetFrontChannelLogoutURI()
	}
	if own, ok := client.(frontSessionClient); ok {
		settings.FrontChannelSessionRequired = own.GetFrontChannelLogoutSessionRequired()
	}
	if own, ok := client.(coordinatingClient); ok {
		settings.Coordinate = own.GetCoordinateLifetimeWithUserSession()
	}
	if own, ok := client.(mutedClient); ok {
		settings.Muted = own.GetMutedSessionEnds() & ticketstore.EndByAny
	}
	if settings.FrontChannelLogoutURI != "" &&
		!FrontChannelAllowed(settings.FrontChannelLogoutURI, client.GetRedirectURIs()) {
		settings.FrontChannelLogoutURI = ""
	}
	if own, ok := client.(postLogoutClient); ok {
		settings.PostLogoutRedirectURIs = own.GetPostLogoutRedirectURIs()
	}
	return settings, nil
}

// FrontChannelAllowed reports whether scheme, host and port of a frontchannel_logout_uri equal those of a
// redirect URI, as Front-Channel Logout 1.0, section 2, requires: otherwise a client could have the sign-out
// page load pages of another site, with the sid. A client whose URI is not allowed is never notified by front
// channel; hosts should refuse its registration.
func FrontChannelAllowed(uri string, redirectURIs []string) bool {
	origin, err := originOf(uri)
	return err == nil && slices.ContainsFunc(redirectURIs, func(redirect string) bool {
		other, err := originOf(redirect)
		return err == nil && other == origin
	})
}

func originOf(uri string) (string, error) {
	parsed, err := url.Parse(uri)
	if err != nil {
		return "", err
	}
	port := parsed.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[parsed.Scheme]
	}
	return parsed.Scheme + "://" + strings.ToLower(parsed.Hostname()) + ":" + port, nil
}
