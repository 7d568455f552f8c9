package logout

// Logout registrations of clients, and where to look them up.

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/fosite-sessions/sessions/ticketstore"
)

// Signer signs logout tokens. Implementations are safe for concurrent use.
type Signer interface {
	// Sign returns the compact JWS of the claims, a JSON object, with typ "logout+jwt" in its header, signed
	// with the key of the host's ID tokens (Back-Channel Logout 1.0, section 2.4). It never returns an
	// unsigned token. If it returns an error the delivery is retried.
	Sign(ctx context.Context, claims []byte) (string, error)
}

// Client is a relying party's logout registration.
type Client struct {
	ClientID string
	// BackChannelLogoutURI is where its logout tokens are sent. If empty, it is not notified.
	BackChannelLogoutURI string
	// SessionRequired is backchannel_logout_session_required: logout tokens then have a sid and no sub,
	// because some clients end all sessions of a user if there is a sub.
	SessionRequired bool
	// FrontChannelLogoutURI is loaded in a frame of the user's browser when the user signs out (Front-Channel
	// Logout 1.0, section 2). If empty, there is no frame.
	FrontChannelLogoutURI string
	// FrontChannelSessionRequired is frontchannel_logout_session_required. The frame's URL always has iss and
	// sid.
	FrontChannelSessionRequired bool
	// Coordinate says whether the client's lifetime is coordinated with the session: its activity keeps
	// sessions alive, and its refresh tokens end with them, including offline ones. Nil means the host's
	// default.
	Coordinate *bool
	// Muted are the ways of ending of which the client is not notified by back channel. Zero: it is notified
	// of all.
	Muted ticketstore.Ends
	// PostLogoutRedirectURIs are where a browser may be redirected after signing out, compared as strings
	// (RP-Initiated Logout 1.0, section 3).
	PostLogoutRedirectURIs []string
}

// ClientSource looks up clients. Implementations are safe for concurrent use.
type ClientSource interface {
	// LogoutClient returns the client's current registration. It returns ticketstore.ErrNotFound for an
	// unknown client, or nil and no error; any other error means that the lookup failed.
	LogoutClient(ctx context.Context, clientID string) (*Client, error)
}

// ClientMap is a ClientSource over a map by client id.
type ClientMap map[string]Client

var _ ClientSource = (ClientMap)(nil)

// LogoutClient returns the client with that id.
func (m ClientMap) LogoutClient(_ context.Context, clientID string) (*Client, error) {
	client, ok := m[clientID]
	if !ok {
		return nil, fmt.Errorf("client %q: %w", clientID, ticketstore.ErrNotFound)
	}
	client.ClientID = clientID
	return &client, nil
}

// ValidateClient returns a *ticketstore.FieldError for a client whose URIs cannot work, with the field's name
// in the registration.
func ValidateClient(client Client) error {
	if err := ticketstore.CheckID("client_id", client.ClientID); err != nil {
		return err
	}
	if client.BackChannelLogoutURI != "" {
		// Back-Channel Logout 1.0, section 2.2: absolute, may have a query, must not have a fragment.
		if err := checkURI("backchannel_logout_uri", client.BackChannelLogoutURI, true); err != nil {
			return err
		}
	}
	if client.FrontChannelLogoutURI != "" {
		// Front-Channel Logout 1.0, section 2: the same.
		if err := checkURI("frontchannel_logout_uri", client.FrontChannelLogoutURI, true); err != nil {
			return err
		}
	}
	if client.Muted&^ticketstore.EndByAny != 0 {
		return ticketstore.Invalidf("muted", "has an unknown way of ending")
	}
	for _, uri := range client.PostLogoutRedirectURIs {
		// Native applications register schemes of their own here.
		if err := checkURI("post_logout_redirect_uris", uri, false); err != nil {
			return err
		}
	}
	return nil
}

// scriptSchemes are the schemes of URIs whose content runs in the origin of the page that links to them.
var scriptSchemes = []string{"javascript", "data", "vbscript", "blob", "about", "file"}

func checkURI(field, raw string, web bool) error {
	if err := ticketstore.CheckText(field, raw, ticketstore.MaxText); err != nil {
		return err
	}
	uri, err := url.Parse(raw)
	switch {
	case err != nil:
		return ticketstore.Invalidf(field, "is not a URI")
	case uri.Scheme == "":
		return ticketstore.Invalidf(field, "has no scheme: it must be absolute")
	case strings.Contains(raw, "#"): // also an empty fragment, which url.Parse drops
		return ticketstore.Invalidf(field, "has a fragment")
	case uri.User != nil:
		return ticketstore.Invalidf(field, "has a user name or password")
	case slices.Contains(scriptSchemes, strings.ToLower(uri.Scheme)):
		return ticketstore.Invalidf(field, "has a scheme that runs in the page that leads there")
	}
	if isWeb := uri.Scheme == "http" || uri.Scheme == "https"; isWeb || web {
		switch {
		case !isWeb:
			return ticketstore.Invalidf(field, "has a scheme other than http and https")
		case uri.Hostname() == "":
			return ticketstore.Invalidf(field, "has no host")
		}
	}
	return nil
}
