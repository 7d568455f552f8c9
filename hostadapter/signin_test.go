package hostadapter_test

// Tests of SignIn: step-ups, refused identities, lost answers.

import (
	"context"
	"errors"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fosite-sessions/sessions/hostadapter"
	"github.com/fosite-sessions/sessions/ticketstore"
)

func TestStepUpKeepsTheSession(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	b := h.browser()
	first := b.signIn(hostadapter.Identity{Subject: "ann", ACR: "1", Properties: map[string]string{"a": "1"}})
	h.use(first.SessionID, "shop")
	stolen := h.browser()
	stolen.cookies["__Host-fosite_session"] = b.cookies["__Host-fosite_session"]
	second := b.signIn(hostadapter.Identity{
		Subject: "ann", ACR: "2", Properties: map[string]string{"b": "2"},
	})
	if second.SessionID != first.SessionID || !second.Created.Equal(first.Created) {
		t.Errorf("sid %q, created %v; want those of the session, %q, %v", second.SessionID, second.Created,
			first.SessionID, first.Created)
	}
	if got := b.mustBe("ann"); got.ACR != "2" || got.Properties["b"] != "2" || got.Properties["a"] != "" {
		t.Errorf("session %+v, want the values of the second sign-in", got)
	}
	stolen.mustBe("")
	if notifications := h.notifications(); len(notifications) != 0 {
		t.Errorf("notifications %+v, want none: nothing ended", notifications)
	}
}

func TestConcurrentStepUps(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	b := h.browser()
	first := b.signIn(hostadapter.Identity{Subject: "ann"})
	var group sync.WaitGroup
	for range 8 {
		other := h.browser()
		other.cookies["__Host-fosite_session"] = b.cookies["__Host-fosite_session"]
		group.Go(func() {
			// The first keeps the session. By then the cookie of the others is invalid: they begin new
			// sessions.
			if _, err := other.trySignIn(hostadapter.Identity{Subject: "ann"}); err != nil {
				t.Errorf("SignIn: %v", err)
				return
			}
			other.mustBe("ann")
		})
	}
	group.Wait()
	if _, err := h.Operations().SessionByID(t.Context(), first.SessionID); err != nil {
		t.Errorf("the session is gone: %v", err)
	}
}

// A step-up may have been stored although its answer is an error: the session has not ended.
func TestStepUpWithAnUnknownOutcome(t *testing.T) {
	t.Parallel()
	for name, disturb := range map[string]func(b *backend){
		"the answer is lost, and the next read fails": func(b *backend) {
			b.fail("Rekey", fault{err: ticketstore.ErrUnavailable, after: true})
			b.fail("Get", fault{}, unavailable)
		},
		"the backend itself repeats the call": func(b *backend) {
			b.fail("Rekey", fault{err: ticketstore.ErrNotFound, after: true})
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHost(t)
			b := h.browser()
			first := b.signIn(hostadapter.Identity{Subject: "ann"})
			disturb(h.backend)
			second, err := b.trySignIn(hostadapter.Identity{Subject: "ann"})
			if err != nil || second.SessionID != first.SessionID {
				t.Fatalf("SignIn: %+v, %v; want the session kept", second, err)
			}
			b.mustBe("ann")
			if n := h.backend.count("Create"); n != 1 {
				t.Errorf("%d sessions were created, want one", n)
			}
		})
	}
}

func TestStepUpAlwaysConflicts(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	b := h.browser()
	b.signIn(hostadapter.Identity{Subject: "ann"})
	conflict := fault{err: ticketstore.ErrConflict}
	h.backend.fail("Rekey", conflict, conflict, conflict, conflict)
	_, err := b.trySignIn(hostadapter.Identity{Subject: "ann"})
	if !errors.Is(err, ticketstore.ErrConflict) {
		t.Errorf("SignIn: %v, want ErrConflict", err)
	}
}

func TestTwoSignInsInOneRequest(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	b := h.browser()
	var first, second *hostadapter.Session
	response := b.visit(func(w http.ResponseWriter, r *http.Request) {
		first, _ = h.SignIn(w, r, hostadapter.Identity{Subject: "ann"})
		second, _ = h.SignIn(w, r, hostadapter.Identity{Subject: "ann"})
	})
	if n := len(response.Header["Set-Cookie"]); n != 1 {
		t.Errorf("%d cookies set, want one", n)
	}
	if first == nil || second == nil || first.SessionID != second.SessionID {
		t.Errorf("sessions %+v and %+v, want one", first, second)
	}
	b.mustBe("ann")
}

// A browser that has gone has no cookie of the session that was created for it.
func TestSignInOfABrowserThatHasGone(t *testing.T) {
	t.Parallel()
	h := newHost(t, func(c *hostadapter.Config) {
		c.Lifetime.MaxSessions, c.Lifetime.RefuseSignIn = 1, true
	})
	b := h.browser()
	ctx, leave := context.WithCancel(t.Context())
	h.backend.before("Create", leave)
	r := httptest.NewRequestWithContext(ctx, http.MethodGet, "/", nil)
	b.send(r, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		session, err := h.SignIn(w, r, hostadapter.Identity{Subject: "ann"})
		if session != nil || !errors.Is(err, context.Canceled) {
			t.Errorf("SignIn: got %+v, %v, want context.Canceled", session, err)
		}
	}))
	if len(b.cookies) != 0 {
		t.Errorf("cookies %v were set", b.cookies)
	}
	b.signIn(hostadapter.Identity{Subject: "ann"}) // it is within the limit
	b.mustBe("ann")
}

func TestBadIdentity(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	b := h.browser()
	b.signIn(hostadapter.Identity{Subject: "ann"})
	long := strings.Repeat("x", 10<<10)
	tests := []struct {
		field    string
		identity hostadapter.Identity
	}{
		{"subject", hostadapter.Identity{}},
		{"subject", hostadapter.Identity{Subject: long}},
		{"subject", hostadapter.Identity{Subject: "a\x00b"}},
		{"subject", hostadapter.Identity{Subject: "a\xff"}},
		{"display_name", hostadapter.Identity{Subject: "a", DisplayName: long}},
		{"acr", hostadapter.Identity{Subject: "a", ACR: "\xff"}},
		{"amr", hostadapter.Identity{Subject: "a", AMR: make([]string, 1)}},
		{"amr", hostadapter.Identity{Subject: "a", AMR: strings.Split(strings.Repeat("a,", 40), ",")}},
		{"auth_time", hostadapter.Identity{Subject: "a", AuthTime: h.clock.Now().Add(time.Hour)}},
		{"auth_time", hostadapter.Identity{Subject: "a", AuthTime: time.Unix(0, 0)}},
		{"auth_time", hostadapter.Identity{Subject: "a", AuthTime: time.Unix(0, math.MinInt64).Add(-1)}},
		{
			"properties",
			hostadapter.Identity{
				Subject: "a", Properties: map[string]string{"x": strings.Repeat("x", 64<<10)},
			},
		},
		{"properties", hostadapter.Identity{Subject: "a", Properties: map[string]string{"x": "\xff"}}},
	}
	for _, test := range tests {
		_, err := b.trySignIn(test.identity)
		var field *ticketstore.FieldError
		if !errors.As(err, &field) || field.Field != test.field {
			t.Errorf("error %v, want one that names %s", err, test.field)
		}
	}
	b.mustBe("ann")
}

func TestLongHeadersDoNotPreventSignIn(t *testing.T) {
	t.Parallel()
	h := newHost(t, func(c *hostadapter.Config) {
		c.RemoteAddr = func(*http.Request) string { return "2001:db8::7\x00\xff" }
	})
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header.Set("User-Agent", strings.Repeat("é", 100_000))
	session, err := h.SignIn(httptest.NewRecorder(), r, hostadapter.Identity{Subject: "ann"})
	if err != nil {
		t.Fatalf("SignIn: %v", err)
	}
	report, err := h.Operations().SessionByID(t.Context(), session.SessionID)
	if err != nil || report.RemoteAddr != "2001:db8::7" || !strings.HasPrefix(report.UserAgent, "éé") {
		t.Errorf("remote address %q, error %v; want it truncated", report.RemoteAddr, err)
	}
}
