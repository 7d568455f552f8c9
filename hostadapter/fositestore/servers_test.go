package fositestore_test

// Servers different from the README's: without ID tokens, without a signing key, with custom strategies and
// handlers.

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/ory/fosite"
	"github.com/ory/fosite/compose"
	"github.com/ory/fosite/handler/oauth2"

	"github.com/fosite-sessions/sessions/hostadapter/fositestore"
)

// An OAuth 2.0-only server has neither IDTokenIssuer nor Key.
func TestServerWithoutIDTokens(t *testing.T) {
	t.Parallel()
	log := &bytes.Buffer{}
	h := newHost(t, func(h *host, config *fositestore.Config) {
		h.fosite.IDTokenIssuer, config.Key = "", nil
		config.Host.Logger = slog.New(slog.NewTextHandler(log, nil))
	})
	if !strings.Contains(log.String(), "Config.Key") {
		t.Errorf("want a line at start that names Config.Key, got %q", log)
	}
	if err := h.sessions.Ready(t.Context()); err != nil {
		t.Errorf("ready: %v", err)
	}
	if m := h.sessions.Metadata(issuer + "/end_session"); m.BackChannelLogout || m.BackChannelLogoutSession ||
		!m.FrontChannelLogout {
		t.Errorf("want metadata without back-channel logout, got %+v", m)
	}
	_, first := h.tokens("ann", "scope", "photos offline_access")
	second := h.refresh(first.str("refresh_token"))
	second.must(t, http.StatusOK, "")
	h.mustActive(second.str("access_token"), true)
	h.end("ann")
	h.mustActive(second.str("access_token"), false)
}

// The issuer is taken from Host, from ID tokens, or from access tokens, in this order.
func TestIssuerOfServer(t *testing.T) {
	t.Parallel()
	for _, access := range []string{"", "my server", "ftp://a.example"} {
		config := validConfig(t)
		config.Fosite.IDTokenIssuer, config.Fosite.AccessTokenIssuer = "", access
		if _, err := fositestore.Attach(t.Context(), config); err == nil ||
			!strings.Contains(err.Error(), "invalid Config.Host.Issuer:") {
			t.Errorf("no issuer but %q: want an error that names Host.Issuer, got %v", access, err)
		}
	}
	const a, b = "https://a.example", "https://b.example"
	for name, test := range map[string]struct{ host, id, access, want string }{
		"access tokens' alone":             {"", "", a, a},
		"ID tokens' before access tokens'": {"", a, b, a},
		"the host's alone":                 {a, "", "", a},
		"the host's before access tokens'": {a, "", b, a},
		"an access tokens' that is no URL": {a, "", "my server", a},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			config := validConfig(t)
			config.Host.Issuer = test.host
			config.Fosite.IDTokenIssuer = test.id
			config.Fosite.AccessTokenIssuer = test.access
			sessions, err := fositestore.Attach(t.Context(), config)
			if err != nil {
				t.Fatal(err)
			}
			defer sessions.Close()
			if _, err := sessions.Metadata(test.want +
				"/logout").MergeInto(map[string]any{"issuer": test.want}); err != nil {
				t.Errorf("want issuer %s: %v", test.want, err)
			}
		})
	}
}

// A key may become available after the start: until then Ready returns an error.
func TestSigningKeyAvailableLater(t *testing.T) {
	t.Parallel()
	for name, early := range map[string]func() (any, error){
		"an error":          func() (any, error) { return nil, errors.New("no such table: keys") },
		"nil":               func() (any, error) { return nil, nil },
		"a nil of its type": func() (any, error) { return (*ecdsa.PrivateKey)(nil), nil },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var there atomic.Bool
			config := validConfig(t)
			config.Key = func(context.Context) (any, error) {
				if there.Load() {
					return signingKey(), nil
				}
				return early()
			}
			sessions, err := fositestore.Attach(t.Context(), config)
			if err != nil {
				t.Fatal(err)
			}
			defer sessions.Close()
			if err := sessions.Ready(t.Context()); err == nil ||
				!strings.Contains(err.Error(), "Config.Key") {
				t.Errorf("before the key is available: want an error that names it, got %v", err)
			}
			there.Store(true)
			if err := sessions.Ready(t.Context()); err != nil {
				t.Errorf("once it is available: %v", err)
			}
		})
	}
}

// ownStrategy composes a server whose HMAC strategy has its own configuration.
func ownStrategy(wrap func(any) any) option {
	return func(h *host, config *fositestore.Config) {
		own := &fosite.Config{GlobalSecret: []byte(strings.Repeat("o", 32))}
		h.fosite.GlobalSecret = nil
		config.Host.Keys = [][]byte{[]byte(strings.Repeat("k", 32))}
		h.compose = func(config *fosite.Config, store *fositestore.Store) fosite.OAuth2Provider {
			wrapped := func(factory compose.Factory) compose.Factory {
				return func(config fosite.Configurator, storage, strategy any) any {
					return wrap(factory(config, storage, strategy))
				}
			}
			return compose.Compose(config, store,
				&compose.CommonStrategy{CoreStrategy: compose.NewOAuth2HMACStrategy(own)},
				wrapped(compose.OAuth2AuthorizeExplicitFactory),
				wrapped(compose.OAuth2RefreshTokenGrantFactory),
				compose.OAuth2TokenIntrospectionFactory, wrapped(compose.OAuth2TokenRevocationFactory))
		}
	}
}

// Handlers of hosts that extend fosite's.
type (
	exposedCode struct {
		*oauth2.AuthorizeExplicitGrantHandler
	}
	exposedRefresh struct {
		*oauth2.RefreshTokenGrantHandler
	}
	exposedRevocation struct{ fosite.RevocationHandler }

	codeHandler interface {
		fosite.TokenEndpointHandler
		fosite.AuthorizeEndpointHandler
	}
	tokenHandler      interface{ fosite.TokenEndpointHandler }
	revocationHandler interface{ fosite.RevocationHandler }
	hiddenCode        struct{ codeHandler }
	hiddenRefresh     struct{ tokenHandler }
	hiddenRevocation  struct{ revocationHandler }
)

// Such a server requires Host.Keys, which the error names. Its tokens can be revoked, only as a whole.
func TestStrategyWithItsOwnConfiguration(t *testing.T) {
	t.Parallel()
	config := validConfig(t)
	config.Fosite.GlobalSecret = nil
	if _, err := fositestore.Attach(t.Context(), config); err == nil ||
		!strings.Contains(err.Error(), "invalid Config.Host.Keys:") {
		t.Errorf("want an error that names Host.Keys, got %v", err)
	}
	for name, wrap := range map[string]func(any) any{
		"fosite's handlers": func(handler any) any { return handler },
		"wrapped handlers": func(handler any) any {
			switch h := handler.(type) {
			case *oauth2.AuthorizeExplicitGrantHandler:
				return &exposedCode{h}
			case *oauth2.RefreshTokenGrantHandler:
				return &exposedRefresh{h}
			case *oauth2.TokenRevocationHandler:
				return &exposedRevocation{h}
			}
			return handler
		},
		"hidden handlers": func(handler any) any {
			switch h := handler.(type) {
			case *oauth2.AuthorizeExplicitGrantHandler:
				return &hiddenCode{h}
			case *oauth2.RefreshTokenGrantHandler:
				return &hiddenRefresh{h}
			case *oauth2.TokenRevocationHandler:
				return &hiddenRevocation{h}
			}
			return handler
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHost(t, ownStrategy(wrap))
			b, first := h.tokens("ann", "scope", "photos offline_access")
			second := h.refresh(first.str("refresh_token"))
			second.must(t, http.StatusOK, "")
			code := b.code("scope", "photos")
			third := h.exchange(code)
			third.must(t, http.StatusOK, "")
			h.exchange(code).must(t, http.StatusBadRequest, "invalid_grant")
			h.mustActive(third.str("access_token"), false)
			for _, token := range []string{"access_token", "refresh_token"} {
				h.post("/revoke", url.Values{"token": {second.str(token)}}).must(t, http.StatusOK, "")
			}
			h.mustActive(second.str("access_token"), false)
			h.refresh(second.str("refresh_token")).must(t, http.StatusBadRequest, "invalid_grant")
		})
	}
}
