package hostadapter

// What a verified id_token_hint says.

import (
	"context"
	"errors"
	"slices"
)

// IDTokenHints verifies ID tokens that clients show at sign-out (RP-Initiated Logout 1.0, section 2).
type IDTokenHints interface {
	// Verify checks that the token is an ID token issued and signed by this server, and returns what it says.
	// A token past its exp is accepted. What this server signed as something else, as an access token or a
	// logout token, is ErrNotIDToken, and anything else that is no ID token of this server is an error too.
	// One whose signature cannot be checked, as that of a key that was rotated out, is ErrHintUnverified: the
	// user is asked then. Keys or clients that cannot be read are ticketstore.ErrUnavailable.
	Verify(ctx context.Context, token string) (*IDTokenHint, error)
}

// ErrHintUnverified means that the signature of an id_token_hint is by none of the keys that are known.
var ErrHintUnverified = errors.New("hostadapter: id_token_hint is signed with a key that is not known")

// ErrNotIDToken means that an id_token_hint is signed by this server, but was made for another purpose.
var ErrNotIDToken = errors.New("hostadapter: id_token_hint is not an ID token")

// IDTokenHint is what a genuine ID token says of whom it was issued for.
type IDTokenHint struct {
	// Subject is the sub claim, SessionID the sid claim, which may be empty.
	Subject   string
	SessionID string
	// Audience is the aud claim, AuthorizedParty the azp claim, which may be empty.
	Audience        []string
	AuthorizedParty string
}

// client returns the client that the token was issued to. clientID is the client that the request names,
// empty for none. ok is false where the request names another client, or none and the token is for several.
func (h *IDTokenHint) client(clientID string) (client string, ok bool) {
	switch {
	case h.AuthorizedParty != "":
		client = h.AuthorizedParty
	case len(h.Audience) == 1:
		client = h.Audience[0]
	case clientID != "" && slices.Contains(h.Audience, clientID):
		client = clientID
	}
	return client, client != "" && (clientID == "" || clientID == client)
}
