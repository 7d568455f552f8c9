package hostadapter_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/hostadapter"
	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/plugin/plugintest/testenv"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// recorder is a subscriber that records events.
type recorder struct {
	mu   sync.Mutex
	seen []hostadapter.Event
}

func (r *recorder) Receive(_ context.Context, event hostadapter.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.seen = append(r.seen, event)
}

// lines returns the events in short, those of notifications, which come in any order, last.
func (r *recorder) lines() (lines []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var notifications []string
	for _, event := range r.seen {
		switch e := event.(type) {
		case *hostadapter.SessionEnded:
			lines = append(lines, fmt.Sprintf("%s %s %s by %q", e.Name(), e.SubjectID, e.Reason, e.Actor))
		case *hostadapter.SessionStarted:
			lines = append(lines, e.Name()+" "+e.SubjectID)
		case *hostadapter.SessionRenewed:
			lines = append(lines, e.Name()+" "+e.SubjectID)
		case *hostadapter.SessionReplaced:
			lines = append(lines, e.Name()+" "+e.SubjectID+" "+e.NewSubjectID)
		case *hostadapter.GrantsRevoked:
			lines = append(lines, fmt.Sprintf("%s %d %d", e.Name(), e.Tokens, e.Consents))
		case *hostadapter.NotificationDelivered:
			notifications = append(notifications, e.Name()+" "+e.Notification.ClientID)
		case *hostadapter.NotificationGivenUp:
			notifications = append(notifications, e.Name()+" "+e.Notification.ClientID)
		}
	}
	slices.Sort(notifications)
	return append(lines, notifications...)
}

// relyingParty answers logout tokens: 400 at /refuse.
func relyingParty(t *testing.T) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/refuse" {
			w.WriteHeader(http.StatusBadRequest)
			_, _ = w.Write([]byte(`{"error":"invalid_request"}`)) // final with an error alone
		}
	}))
	t.Cleanup(server.Close)
	return server.URL
}

func (h *host) token(sid, subject, client string) {
	h.t.Helper()
	key := ticketstore.KeyOf(randomHex())
	_, err := h.Backend().Grants().Apply(h.t.Context(),
		&grantstore.Batch{OperationID: randomHex(), Store: []grantstore.Grant{{
			Ref: grantstore.Ref{Type: grantstore.RefreshToken, Key: key}, RequestID: randomHex(),
			SubjectID: subject, SessionID: sid, ClientID: client,
			Created: h.clock.Now(),
		}}}, h.clock.Now())
	if err != nil {
		h.t.Fatal(err)
	}
}

func TestEvents(t *testing.T) {
	t.Parallel()
	events, uri := &recorder{}, relyingParty(t)
	text := &testenv.Log{}
	h := newHost(t, func(c *hostadapter.Config) {
		c.Events = []hostadapter.Subscriber{
			events, hostadapter.NewEventLog(slog.New(slog.NewTextHandler(text, nil))),
		}
		c.Logout.AllowCIDRs = []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}
		c.Clients = logout.ClientMap{
			"shop": {BackChannelLogoutURI: uri}, "rude": {BackChannelLogoutURI: uri + "/refuse"},
		}
	})
	b := h.browser()
	ann := b.signIn(hostadapter.Identity{Subject: "ann"})
	h.use(ann.SessionID, "shop")
	h.use(ann.SessionID, "rude")
	h.token(ann.SessionID, "ann", "shop")
	h.clock.advance(time.Minute)
	b.mustBe("ann")
	bob := b.signIn(hostadapter.Identity{Subject: "bob"})
	if _, err := h.RemoveSessions(hostadapter.WithActor(t.Context(), "operator"),
		hostadapter.SessionRemoval{SessionID: bob.SessionID}); err != nil {
		t.Fatal(err)
	}
	h.browser().signIn(hostadapter.Identity{Subject: "eve"})
	h.clock.advance(24 * time.Hour)
	h.config.Expiry.Off, h.config.Events = false, []hostadapter.Subscriber{events}
	h.start()
	want := []string{
		"session_started ann", "session_renewed ann", `session_ended ann session_replaced by ""`,
		"grants_revoked 1 0",
		"session_replaced ann bob", "session_started bob", `session_ended bob terminated by "operator"`,
		"session_started eve",
		`session_ended eve session_expiration by ""`, "notification_delivered shop",
		"notification_given_up rude",
	}
	testenv.Eventually(t, "all events were published", func() bool {
		return len(events.lines()) >= len(want)
	})
	testenv.Eventually(t, "the log has them", func() bool {
		return strings.Contains(text.String(), "msg=session_ended") &&
			strings.Contains(text.String(), "reason=terminated actor=operator")
	})
	got := events.lines()
	slices.Sort(got[:len(got)-2])
	slices.Sort(want[:len(want)-2])
	if !slices.Equal(got, want) {
		t.Errorf("events:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// hard is a subscriber that panics and then blocks on every event.
type hard struct {
	release  chan struct{}
	received chan struct{}
	once     sync.Once
}

func (s *hard) Receive(ctx context.Context, _ hostadapter.Event) {
	s.once.Do(func() { panic("first") })
	select {
	case s.received <- struct{}{}:
	default:
	}
	select {
	case <-s.release:
	case <-ctx.Done():
	}
}

// TestFaultySubscribers: one panics, one blocks; the third gets every event and no request waits.
func TestFaultySubscribers(t *testing.T) {
	t.Parallel()
	const sessions = 1200
	events, slow := &recorder{}, &hard{release: make(chan struct{}), received: make(chan struct{}, 1)}
	h := newHost(t, func(c *hostadapter.Config) { c.Events = []hostadapter.Subscriber{slow, events} })
	for range sessions {
		h.browser().signIn(hostadapter.Identity{Subject: "ann"})
	}
	testenv.Eventually(t, "the other had every event", func() bool { return len(events.lines()) == sessions })
	<-slow.received
	close(slow.release)
	testenv.Eventually(t, "the log has the panic and the missed events", func() bool {
		return strings.Contains(h.log.String(), "subscriber panicked") &&
			strings.Contains(h.log.String(), "missed events")
	})
}

func TestDeleteUser(t *testing.T) {
	t.Parallel()
	uri := relyingParty(t)
	h := newHost(t, func(c *hostadapter.Config) {
		c.Logout.AllowCIDRs = []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}
		c.Clients = logout.ClientMap{
			"shop": {BackChannelLogoutURI: uri}, "rude": {BackChannelLogoutURI: uri + "/refuse"},
		}
	})
	other := h.browser()
	other.signIn(hostadapter.Identity{Subject: "bob"})
	var browsers []*browser
	for _, client := range []string{"shop", "shop", "rude"} {
		b := h.browser()
		session := b.signIn(hostadapter.Identity{Subject: "ann"})
		h.use(session.SessionID, client)
		h.token(session.SessionID, "ann", client)
		browsers = append(browsers, b)
	}
	h.token("", "ann", "batch") // without a session
	h.clock.advance(time.Minute)
	deletion, err := h.DeleteUser(t.Context(), "ann")
	if err != nil {
		t.Fatal(err)
	}
	if deletion.Sessions != 3 || deletion.Tokens != 4 || deletion.Notifications != 3 {
		t.Errorf("%+v, want 3 sessions, 4 tokens, 3 notifications", deletion)
	}
	for _, b := range browsers {
		b.mustBe("")
	}
	other.mustBe("bob")
	ctx := testenv.Patient(t)
	count, err := deletion.Wait(ctx)
	if err != nil || count != (hostadapter.NotificationCount{Delivered: 2, Refused: 1}) {
		t.Errorf("%+v, %v; want two delivered and one refused", count, err)
	}
	again, err := h.DeleteUser(t.Context(), "ann")
	if err != nil || again.Sessions+again.Tokens+again.Consents+again.Notifications != 0 {
		t.Errorf("%+v, %v; want nothing left", again, err)
	}
	if count, err := again.Wait(ctx); err != nil || count != (hostadapter.NotificationCount{}) {
		t.Errorf("%+v, %v; want no notifications", count, err)
	}
	if _, err := h.DeleteUser(t.Context(), ""); !errors.Is(err, ticketstore.ErrInvalid) {
		t.Errorf("no subject: %v, want ticketstore.ErrInvalid", err)
	}
}

// The wait for an unreachable client ends with the context of the caller. Sessions whose notifications are
// settled are not queried again.
func TestDeleteUserWithUnreachableClient(t *testing.T) {
	t.Parallel()
	const others = 20
	h := newHost(t, func(c *hostadapter.Config) {
		c.Clients = logout.ClientMap{"away": {BackChannelLogoutURI: "https://away.invalid/"}}
	})
	for range others {
		h.browser().signIn(hostadapter.Identity{Subject: "ann"})
	}
	session := h.browser().signIn(hostadapter.Identity{Subject: "ann"})
	h.use(session.SessionID, "away")
	deletion, err := h.DeleteUser(t.Context(), "ann")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 150*time.Millisecond)
	defer cancel()
	// The answer to the first round is lost in its middle.
	h.backend.fail("Notifications", fault{}, fault{}, fault{err: ticketstore.ErrUnavailable, after: true})
	if count, err := deletion.Wait(ctx); !errors.Is(err, context.DeadlineExceeded) ||
		count != (hostadapter.NotificationCount{}) {
		t.Errorf("%+v, %v; want the context's error", count, err)
	}
	// One for each session, one again, and the session that is waited for once each round.
	if asked := h.backend.count("Notifications"); asked > others+10 {
		t.Errorf("the store was asked %d times for the notifications of %d sessions", asked, others+1)
	}
}
