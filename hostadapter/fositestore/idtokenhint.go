package fositestore

// Verification of id_token_hint.

import (
	"cmp"
	"context"
	"crypto"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	josev3 "github.com/go-jose/go-jose/v3"
	"github.com/go-jose/go-jose/v4"
	"github.com/ory/fosite"

	"github.com/fosite-sessions/sessions/hostadapter"
	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// idTokenHints verifies ID tokens issued by this server.
type idTokenHints struct {
	keys    *signingKeys
	former  func(ctx context.Context) ([]any, error) // may be nil
	clients fosite.ClientManager
	issuers []string // the current issuer and former ones
}

var _ hostadapter.IDTokenHints = (*idTokenHints)(nil)

// Verify verifies an ID token signed with the current key or a former key. It also accepts expired tokens.
func (h *idTokenHints) Verify(ctx context.Context, token string) (*hostadapter.IDTokenHint, error) {
	signed, err := jose.ParseSignedCompact(token, asymmetric)
	if err != nil {
		return nil, fmt.Errorf("id_token_hint is malformed: %w", err)
	}
	publics, err := h.publics(ctx)
	if err != nil {
		return nil, fmt.Errorf("%w: keys of ID tokens: %w", ticketstore.ErrUnavailable, err)
	}
	// ID tokens have no typ or the generic one. Logout tokens have their own (Back-Channel Logout 1.0,
	// section 2.4), as do access tokens by RFC 9068.
	if typ, _ := signed.Signatures[0].Protected.ExtraHeaders[jose.HeaderType].(string); typ != "" &&
		!strings.EqualFold(typ, "JWT") {
		return nil, fmt.Errorf("%w but one of type %.64q", hostadapter.ErrNotIDToken, typ)
	}
	for _, public := range publics {
		if payload, err := signed.Verify(public); err == nil {
			return h.read(ctx, payload)
		}
	}
	return nil, hostadapter.ErrHintUnverified
}

// publics returns the keys that ID tokens may be signed with, the current key first.
func (h *idTokenHints) publics(ctx context.Context) ([]crypto.PublicKey, error) {
	key, err := h.keys.current(ctx)
	if err != nil {
		return nil, err
	}
	public, err := key.public()
	if err != nil || h.former == nil {
		return []crypto.PublicKey{public}, err
	}
	former, err := h.former(ctx)
	if err != nil {
		return nil, err
	}
	publics := []crypto.PublicKey{public}
	for _, raw := range former {
		publics = append(publics, publicsOf(raw)...)
	}
	return publics, nil
}

// publicsOf returns the public keys of a host's key: a public key, a private key, or a key set.
func publicsOf(raw any) (publics []crypto.PublicKey) {
	if jwk, ok := jwkOf(raw); ok {
		return publicsOf(jwk.Key)
	}
	switch key := raw.(type) {
	case nil:
		return nil
	case *josev3.JSONWebKeySet:
		for _, member := range key.Keys {
			publics = append(publics, publicsOf(member.Key)...)
		}
		return publics
	case *jose.JSONWebKeySet:
		for _, member := range key.Keys {
			publics = append(publics, publicsOf(member.Key)...)
		}
		return publics
	case crypto.Signer:
		return publicsOf(key.Public())
	case []byte, string:
		return nil // a shared secret has no public key
	}
	return []crypto.PublicKey{raw}
}

// notInIDTokens are claims of access tokens (RFC 9068, section 2.2; scp is fosite's list of scopes). Hosts
// sign access tokens with the same key and pass them to parties other than clients, so an access token must
// not be accepted as a hint for its user.
var notInIDTokens = []string{"scp", "scope", "client_id"}

// read returns the claims of a token signed by this server if it is an ID token.
func (h *idTokenHints) read(ctx context.Context, payload []byte) (*hostadapter.IDTokenHint, error) {
	var claims struct {
		Issuer   string                     `json:"iss"`
		Subject  string                     `json:"sub"`
		SID      string                     `json:"sid"`
		Azp      string                     `json:"azp"`
		Audience audience                   `json:"aud"`
		Events   map[string]json.RawMessage `json:"events"`
	}
	var names map[string]json.RawMessage
	if err := errors.Join(json.Unmarshal(payload, &claims), json.Unmarshal(payload, &names)); err != nil {
		return nil, fmt.Errorf("id_token_hint has malformed claims: %w", err)
	}
	if _, is := claims.Events[logout.EventBackChannelLogout]; is {
		return nil, fmt.Errorf("%w but a logout token", hostadapter.ErrNotIDToken)
	}
	for _, name := range notInIDTokens {
		if _, has := names[name]; has {
			return nil, fmt.Errorf("%w: it has the claim %s", hostadapter.ErrNotIDToken, name)
		}
	}
	switch {
	case !slices.Contains(h.issuers, claims.Issuer):
		return nil, errors.New("id_token_hint was issued by another server")
	case claims.Subject == "" || len(claims.Audience) == 0:
		return nil, errors.New("id_token_hint names no subject or no client")
	}
	if err := h.forClient(ctx, claims.Azp, claims.Audience); err != nil {
		return nil, err
	}
	return &hostadapter.IDTokenHint{
		Subject: claims.Subject, SessionID: claims.SID, Audience: claims.Audience,
		AuthorizedParty: claims.Azp,
	}, nil
}

// maxAudience bounds the client lookups for one hint.
const maxAudience = 16

// forClient returns nil if the audience contains a registered client (OpenID Connect Core 1.0, section 2
// requires the client_id in aud) and the authorized party, if present, is registered. The audience of an
// access token is a resource server.
func (h *idTokenHints) forClient(ctx context.Context, authorized string, audience audience) error {
	if authorized != "" {
		if known, err := h.registered(ctx, authorized); err != nil || !known {
			return cmp.Or(err,
				fmt.Errorf("%w: its azp is not a registered client", hostadapter.ErrNotIDToken))
		}
	}
	for _, id := range audience[:min(len(audience), maxAudience)] {
		if known, err := h.registered(ctx, id); err != nil || known {
			return err
		}
	}
	return fmt.Errorf("%w: no registered client is in its audience", hostadapter.ErrNotIDToken)
}

func (h *idTokenHints) registered(ctx context.Context, id string) (bool, error) {
	_, err := clientOf(ctx, h.clients, id)
	switch {
	case errors.Is(err, fosite.ErrNotFound):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("%w: client %.64q: %w", ticketstore.ErrUnavailable, id, err)
	}
	return id != "", nil
}

// audience is a string or a list of strings (RFC 7519, section 4.1.3).
type audience []string

// UnmarshalJSON accepts both forms.
func (a *audience) UnmarshalJSON(data []byte) error {
	var one string
	if json.Unmarshal(data, &one) == nil {
		*a = audience{one}
		return nil
	}
	return json.Unmarshal(data, (*[]string)(a))
}
