package fositestore_test

// Token requests in which a handler fails after fosite's handlers have stored the tokens.

import (
	"context"
	"errors"
	"net/http"
	"sync/atomic"
	"testing"

	"github.com/ory/fosite"
	"github.com/ory/fosite/compose"
	"github.com/ory/fosite/token/jwt"

	"github.com/fosite-sessions/sessions/hostadapter/fositestore"
)

// An outage of the key service signs no application out: the code or token is not consumed, no token of the
// failed request is stored, and the client may repeat it (rule 3).
func TestSignerThatFails(t *testing.T) {
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
