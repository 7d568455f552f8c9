package hostadapter_test

import (
	"context"
	"errors"
	"testing"

	"github.com/fosite-sessions/sessions/hostadapter"
	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// If a user was deleted from the host's user store, the next use of a session ends all sessions of this user,
// and only those.
func TestDeletedUser(t *testing.T) {
	t.Parallel()
	var failure error
	gone := ""
	h := newHost(t, func(c *hostadapter.Config) {
		c.Clients = logout.ClientMap{"app": {BackChannelLogoutURI: "https://app.example.invalid/"}}
		c.UserActive = func(_ context.Context, subject string) (bool, error) {
			return subject != gone, failure
		}
	})
	phone, laptop, bob := h.browser(), h.browser(), h.browser()
	h.use(phone.signIn(hostadapter.Identity{Subject: "ann"}).SessionID, "app")
	laptop.signIn(hostadapter.Identity{Subject: "ann"})
	bob.signIn(hostadapter.Identity{Subject: "bob"})
	phone.mustBe("ann")

	failure = errors.New("the user store is down")
	if session, err := laptop.session(); session != nil || !errors.Is(err, ticketstore.ErrUnavailable) {
		t.Errorf("with a failing hook: %v, %v; want ErrUnavailable", session, err)
	}
	failure, gone = nil, "ann"
	if session, err := laptop.session(); session != nil || err != nil {
		t.Errorf("session of a deleted user: %v, %v; want none", session, err)
	}
	gone = ""
	if session, err := phone.session(); session != nil || err != nil {
		t.Errorf("the user's other session: %v, %v; want that it has ended", session, err)
	}
	bob.mustBe("bob")
	if told := h.notifications(); len(told) != 1 || told[0].Reason != logout.Terminated {
		t.Errorf("notifications %v, want one of a termination", told)
	}
}
