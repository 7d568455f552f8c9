package fositestore_test

// The round trips and durable writes of each flow.

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// Each flow makes a minimum of store calls: a token request reads once and writes once, an authorization
// reads the session and writes once, introspection reads once.
func TestRoundTripsAndDurableWrites(t *testing.T) {
	t.Parallel()
	verifier := strings.Repeat("v", 43)
	for name, flow := range map[string]struct {
		prepare       func(h *host) func() *reply
		reads, writes int64
	}{
		"authorize, OpenID and PKCE": {func(h *host) func() *reply {
			b := h.browser().signIn("ann")
			return func() *reply {
				return b.get("/authorize",
					authorization("code_challenge", verifier, "code_challenge_method", "plain"))
			}
		}, 1, 1},
		"code exchange": {func(h *host) func() *reply {
			code := h.browser().signIn("ann").code("scope", "photos")
			return func() *reply { return h.exchange(code) }
		}, 1, 1},
		"code exchange, OpenID and PKCE": {func(h *host) func() *reply {
			code := h.browser().signIn("ann").code("code_challenge", verifier, "code_challenge_method",
				"plain")
			return func() *reply { return h.exchange(code, "code_verifier", verifier) }
		}, 1, 1},
		"refresh": {func(h *host) func() *reply {
			_, r := h.tokens("ann")
			return func() *reply { return h.refresh(r.str("refresh_token")) }
		}, 1, 1},
		"client credentials": {func(h *host) func() *reply {
			return func() *reply { return h.post("/token", url.Values{"grant_type": {"client_credentials"}}) }
		}, 0, 1},
		"password": {func(h *host) func() *reply {
			return func() *reply { return h.post("/token", passwordGrant()) }
		}, 0, 1},
		// the assertion is used even if the request fails
		"JWT bearer": {func(h *host) func() *reply {
			form := bearerGrant(h.t)
			return func() *reply { return h.post("/token", form) }
		}, 0, 2},
		"code exchange by private_key_jwt": {func(h *host) func() *reply {
			code := h.browser().signIn("ann").code("client_id", asserting)
			form := asserted(h.t,
				url.Values{
					"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {redirectURI},
				})
			return func() *reply { return h.post("/token", form) }
		}, 1, 2},
		"authorize, hybrid": {func(h *host) func() *reply {
			b := h.browser().signIn("ann")
			return func() *reply {
				return b.get("/authorize", authorization("response_type", "code id_token token"))
			}
		}, 1, 1},
		"authorize, implicit": {func(h *host) func() *reply {
			b := h.browser().signIn("ann")
			return func() *reply {
				return b.get("/authorize", authorization("response_type", "id_token token"))
			}
		}, 1, 1},
		"authorize, an ID token alone": {func(h *host) func() *reply {
			b := h.browser().signIn("ann")
			return func() *reply { return b.get("/authorize", authorization("response_type", "id_token")) }
		}, 1, 1},
		"hybrid code exchange": {func(h *host) func() *reply {
			code := h.browser().signIn("ann").code("response_type", "code id_token token")
			return func() *reply { return h.exchange(code) }
		}, 1, 1},
		"revocation of an access token by hint": {func(h *host) func() *reply {
			_, r := h.tokens("ann")
			form := url.Values{"token": {r.str("access_token")}, "token_type_hint": {"access_token"}}
			return func() *reply { return h.post("/revoke", form) }
		}, 1, 1},
		"introspection of a refresh token by hint": {func(h *host) func() *reply {
			_, r := h.tokens("ann")
			form := url.Values{"token": {r.str("refresh_token")}, "token_type_hint": {"refresh_token"}}
			return func() *reply { return h.post("/introspect", form) }
		}, 1, 0},
		// it may have been an access token or a refresh token
		"introspection of no token": {func(h *host) func() *reply {
			return func() *reply { return h.introspect("ory_at_a.b") }
		}, 2, 0},
		"introspection": {func(h *host) func() *reply {
			_, r := h.tokens("ann")
			return func() *reply { return h.introspect(r.str("access_token")) }
		}, 1, 0},
		"userinfo": {func(h *host) func() *reply {
			b, r := h.tokens("ann")
			return func() *reply {
				return b.get("/userinfo", url.Values{"access_token": {r.str("access_token")}})
			}
		}, 1, 0},
		"revocation of a refresh token": {func(h *host) func() *reply {
			_, r := h.tokens("ann")
			return func() *reply { return h.post("/revoke", url.Values{"token": {r.str("refresh_token")}}) }
		}, 1, 1},
		"push": {func(h *host) func() *reply {
			return func() *reply { return h.post("/par", authorization()) }
		}, 0, 1},
		"authorize a pushed request": {func(h *host) func() *reply {
			b, pushed := h.browser().signIn("ann"), h.post("/par", authorization())
			return func() *reply {
				return b.get("/authorize",
					url.Values{"client_id": {"app"}, "request_uri": {pushed.str("request_uri")}})
			}
		}, 2, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHost(t)
			do := flow.prepare(h)
			h.backend.counts()
			if r := do(); r.status >= http.StatusBadRequest || r.redirect.Get("error") != "" {
				t.Fatalf("want success, got %d %s %v", r.status, r.body, r.redirect)
			}
			if reads, writes := h.backend.counts(); reads != flow.reads || writes != flow.writes {
				t.Errorf("want %d reads and %d durable writes, got %d and %d", flow.reads, flow.writes, reads,
					writes)
			}
		})
	}
}
