package fositestore

import (
	"context"
	"crypto"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	josev3 "github.com/go-jose/go-jose/v3"
	"github.com/go-jose/go-jose/v4"

	"github.com/fosite-sessions/sessions/hostadapter"
	"github.com/fosite-sessions/sessions/logout"
)

// idTokenHints verifies the ID tokens of this server.
type idTokenHints struct {
	keys   *signingKeys
	former func(ctx context.Context) ([]any, error) // may be nil
	issuer string
}

var _ hostadapter.IDTokenHints = (*idTokenHints)(nil)

// Verify accepts ID tokens signed with the present key or a former one, also expired ones.
func (h *idTokenHints) Verify(ctx context.Context, token string) (*hostadapter.IDTokenHint, error) {
	signed, err := jose.ParseSignedCompact(token, asymmetric)
	if err != nil {
		return nil, fmt.Errorf("id_token_hint is malformed: %w", err)
	}
	publics, err := h.publics(ctx)
	if err != nil {
		return nil, fmt.Errorf("%w: keys of ID tokens: %w", hostadapter.ErrUnavailable, err)
	}
	// ID tokens have no typ or the general one: a logout token has its own (Back-Channel Logout 1.0, section 2.4), and so has an access
	// token by RFC 9068.
	if typ, _ := signed.Signatures[0].Protected.ExtraHeaders[jose.HeaderType].(string); typ != "" && !strings.EqualFold(typ, "JWT") {
		return nil, fmt.Errorf("id_token_hint is a token of type %.64q", typ)
	}
	for _, public := range publics {
		if payload, err := signed.Verify(public); err == nil {
			return h.read(payload)
		}
	}
	return nil, hostadapter.ErrHintUnverified
}

// publics returns the keys that ID tokens may be signed with, the present one first.
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

// publicsOf returns the public keys in what a host calls a key: one, the private half of one, or a set.
func publicsOf(raw any) (publics []crypto.PublicKey) {
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
	case *josev3.JSONWebKey:
		return publicsOf(key.Key)
	case josev3.JSONWebKey:
		return publicsOf(key.Key)
	case *jose.JSONWebKey:
		return publicsOf(key.Key)
	case jose.JSONWebKey:
		return publicsOf(key.Key)
	case crypto.Signer:
		return publicsOf(key.Public())
	case []byte, string:
		return nil // a shared secret is nobody's public key
	}
	return []crypto.PublicKey{raw}
}

// read returns what a token of this server says, if it is an ID token.
func (h *idTokenHints) read(payload []byte) (*hostadapter.IDTokenHint, error) {
	var claims struct {
		Issuer   string                     `json:"iss"`
		Subject  string                     `json:"sub"`
		SID      string                     `json:"sid"`
		Azp      string                     `json:"azp"`
		Audience audience                   `json:"aud"`
		Events   map[string]json.RawMessage `json:"events"`
	}
	if err := json.Unmarshal(payload, &claims); err != nil {
		return nil, fmt.Errorf("id_token_hint has malformed claims: %w", err)
	}
	_, told := claims.Events[logout.EventBackChannelLogout]
	switch {
	case told:
		return nil, errors.New("id_token_hint is a logout token")
	case claims.Issuer != h.issuer:
		return nil, errors.New("id_token_hint was issued by another server")
	case claims.Subject == "" || (claims.Azp == "" && len(claims.Audience) == 0):
		return nil, errors.New("id_token_hint names no subject or no client")
	}
	return &hostadapter.IDTokenHint{
		Subject: claims.Subject, SessionID: claims.SID, Audience: claims.Audience, AuthorizedParty: claims.Azp,
	}, nil
}

// audience is a string or a list of strings (RFC 7519, section 4.1.3).
type audience []string

// UnmarshalJSON reads either form.
func (a *audience) UnmarshalJSON(data []byte) error {
	var one string
	if json.Unmarshal(data, &one) == nil {
		*a = audience{one}
		return nil
	}
	return json.Unmarshal(data, (*[]string)(a))
}
