package fositestore_test

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ory/fosite"
	"github.com/ory/fosite/storage"

	"github.com/fosite-sessions/sessions/hostadapter"
	"github.com/fosite-sessions/sessions/hostadapter/fositestore"
	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/plugin/plugintest/testenv"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// changing is a client whose registration changes during a session.
type changing struct{ client atomic.Pointer[logout.Client] }

func (c *changing) LogoutClient(_ context.Context, clientID string) (*logout.Client, error) {
	client := c.client.Load()
	if client == nil || clientID != "app" {
		return nil, ticketstore.ErrNotFound
	}
	return client, nil
}

// A client's registration at the end of the session applies, not the one at its last authorization.
func TestClientsAsRegisteredWhenTheSessionEnds(t *testing.T) {
	t.Parallel()
	const uri = "https://app.example/logout"
	yes := true
	changes := map[string]struct {
		before, after *logout.Client
		notified      int
		offline       int // the status of a refresh
	}{
		"a URI added": {&logout.Client{}, &logout.Client{BackChannelLogoutURI: uri}, 1,
			http.StatusOK},
		"its URI removed": {&logout.Client{BackChannelLogoutURI: uri}, &logout.Client{}, 0,
			http.StatusOK},
		"muted": {&logout.Client{BackChannelLogoutURI: uri},
			&logout.Client{BackChannelLogoutURI: uri, Muted: ticketstore.EndByAny}, 0, http.StatusOK},
		"no longer muted": {&logout.Client{BackChannelLogoutURI: uri, Muted: ticketstore.EndByAny},
			&logout.Client{BackChannelLogoutURI: uri}, 1, http.StatusOK},
		"coordinates":        {&logout.Client{}, &logout.Client{Coordinate: &yes}, 0, http.StatusBadRequest},
		"stops coordinating": {&logout.Client{Coordinate: &yes}, &logout.Client{}, 0, http.StatusOK},
		"unchanged": {&logout.Client{BackChannelLogoutURI: uri},
			&logout.Client{BackChannelLogoutURI: uri}, 1, http.StatusOK},
	}
	ways := map[string]struct {
		end          func(h *host, b *browser, clock *movedClock)
		keepsOffline bool
		config       func(c *hostadapter.Config)
	}{
		"sign-out":    {func(_ *host, b *browser, _ *movedClock) { b.get("/logout", nil) }, true, nil},
		"replacement": {func(_ *host, b *browser, _ *movedClock) { b.signIn("bob") }, true, nil},
		"expiry, at the next visit": {func(_ *host, b *browser, clock *movedClock) {
			clock.advance(2 * time.Hour)
			b.get("/whoami", nil)
		}, true, nil},
		"expiry, found by a sweep": {func(h *host, _ *browser, clock *movedClock) {
			sid := h.sid("ann")
			clock.advance(2 * time.Hour)
			testenv.Eventually(h.t, "the session ended", func() bool {
				_, err := h.sessions.Operations().SessionByID(h.t.Context(), sid)
				return errors.Is(err, ticketstore.ErrNotFound)
			})
		}, true, func(c *hostadapter.Config) { c.Expiry.Off = false }},
		"a sign-in beyond the limit": {
			func(h *host, _ *browser, _ *movedClock) { h.browser().signIn("ann") }, true,
			func(c *hostadapter.Config) { c.Lifetime.MaxSessions = 1 },
		},
		"removal of the user": {func(h *host, _ *browser, _ *movedClock) { h.end("ann") }, false, nil},
		"removal of the session": {func(h *host, _ *browser, _ *movedClock) {
			if _, err := h.sessions.RemoveSessions(h.t.Context(),
				hostadapter.SessionRemoval{SessionID: h.sid("ann")}); err != nil {
				h.t.Error(err)
			}
		}, false, nil},
		"removal of all": {func(h *host, _ *browser, _ *movedClock) {
			result, err := h.sessions.RemoveSessions(h.t.Context(), hostadapter.SessionRemoval{All: true})
			if err != nil {
				h.t.Fatal(err)
			}
			testenv.Eventually(h.t, "the job is done", func() bool {
				job, err := h.sessions.Operations().Job(h.t.Context(), result.JobID)
				return err == nil && job.State == logout.JobDone
			})
		}, false, nil},
	}
	for what, change := range changes {
		for how, way := range ways {
			t.Run(what+", "+how, func(t *testing.T) {
				t.Parallel()
				clock, clients := &movedClock{}, &changing{}
				clients.client.Store(change.before)
				h := newHost(t, sliding(clock, false, nil), func(_ *host, c *fositestore.Config) {
					c.Host.Clients, c.Host.Expiry.RevokeOffline = clients, false
					if way.config != nil {
						way.config(&c.Host)
					}
				})
				b, r := h.tokens("ann", "scope", "openid offline_access")
				clients.client.Store(change.after)
				way.end(h, b, clock)
				page, err := h.sessions.Operations().QueryNotifications(t.Context(),
					logout.NotificationQuery{})
				if err != nil || len(page.Notifications) != change.notified {
					t.Errorf("want %d notifications, got %+v, %v", change.notified, page, err)
				}
				want := change.offline
				if !way.keepsOffline {
					want = http.StatusBadRequest
				}
				got := h.post("/token",
					url.Values{"grant_type": {"refresh_token"}, "refresh_token": {r.str("refresh_token")}})
				got.must(t, want, "")
			})
		}
	}
}

// nilClients is a host's store that returns a nil client without an error for an unknown client.
type nilClients struct{ *storage.MemoryStore }

func (s nilClients) GetClient(_ context.Context, id string) (fosite.Client, error) {
	client, _ := s.Clients[id].(*fosite.DefaultClient)
	return client, nil
}

// A nil client of the host's store counts as not registered.
func TestNilClientOfTheHost(t *testing.T) {
	t.Parallel()
	h := newHost(t, func(h *host, c *fositestore.Config) { c.Store = nilClients{h.memory} })
	b, r := h.tokens("ann")
	if r := b.get("/authorize", authorization("client_id", "gone")); r.status != http.StatusBadRequest {
		t.Errorf("an unknown client: %d %s, want 400", r.status, r.body)
	}
	delete(h.memory.Clients, "app")
	if got := h.post("/introspect", url.Values{
		"as": {"other"}, "token": {r.str("access_token")},
	}); got.json["active"] != false {
		t.Errorf("the token of a deleted client: %d %s", got.status, got.body)
	}
	b.get("/logout", nil).must(t, http.StatusOK, "")
	if _, err := fositestore.LogoutClient(t.Context(), h.sessions, "app"); !errors.Is(err,
		ticketstore.ErrNotFound) {
		t.Errorf("the settings of a deleted client: %v, want ErrNotFound", err)
	}
}
