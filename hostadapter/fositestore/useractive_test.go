package fositestore_test

// Tokens of users deleted by the host.

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"net/url"
	"sync/atomic"
	"testing"

	"github.com/ory/fosite"

	"github.com/fosite-sessions/sessions/hostadapter/fositestore"
)

// The tokens of a deleted user are refused at their next use, whichever it is.
func TestTokensOfADeletedUser(t *testing.T) {
	t.Parallel()
	var gone, fails atomic.Bool
	for name, use := range map[string]func(h *host, r *reply) (*reply, bool){
		"refresh": func(h *host, r *reply) (*reply, bool) {
			got := h.refresh(r.str("refresh_token"))
			return got, got.status == http.StatusBadRequest && got.str("error") == "invalid_grant"
		},
		"introspection": func(h *host, r *reply) (*reply, bool) {
			got := h.introspect(r.str("access_token"))
			return got, got.status == http.StatusOK && got.json["active"] == false
		},
		"userinfo": func(h *host, r *reply) (*reply, bool) {
			got := h.post("/userinfo", url.Values{"bearer": {r.str("access_token")}})
			return got, got.status == http.StatusUnauthorized
		},
	} {
		h := newHost(t, func(_ *host, c *fositestore.Config) {
			c.Host.UserActive = func(_ context.Context, subject string) (bool, error) {
				if fails.Load() {
					return false, errors.New("the user store is down")
				}
				return subject != "ann" || !gone.Load(), nil
			}
		})
		_, r := h.tokens("ann")
		_, other := h.tokens("bob")
		fails.Store(true)
		if got, _ := use(h, r); got.status != http.StatusServiceUnavailable {
			t.Errorf("%s with a failing hook: %d %s, want 503", name, got.status, got.body)
		}
		fails.Store(false)
		gone.Store(true)
		if got, refused := use(h, r); !refused {
			t.Errorf("%s: %d %s, want that the token is refused", name, got.status, got.body)
		}
		gone.Store(false)
		h.mustActive(r.str("access_token"), false)
		h.refresh(r.str("refresh_token")).must(t, http.StatusBadRequest, "invalid_grant")
		h.mustActive(other.str("access_token"), true)
	}
}

// Tokens of deleted users are also refused without a session. Tokens of a client have no user, even if their
// subject is the client's id (RFC 9068, section 2.2) or a different one.
func TestTokensWithoutASessionOfADeletedUser(t *testing.T) {
	t.Parallel()
	var gone atomic.Bool
	var subject atomic.Value
	subject.Store("")
	h := newHost(t, knowsUsers, func(h *host, c *fositestore.Config) {
		c.AllowUnbound = true
		h.newSession = func(given string) fosite.Session {
			return openIDSession(cmp.Or(given, subject.Load().(string)))
		}
		c.Host.UserActive = func(_ context.Context, subject string) (bool, error) {
			return !gone.Load() || subject == "bob", nil
		}
	})
	code := h.browser().get("/authorize", authorization("claim", "ann")).redirect.Get("code")
	for name, r := range map[string]*reply{
		"password": h.post("/token", passwordGrant()), "unbound": h.exchange(code),
	} {
		gone.Store(true)
		r.must(t, http.StatusOK, "")
		if got := h.post("/userinfo", url.Values{"bearer": {r.str("access_token")}}); got.status !=
			http.StatusUnauthorized {
			t.Errorf("%s: userinfo answers %d %s, want 401", name, got.status, got.body)
		}
		gone.Store(false)
		h.mustActive(r.str("access_token"), false) // it has ended
	}
	for name, b := range map[string]*browser{
		"nobody": h.browser(), "another user": h.browser().signIn("bob"),
	} {
		gone.Store(true)
		refused := b.get("/authorize", authorization("claim", "ann")).redirect
		if refused.Get("error") != "access_denied" || refused.Has("code") {
			t.Errorf("authorization of the deleted user, signed in is %s: got %v, want access_denied", name,
				refused)
		}
		gone.Store(false)
	}
	// The sender of an authorization request controls its parameters.
	implicit := h.browser().get("/authorize", authorization("claim", "ann", "response_type", "id_token token",
		"grant_type", "client_credentials"))
	gone.Store(true)
	token := implicit.redirect.Get("access_token")
	if got := h.post("/userinfo", url.Values{"bearer": {token}}); token == "" ||
		got.status != http.StatusUnauthorized {
		t.Errorf("implicit: token %q, userinfo answers %d %s, want 401", token, got.status, got.body)
	}
	for _, own := range []string{"app", "service"} {
		subject.Store(own)
		r := h.post("/token", url.Values{"grant_type": {"client_credentials"}})
		r.must(t, http.StatusOK, "")
		h.mustActive(r.str("access_token"), true)
	}
}

// Each use of a token that no ending removes leads to an ending by subject: once nothing is left to end, the
// ending writes nothing.
func TestEndingADeletedUserWritesOnce(t *testing.T) {
	t.Parallel()
	var gone atomic.Bool
	h := newLegacyHost(t, func(_ *host, c *fositestore.Config) {
		c.Host.UserActive = func(context.Context, string) (bool, error) { return !gone.Load(), nil }
	})
	own, _ := h.oldTokens()
	_, r := h.tokens("ann")
	h.mustActive(own, true)
	gone.Store(true)
	for i, want := range []int64{1, 0, 0} {
		h.backend.counts()
		h.mustActive(own, false)
		if _, writes := h.backend.counts(); writes != want {
			t.Errorf("introspection %d of a token that no ending removes: %d writes, want %d", i, writes,
				want)
		}
	}
	gone.Store(false)
	h.mustActive(r.str("access_token"), false) // it has ended
}
