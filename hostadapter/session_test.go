package hostadapter_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fosite-sessions/sessions/hostadapter"
	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/ticketstore"
)

var unavailable = fault{err: ticketstore.ErrUnavailable}

func TestSignInAndAnswerInOneRequest(t *testing.T) {
	t.Parallel()
	h := newHost(t, func(c *hostadapter.Config) {
		c.Lifetime.IdleTimeout, c.Lifetime.AbsoluteTimeout = time.Hour, 8*time.Hour
	})
	b := h.browser()
	now := h.clock.Now()
	identity := hostadapter.Identity{
		Subject: "ann", DisplayName: "Ann", ACR: "urn:mfa", AMR: []string{"pwd", "otp"},
		AuthTime:   now.Add(-time.Minute),
		Properties: map[string]string{"email": "ann@example.com"},
	}
	var same *hostadapter.Session
	b.visit(func(w http.ResponseWriter, r *http.Request) {
		if session, err := h.Session(r); err != nil || session != nil {
			t.Errorf("before: %v, %v; want no session", session, err)
		}
		if _, err := h.SignIn(w, r, identity); err != nil {
			t.Errorf("SignIn: %v", err)
		}
		var err error
		if same, err = h.SessionFromContext(r.Context()); err != nil {
			t.Errorf("SessionFromContext: %v", err)
		}
	})
	want := &hostadapter.Session{
		SubjectID: "ann", DisplayName: "Ann", Issuer: issuer, ACR: "urn:mfa", AMR: []string{"pwd", "otp"},
		AuthTime: identity.AuthTime,
		Created:  now, Renewed: now, Expires: now.Add(time.Hour), EndsAt: now.Add(8 * time.Hour),
		Properties: identity.Properties,
	}
	next := b.mustBe("ann")
	want.SessionID = next.SessionID
	if diff := cmp.Diff(want, next); diff != "" {
		t.Errorf("next request's session (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(want, same); diff != "" {
		t.Errorf("same request's session (-want +got):\n%s", diff)
	}
	if len(want.SessionID) != 32 {
		t.Errorf("sid %q, want 128 bits in hex", want.SessionID)
	}
}

func TestStoreSeesNoSecret(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	b := h.browser()
	b.signIn(hostadapter.Identity{Subject: "ann", Properties: map[string]string{"card": "4111-1111"}})
	secret, err := base64.RawURLEncoding.DecodeString(b.cookies["__Host-fosite_session"])
	if err != nil {
		t.Fatal(err)
	}
	stored, err := h.Backend().Tickets().Get(t.Context(), ticketstore.KeyOf(secret))
	if err != nil {
		t.Fatalf("the session is not under the SHA-256 of the secret: %v", err)
	}
	if bytes.Contains(stored.Ticket, []byte("4111")) {
		t.Error("the ticket is not sealed")
	}
}

func TestMiddlewareIsLazy(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	b := h.browser()
	b.signIn(hostadapter.Identity{Subject: "ann"})
	before := h.backend.count("Get")
	b.visit(func(http.ResponseWriter, *http.Request) {})
	if n := h.backend.count("Get") - before; n != 0 {
		t.Errorf("%d reads of the store by a request that needs no session, want none", n)
	}
	b.visit(func(_ http.ResponseWriter, r *http.Request) {
		for range 3 {
			if session, err := h.Session(r); err != nil || session == nil {
				t.Errorf("Session: %v, %v", session, err)
			}
		}
	})
	if n := h.backend.count("Get") - before; n != 1 {
		t.Errorf("%d reads of the store by a request that looks up the session three times, want one", n)
	}
}

func TestWithoutMiddleware(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	w := httptest.NewRecorder()
	if _, err := h.SignIn(w, httptest.NewRequest(http.MethodGet, "/", nil),
		hostadapter.Identity{Subject: "ann"}); err != nil {
		t.Fatalf("SignIn: %v", err)
	}
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.AddCookie(w.Result().Cookies()[0])
	if session, err := h.Session(r); err != nil || session == nil || session.SubjectID != "ann" {
		t.Errorf("Session: %v, %v; want ann's", session, err)
	}
	if _, err := h.SessionFromContext(r.Context()); !errors.Is(err, hostadapter.ErrNoMiddleware) {
		t.Errorf("SessionFromContext: %v, want ErrNoMiddleware", err)
	}
}

// TestLookupSetsNoCookie: the response to a request with the old cookie may arrive after the response to
// the sign-in, and the handler may write headers while other goroutines look up the session.
func TestLookupSetsNoCookie(t *testing.T) {
	t.Parallel()
	h := newHost(t, func(c *hostadapter.Config) { c.Cookie.Persistent = true })
	stepped := h.browser()
	stepped.signIn(hostadapter.Identity{Subject: "ann"})
	old := stepped.cookies["__Host-fosite_session"]
	renewed := h.browser()
	renewed.signIn(hostadapter.Identity{Subject: "bob"})
	stepped.signIn(hostadapter.Identity{Subject: "ann"})
	h.clock.advance(time.Hour)
	for name, value := range map[string]string{
		"replaced": old, "renewed": renewed.cookies["__Host-fosite_session"],
		"unknown": strings.Repeat("A", 43), "malformed": "x",
		"empty": "", "not base64": strings.Repeat("!", 43), "long": strings.Repeat("A", 9000),
	} {
		b := h.browser()
		b.cookies["__Host-fosite_session"] = value
		response := b.visit(func(w http.ResponseWriter, r *http.Request) {
			var group sync.WaitGroup
			group.Go(func() {
				session, err := h.SessionFromContext(r.Context())
				if err != nil || (session != nil) != (name == "renewed") {
					t.Errorf("%s: session %v, %v", name, session, err)
				}
			})
			for range 1000 {
				w.Header().Set("X", "y")
			}
			group.Wait()
		})
		if lines := response.Header["Set-Cookie"]; len(lines) != 0 {
			t.Errorf("%s: a lookup set %q, want no cookie", name, lines)
		}
	}
}

func TestLostStoreIsNotSignedOut(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	b := h.browser()
	b.signIn(hostadapter.Identity{Subject: "ann"})
	h.backend.fail("Get", unavailable, unavailable, unavailable)
	if session, err := b.session(); !errors.Is(err, ticketstore.ErrUnavailable) || session != nil {
		t.Errorf("Session: %v, %v; want ticketstore.ErrUnavailable", session, err)
	}
	if _, err := b.trySignIn(hostadapter.Identity{Subject: "bob"}); !errors.Is(err,
		ticketstore.ErrUnavailable) {
		t.Errorf("SignIn: %v, want ticketstore.ErrUnavailable", err)
	}
	if err := b.signOut(); !errors.Is(err, ticketstore.ErrUnavailable) {
		t.Errorf("SignOut: %v, want ticketstore.ErrUnavailable", err)
	}
	b.mustBe("ann")
	h.backend.fail("End", unavailable, unavailable, unavailable, unavailable)
	if err := b.signOut(); !errors.Is(err, ticketstore.ErrUnavailable) {
		t.Errorf("SignOut: %v, want ticketstore.ErrUnavailable", err)
	}
	b.mustBe("ann")
}

func TestExpiredSessionEndsWhenUsed(t *testing.T) {
	t.Parallel()
	h := newHost(t, func(c *hostadapter.Config) { c.Lifetime.IdleTimeout = time.Hour })
	b := h.browser()
	session := b.signIn(hostadapter.Identity{Subject: "ann"})
	h.use(session.SessionID, "shop")
	h.clock.advance(time.Hour)
	b.mustBe("")
	if _, err := h.Operations().SessionByID(t.Context(),
		session.SessionID); !errors.Is(err, ticketstore.ErrNotFound) {
		t.Errorf("SessionByID: %v, want ticketstore.ErrNotFound", err)
	}
	notifications := h.notifications()
	if len(notifications) != 1 || notifications[0].Reason != logout.SessionExpiration {
		t.Errorf("notifications %+v, want one of session_expiration", notifications)
	}
}

func TestSliding(t *testing.T) {
	t.Parallel()
	h := newHost(t, func(c *hostadapter.Config) {
		c.Lifetime.IdleTimeout = time.Hour
		c.Lifetime.AbsoluteTimeout = 2 * time.Hour
		c.Lifetime.RenewEvery = 5 * time.Minute
		c.Cookie.Persistent = true
	})
	b := h.browser()
	begin := h.clock.Now()
	session := b.signIn(hostadapter.Identity{Subject: "ann"})
	h.clock.advance(4 * time.Minute)
	b.mustBe("ann")
	if n := h.backend.count("Renew"); n != 0 {
		t.Errorf("renewed %d times within RenewEvery, want none", n)
	}
	h.clock.advance(time.Minute)
	if got := b.mustBe("ann"); !got.Expires.Equal(begin.Add(65 * time.Minute)) {
		t.Errorf("expires %v, want an hour from its use at 5 minutes", got.Expires)
	}
	for range 3 {
		h.clock.advance(30 * time.Minute)
		b.mustBe("ann")
	}
	if got := b.mustBe("ann"); !got.Expires.Equal(session.EndsAt) ||
		!got.EndsAt.Equal(begin.Add(2*time.Hour)) {
		t.Errorf("expires %v, want no later than its end at %v", got.Expires, session.EndsAt)
	}
	h.clock.advance(25 * time.Minute)
	b.mustBe("")
}

func TestFailedRenewal(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		err     error
		subject string
	}{
		"concurrent renewal": {ticketstore.ErrConflict, "ann"},
		"store unavailable":  {ticketstore.ErrUnavailable, "ann"},
		"ended meanwhile":    {ticketstore.ErrNotFound, ""},
		"expired meanwhile":  {ticketstore.ErrExpired, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHost(t)
			b := h.browser()
			b.signIn(hostadapter.Identity{Subject: "ann"})
			h.clock.advance(time.Hour)
			h.backend.fail("Renew", fault{err: test.err})
			b.mustBe(test.subject)
		})
	}
}

func TestReplacement(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	b := h.browser()
	ann := b.signIn(hostadapter.Identity{Subject: "ann"})
	h.use(ann.SessionID, "shop")
	bob := b.signIn(hostadapter.Identity{Subject: "bob"})
	if bob.SessionID == ann.SessionID {
		t.Error("bob got ann's sid")
	}
	b.mustBe("bob")
	if _, err := h.Operations().SessionByID(t.Context(), ann.SessionID); !errors.Is(err,
		ticketstore.ErrNotFound) {
		t.Errorf("ann's session: %v, want ticketstore.ErrNotFound", err)
	}
	notifications := h.notifications()
	if len(notifications) != 1 || notifications[0].Reason != logout.SessionReplaced ||
		notifications[0].SubjectID != "ann" {
		t.Errorf("notifications %+v, want one of session_replaced for ann", notifications)
	}
}

func TestLostAnswers(t *testing.T) {
	t.Parallel()
	lost := fault{err: ticketstore.ErrUnavailable, after: true}
	h := newHost(t)
	b := h.browser()
	h.backend.fail("Create", unavailable, lost)
	first := b.signIn(hostadapter.Identity{Subject: "ann"})
	b.mustBe("ann")
	h.backend.fail("Rekey", lost)
	if second := b.signIn(hostadapter.Identity{Subject: "ann"}); second.SessionID != first.SessionID {
		t.Errorf("sid %q, want it kept: the new cookie was stored, only the answer was lost",
			second.SessionID)
	}
	b.mustBe("ann")
	h.use(first.SessionID, "shop")
	h.backend.fail("End", lost, unavailable)
	if err := b.signOut(); err != nil {
		t.Errorf("SignOut: %v", err)
	}
	b.mustBe("")
	if notifications := h.notifications(); len(notifications) != 1 {
		t.Errorf("%d notifications, want one: the ending was repeated under its id", len(notifications))
	}
}

// Expired sessions that have not ended yet are in no page.
func TestEndOtherSessionsOfManyPages(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	b := h.browser()
	const others = ticketstore.MaxCount + 20
	create := func(sid string, lifetime time.Duration) {
		now := h.clock.Now()
		err := h.backend.Backend.Tickets().Create(t.Context(), &ticketstore.Session{
			SessionID: sid, Key: ticketstore.KeyOf(sid), SubjectID: "ann", Issuer: issuer, Created: now,
			Renewed: now, Expires: now.Add(lifetime), AuthTime: now,
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for i := range others {
		create(fmt.Sprint("other ", i), 24*time.Hour)
	}
	h.clock.advance(time.Second)
	for i := range ticketstore.MaxCount + 1 {
		create(fmt.Sprint("expired ", i), time.Second)
	}
	h.clock.advance(time.Second)
	own := b.signIn(hostadapter.Identity{Subject: "ann"})
	ended, err := h.EndOtherSessions(t.Context(), own)
	if err != nil || ended != others {
		t.Errorf("%d sessions ended, %v; want %d", ended, err, others)
	}
}

func TestTicketThatCannotBeOpened(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	b, out := h.browser(), h.browser()
	old := b.signIn(hostadapter.Identity{Subject: "ann"})
	out.signIn(hostadapter.Identity{Subject: "ann"})
	keys := h.config.Keys
	h.config.Keys, h.config.KeysLost = [][]byte{bytes.Repeat([]byte("z"), 32)}, true
	h.start()
	for range 10 {
		b.mustBe("")
	}
	if n := strings.Count(h.log.String(), `msg="sealed record cannot be opened"`); n != 1 {
		t.Errorf("%d log lines for ten requests, want one: %s", n, h.log)
	}
	if len(b.cookies) != 1 {
		t.Error("the cookie was cleared, want it kept until the key is back")
	}
	h.config.Keys = append(h.config.Keys, keys...)
	h.start()
	b.mustBe("ann")
	h.config.Keys = h.config.Keys[:1]
	h.start()
	// Its user is unknown, so even the same user gets a new session.
	if session := b.signIn(hostadapter.Identity{Subject: "ann"}); session.SessionID == old.SessionID {
		t.Error("the session was continued, want it replaced")
	}
	b.mustBe("ann")
	if _, err := h.Operations().SessionByID(t.Context(), old.SessionID); !errors.Is(err,
		ticketstore.ErrNotFound) {
		t.Errorf("the replaced session: %v, want it ended", err)
	}
	// No user is signed in, so no confirmation is needed.
	if page := bodyOf(t, out.get(nil)); !strings.Contains(page, "You are signed out.") {
		t.Errorf("sign-out returned %s", page)
	}
	if page, err := h.QuerySessions(t.Context(), ticketstore.SessionQuery{}); err != nil ||
		page.TotalCount != 1 {
		t.Errorf("%+v, %v; want only the new session", page, err)
	}
}

func TestSignOut(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	b := h.browser()
	if err := b.signOut(); err != nil {
		t.Errorf("SignOut without a session: %v", err)
	}
	session := b.signIn(hostadapter.Identity{Subject: "ann"})
	h.use(session.SessionID, "shop")
	stolen := h.browser()
	stolen.cookies["__Host-fosite_session"] = b.cookies["__Host-fosite_session"]
	b.visit(func(w http.ResponseWriter, r *http.Request) {
		if err := h.SignOut(w, r); err != nil {
			t.Errorf("SignOut: %v", err)
		}
		if session, err := h.Session(r); err != nil || session != nil {
			t.Errorf("after signing out in the same request: %v, %v; want no session", session, err)
		}
	})
	if len(b.cookies) != 0 {
		t.Error("the cookie was kept")
	}
	stolen.mustBe("")
	notifications := h.notifications()
	if len(notifications) != 1 || notifications[0].Reason != logout.UserLogout ||
		notifications[0].ClientID != "shop" {
		t.Errorf("notifications %+v, want one of user_logout for shop", notifications)
	}
}
