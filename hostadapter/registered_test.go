package hostadapter_test

import (
	"context"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/fosite-sessions/sessions/hostadapter"
	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// TestClientsOfSessionsEndedByTheLimit: if a sign-in ends several sessions because the limit was lowered, the
// current registrations of their clients apply.
func TestClientsOfSessionsEndedByTheLimit(t *testing.T) {
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
		t.Errorf("notified clients %q, want only the one that is no longer registered", notified)
	}
}

// noClients is a source that returns neither a client nor an error.
type noClients struct{}

func (noClients) LogoutClient(context.Context, string) (*logout.Client, error) { return nil, nil }

// TestClientSourceReturnsNil: for every kind of ending this means that the client is unknown.
func TestClientSourceReturnsNil(t *testing.T) {
	t.Parallel()
	h := newHost(t, func(c *hostadapter.Config) {
		c.Clients, c.Lifetime.IdleTimeout = noClients{}, time.Hour
	})
	b, idle := h.browser(), h.browser().signIn(hostadapter.Identity{Subject: "bob"})
	for _, sid := range []string{b.signIn(hostadapter.Identity{Subject: "ann"}).SessionID, idle.SessionID} {
		h.use(sid, "app")
	}
	if got := b.get(url.Values{
		"client_id": {"app"}, "post_logout_redirect_uri": {"https://app.example/"},
	}); got.StatusCode != http.StatusOK {
		t.Errorf("the end-session endpoint returned %d, want its page", got.StatusCode)
	}
	if err := b.signOut(); err != nil {
		t.Errorf("signing out: %v", err)
	}
	h.clock.advance(2 * time.Hour)
	h.config.Expiry.Off = false
	h.start()
	h.gone(idle.SessionID)
	if got := len(h.notifications()); got != 2 {
		t.Errorf("%d notifications, want those of both sessions, as at their last authorization", got)
	}
}
