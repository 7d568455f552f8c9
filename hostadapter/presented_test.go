package hostadapter_test

// Requests with several session cookies.

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/fosite-sessions/sessions/hostadapter"
	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/ticketstore"
)

const cookieName = "__Host-fosite_session"

// several is a browser with several session cookies, for example of sibling hosts or of an earlier
// Cookie.Domain, in an order that the test chooses.
type several struct {
	h      *host
	values []string
}

// bring returns a browser that sends the cookies of the given browsers in order.
func (h *host) bring(browsers ...*browser) *several {
	s := &several{h: h}
	for _, b := range browsers {
		s.values = append(s.values, b.cookies[cookieName])
	}
	return s
}

func (s *several) send(r *http.Request, handler http.Handler) *http.Response {
	pairs := make([]string, 0, len(s.values))
	for _, value := range s.values {
		pairs = append(pairs, cookieName+"="+value)
	}
	r.Header.Set("Cookie", strings.Join(pairs, "; "))
	w := httptest.NewRecorder()
	s.h.Middleware(handler).ServeHTTP(w, r)
	return w.Result()
}

func (s *several) visit(handler http.HandlerFunc) *http.Response {
	return s.send(httptest.NewRequest(http.MethodGet, "/", nil), handler)
}

func (s *several) subject() (subject string) {
	s.visit(func(_ http.ResponseWriter, r *http.Request) {
		session, err := s.h.Session(r)
		if err != nil {
			s.h.t.Fatalf("Session: %v", err)
		}
		if session != nil {
			subject = session.SubjectID
		}
	})
	return subject
}

func (h *host) live() (subjects []string) {
	h.t.Helper()
	page, err := h.QuerySessions(h.t.Context(), ticketstore.SessionQuery{})
	if err != nil {
		h.t.Fatal(err)
	}
	for i := range page.Sessions {
		subjects = append(subjects, page.Sessions[i].SubjectID)
	}
	slices.Sort(subjects)
	return subjects
}

// lineup returns a host with two signed-in users, a user whose session has ended, and a malformed cookie.
func lineup(t *testing.T) (h *host, ann, bob, gone, junk *browser) {
	h = newHost(t)
	ann, bob, gone, junk = h.browser(), h.browser(), h.browser(), h.browser()
	ann.signIn(hostadapter.Identity{Subject: "ann"})
	bob.signIn(hostadapter.Identity{Subject: "bob"})
	session := gone.signIn(hostadapter.Identity{Subject: "cid"})
	if _, err := h.RemoveSessions(t.Context(),
		hostadapter.SessionRemoval{SessionID: session.SessionID}); err != nil {
		t.Fatal(err)
	}
	junk.cookies[cookieName] = "junk"
	return h, ann, bob, gone, junk
}

// TestSeveralCookies: each of several cookies with the session's name is tried, in any order.
func TestSeveralCookies(t *testing.T) {
	t.Parallel()
	h, ann, bob, gone, junk := lineup(t)
	for _, c := range []struct {
		brings []*browser
		want   string
	}{
		{[]*browser{gone, ann}, "ann"}, {[]*browser{ann, gone}, "ann"},
		{[]*browser{junk, gone, junk, ann}, "ann"}, {[]*browser{gone, junk}, ""},
		{[]*browser{ann, bob}, "ann"}, {[]*browser{bob, ann}, "bob"},
		{[]*browser{gone, gone, gone, gone, gone, gone, gone, gone, gone, ann}, "ann"},
	} {
		if got := h.bring(c.brings...).subject(); got != c.want {
			t.Errorf("signed in as %q, want %q", got, c.want)
		}
	}
	// The number of reads per request is bounded.
	flood := h.bring(ann)
	for i := range 50 {
		flood.values = append([]string{fmt.Sprintf("%043d", 10*i)}, flood.values...)
	}
	before := h.backend.count("Get")
	if got := flood.subject(); got != "" {
		t.Errorf("signed in as %q after 50 other cookies", got)
	}
	if n := h.backend.count("Get") - before; n > 8 {
		t.Errorf("%d sessions were read for one request, want 8 at most", n)
	}
}

// TestSeveralCookiesSignOut: signing out ends every live session of the browser.
func TestSeveralCookiesSignOut(t *testing.T) {
	t.Parallel()
	for name, signOut := range map[string]func(h *host, s *several){
		"SignOut": func(h *host, s *several) {
			s.visit(func(w http.ResponseWriter, r *http.Request) {
				if err := h.SignOut(w, r); err != nil {
					t.Errorf("SignOut: %v", err)
				}
			})
		},
		"the end-session endpoint": func(h *host, s *several) {
			page := bodyOf(t, s.send(httptest.NewRequest(http.MethodGet, "/logout", nil), h.EndSession()))
			_, rest, asks := strings.Cut(page, `name="confirm" value="`)
			token, _, _ := strings.Cut(rest, `"`)
			if !asks {
				t.Fatalf("the user was not asked: %s", page)
			}
			slices.Reverse(s.values) // the order does not matter
			r := httptest.NewRequest(http.MethodPost, "/logout",
				strings.NewReader(url.Values{"confirm": {token}}.Encode()))
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			if page := bodyOf(t, s.send(r, h.EndSession())); !strings.Contains(page, "You are signed out.") {
				t.Errorf("after the confirmation: %s", page)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h, ann, bob, gone, junk := lineup(t)
			other := h.browser()
			other.signIn(hostadapter.Identity{Subject: "eve"})
			signOut(h, h.bring(junk, gone, bob, ann))
			if got := h.live(); !slices.Equal(got, []string{"eve"}) {
				t.Errorf("sessions of %v live, want only that of the other browser", got)
			}
		})
	}
}

// TestSeveralCookiesAndAHint: a hint that names one of the sessions ends no other without a confirmation, in
// any order of the cookies.
func TestSeveralCookiesAndAHint(t *testing.T) {
	t.Parallel()
	for _, first := range []string{"ann", "bob"} {
		h := newHost(t, func(c *hostadapter.Config) { c.Hints = hints{} })
		ann, bob := h.browser(), h.browser()
		planted := ann.signIn(hostadapter.Identity{Subject: "ann"})
		bob.signIn(hostadapter.Identity{Subject: "bob"})
		s := h.bring(ann, bob)
		if first == "bob" {
			s = h.bring(bob, ann)
		}
		target := "/logout?id_token_hint=" + url.QueryEscape("ann/"+planted.SessionID+"/shop")
		page := bodyOf(t, s.send(httptest.NewRequest(http.MethodGet, target, nil), h.EndSession()))
		if !strings.Contains(page, `name="confirm"`) {
			t.Errorf("%s first: the user was not asked: %s", first, page)
		}
		bob.mustBe("bob")
	}
}

// TestSeveralCookiesSignIn: a sign-in replaces every session of a different subject, and continues a session
// of the same subject.
func TestSeveralCookiesSignIn(t *testing.T) {
	t.Parallel()
	h, ann, bob, gone, junk := lineup(t)
	annsSession := ann.mustBe("ann")
	h.use(bob.mustBe("bob").SessionID, "shop")
	s := h.bring(gone, bob, junk, ann)
	s.visit(func(w http.ResponseWriter, r *http.Request) {
		session, err := h.SignIn(w, r, hostadapter.Identity{Subject: "ann"})
		if err != nil || session.SessionID != annsSession.SessionID {
			t.Errorf("SignIn: %+v, %v; want the user's existing session", session, err)
		}
	})
	if got := h.live(); !slices.Equal(got, []string{"ann"}) {
		t.Errorf("sessions of %v live, want only ann's", got)
	}
	if notifications := h.notifications(); len(notifications) != 1 ||
		notifications[0].Reason != logout.SessionReplaced {
		t.Errorf("notifications %+v, want one of session_replaced", notifications)
	}
	s.visit(func(w http.ResponseWriter, r *http.Request) {
		if _, err := h.SignIn(w, r, hostadapter.Identity{Subject: "dan"}); err != nil {
			t.Errorf("SignIn: %v", err)
		}
	})
	if got := h.live(); !slices.Equal(got, []string{"ann", "dan"}) {
		t.Errorf("sessions of %v live, want ann's kept: it has a new cookie", got)
	}
}

// TestFormerIssuersSession: a session of a former issuer signs in no user, is not renewed, and ends at the
// next sign-in.
func TestFormerIssuersSession(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	b, out := h.browser(), h.browser()
	old := b.signIn(hostadapter.Identity{Subject: "ann"})
	out.signIn(hostadapter.Identity{Subject: "bob"})
	h.use(old.SessionID, "shop")
	h.config.Issuer, h.config.FormerIssuers = "https://renamed.example", []string{issuer}
	h.start()
	h.clock.advance(hostadapter.DefaultRenewEvery)
	b.mustBe("")
	if kept, err := h.Operations().SessionByID(t.Context(), old.SessionID); err != nil ||
		!kept.Expires.Equal(old.Expires) {
		t.Errorf("%+v, %v; want the session to live until %v", kept, err, old.Expires)
	}
	session := b.signIn(hostadapter.Identity{Subject: "ann"})
	if session.SessionID == old.SessionID || session.Issuer != h.config.Issuer {
		t.Errorf("%+v, want a new session", session)
	}
	if _, err := h.Operations().SessionByID(t.Context(), old.SessionID); !errors.Is(err,
		ticketstore.ErrNotFound) {
		t.Errorf("the former session: %v, want it ended", err)
	}
	if notifications := h.notifications(); len(notifications) != 1 || notifications[0].Issuer != issuer ||
		notifications[0].Reason != logout.SessionReplaced {
		t.Errorf("notifications %+v, want one of the former issuer", notifications)
	}
	if err := out.signOut(); err != nil {
		t.Error(err)
	}
	if got := h.live(); !slices.Equal(got, []string{"ann"}) {
		t.Errorf("sessions of %v live, want only ann's", got)
	}
}

// TestFormerIssuersSessionNeedsConfirmation: a different site that sends a browser to the end-session
// endpoint cannot end a session of a former issuer without confirmation.
func TestFormerIssuersSessionNeedsConfirmation(t *testing.T) {
	t.Parallel()
	h := newEndSessionHost(t)
	b, hinted := h.browser(), h.browser()
	b.signIn(hostadapter.Identity{Subject: "ann"})
	bobs := hinted.signIn(hostadapter.Identity{Subject: "bob"})
	h.config.Issuer, h.config.FormerIssuers = "https://renamed.example", []string{issuer}
	h.start()
	for _, query := range []url.Values{
		{}, {"id_token_hint": {"bob//shop"}}, {"id_token_hint": {"ann/another/shop"}},
		{"id_token_hint": {"ann//shop"}, "logout_hint": {"bob@op.example"}},
	} {
		page := bodyOf(t, b.get(query))
		if !confirmation.MatchString(page) || !slices.Equal(h.live(), []string{"ann", "bob"}) {
			t.Fatalf("%v: sessions of %v live, page %q; want a confirmation page", query, h.live(),
				page)
		}
	}
	if response := hinted.get(url.Values{"id_token_hint": {"bob/" + bobs.SessionID +
		"/shop"}}); response.StatusCode != http.StatusOK ||
		!slices.Equal(h.live(), []string{"ann"}) {
		t.Errorf("with a hint of the session: %d, sessions of %v live, want only ann's", response.StatusCode,
			h.live())
	}
	asked := confirmation.FindStringSubmatch(bodyOf(t, b.get(url.Values{})))
	if response := b.post(url.Values{"confirm": {asked[1]}}); response.StatusCode != http.StatusOK ||
		len(h.live()) != 0 {
		t.Errorf("confirmed: %d, sessions of %v live, want none", response.StatusCode, h.live())
	}
}
