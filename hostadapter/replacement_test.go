package hostadapter_test

// Sign-ins over a live session (rule 10).

import (
	"sync"
	"testing"

	"github.com/fosite-sessions/sessions/hostadapter"
	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// TestRule10_EverySignInChangesTheSecret, whether the browser was signed out, or signed in as the same or as
// a different user. A cookie that an attacker planted or saw before is invalid.
func TestRule10_EverySignInChangesTheSecret(t *testing.T) {
	t.Parallel()
	const cookie = "__Host-fosite_session"
	h := newHost(t)
	b, attacker := h.browser(), h.browser()
	b.cookies[cookie] = "cGxhbnRlZCBieSBhbiBhdHRhY2tlciwgMzIgYnl0ZXM"
	for _, subject := range []string{"ann", "ann", "bob", "bob", "ann"} {
		attacker.cookies[cookie] = b.cookies[cookie]
		b.signIn(hostadapter.Identity{Subject: subject})
		if b.cookies[cookie] == attacker.cookies[cookie] {
			t.Fatalf("the secret did not change when %s signed in", subject)
		}
		attacker.mustBe("")
		b.mustBe(subject)
	}
}

// TestRule10_TwoUsersSignInOverOneSession, in two tabs at once: it ends once, its client is notified once,
// and each has a session.
func TestRule10_TwoUsersSignInOverOneSession(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	b := h.browser()
	ann := b.signIn(hostadapter.Identity{Subject: "ann"})
	h.use(ann.SessionID, "shop")
	var group sync.WaitGroup
	for _, subject := range []string{"bob", "eve"} {
		tab := h.browser()
		tab.cookies["__Host-fosite_session"] = b.cookies["__Host-fosite_session"]
		group.Go(func() {
			if _, err := tab.trySignIn(hostadapter.Identity{Subject: subject}); err != nil {
				t.Errorf("%s: %v", subject, err)
				return
			}
			tab.mustBe(subject)
		})
	}
	group.Wait()
	b.mustBe("")
	if notifications := h.notifications(); len(notifications) != 1 ||
		notifications[0].Reason != logout.SessionReplaced || notifications[0].SessionID != ann.SessionID {
		t.Errorf("notifications %+v, want one of session_replaced", notifications)
	}
}

// TestRule10_FailedReplacementSignsNoUserIn: the old session stays live, so that its clients are notified
// when it ends.
func TestRule10_FailedReplacementSignsNoUserIn(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	b := h.browser()
	b.signIn(hostadapter.Identity{Subject: "ann"})
	h.backend.fail("End", fault{err: ticketstore.ErrInvalid})
	if _, err := b.trySignIn(hostadapter.Identity{Subject: "bob"}); err == nil {
		t.Error("bob is signed in, want an error: the replaced session did not end")
	}
	b.mustBe("ann")
}
