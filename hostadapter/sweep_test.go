package hostadapter_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fosite-sessions/sessions"
	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/hostadapter"
	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/plugin/plugintest/testenv"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// TestSweepSkipsRenewedSessions: before the due session the index has more entries of renewed sessions than
// one call examines.
func TestSweepSkipsRenewedSessions(t *testing.T) {
	t.Parallel()
	h := newHost(t, func(c *hostadapter.Config) { c.Lifetime.IdleTimeout = time.Hour })
	var active []*browser
	for range 1000 {
		b := h.browser()
		b.signIn(hostadapter.Identity{Subject: "active"})
		active = append(active, b)
	}
	h.clock.advance(time.Second)
	idle := h.browser().signIn(hostadapter.Identity{Subject: "idle"})
	h.clock.advance(30 * time.Minute)
	for _, b := range active {
		b.mustBe("active")
	}
	h.clock.advance(31 * time.Minute)
	h.config.Expiry.Off = false
	h.start()
	testenv.Eventually(t, "the idle session ended", func() bool {
		_, err := h.Operations().SessionByID(t.Context(), idle.SessionID)
		return errors.Is(err, ticketstore.ErrNotFound)
	})
}

// gone waits until the sessions have ended.
func (h *host) gone(sids ...string) {
	h.t.Helper()
	for _, sid := range sids {
		testenv.Eventually(h.t, "session "+sid+" ended", func() bool {
			_, err := h.Operations().SessionByID(h.t.Context(), sid)
			return errors.Is(err, ticketstore.ErrNotFound)
		})
	}
}

// TestRule8_ExpiryIsDrivenByTheNextDueTime: the store is called only when something is due. A poll each
// second would call it several times during this test.
func TestRule8_ExpiryIsDrivenByTheNextDueTime(t *testing.T) {
	t.Parallel()
	h := newHost(t, func(c *hostadapter.Config) { c.Expiry.Off, c.Lifetime.IdleTimeout = false, time.Hour })
	testenv.Eventually(t, "the store was called at the start", func() bool {
		return h.backend.count("EndDue") > 0
	})
	first := h.browser().signIn(hostadapter.Identity{Subject: "ann"})
	h.clock.advance(59 * time.Minute)
	second := h.browser().signIn(hostadapter.Identity{Subject: "ann"})
	if n := h.backend.count("EndDue"); n != 1 {
		t.Errorf("%d calls before anything was due, want one", n)
	}
	h.clock.advance(time.Minute)
	h.gone(first.SessionID)
	if _, err := h.Operations().SessionByID(t.Context(), second.SessionID); err != nil {
		t.Errorf("a session that is not due: %v", err)
	}
	asked := h.backend.count("EndDue")
	h.clock.advance(58 * time.Minute)
	if n := h.backend.count("EndDue"); n != asked {
		t.Errorf("%d calls while nothing was due, want none", n-asked)
	}
	h.clock.advance(time.Minute)
	h.gone(second.SessionID)
}

// TestRule8_TwoHostsEndASessionOnce: both hosts sweep the same store.
func TestRule8_TwoHostsEndASessionOnce(t *testing.T) {
	t.Parallel()
	h := newHost(t, func(c *hostadapter.Config) { c.Lifetime.IdleTimeout = time.Hour })
	var sids []string
	for i := range 50 {
		session := h.browser().signIn(hostadapter.Identity{Subject: fmt.Sprint("user ", i)})
		h.use(session.SessionID, "shop")
		sids = append(sids, session.SessionID)
	}
	h.clock.advance(2 * time.Hour)
	h.config.Expiry.Off, h.config.Expiry.SweepBatch = false, 7
	h.start()
	h.start()
	h.gone(sids...)
	told := map[string]int{}
	query := logout.NotificationQuery{Count: ticketstore.MaxCount}
	page, err := h.Operations().QueryNotifications(t.Context(), query)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range page.Notifications {
		told[n.SessionID]++
	}
	for _, sid := range sids {
		if told[sid] != 1 {
			t.Errorf("session %s has %d notifications, want one", sid, told[sid])
		}
	}
}

// TestRule8_SweepAndBrowsersEndASessionOnce: whichever is first, the client is notified once.
func TestRule8_SweepAndBrowsersEndASessionOnce(t *testing.T) {
	t.Parallel()
	h := newHost(t, func(c *hostadapter.Config) { c.Lifetime.IdleTimeout = time.Hour })
	var browsers []*browser
	for range 20 {
		b := h.browser()
		h.use(b.signIn(hostadapter.Identity{Subject: "ann"}).SessionID, "shop")
		browsers = append(browsers, b)
	}
	h.clock.advance(2 * time.Hour)
	h.config.Expiry.Off = false
	h.start()
	var group sync.WaitGroup
	for _, b := range browsers {
		group.Go(func() { b.mustBe("") })
	}
	group.Wait()
	told := map[string]int{}
	for _, n := range h.notifications() {
		if told[n.SessionID]++; told[n.SessionID] > 1 || n.Reason != logout.SessionExpiration {
			t.Errorf("notification %+v, want one of session_expiration", n)
		}
	}
	if len(told) != len(browsers) {
		t.Errorf("clients of %d sessions are notified, want %d", len(told), len(browsers))
	}
}

// sharedBackend reports that several hosts may use it.
type sharedBackend struct{ sessions.Backend }

func (b sharedBackend) Describe(ctx context.Context) (ticketstore.Description, error) {
	description, err := b.Backend.Describe(ctx)
	description.Shared = true
	return description, err
}

// TestRule8_ShorterSessionsOfAnotherHost: a host with a shorter idle timeout creates sessions in the same
// store, and this host ends them.
func TestRule8_ShorterSessionsOfAnotherHost(t *testing.T) {
	t.Parallel()
	h := newHost(t, func(c *hostadapter.Config) { c.Backend, c.Expiry.Off = sharedBackend{c.Backend}, false })
	testenv.Eventually(t, "the store was called at the start", func() bool {
		return h.backend.count("EndDue") > 0
	})
	h.config.Lifetime.IdleTimeout, h.config.Expiry.Off = time.Minute, true
	h.start()
	session := h.browser().signIn(hostadapter.Identity{Subject: "ann"})
	h.clock.advance(time.Minute)
	h.gone(session.SessionID)
}

// TestRule8_ClockSetBack: a session created afterwards is due before the due time that the store returned.
func TestRule8_ClockSetBack(t *testing.T) {
	t.Parallel()
	h := newHost(t, func(c *hostadapter.Config) { c.Expiry.Off, c.Lifetime.IdleTimeout = false, time.Hour })
	h.browser().signIn(hostadapter.Identity{Subject: "ann"})
	testenv.Eventually(t, "the store was called at the start", func() bool {
		return h.backend.count("EndDue") > 0
	})
	h.clock.advance(-3 * time.Hour)
	session := h.browser().signIn(hostadapter.Identity{Subject: "bob"})
	h.clock.advance(time.Hour)
	h.gone(session.SessionID)
}

// TestRule8_ClockSetBackDuringASweep: the clock is set back while the store finds the next due time.
func TestRule8_ClockSetBackDuringASweep(t *testing.T) {
	t.Parallel()
	h := newHost(t, func(c *hostadapter.Config) { c.Lifetime.IdleTimeout = time.Hour })
	h.browser().signIn(hostadapter.Identity{Subject: "ann"})
	var once sync.Once
	before := h.clock.Now()
	h.backend.before("EndDue", func() { once.Do(func() { h.clock.advance(-3 * time.Hour) }) })
	h.config.Expiry.Off = false
	h.start()
	testenv.Eventually(t, "the clock was set back", func() bool { return h.clock.Now().Before(before) })
	session := h.browser().signIn(hostadapter.Identity{Subject: "bob"})
	h.clock.advance(time.Hour)
	h.gone(session.SessionID)
}

// TestPurgesUntilNothingIsLeft: a purge that needs more than one round continues without a pause.
func TestPurgesUntilNothingIsLeft(t *testing.T) {
	t.Parallel()
	const batches, each = 80, 64
	h := newHost(t, func(c *hostadapter.Config) { c.Expiry.Off, c.Expiry.SweepEvery = false, time.Hour })
	for i := range batches {
		batch := &grantstore.Batch{OperationID: fmt.Sprint("batch ", i)}
		for j := range each {
			batch.Store = append(batch.Store, grantstore.Grant{
				Ref: grantstore.Ref{
					Type: grantstore.JTI, Key: ticketstore.KeyOf(fmt.Sprint("jti ", i, j)),
				},
				Created: h.clock.Now(), Expires: h.clock.Now().Add(time.Minute),
			})
		}
		_, err := h.backend.Grants().Apply(t.Context(), batch, h.clock.Now())
		if err != nil {
			t.Fatal(err)
		}
	}
	h.clock.advance(time.Hour)
	before := h.backend.count("Purge")
	h.start()
	testenv.Eventually(t, "all grants were purged", func() bool {
		return h.backend.count("Purge")-before > batches*each/200
	})
}

func TestWhoIsNotifiedOfExpiry(t *testing.T) {
	t.Parallel()
	for tell, want := range map[hostadapter.Recipients][]string{
		hostadapter.AllClients: {"other", "shop"}, hostadapter.CoordinatingClients: {"shop"},
		hostadapter.NoClients: nil,
	} {
		for name, end := range map[string]func(h *host, b *browser){
			"by the sweep":   func(h *host, _ *browser) { h.config.Expiry.Off = false; h.start() },
			"by the browser": func(_ *host, b *browser) { b.mustBe("") },
		} {
			t.Run(string(tell)+" "+name, func(t *testing.T) {
				t.Parallel()
				h := newHost(t, func(c *hostadapter.Config) { c.Expiry.Notify = tell })
				b := h.browser()
				session := b.signIn(hostadapter.Identity{Subject: "ann"})
				h.use(session.SessionID, "other")
				_, err := h.Backend().Grants().Apply(t.Context(), &grantstore.Batch{
					OperationID: randomHex(),
					Use: &grantstore.Use{
						SessionID: session.SessionID, ClientID: "shop", Notify: true, Coordinated: true,
					},
				}, h.clock.Now())
				if err != nil {
					t.Fatal(err)
				}
				h.clock.advance(24 * time.Hour)
				end(h, b)
				h.gone(session.SessionID)
				var told []string
				for _, n := range h.notifications() {
					told = append(told, n.ClientID)
				}
				if diff := cmp.Diff(want, told); diff != "" {
					t.Errorf("notified clients (-want +got):\n%s", diff)
				}
			})
		}
	}
}

func TestMaxSessions(t *testing.T) {
	t.Parallel()
	h := newHost(t, func(c *hostadapter.Config) { c.Lifetime.MaxSessions = 2 })
	var browsers []*browser
	for range 3 {
		browsers = append(browsers, h.browser())
		session := browsers[len(browsers)-1].signIn(hostadapter.Identity{Subject: "ann"})
		h.use(session.SessionID, "shop")
	}
	browsers[0].mustBe("")
	browsers[1].mustBe("ann")
	if notifications := h.notifications(); len(notifications) != 1 ||
		notifications[0].Reason != logout.Terminated {
		t.Errorf("notifications %+v, want one of terminated", notifications)
	}
	browsers[1].signIn(hostadapter.Identity{Subject: "ann"}) // stepping up begins no session
	browsers[2].mustBe("ann")

	h.config.Lifetime.RefuseSignIn = true
	h.start()
	refused := h.browser()
	if _, err := refused.trySignIn(hostadapter.Identity{Subject: "ann"}); !errors.Is(err,
		ticketstore.ErrTooManySessions) {
		t.Errorf("a third session: %v, want ticketstore.ErrTooManySessions", err)
	}
	if len(refused.cookies) != 0 {
		t.Error("a refused sign-in set a cookie")
	}
	browsers[1].mustBe("ann")
	browsers[2].mustBe("ann")
	if err := browsers[1].signOut(); err != nil {
		t.Fatal(err)
	}
	refused.signIn(hostadapter.Identity{Subject: "ann"})
}

// If the clock is set back by an hour, no session ends early or late, and users can sign in.
func TestClockSetBack(t *testing.T) {
	t.Parallel()
	h := newHost(t, func(c *hostadapter.Config) {
		c.Lifetime.IdleTimeout, c.Lifetime.AbsoluteTimeout = time.Hour, 2*time.Hour
	})
	b := h.browser()
	session := b.signIn(hostadapter.Identity{Subject: "ann"})
	h.clock.advance(-time.Hour)
	b.visit(func(_ http.ResponseWriter, r *http.Request) {
		if got, err := h.Session(r); err != nil || got == nil || !got.Expires.Equal(session.Expires) {
			t.Errorf("session %+v, %v; want it unchanged", got, err)
		}
	})
	if again := b.signIn(hostadapter.Identity{Subject: "ann"}); again.SessionID != session.SessionID {
		t.Errorf("sid %q, want that of the session", again.SessionID)
	}
	h.browser().signIn(hostadapter.Identity{Subject: "bob"})
	h.clock.advance(2 * time.Hour)
	b.mustBe("")
}
