package fositestore_test

// Every 401 has a challenge.

import (
	"net/http"
	"net/url"
	"testing"
)

// A 401 has a WWW-Authenticate header (RFC 9110, section 15.5.2; RFC 6749, section 5.2; RFC 6750, section 3).
func TestUnauthorizedHasAChallenge(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	_, tokens := h.tokens("ann")
	const basic, bearer = `Basic realm="OAuth 2.0"`, `Bearer realm="OAuth 2.0"`
	for name, test := range map[string]struct {
		path string
		form url.Values
		want []string
	}{
		"token, an unknown client": {"/token",
			url.Values{"grant_type": {"client_credentials"}, "as": {"unknown"}}, []string{basic}},
		"token, no client": {"/token",
			url.Values{"grant_type": {"client_credentials"}, "client_id": {"app"},
				"as": {nobody}}, []string{basic}},
		"revocation": {"/revoke", url.Values{"token": {"x"}, "as": {"unknown"}}, []string{basic}},
		"a pushed request": {"/par",
			authorization("as", "unknown", "client_id", "unknown"), []string{basic}},
		"introspection, an unknown client": {"/introspect",
			url.Values{"token": {"x"}, "as": {"unknown"}}, []string{basic, bearer}},
		"introspection, no credentials": {"/introspect",
			url.Values{"token": {"x"}, "as": {nobody}}, []string{basic, bearer}},
		"userinfo by WriteAccessError": {"/userinfo",
			url.Values{"bearer": {"ory_at_a.b"}}, []string{bearer}},
		"userinfo without a token": {"/userinfo", url.Values{"as": {nobody}}, []string{bearer}},
	} {
		t.Run(name, func(t *testing.T) {
			r := h.post(test.path, test.form)
			got := r.header.Values("WWW-Authenticate")
			if r.status != http.StatusUnauthorized || len(got) != len(test.want) {
				t.Fatalf("%d, WWW-Authenticate %q; want 401 with %q", r.status, got, test.want)
			}
			for i := range got {
				if got[i] != test.want[i] {
					t.Errorf("WWW-Authenticate %q, want %q", got, test.want)
				}
			}
		})
	}
	inactive := h.introspect("ory_at_a.b")
	revoked := h.post("/revoke", url.Values{"token": {tokens.str("access_token")}})
	for _, r := range []*reply{inactive, revoked} {
		if r.status != http.StatusOK || r.header.Get("WWW-Authenticate") != "" {
			t.Errorf("%d with WWW-Authenticate %q, want 200 without", r.status,
				r.header.Get("WWW-Authenticate"))
		}
	}
}

// The authorization endpoint has no client authentication: a challenge would make browsers ask for a
// password.
func TestUnknownClientAtAuthorizeIsABadRequest(t *testing.T) {
	t.Parallel()
	r := newHost(t).browser().get("/authorize", authorization("client_id", "nobody"))
	if r.must(t, http.StatusBadRequest, "invalid_client"); r.header.Get("WWW-Authenticate") != "" {
		t.Errorf("an unknown client: WWW-Authenticate %q, want none", r.header.Get("WWW-Authenticate"))
	}
}
