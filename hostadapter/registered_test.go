package hostadapter_test

import (
	"testing"

	"github.com/fosite-sessions/sessions/hostadapter"
	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// TestClientsOfSessionsThatMakeRoom: a sign-in that ends several sessions, after the limit was lowered,
// treats the clients of each of them as they are registered then.
func TestClientsOfSessionsThatMakeRoom(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	muted := logout.Client{BackChannelLogoutURI: "https://app.example/logout", Muted: ticketstore.EndByAny}
	clients := logout.ClientMap{"mail": muted, "wiki": muted}
	h.config.Clients = clients
	h.start()
	for _, client := range []string{"mail", "wiki", "gone", "chat"} {
		h.use(h.browser().signIn(hostadapter.Identity{Subject: "ann"}).SessionID, client)
	}
	h.config.Lifetime.MaxSessions = 2
	h.start()
	h.browser().signIn(hostadapter.Identity{Subject: "ann"})
	var notified []string
	for _, n := range h.notifications() {
		notified = append(notified, n.ClientID)
	}
	// The sessions of mail, wiki and gone end.
	if len(notified) != 1 || notified[0] != "gone" {
		t.Errorf("notified are %q, want the one alone that is not registered any more", notified)
	}
}
