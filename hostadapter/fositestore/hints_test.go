package fositestore_test

// Introspection and revocation, with every token_type_hint.

import (
	"context"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"testing"

	"github.com/ory/fosite"

	"github.com/fosite-sessions/sessions/hostadapter/fositestore"
)

// hints are the possible token_type_hints: none, right, wrong or unknown (RFC 7009 and 7662, section 2.1).
var hints = []string{"", "access_token", "refresh_token", "pigeon"}

func TestIntrospectionWithAnyHint(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	_, r := h.tokens("ann")
	introspect := func(which, hint string) *reply {
		return h.post("/introspect", url.Values{"token": {r.str(which)}, "token_type_hint": {hint}})
	}
	for _, which := range []string{"access_token", "refresh_token"} {
		for _, hint := range hints {
			shown := introspect(which, hint)
			if shown.json["active"] != true || shown.str("sub") != "ann" || shown.str("client_id") != "app" {
				t.Errorf("%s with hint %q: want it active, got %d %s", which, hint, shown.status, shown.body)
			}
		}
	}
	h.end("ann")
	for _, which := range []string{"access_token", "refresh_token"} {
		for _, hint := range hints {
			if shown := introspect(which, hint); shown.status != http.StatusOK ||
				shown.json["active"] != false || len(shown.json) != 1 {
				t.Errorf("%s with hint %q after the end: want {\"active\":false}, got %d %s", which, hint,
					shown.status, shown.body)
			}
		}
	}
}

// RFC 7662, section 2.1: a token that lacks a requested scope is inactive, and so is a used refresh token.
func TestIntrospectionOfScopesAndUsedTokens(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	_, r := h.tokens("ann")
	for scope, want := range map[string]bool{
		"openid": true, "openid offline_access": true, "photos": false, "openid photos": false,
	} {
		shown := h.post("/introspect", url.Values{"token": {r.str("access_token")}, "scope": {scope}})
		if shown.status != http.StatusOK || shown.json["active"] != want {
			t.Errorf("scope %q: want active %v, got %d %s", scope, want, shown.status, shown.body)
		}
	}
	h.refresh(r.str("refresh_token")).must(t, http.StatusOK, "")
	h.mustActive(r.str("refresh_token"), false)
}

// A resource server may authenticate by an access token of its own, which must be live, different from the
// introspected token, and not a refresh token.
func TestIntrospectionByBearer(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	_, r := h.tokens("ann")
	_, own := h.tokens("bob")
	for name, test := range map[string]struct {
		bearer string
		status int
	}{
		"live":            {own.str("access_token"), http.StatusOK},
		"the same":        {r.str("access_token"), http.StatusUnauthorized},
		"a refresh token": {own.str("refresh_token"), http.StatusUnauthorized},
		"nobody's":        {"ory_at_a.b", http.StatusUnauthorized},
	} {
		got := h.post("/introspect", url.Values{"token": {r.str("access_token")}, "bearer": {test.bearer}})
		if got.status != test.status || (got.status == http.StatusOK && got.json["active"] != true) {
			t.Errorf("%s: want %d, got %d %s", name, test.status, got.status, got.body)
		}
	}
	h.end("bob")
	h.post("/introspect",
		url.Values{"token": {r.str("access_token")}, "bearer": {own.str("access_token")}}).must(t,
		http.StatusUnauthorized, "")
}

// fosite reads tokens with a nil session when it revokes them.
func TestRevocationWithAnyHint(t *testing.T) {
	t.Parallel()
	for _, which := range []string{"access_token", "refresh_token"} {
		for _, hint := range hints {
			t.Run(which+" with hint "+hint, func(t *testing.T) {
				t.Parallel()
				h := newHost(t)
				_, r := h.tokens("ann")
				_, bystander := h.tokens("ann")
				form := url.Values{"token": {r.str(which)}, "token_type_hint": {hint}}
				foreign := again(form)
				foreign.Set("as", "other")
				h.post("/revoke", foreign).must(t, http.StatusOK, "") // fosite's answer
				h.mustActive(r.str("access_token"), true)
				h.mustActive(r.str("refresh_token"), true)
				h.post("/revoke", form).must(t, http.StatusOK, "")
				h.mustActive(r.str("access_token"), false)
				h.mustActive(r.str("refresh_token"), false)
				h.mustActive(bystander.str("access_token"), true)
				// RFC 7009, section 2.2: a revoked or invalid token is not an error.
				h.post("/revoke", again(form)).must(t, http.StatusOK, "")
				h.post("/revoke",
					url.Values{"token": {"ory_at_a.b"}, "token_type_hint": {hint}}).must(t, http.StatusOK, "")
			})
		}
	}
}

// A host may restrict which clients can introspect a token. For other clients a live token is inactive, and
// their requests do not renew the session.
func TestMayIntrospect(t *testing.T) {
	t.Parallel()
	var asked []string
	h := newHost(t, func(_ *host, c *fositestore.Config) {
		c.MayIntrospect = func(_ context.Context, client fosite.Client, token fosite.AccessRequester) bool {
			asked = append(asked,
				client.GetID()+" for "+token.GetClient().GetID()+" of "+token.GetSession().GetSubject())
			return client.GetID() == token.GetClient().GetID()
		}
	})
	_, r := h.tokens("ann")
	others := h.post("/token", url.Values{"grant_type": {"client_credentials"}, "as": {"other"}})
	own := h.post("/token", url.Values{"grant_type": {"client_credentials"}})
	for name, test := range map[string]struct {
		form   url.Values
		active bool
		asked  string
	}{
		"its own client": {url.Values{}, true, "app for app of ann"},
		"another client": {url.Values{"as": {"other"}}, false, "other for app of ann"},
		"its own client's access token": {
			url.Values{"bearer": {own.str("access_token")}}, true, "app for app of ann",
		},
		"another client's access token": {
			url.Values{"bearer": {others.str("access_token")}}, false, "other for app of ann",
		},
		"another client, of a dead token":  {url.Values{"as": {"other"}, "token": {"ory_at_a.b"}}, false, ""},
		"another client, of a wrong scope": {url.Values{"as": {"other"}, "scope": {"photos"}}, false, ""},
	} {
		asked = nil
		for _, which := range []string{"access_token", "refresh_token"} {
			form := url.Values{"token": {r.str(which)}}
			maps.Copy(form, test.form)
			got := h.post("/introspect", form)
			if got.status != http.StatusOK || got.json["active"] != test.active || !test.active &&
				len(got.json) != 1 {
				t.Errorf("%s, %s: %d %s, want active %v", name, which, got.status, got.body, test.active)
			}
		}
		want := []string{test.asked, test.asked}
		if test.asked == "" {
			want = nil
		}
		if !slices.Equal(asked, want) {
			t.Errorf("%s: the host was asked %q, want %q", name, asked, want)
		}
	}
	if got := h.post("/introspect",
		url.Values{"token": {r.str("access_token")}, "as": {nobody}}); got.status != http.StatusUnauthorized {
		t.Errorf("nobody: %d %s", got.status, got.body)
	}
}
