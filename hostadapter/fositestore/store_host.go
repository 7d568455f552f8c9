package fositestore

// Calls that are served by the host's own store.

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/go-jose/go-jose/v3"
	"github.com/ory/fosite"
)

// Authenticator is implemented by a host's store that serves the password grant.
type Authenticator interface {
	// Authenticate returns the subject of a user. It returns fosite.ErrNotFound if name or secret are wrong.
	Authenticate(ctx context.Context, name string, secret string) (subject string, err error)
}

// PublicKeys is implemented by a host's store that serves the JWT bearer grant (RFC 7523).
type PublicKeys interface {
	// GetPublicKey, GetPublicKeys and GetPublicKeyScopes are those of rfc7523.RFC7523KeyStorage.
	GetPublicKey(ctx context.Context, issuer string, subject string, keyID string) (*jose.JSONWebKey, error)
	GetPublicKeys(ctx context.Context, issuer string, subject string) (*jose.JSONWebKeySet, error)
	GetPublicKeyScopes(ctx context.Context, issuer string, subject string, keyID string) ([]string, error)
}

// GetClient reads the client from the host's store (fosite.ClientManager).
func (s *Store) GetClient(ctx context.Context, id string) (fosite.Client, error) {
	c := s.carriers.from(ctx)
	if client := c.client(id); client != nil {
		return client, nil
	}
	client, err := clientOf(ctx, s.host, id)
	if err == nil {
		c.keepClient(client)
	}
	return client, err
}

// Authenticate calls the host's store.
func (s *Store) Authenticate(ctx context.Context, name string, secret string) (string, error) {
	host, ok := s.host.(Authenticator)
	if !ok {
		return "", s.unsupported("Authenticate", "password")
	}
	return host.Authenticate(ctx, name, secret)
}

// publicKeys returns the host's store for the JWT bearer grant, or one whose methods return an error.
func (s *Store) publicKeys() PublicKeys {
	if host, ok := s.host.(PublicKeys); ok {
		return host
	}
	return absent{s.unsupported("PublicKeys", "JWT bearer")}
}

// GetPublicKey calls the host's store.
func (s *Store) GetPublicKey(
	ctx context.Context, issuer string, subject string, keyID string,
) (*jose.JSONWebKey, error) {
	return s.publicKeys().GetPublicKey(ctx, issuer, subject, keyID)
}

// GetPublicKeys calls the host's store.
func (s *Store) GetPublicKeys(
	ctx context.Context, issuer string, subject string,
) (*jose.JSONWebKeySet, error) {
	return s.publicKeys().GetPublicKeys(ctx, issuer, subject)
}

// GetPublicKeyScopes calls the host's store.
func (s *Store) GetPublicKeyScopes(
	ctx context.Context, issuer string, subject string, keyID string,
) ([]string, error) {
	return s.publicKeys().GetPublicKeyScopes(ctx, issuer, subject, keyID)
}

// NewNonce calls the host's store, which must implement verifiable.NonceManager if the server composes
// compose.OIDCUserinfoVerifiableCredentialFactory.
func (s *Store) NewNonce(ctx context.Context, accessToken string, expiresAt time.Time) (string, error) {
	return own[ownNonces](s.host).NewNonce(ctx, accessToken, expiresAt)
}

// IsNonceValid calls the host's store.
func (s *Store) IsNonceValid(ctx context.Context, accessToken string, nonce string) error {
	return own[ownNonces](s.host).IsNonceValid(ctx, accessToken, nonce)
}

// unsupported returns the error for a grant type that the host's store does not support. It is a client
// error; fosite would report a server error.
func (s *Store) unsupported(method, grant string) error {
	return fosite.ErrUnsupportedGrantType.WithDebugf("The %s grant needs a store that implements %s; %T "+
		"does not.", grant, method, s.host).
		WithWrap(fmt.Errorf("fositestore: %w: %T does not implement %s", errUnsupported, s.host, method))
}

// errUnsupported means that the host's store does not serve a grant type.
var errUnsupported = errors.New("store does not serve the grant")

func (c *carrier) client(id string) fosite.Client {
	if c == nil {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, client := range c.clients {
		if client.GetID() == id {
			return client
		}
	}
	return nil
}

func (c *carrier) keepClient(client fosite.Client) {
	if c == nil || client == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.clients = append(c.clients, client)
}
