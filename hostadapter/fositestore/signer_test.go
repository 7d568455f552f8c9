package fositestore_test

// Token requests in which a handler fails after fosite's handlers have stored the tokens.

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/ory/fosite"
	"github.com/ory/fosite/compose"
	"github.com/ory/fosite/handler/oauth2"
	"github.com/ory/fosite/token/jwt"

	"github.com/fosite-sessions/sessions/hostadapter/fositestore"
)

// An outage of the key service signs no application out: the code or token is not consumed, no token of the
// failed request is stored, and the client may repeat it (rule 3).
func TestFailingSigner(t *testing.T) {
	t.Parallel()
	var away atomic.Bool
	h := newHost(t, func(h *host, _ *fositestore.Config) {
		h.compose = func(config *fosite.Config, store *fositestore.Store) fosite.OAuth2Provider {
			key := func(context.Context) (any, error) {
				if away.Load() {
					return nil, errors.New("the key service is unavailable")
				}
				return signingKey(), nil
			}
			return compose.Compose(config, store, &compose.CommonStrategy{
				CoreStrategy:               compose.NewOAuth2HMACStrategy(config),
				OpenIDConnectTokenStrategy: compose.NewOpenIDConnectStrategy(key, config),
				Signer:                     &jwt.DefaultSigner{GetPrivateKey: key},
			}, compose.OAuth2AuthorizeExplicitFactory, compose.OAuth2RefreshTokenGrantFactory,
				compose.OpenIDConnectExplicitFactory, compose.OpenIDConnectRefreshFactory,
				compose.OAuth2TokenIntrospectionFactory, compose.OAuth2PKCEFactory)
		}
	})
	code := h.browser().signIn("ann").code()
	repeated := func(what string, ask func() *reply) *reply {
		away.Store(true)
		h.backend.counts()
		ask().must(t, http.StatusInternalServerError, "server_error")
		if _, writes := h.backend.counts(); writes != 0 {
			t.Errorf("%s: %d writes of a request that failed, want none", what, writes)
		}
		away.Store(false)
		r := ask()
		r.must(t, http.StatusOK, "")
		if _, writes := h.backend.counts(); writes != 1 {
			t.Errorf("%s: %d writes, want one", what, writes)
		}
		return r
	}
	first := repeated("exchange", func() *reply { return h.exchange(code) })
	second := repeated("refresh", func() *reply { return h.refresh(first.str("refresh_token")) })
	h.mustActive(second.str("access_token"), true)
	h.refresh(first.str("refresh_token")).must(t, http.StatusBadRequest, "invalid_grant")
	h.mustActive(second.str("access_token"), false) // a reuse is still one
}

// storingHandler is a host's handler that stores a token of a family of its own with each token request.
type storingHandler struct {
	store       *fositestore.Store
	strategy    *oauth2.HMACSHAStrategy
	transaction bool
}

func (h *storingHandler) HandleTokenEndpointRequest(context.Context, fosite.AccessRequester) error {
	return fosite.ErrUnknownRequest
}

func (h *storingHandler) PopulateTokenEndpointResponse(
	ctx context.Context, request fosite.AccessRequester, response fosite.AccessResponder,
) (err error) {
	own := fosite.NewRequest()
	own.Client, own.Session = request.GetClient(), request.GetSession().Clone()
	own.SetID("of the host " + request.GetID())
	token, signature, err := h.strategy.GenerateAccessToken(ctx, own)
	if err != nil {
		return err
	}
	response.SetExtra("own", token)
	if !h.transaction {
		return h.store.CreateAccessTokenSession(ctx, signature, own)
	}
	if ctx, err = h.store.BeginTX(ctx); err != nil {
		return err
	}
	if err := h.store.CreateAccessTokenSession(ctx, signature, own); err != nil {
		return err
	}
	return h.store.Commit(ctx)
}

func (h *storingHandler) CanSkipClientAuth(context.Context, fosite.AccessRequester) bool {
	return false
}

func (h *storingHandler) CanHandleTokenEndpointRequest(_ context.Context, r fosite.AccessRequester) bool {
	return r.GetGrantTypes().HasOneOf("authorization_code", "refresh_token")
}

// What a host's handler stores beside fosite's tokens stays of its own family: it is no part of the
// transaction that consumes the code or refresh token.
func TestTokenOfAHandlerOfTheHost(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ first, transaction bool }{
		"before fosite's": {true, false}, "before fosite's, in a transaction": {true, true},
		"after fosite's": {false, false}, "after fosite's, in a transaction": {false, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			handler := &storingHandler{transaction: c.transaction}
			h := newHost(t, func(h *host, _ *fositestore.Config) {
				h.compose = func(config *fosite.Config, store *fositestore.Store) fosite.OAuth2Provider {
					provider := compose.ComposeAllEnabled(config, store, signingKey())
					handler.store, handler.strategy = store, compose.NewOAuth2HMACStrategy(config)
					if config.TokenEndpointHandlers.Append(handler); c.first {
						slices.Reverse(config.TokenEndpointHandlers)
					}
					return provider
				}
			})
			first := h.exchange(h.browser().signIn("ann").code())
			first.must(t, http.StatusOK, "")
			h.mustActive(first.str("own"), true)
			second := h.refresh(first.str("refresh_token"))
			second.must(t, http.StatusOK, "")
			h.mustActive(second.str("own"), true)
			h.post("/revoke", url.Values{"token": {second.str("refresh_token")}}).must(t, http.StatusOK, "")
			h.mustActive(second.str("access_token"), false)
			h.mustActive(first.str("own"), true)
			h.mustActive(second.str("own"), true)
		})
	}
}
