package hostadapter_test

// Removals, queries and sweeps by the operator.

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
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

// grant stores a refresh token and a consent of the session's user.
func (h *host) grant(session *hostadapter.Session, client string) {
	h.t.Helper()
	now := h.clock.Now()
	token := grantstore.Grant{
		Ref: grantstore.Ref{
			Type: grantstore.RefreshToken, Key: ticketstore.KeyOf(session.SessionID + client),
		},
		RequestID: "request-" + session.SessionID + client, SubjectID: session.SubjectID,
		SessionID: session.SessionID, ClientID: client,
		Created: now, Expires: now.Add(24 * time.Hour),
	}
	consent := grantstore.Grant{
		Ref: grantstore.Ref{
			Type: grantstore.UserConsent, Key: ticketstore.KeyOf("consent" + session.SubjectID + client),
		},
		SubjectID: session.SubjectID, ClientID: client, Created: now,
	}
	batch := &grantstore.Batch{OperationID: randomHex(), Store: []grantstore.Grant{token, consent}}
	if _, err := h.Backend().Grants().Apply(h.t.Context(), batch, now); err != nil {
		h.t.Fatalf("storing grants: %v", err)
	}
}

func TestRemoveSessions(t *testing.T) {
	t.Parallel()
	full := logout.Result{SessionsRemoved: 1, GrantsRevoked: 1, ConsentsRevoked: 1, NotificationsQueued: 1}
	with := func(change func(*logout.Result)) logout.Result { r := full; change(&r); return r }
	tests := []struct {
		name     string
		removal  hostadapter.SessionRemoval
		want     logout.Result
		signedIn bool
	}{
		{"everything", hostadapter.SessionRemoval{}, full, false},
		{"keep session", hostadapter.SessionRemoval{KeepSession: true}, with(func(r *logout.Result) {
			r.SessionsRemoved = 0
		}), true},
		{"keep tokens", hostadapter.SessionRemoval{KeepTokens: true}, with(func(r *logout.Result) {
			r.GrantsRevoked = 0
		}), false},
		{"keep consents", hostadapter.SessionRemoval{KeepConsents: true}, with(func(r *logout.Result) {
			r.ConsentsRevoked = 0
		}), false},
		{"no notifications", hostadapter.SessionRemoval{SkipNotification: true}, with(func(r *logout.Result) {
			r.NotificationsQueued = 0
		}), false},
		{"dry run", hostadapter.SessionRemoval{DryRun: true}, full, true},
	}
	for _, test := range tests {
		for _, by := range []string{"subject", "session"} {
			t.Run(test.name+" by "+by, func(t *testing.T) {
				t.Parallel()
				h := newHost(t)
				ann, bob := h.browser(), h.browser()
				session := ann.signIn(hostadapter.Identity{Subject: "ann"})
				bob.signIn(hostadapter.Identity{Subject: "bob"})
				h.use(session.SessionID, "shop")
				h.grant(session, "shop")
				removal := test.removal
				removal.Reason = "left the company"
				if by == "subject" {
					removal.SubjectID = "ann"
				} else {
					removal.SessionID = session.SessionID
				}
				result, err := h.RemoveSessions(t.Context(), removal)
				if err != nil {
					t.Fatalf("RemoveSessions: %v", err)
				}
				want := test.want
				if want.SessionsRemoved > 0 {
					want.Ended = []logout.EndedSession{{SessionID: session.SessionID, SubjectID: "ann"}}
				}
				if diff := cmp.Diff(&want, result); diff != "" {
					t.Errorf("result (-want +got):\n%s", diff)
				}
				bob.mustBe("bob")
				if test.signedIn {
					ann.mustBe("ann")
				} else {
					ann.mustBe("")
				}
				if strings.Contains(h.log.String(), "left the company") == removal.DryRun {
					t.Errorf("dry run %t, and the log mentions the removal:\n%s", removal.DryRun, h.log)
				}
				for _, n := range h.notifications() {
					if n.Reason != logout.Terminated {
						t.Errorf("clients see reason %q, want terminated", n.Reason)
					}
				}
			})
		}
	}
}

func TestBadRemoval(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	tests := []struct {
		field   string
		removal hostadapter.SessionRemoval
	}{
		{"subject_id", hostadapter.SessionRemoval{}},
		{"subject_id", hostadapter.SessionRemoval{ClientIDs: []string{"shop"}}},
		{"subject_id", hostadapter.SessionRemoval{SubjectID: strings.Repeat("x", 10<<10)}},
		{"session_id", hostadapter.SessionRemoval{SessionID: "a\x00"}},
		{"client_ids", hostadapter.SessionRemoval{SubjectID: "ann", ClientIDs: []string{}}},
		{"client_ids", hostadapter.SessionRemoval{SubjectID: "ann", ClientIDs: []string{""}}},
		{"reason", hostadapter.SessionRemoval{SubjectID: "ann", Reason: "\xff"}},
	}
	for _, test := range tests {
		_, err := h.RemoveSessions(t.Context(), test.removal)
		var field *ticketstore.FieldError
		if !errors.As(err, &field) || field.Field != test.field {
			t.Errorf("%+v: error %v, want one that names %s", test.removal, err, test.field)
		}
	}
	if n := h.backend.count("End"); n != 0 {
		t.Errorf("the store got %d calls that end sessions, want none", n)
	}
}

func TestQueryAndReport(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	session := h.browser().signIn(hostadapter.Identity{Subject: "ann"})
	h.browser().signIn(hostadapter.Identity{Subject: "bob"})
	h.use(session.SessionID, "shop")
	h.grant(session, "shop")
	page, err := h.QuerySessions(t.Context(),
		ticketstore.SessionQuery{Filter: ticketstore.SessionFilter{SubjectID: "ann"}})
	if err != nil || len(page.Sessions) != 1 || page.Sessions[0].SessionID != session.SessionID {
		t.Errorf("page %+v, error %v; want ann's session", page, err)
	}
	report, err := h.Operations().SessionByID(t.Context(), session.SessionID)
	if err != nil {
		t.Fatalf("SessionByID: %v", err)
	}
	if diff := cmp.Diff(map[grantstore.Type]int{grantstore.RefreshToken: 1}, report.Grants); diff != "" ||
		!report.GrantsCounted {
		t.Errorf("grants (-want +got):\n%s, counted %t", diff, report.GrantsCounted)
	}
	if len(report.Clients) != 1 || report.Clients[0].ClientID != "shop" {
		t.Errorf("clients %+v, want shop", report.Clients)
	}
	if _, err := h.Operations().SessionByID(t.Context(), ""); !errors.Is(err, ticketstore.ErrInvalid) {
		t.Errorf("SessionByID without a sid: %v, want ticketstore.ErrInvalid", err)
	}
}

func TestSweep(t *testing.T) {
	t.Parallel()
	h := newHost(t, func(c *hostadapter.Config) {
		c.Expiry.Off, c.Expiry.SweepEvery, c.Lifetime.IdleTimeout = false, 5*time.Millisecond, time.Hour
	})
	session := h.browser().signIn(hostadapter.Identity{Subject: "ann"})
	h.use(session.SessionID, "shop")
	h.backend.fail("EndDue", unavailable, unavailable, unavailable)
	h.clock.advance(time.Hour)
	testenv.Eventually(t, "the session is gone", func() bool {
		_, err := h.Operations().SessionByID(context.WithoutCancel(t.Context()), session.SessionID)
		return errors.Is(err, ticketstore.ErrNotFound)
	})
	if notifications := h.notifications(); len(notifications) != 1 ||
		notifications[0].Reason != logout.SessionExpiration {
		t.Errorf("notifications %+v, want one of session_expiration", notifications)
	}
	testenv.Eventually(t, "the recovery is logged", func() bool {
		return strings.Contains(h.log.String(), "are ended again")
	})
	if n := strings.Count(h.log.String(), "expired sessions cannot be ended"); n != 1 {
		t.Errorf("three failures in a row logged %d times, want once", n)
	}
}

// TestNotificationsAfterRestart: the next adapter delivers the queued notifications, and an operator can
// retry them.
func TestNotificationsAfterRestart(t *testing.T) {
	t.Parallel()
	got := make(chan map[string]any, 8)
	rp := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var claims map[string]any
		if err := json.Unmarshal([]byte(r.PostFormValue("logout_token")), &claims); err != nil {
			t.Errorf("claims: %v", err)
		}
		got <- claims
	}))
	defer rp.Close()
	h := newHost(t)
	session := h.browser().signIn(hostadapter.Identity{Subject: "ann"})
	h.use(session.SessionID, "shop")
	if err := h.Close(); err != nil {
		t.Fatalf("Close: %v", err)
	}
	// The process dies between the removal and the delivery.
	if _, err := h.RemoveSessions(t.Context(), hostadapter.SessionRemoval{SubjectID: "ann"}); err != nil {
		t.Fatalf("RemoveSessions: %v", err)
	}
	h.config.Clients = logout.ClientMap{"shop": {BackChannelLogoutURI: rp.URL}}
	h.config.Logout.AllowCIDRs = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	h.start()
	if claims := <-got; claims["sid"] != session.SessionID || claims["sub"] != "ann" ||
		claims["iss"] != issuer || claims["aud"] != "shop" {
		t.Errorf("claims %v, want those of ann's session", claims)
	}
	testenv.Eventually(t, "the notification is delivered", func() bool {
		return h.notifications()[0].State == logout.Delivered
	})
	if _, err := h.Operations().RetryNotification(t.Context(), h.notifications()[0].ID); err != nil {
		t.Fatalf("RetryDelivery: %v", err)
	}
	<-got
	if _, err := h.Operations().RetryNotification(t.Context(), "unknown"); !errors.Is(err,
		ticketstore.ErrNotFound) {
		t.Errorf("RetryDelivery of an unknown notification: %v, want ticketstore.ErrNotFound", err)
	}
}

func TestReadyAndClose(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	if err := h.Ready(t.Context()); err != nil {
		t.Errorf("Ready: %v", err)
	}
	for range 2 {
		if err := h.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	}
	config := h.config
	config.Backend = describing{
		config.Backend, ticketstore.Description{Name: "half", Services: []string{"tickets", "grants"}},
	}
	if _, err := hostadapter.New(t.Context(), config); err == nil ||
		!strings.Contains(err.Error(), "does not serve logout") {
		t.Errorf("New over a backend without notifications: %v, want an error that says so", err)
	}
}

type describing struct {
	sessions.Backend
	description ticketstore.Description
}

func (d describing) Describe(context.Context) (ticketstore.Description, error) {
	return d.description, nil
}

// A removal makes many calls. Grants stored while it runs are not removed.
func TestGrantsStoredDuringARemovalStay(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	session := h.browser().signIn(hostadapter.Identity{Subject: "ann"})
	stored := 0
	store := func() {
		stored++
		h.clock.advance(time.Second)
		now := h.clock.Now()
		_, err := h.Backend().Grants().Apply(t.Context(),
			&grantstore.Batch{OperationID: randomHex(), Store: []grantstore.Grant{{
				Ref:       grantstore.Ref{Type: grantstore.RefreshToken, Key: ticketstore.KeyOf(randomHex())},
				SubjectID: "ann", SessionID: session.SessionID, ClientID: "app", Created: now,
				Expires: now.Add(time.Hour),
			}}}, now)
		if err != nil {
			t.Error(err)
		}
	}
	store()
	h.backend.before("RemoveGrants", func() {
		if h.backend.count("RemoveGrants") > 100 {
			t.Fatal("the removal does not end while grants are being stored")
		}
		store()
	})
	removed, err := h.Operations().RemoveGrants(t.Context(),
		hostadapter.GrantRemoval{Filter: grantstore.Filter{SubjectID: "ann"}})
	h.backend.before("RemoveGrants", nil)
	if err != nil || removed.GrantsRevoked != 1 {
		t.Errorf("want the one earlier grant removed, got %+v, %v", removed, err)
	}
	page, err := h.Operations().QueryGrants(t.Context(),
		grantstore.Query{Filter: grantstore.Filter{SubjectID: "ann"}})
	if err != nil || len(page.Grants) != stored-1 || stored < 2 {
		t.Errorf("want the %d later grants kept, got %+v, %v", stored-1, page, err)
	}
}

// A removal reaches grants whose creation lies ahead of the clock.
func TestRemovalAfterClockSetBack(t *testing.T) {
	t.Parallel()
	remove := func(removal hostadapter.SessionRemoval) func(h *host) error {
		return func(h *host) error {
			_, err := h.Operations().RemoveSessions(h.t.Context(), removal)
			return err
		}
	}
	for name, remove := range map[string]func(h *host) error{
		"grants": func(h *host) error {
			removed, err := h.Operations().RemoveGrants(h.t.Context(),
				hostadapter.GrantRemoval{Filter: grantstore.Filter{SubjectID: "ann"}})
			if err == nil && (removed.GrantsRevoked != 2 || removed.ConsentsRevoked != 2) {
				h.t.Errorf("want 2 tokens and 2 consents removed, got %+v", removed)
			}
			return err
		},
		"sessions of a subject": remove(hostadapter.SessionRemoval{SubjectID: "ann"}),
		"all sessions":          remove(hostadapter.SessionRemoval{All: true}),
		"a user": func(h *host) error {
			_, err := h.DeleteUser(h.t.Context(), "ann")
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHost(t)
			session := h.browser().signIn(hostadapter.Identity{Subject: "ann"})
			h.clock.advance(10 * time.Minute)
			h.grant(session, "app")
			h.clock.advance(-5 * time.Minute)
			h.grant(session, "other")
			if err := remove(h); err != nil {
				t.Fatal(err)
			}
			testenv.Eventually(t, "no grant is left", func() bool {
				page, err := h.Operations().QueryGrants(t.Context(),
					grantstore.Query{Filter: grantstore.Filter{SubjectID: "ann"}})
				return err == nil && len(page.Grants) == 0
			})
		})
	}
}
