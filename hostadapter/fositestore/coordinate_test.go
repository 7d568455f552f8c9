package fositestore_test

// Offline tokens of clients that coordinate their lifetime with the session.

import (
	"net/http"
	"testing"
	"time"

	"github.com/fosite-sessions/sessions/hostadapter/fositestore"
)

// Refresh tokens of a client that coordinates their lifetime with the session end with it, including offline
// tokens; those of other clients outlive a sign-out and an expiry (Back-Channel Logout 1.0, section 2.7).
func TestOfflineTokensOfCoordinatingClients(t *testing.T) {
	t.Parallel()
	yes, no := true, false
	for name, own := range map[string]*bool{"coordinating client": &yes, "other client": &no} {
		for way, end := range map[string]func(h *host, b *browser, clock *movedClock){
			"sign-out": func(_ *host, b *browser, _ *movedClock) { b.get("/logout", nil) },
			"expiry":   func(_ *host, _ *browser, clock *movedClock) { clock.advance(2 * time.Hour) },
		} {
			t.Run(name+", "+way, func(t *testing.T) {
				t.Parallel()
				clock := &movedClock{}
				h := newHost(t, sliding(clock, false, map[string]*bool{"app": own}),
					func(_ *host, c *fositestore.Config) {
						c.Host.Expiry.RevokeOffline = false
					})
				b, r := h.tokens("ann", "scope", "openid offline_access")
				end(h, b, clock)
				if own == &yes {
					h.refresh(r.str("refresh_token")).must(t, http.StatusBadRequest, "invalid_grant")
				} else {
					h.refresh(r.str("refresh_token")).must(t, http.StatusOK, "")
				}
				h.mustActive(r.str("access_token"), false)
			})
		}
	}
}
