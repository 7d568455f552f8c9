package fositestore_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/fosite-sessions/sessions/hostadapter/fositestore"
)

// secondHalf returns a token that shares no more than its signature with the given one: what leaks where signatures are taken for harmless.
func secondHalf(t *testing.T, token string) string {
	t.Helper()
	first, second, ok := strings.Cut(token, ".")
	if !ok {
		t.Fatalf("%q has no halves", token)
	}
	at := strings.LastIndex(first, "_") + 1
	return first[:at] + strings.Repeat("x", len(first)-at) + "." + second
}

// withoutRights are requests with a used code or refresh token that must not end anything.
func withoutRights(t *testing.T, token string) map[string]url.Values {
	t.Helper()
	return map[string]url.Values{
		"another client, the whole":       {"as": {"other"}, "token": {token}},
		"another client, the second half": {"as": {"other"}, "token": {secondHalf(t, token)}},
		"its client, the second half":     {"token": {secondHalf(t, token)}},
	}
}

func TestSecondHalfDoesNothing(t *testing.T) {
	t.Parallel()
	for _, bare := range []bool{false, true} {
		name := "below the provider"
		if bare {
			name = "the store alone"
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHost(t, func(h *host, _ *fositestore.Config) { h.bare = bare })
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
			// Its own client, with the whole, does.
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

func TestSecondHalfOfATokenOfBeforeDoesNothing(t *testing.T) {
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
