package hostadapter

// Verified id_token_hints.

import (
	"context"
	"errors"
	"slices"
)

// IDTokenHints verifies ID tokens that clients present at sign-out (RP-Initiated Logout 1.0, section 2).
type IDTokenHints interface {
	// Verify checks that the token is an ID token issued and signed by this server, and returns its claims. A
	// token past its exp is accepted. It returns ErrNotIDToken for a token that this server signed for a
	// different purpose, such as an access token or a logout token, and some error for any other token that
	// is not an ID token of this server. It returns ErrHintUnverified if the signature cannot be checked, for
	// example because the key was rotated out: then the user must confirm. It returns
	// ticketstore.ErrUnavailable if keys or clients cannot be read.
	Verify(ctx context.Context, token string) (*IDTokenHint, error)
}

// ErrHintUnverified means that none of the known keys has signed an id_token_hint.
var ErrHintUnverified = errors.New("hostadapter: id_token_hint is signed with a key that is not known")

// ErrNotIDToken means that this server signed an id_token_hint for a different purpose.
var ErrNotIDToken = errors.New("hostadapter: id_token_hint is not an ID token")

// IDTokenHint holds the claims of a verified ID token.
type IDTokenHint struct {
	// Subject is the sub claim, SessionID the sid claim, which may be empty.
	Subject   string
	SessionID string
	// Audience is the aud claim, AuthorizedParty the azp claim, which may be empty.
	Audience        []string
	AuthorizedParty string
}

// client returns the client to which the token was issued. clientID is the client named by the request, or
// "". ok is false if the request names a different client, or if it names none and the token has several.
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
