package fositestore_test

// Tokens of users that the host has deleted.

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"sync/atomic"
	"testing"

	"github.com/fosite-sessions/sessions/hostadapter/fositestore"
)

// The tokens of a user who is gone are worthless at their next use, whichever it is.
func TestTokensOfAUserWhoIsGone(t *testing.T) {
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
			t.Errorf("%s with a hook that fails: %d %s, want 503", name, got.status, got.body)
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
