package fositestore_test

// Calls of every endpoint.

import (
	"net/http"
	"net/url"
)

// call is one call of an endpoint.
type call struct {
	name string
	// prepare returns the call.
	prepare func(h *host) func() *reply
	// ended are the results after the end of the session: status and error, or the error in a redirect.
	endedStatus             int
	endedError, endedResult string
	// racing: the session ends during the call, at its write.
	racing bool
}

// calls are calls of all endpoints that succeed after their preparation if session and store are available.
// The subject is "ann".
var calls = append([]call{
	{
		name: "authorize",
		prepare: func(h *host) func() *reply {
			b := h.browser().signIn("ann")
			return func() *reply { return b.get("/authorize", authorization()) }
		},
		endedStatus: http.StatusUnauthorized, // the login form
	},
	{
		name: "authorize while the session ends",
		prepare: func(h *host) func() *reply {
			b := h.browser().signIn("ann")
			return func() *reply { return b.get("/authorize", authorization()) }
		},
		racing: true, endedStatus: http.StatusSeeOther, endedResult: "login_required",
	},
	{
		name: "authorize for only an ID token while the session ends",
		prepare: func(h *host) func() *reply {
			b := h.browser().signIn("ann")
			return func() *reply { return b.get("/authorize", authorization("response_type", "id_token")) }
		},
		racing: true, endedStatus: http.StatusSeeOther, endedResult: "login_required",
	},
	{
		name: "authorize without asking",
		prepare: func(h *host) func() *reply {
			b := h.browser().signIn("ann")
			return func() *reply { return b.get("/authorize", authorization("prompt", "none")) }
		},
		endedStatus: http.StatusSeeOther, endedResult: "login_required",
	},
	{
		name: "authorize a pushed request",
		prepare: func(h *host) func() *reply {
			b, pushed := h.browser().signIn("ann"), h.post("/par", authorization())
			return func() *reply {
				return b.get("/authorize",
					url.Values{"client_id": {"app"}, "request_uri": {pushed.str("request_uri")}})
			}
		},
		endedStatus: http.StatusUnauthorized,
	},
	{
		name: "push",
		prepare: func(h *host) func() *reply {
			h.browser().signIn("ann")
			return func() *reply { return h.post("/par", authorization()) }
		},
		endedStatus: http.StatusCreated, // no session involved
	},
	{
		name: "token for a code",
		prepare: func(h *host) func() *reply {
			code := h.browser().signIn("ann").code()
			return func() *reply { return h.exchange(code) }
		},
		endedStatus: http.StatusBadRequest, endedError: "invalid_grant",
	},
	{
		name: "token for a code while the session ends",
		prepare: func(h *host) func() *reply {
			code := h.browser().signIn("ann").code()
			return func() *reply { return h.exchange(code) }
		},
		racing: true, endedStatus: http.StatusBadRequest, endedError: "invalid_grant",
	},
	{
		name: "token for a refresh token",
		prepare: func(h *host) func() *reply {
			_, r := h.tokens("ann")
			return func() *reply { return h.refresh(r.str("refresh_token")) }
		},
		endedStatus: http.StatusBadRequest, endedError: "invalid_grant",
	},
	{
		name: "token for a refresh token while the session ends",
		prepare: func(h *host) func() *reply {
			_, r := h.tokens("ann")
			return func() *reply { return h.refresh(r.str("refresh_token")) }
		},
		racing: true, endedStatus: http.StatusBadRequest, endedError: "invalid_grant",
	},
	{
		name: "token for client credentials",
		prepare: func(h *host) func() *reply {
			h.browser().signIn("ann")
			return func() *reply { return h.post("/token", url.Values{"grant_type": {"client_credentials"}}) }
		},
		endedStatus: http.StatusOK, // no session involved
	},
	{
		name: "introspect an access token",
		prepare: func(h *host) func() *reply {
			_, r := h.tokens("ann")
			return func() *reply { return h.introspect(r.str("access_token")) }
		},
		endedStatus: http.StatusOK,
	},
	{
		name: "introspect a refresh token",
		prepare: func(h *host) func() *reply {
			_, r := h.tokens("ann")
			return func() *reply { return h.introspect(r.str("refresh_token")) }
		},
		endedStatus: http.StatusOK,
	},
	{
		name: "revoke",
		prepare: func(h *host) func() *reply {
			_, r := h.tokens("ann")
			return func() *reply { return h.post("/revoke", url.Values{"token": {r.str("refresh_token")}}) }
		},
		endedStatus: http.StatusOK, // RFC 7009, section 2.2
	},
	{
		name: "userinfo",
		prepare: func(h *host) func() *reply {
			b, r := h.tokens("ann")
			return func() *reply {
				return b.get("/userinfo", url.Values{"access_token": {r.str("access_token")}})
			}
		},
		endedStatus: http.StatusUnauthorized, endedError: "request_unauthorized",
	},
	{
		name: "token for a password",
		prepare: func(h *host) func() *reply {
			return func() *reply { return h.post("/token", passwordGrant()) }
		},
		endedStatus: http.StatusOK, // no session involved
	},
	{
		name: "token for a JWT of a partner",
		prepare: func(h *host) func() *reply {
			form := bearerGrant(h.t)
			return func() *reply { return h.post("/token", again(form)) }
		},
		endedStatus: http.StatusOK,
	},
	{
		name: "token for a code by private_key_jwt",
		prepare: func(h *host) func() *reply {
			code := h.browser().signIn("ann").code("client_id", asserting)
			form := asserted(h.t,
				url.Values{
					"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {redirectURI},
				})
			return func() *reply { return h.post("/token", again(form)) }
		},
		endedStatus: http.StatusBadRequest, endedError: "invalid_grant",
	},
	{
		name: "push by private_key_jwt",
		prepare: func(h *host) func() *reply {
			h.browser().signIn("ann")
			form := asserted(h.t, authorization("client_id", asserting))
			return func() *reply { return h.post("/par", again(form)) }
		},
		endedStatus: http.StatusCreated,
	},
	{
		name: "introspect an access token by the wrong hint",
		prepare: func(h *host) func() *reply {
			_, r := h.tokens("ann")
			form := url.Values{"token": {r.str("access_token")}, "token_type_hint": {"refresh_token"}}
			return func() *reply { return h.post("/introspect", again(form)) }
		},
		endedStatus: http.StatusOK,
	},
	{
		name: "introspect a refresh token by the right hint",
		prepare: func(h *host) func() *reply {
			_, r := h.tokens("ann")
			form := url.Values{"token": {r.str("refresh_token")}, "token_type_hint": {"refresh_token"}}
			return func() *reply { return h.post("/introspect", again(form)) }
		},
		endedStatus: http.StatusOK,
	},
	{
		name: "introspect by an access token",
		prepare: func(h *host) func() *reply {
			_, r := h.tokens("ann")
			_, own := h.tokens("ann", "client_id", "app")
			form := url.Values{"token": {r.str("access_token")}, "bearer": {own.str("access_token")}}
			return func() *reply { return h.post("/introspect", again(form)) }
		},
		endedStatus: http.StatusUnauthorized,
	},
	{
		name: "revoke an access token",
		prepare: func(h *host) func() *reply {
			_, r := h.tokens("ann")
			return func() *reply { return h.post("/revoke", url.Values{"token": {r.str("access_token")}}) }
		},
		endedStatus: http.StatusOK,
	},
	{
		name: "revoke by the wrong hint and private_key_jwt",
		prepare: func(h *host) func() *reply {
			code := h.browser().signIn("ann").code("client_id", asserting)
			r := h.post("/token", asserted(h.t, url.Values{
				"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {redirectURI},
			}))
			form := asserted(h.t,
				url.Values{"token": {r.str("refresh_token")}, "token_type_hint": {"access_token"}})
			return func() *reply { return h.post("/revoke", again(form)) }
		},
		endedStatus: http.StatusOK,
	},
}, frontChannelCalls()...)

// frontChannelCalls are authorization requests of every response type, before the session ends and while it
// ends.
func frontChannelCalls() (calls []call) {
	for _, responseType := range frontResponseTypes {
		prepare := func(h *host) func() *reply {
			b := h.browser().signIn("ann")
			return func() *reply { return b.get("/authorize", authorization("response_type", responseType)) }
		}
		calls = append(calls,
			call{
				name: "authorize for " + responseType, prepare: prepare, endedStatus: http.StatusUnauthorized,
			},
			call{
				name: "authorize for " + responseType + " while the session ends", prepare: prepare,
				racing: true, endedStatus: http.StatusSeeOther, endedResult: "login_required",
			})
	}
	return calls
}
