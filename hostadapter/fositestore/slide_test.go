package fositestore_test

import (
	"net/http"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/ory/fosite"

	"github.com/fosite-sessions/sessions/hostadapter"
	"github.com/fosite-sessions/sessions/hostadapter/fositestore"
	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// sliding returns a host whose clients renew sessions, with a clock that the test moves.
func sliding(offset *movedClock, byDefault bool, settings map[string]*bool) option {
	return func(h *host, c *fositestore.Config) {
		c.Host.Now = offset.now
		c.Host.Lifetime.IdleTimeout = time.Hour
		c.Host.Expiry.Off = true
		c.Host.Lifetime.CoordinateClients = byDefault
		c.Host.Lifetime.AbsoluteTimeout, c.Host.Expiry.RevokeOffline = 100*time.Minute, true
		// fosite has its own clock, which is not moved.
		h.fosite.AccessTokenLifespan = 24 * time.Hour
		clients := logout.ClientMap{}
		for id, coordinate := range settings {
			clients[id] = logout.Client{Coordinate: coordinate}
		}
		c.Host.Clients = clients
	}
}

// movedClock runs like the real clock, ahead of it.
type movedClock struct {
	mu    sync.Mutex
	ahead time.Duration
}

func (m *movedClock) now() time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	return time.Now().Add(m.ahead)
}

func (m *movedClock) advance(d time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.ahead += d
}

func (h *host) expires(sid string) time.Time {
	h.t.Helper()
	report, err := h.sessions.Operations().SessionByID(h.t.Context(), sid)
	if err != nil {
		h.t.Fatal(err)
	}
	return report.Expires
}

// TestRule9_ClientsThatCoordinateKeepTheSessionAlive: by refresh, introspection and userinfo, at most once a
// minute, with the refresh's own write or with one more.
func TestRule9_ClientsThatCoordinateKeepTheSessionAlive(t *testing.T) {
	t.Parallel()
	yes, no := true, false
	for name, test := range map[string]struct {
		byDefault bool
		own       *bool
		slides    bool
	}{
		"by default": {true, nil, true}, "by its own setting": {false, &yes, true},
		"not by default":         {false, nil, false},
		"not by its own setting": {true, &no, false},
	} {
		for flow, writes := range map[string]struct {
			use              func(h *host, b *browser, tokens *reply) *reply
			sliding, resting int64
		}{
			"refresh": {func(h *host, _ *browser, r *reply) *reply {
				return h.refresh(r.str("refresh_token"))
			}, 1, 1},
			"introspection": {func(h *host, _ *browser, r *reply) *reply {
				return h.introspect(r.str("access_token"))
			}, 1, 0},
			"userinfo": {func(_ *host, b *browser, r *reply) *reply {
				return b.get("/userinfo", url.Values{"access_token": {r.str("access_token")}})
			}, 1, 0},
		} {
			t.Run(flow+" "+name, func(t *testing.T) {
				t.Parallel()
				clock := &movedClock{}
				h := newHost(t, sliding(clock, test.byDefault, map[string]*bool{"app": test.own}))
				b, r := h.tokens("ann")
				sid := h.sid("ann")
				begun := h.expires(sid)
				h.backend.counts()
				use := func(step string, want int64) {
					t.Helper()
					got := writes.use(h, b, r)
					got.must(t, http.StatusOK, "")
					if flow == "refresh" {
						r = got
					}
					if reads, durable := h.backend.counts(); reads != 1 || durable != want {
						t.Errorf("%s: %d reads and %d durable writes, want 1 and %d", step, reads, durable,
							want)
					}
				}
				use("at once", writes.resting)
				if got := h.expires(sid); !got.Equal(begun) {
					t.Errorf("expires at %v, want %v: it was renewed a moment ago", got, begun)
				}
				h.backend.counts()
				clock.advance(50 * time.Minute)
				want := writes.resting
				if test.slides {
					want = writes.sliding
				}
				use("after 50 minutes", want)
				if slid := h.expires(sid).After(begun); slid != test.slides {
					t.Errorf("slid %v, want %v", slid, test.slides)
				}
				h.backend.counts()
				use("again", writes.resting)
				// Never past the absolute expiry, and refused after the idle timeout.
				clock.advance(45 * time.Minute)
				got := writes.use(h, b, r)
				active := got.status == http.StatusOK && got.json["active"] != false
				if active != test.slides {
					t.Errorf("after 95 minutes: %d %s, want it accepted %v", got.status, got.body,
						test.slides)
				}
				if flow == "refresh" && active {
					r = got
				}
				clock.advance(6 * time.Minute)
				if got := writes.use(h, b, r); got.status == http.StatusOK && got.json["active"] != false {
					t.Errorf("past the absolute expiry: %d %s, want it refused", got.status, got.body)
				}
			})
		}
	}
}

// A client's part in a session has the client's registration.
func TestClientSettingsOfAUse(t *testing.T) {
	t.Parallel()
	yes := true
	h := newHost(t, func(_ *host, c *fositestore.Config) {
		c.Host.Clients = logout.ClientMap{
			"app": {
				BackChannelLogoutURI: "https://app.example/out", Coordinate: &yes,
				Muted: ticketstore.EndByExpiry | ticketstore.EndByRemoval,
			},
		}
	})
	h.tokens("ann")
	report, err := h.sessions.Operations().SessionByID(t.Context(), h.sid("ann"))
	if err != nil || len(report.Clients) != 1 {
		t.Fatalf("%+v, %v", report, err)
	}
	if c := report.Clients[0]; !c.Notify || !c.Coordinated ||
		c.Muted != ticketstore.EndByExpiry|ticketstore.EndByRemoval {
		t.Errorf("%+v, want what the client registered", c)
	}
	result, err := h.sessions.RemoveSessions(t.Context(), hostadapter.SessionRemoval{SubjectID: "ann"})
	if err != nil || result.NotificationsQueued != 0 {
		t.Errorf("%+v, %v; want no notification to a muted client", result, err)
	}
}

// coordinating is a host's client type with its own settings.
type coordinating struct {
	*fosite.DefaultClient
	coordinate *bool
}

func (c *coordinating) GetCoordinateLifetimeWithUserSession() *bool { return c.coordinate }
func (c *coordinating) GetMutedSessionEnds() ticketstore.Ends       { return ticketstore.EndByAny | 1<<7 }

func TestClientsLifetimeSettings(t *testing.T) {
	t.Parallel()
	no := false
	config := validConfig(t)
	memory := newMemory()
	memory.Clients["own"] = &coordinating{&fosite.DefaultClient{ID: "own"}, &no}
	config.Store = memory
	sessions, err := fositestore.Attach(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	defer sessions.Close()
	got, err := fositestore.LogoutClient(t.Context(), sessions, "own")
	if err != nil || got.Coordinate == nil || *got.Coordinate || got.Muted != ticketstore.EndByAny {
		t.Errorf("%+v, %v; want the client's own settings", got, err)
	}
}
