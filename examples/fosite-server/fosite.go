package main

// The fosite configuration and provider, independent of session management.

import (
	"context"
	"errors"
	"time"

	"github.com/ory/fosite"
	"github.com/ory/fosite/compose"
	"github.com/ory/fosite/handler/openid"
	"github.com/ory/fosite/token/jwt"
)

// newFositeConfig returns the configuration of a fosite server without session management.
func newFositeConfig(issuer string, s *secrets, hash secretHasher) *fosite.Config {
	return &fosite.Config{
		IDTokenIssuer:               issuer,
		TokenURL:                    issuer + pathToken,
		GlobalSecret:                s.global,
		AccessTokenLifespan:         time.Hour,
		RefreshTokenLifespan:        30 * 24 * time.Hour,
		AuthorizeCodeLifespan:       5 * time.Minute,
		IDTokenLifespan:             time.Hour,
		ScopeStrategy:               fosite.ExactScopeStrategy,
		EnforcePKCEForPublicClients: true,
		ClientSecretsHasher:         hash,
	}
}

// composeProvider composes the flows. Access tokens are opaque: each use is checked by this server, so they
// end with their session at once.
func composeProvider(
	config *fosite.Config, storage any, key func(context.Context) (any, error),
) fosite.OAuth2Provider {
	strategy := &compose.CommonStrategy{
		CoreStrategy:               compose.NewOAuth2HMACStrategy(config),
		OpenIDConnectTokenStrategy: compose.NewOpenIDConnectStrategy(key, config),
		Signer:                     &jwt.DefaultSigner{GetPrivateKey: key},
	}
	return compose.Compose(config, storage, strategy,
		compose.OAuth2AuthorizeExplicitFactory,
		compose.OAuth2ClientCredentialsGrantFactory,
		compose.OAuth2RefreshTokenGrantFactory,
		compose.OpenIDConnectExplicitFactory,
		compose.OpenIDConnectRefreshFactory,
		compose.OAuth2TokenIntrospectionFactory,
		compose.OAuth2TokenRevocationFactory,
		compose.OAuth2PKCEFactory,
	)
}

// clientStore is the host's own fosite storage of clients.
type clientStore map[string]*client

var _ fosite.ClientManager = clientStore(nil)

// GetClient returns a client, or fosite.ErrNotFound.
func (s clientStore) GetClient(_ context.Context, id string) (fosite.Client, error) {
	if c, ok := s[id]; ok {
		return c, nil
	}
	return nil, fosite.ErrNotFound
}

var errNoAssertions = errors.New("clients do not authenticate by assertion here")

// ClientAssertionJWTValid returns an error: private_key_jwt is not supported.
func (clientStore) ClientAssertionJWTValid(context.Context, string) error { return errNoAssertions }

// SetClientAssertionJWT returns an error.
func (clientStore) SetClientAssertionJWT(context.Context, string, time.Time) error {
	return errNoAssertions
}

// newSession returns the fosite session of a token request or an authorization.
func newSession() *openid.DefaultSession {
	return &openid.DefaultSession{
		Claims: &jwt.IDTokenClaims{Extra: map[string]any{}}, Headers: &jwt.Headers{Extra: map[string]any{}},
	}
}
