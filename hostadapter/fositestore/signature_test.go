package fositestore_test

// Tokens of which only the signature is valid.

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/ory/fosite"
	"github.com/ory/fosite/compose"

	"github.com/fosite-sessions/sessions/hostadapter/fositestore"
)

// signatureOnly returns a token that shares only its signature with the given one: signatures may leak where
// they are considered harmless.
func signatureOnly(t *testing.T, token string) string {
	t.Helper()
	last := strings.LastIndex(token, ".")
	if last < 0 {
		t.Fatalf("%q has no signature", token)
	}
	first, second := token[:last], token[last+1:]
	if head, payload, ok := strings.Cut(first, "."); ok { // a JWT
		return head + "." + strings.Repeat("x", len(payload)) + "." + second
	}
	at := len("ory_at_") // what follows may have underscores of its own
	return first[:at] + strings.Repeat("x", len(first)-at) + "." + second
}

// withoutRights are requests with a used code or refresh token that must not revoke anything.
func withoutRights(t *testing.T, token string) map[string]url.Values {
	t.Helper()
	return map[string]url.Values{
		"another client, the whole token":    {"as": {"other"}, "token": {token}},
		"another client, the signature only": {"as": {"other"}, "token": {signatureOnly(t, token)}},
		"its client, the signature only":     {"token": {signatureOnly(t, token)}},
	}
}

func TestSignatureAloneIsNotAccepted(t *testing.T) {
	t.Parallel()
	bare := func(h *host, _ *fositestore.Config) { h.bare = true }
	for name, options := range map[string][]option{
		"below the provider": nil,
		"the store alone":    {bare},
		"JWT access tokens": {jwtAccessTokens, func(h *host, _ *fositestore.Config) {
			h.newSession = newJWTSession
		}},
		"handlers of the host's own":          {wrappedHandlers},
		"such handlers, with the store alone": {wrappedHandlers, bare},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHost(t, options...)
			b := h.browser().signIn("ann")
			code := b.code()
			first := h.exchange(code)
			for what, form := range withoutRights(t, code) {
				form.Set("grant_type", "authorization_code")
				form.Set("redirect_uri", redirectURI)
				form.Set("code", form.Get("token"))
				h.post("/token", form).must(t, http.StatusBadRequest, "invalid_grant")
				if h.mustActive(first.str("access_token"), true); t.Failed() {
					t.Fatalf("a used code of %s revoked", what)
				}
			}
			second := h.refresh(first.str("refresh_token"))
			second.must(t, http.StatusOK, "")
			for what, form := range withoutRights(t, first.str("refresh_token")) {
				form.Set("grant_type", "refresh_token")
				form.Set("refresh_token", form.Get("token"))
				h.post("/token", form).must(t, http.StatusBadRequest, "invalid_grant")
				if h.mustActive(second.str("access_token"), true); t.Failed() {
					t.Fatalf("a used refresh token of %s revoked", what)
				}
			}
			for _, field := range []string{"access_token", "refresh_token"} {
				for what, form := range withoutRights(t, second.str(field)) {
					h.post("/revoke", form)
					if h.mustActive(second.str(field), true); t.Failed() {
						t.Fatalf("revoking the %s as %s did", field, what)
					}
				}
			}
			// Its own client, with the whole token, does.
			h.refresh(first.str("refresh_token")).must(t, http.StatusBadRequest, "invalid_grant")
			h.mustActive(second.str("access_token"), false)
			code = b.code()
			first = h.exchange(code)
			h.exchange(code).must(t, http.StatusBadRequest, "invalid_grant")
			h.mustActive(first.str("access_token"), false)
			_, third := h.tokens("ben")
			h.post("/revoke", url.Values{"token": {third.str("access_token")}}).must(t, http.StatusOK, "")
			h.mustActive(third.str("access_token"), false)
			h.mustActive(third.str("refresh_token"), false)
		})
	}
}

// TestRevocationOfAUsedRefreshToken: revoking a used refresh token revokes its family, with and without a
// grace. The signature alone revokes nothing.
func TestRevocationOfAUsedRefreshToken(t *testing.T) {
	t.Parallel()
	for _, grace := range []time.Duration{0, time.Minute} {
		h := newHost(t, func(_ *host, c *fositestore.Config) { c.RefreshGrace = grace })
		_, first := h.tokens("ann")
		second := h.refresh(first.str("refresh_token"))
		second.must(t, http.StatusOK, "")
		for what, form := range withoutRights(t, first.str("refresh_token")) {
			h.post("/revoke", form)
			if h.mustActive(second.str("access_token"), true); t.Failed() {
				t.Fatalf("revoking a used refresh token as %s did, grace %s", what, grace)
			}
		}
		h.post("/revoke", url.Values{"token": {first.str("refresh_token")}}).must(t, http.StatusOK, "")
		h.mustActive(second.str("access_token"), false)
		h.refresh(second.str("refresh_token")).must(t, http.StatusBadRequest, "invalid_grant")
	}
}

// wrappedTokens and wrappedRevocation wrap fosite's handlers, like a host that extends them.
type (
	wrappedTokens     struct{ fosite.TokenEndpointHandler }
	wrappedRevocation struct{ fosite.RevocationHandler }
)

// wrappedHandlers composes a server with custom handler types.
func wrappedHandlers(h *host, c *fositestore.Config) {
	inner := h.compose
	if inner == nil {
		inner = func(config *fosite.Config, store *fositestore.Store) fosite.OAuth2Provider {
			return compose.ComposeAllEnabled(config, store, signingKey())
		}
	}
	h.compose = func(config *fosite.Config, store *fositestore.Store) fosite.OAuth2Provider {
		provider := inner(config, store)
		for i, handler := range config.TokenEndpointHandlers {
			config.TokenEndpointHandlers[i] = wrappedTokens{handler}
		}
		for i, handler := range config.RevocationHandlers {
			config.RevocationHandlers[i] = wrappedRevocation{handler}
		}
		return provider
	}
}

// jwtsForClients composes a server that only issues JWTs by the client credentials grant.
func jwtsForClients(h *host, _ *fositestore.Config) {
	h.newSession = newJWTSession
	h.compose = func(config *fosite.Config, store *fositestore.Store) fosite.OAuth2Provider {
		key := func(context.Context) (any, error) { return signingKey(), nil }
		return compose.Compose(config, store,
			compose.NewOAuth2JWTStrategy(key, compose.NewOAuth2HMACStrategy(config), config),
			compose.OAuth2ClientCredentialsGrantFactory, compose.OAuth2TokenIntrospectionFactory,
			compose.OAuth2TokenRevocationFactory)
	}
}

// TestRevocationInEveryComposition: a revocation answered with 200 took effect.
func TestRevocationInEveryComposition(t *testing.T) {
	t.Parallel()
	jwts := func(h *host, _ *fositestore.Config) { h.newSession = newJWTSession }
	for name, options := range map[string][]option{
		"all of fosite":                       nil,
		"JWTs":                                {jwts, jwtAccessTokens},
		"JWTs for clients only":               {jwtsForClients},
		"handlers of the host's own":          {wrappedHandlers},
		"JWTs, handlers of the host's own":    {jwts, jwtAccessTokens, wrappedHandlers},
		"JWTs for clients only, own handlers": {jwtsForClients, wrappedHandlers},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHost(t, options...)
			r := h.post("/token", url.Values{"grant_type": {"client_credentials"}, "scope": {"photos"}})
			r.must(t, http.StatusOK, "")
			h.mustActive(r.str("access_token"), true)
			h.post("/revoke", url.Values{"token": {r.str("access_token")}}).must(t, http.StatusOK, "")
			h.mustActive(r.str("access_token"), false)
		})
	}
}

func TestSignatureOfALegacyTokenIsNotAccepted(t *testing.T) {
	t.Parallel()
	l := newLegacyHost(t)
	code := l.oldCode()
	access, _ := l.oldExchange(code)
	for what, form := range withoutRights(t, code) {
		form.Set("grant_type", "authorization_code")
		form.Set("redirect_uri", redirectURI)
		form.Set("code", form.Get("token"))
		l.post("/token", form).must(t, http.StatusBadRequest, "invalid_grant")
		if l.mustActive(access, true); t.Failed() {
			t.Fatalf("a used code of %s revoked", what)
		}
	}
	l.exchange(code).must(t, http.StatusBadRequest, "invalid_grant")
	l.mustActive(access, false)
}
