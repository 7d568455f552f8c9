package hostadapter_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/fosite-sessions/sessions"
	"github.com/fosite-sessions/sessions/hostadapter"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// untrusted is a backend that modifies the sessions that it returns.
type untrusted struct {
	sessions.Backend
	modify func(ticketstore.Key, *ticketstore.Session) *ticketstore.Session
}

type untrustedTickets struct {
	ticketstore.Store
	untrusted *untrusted
}

func (l *untrusted) Tickets() ticketstore.Store { return &untrustedTickets{l.Backend.Tickets(), l} }

func (t *untrustedTickets) Get(ctx context.Context, key ticketstore.Key) (*ticketstore.Session, error) {
	found, err := t.Store.Get(ctx, key)
	if err == nil && t.untrusted.modify != nil {
		found = t.untrusted.modify(key, found)
	}
	return found, err
}

// untrustedHost returns a host whose backend applies the modification that a test sets.
func untrustedHost(t *testing.T, change ...func(*hostadapter.Config)) (*host, *untrusted) {
	t.Helper()
	l := &untrusted{}
	return newHost(t, append(change, func(c *hostadapter.Config) {
		l.Backend = c.Backend
		c.Backend = l
	})...), l
}

func TestTicketIsBoundToItsCookie(t *testing.T) {
	t.Parallel()
	h, store := untrustedHost(t, func(c *hostadapter.Config) { c.Lifetime.AbsoluteTimeout = 24 * time.Hour })
	identity := hostadapter.Identity{
		Subject: "ann", ACR: "silver", AMR: []string{"pwd"}, Properties: map[string]string{"tenant": "a"},
	}
	ann, ben := h.browser(), h.browser()
	ann.signIn(identity)
	identity.Subject = "ben"
	ben.signIn(identity)
	var annRecord, benRecord *ticketstore.Session
	store.modify = func(_ ticketstore.Key, s *ticketstore.Session) *ticketstore.Session {
		annRecord = s
		return s
	}
	ann.mustBe("ann")
	store.modify = func(_ ticketstore.Key, s *ticketstore.Session) *ticketstore.Session {
		benRecord = s
		return s
	}
	ben.mustBe("ben")

	changes := map[string]func(key ticketstore.Key, own ticketstore.Session) ticketstore.Session{
		"another's record": func(ticketstore.Key, ticketstore.Session) ticketstore.Session {
			return *annRecord
		},
		"another's record, its key replaced": func(key ticketstore.Key,
			_ ticketstore.Session) ticketstore.Session {
			s := *annRecord
			s.Key = key
			return s
		},
		"another's ticket": func(_ ticketstore.Key, own ticketstore.Session) ticketstore.Session {
			own.Ticket = annRecord.Ticket
			return own
		},
		"another's sid and ticket": func(_ ticketstore.Key, own ticketstore.Session) ticketstore.Session {
			own.Ticket, own.SessionID, own.SubjectID = annRecord.Ticket, annRecord.SessionID, "ann"
			return own
		},
	}
	for field, change := range map[string]func(*ticketstore.Session){
		"subject":   func(s *ticketstore.Session) { s.SubjectID = "ann" },
		"sid":       func(s *ticketstore.Session) { s.SessionID = annRecord.SessionID },
		"issuer":    func(s *ticketstore.Session) { s.Issuer = "https://other.example" },
		"auth_time": func(s *ticketstore.Session) { s.AuthTime = s.AuthTime.Add(time.Second) },
		"acr":       func(s *ticketstore.Session) { s.ACR = "gold" },
		"amr":       func(s *ticketstore.Session) { s.AMR = []string{"pwd", "otp"} },
		"created":   func(s *ticketstore.Session) { s.Created = s.Created.Add(-time.Hour) },
		"ends_at":   func(s *ticketstore.Session) { s.EndsAt = s.EndsAt.Add(time.Hour) },
		"no end":    func(s *ticketstore.Session) { s.EndsAt = time.Time{} },
		"no ticket": func(s *ticketstore.Session) { s.Ticket = nil },
	} {
		changes[field] = func(_ ticketstore.Key, own ticketstore.Session) ticketstore.Session {
			change(&own)
			return own
		}
	}
	for name, modify := range changes {
		store.modify = func(key ticketstore.Key, own *ticketstore.Session) *ticketstore.Session {
			s := modify(key, *own)
			return &s
		}
		if session, err := ben.session(); err != nil || session != nil {
			t.Errorf("%s: %+v, %v; want no session", name, session, err)
		}
	}
	if log := h.log.String(); !strings.Contains(log, "auth_time") {
		t.Errorf("log %q, want it to name the changed field", log)
	}
	// A sign-in of the same user does not continue a forged session.
	store.modify = func(key ticketstore.Key, _ *ticketstore.Session) *ticketstore.Session {
		s := *annRecord
		s.Key, s.SubjectID = key, "ben"
		return &s
	}
	session, err := ben.trySignIn(identity)
	if err != nil || session.SessionID == annRecord.SessionID || session.SessionID == benRecord.SessionID {
		t.Errorf("signing in over a forged record: %+v, %v; want a new session", session, err)
	}
	store.modify = nil
	ben.mustBe("ben")
}

func TestStepUpReplacesTheSeal(t *testing.T) {
	t.Parallel()
	h, store := untrustedHost(t)
	b := h.browser()
	before := b.signIn(hostadapter.Identity{Subject: "ann", ACR: "silver"})
	var old ticketstore.Session
	store.modify = func(_ ticketstore.Key, s *ticketstore.Session) *ticketstore.Session { old = *s; return s }
	b.mustBe("ann")
	h.clock.advance(time.Minute)
	store.modify = nil
	b.signIn(hostadapter.Identity{Subject: "ann", ACR: "gold"})
	if after := b.mustBe("ann"); after.SessionID != before.SessionID || after.ACR != "gold" {
		t.Errorf("after the step-up: %+v, want the same sid and the new acr", after)
	}
	store.modify = func(_ ticketstore.Key, s *ticketstore.Session) *ticketstore.Session {
		s.Ticket, s.ACR, s.AuthTime = old.Ticket, old.ACR, old.AuthTime
		return s
	}
	if session, err := b.session(); session != nil || err != nil {
		t.Errorf("the ticket before the step-up under the new cookie: %+v, %v; want no session",
			session, err)
	}
}

// unbind replaces the ticket of the browser's session by one of a release before Config.UnboundUntil.
func unbind(t *testing.T, h *host, store *untrusted, b *browser) {
	t.Helper()
	var record *ticketstore.Session
	store.modify = func(_ ticketstore.Key, s *ticketstore.Session) *ticketstore.Session {
		record = s
		return s
	}
	b.mustBe("ann")
	store.modify = nil
	former := h.seal("ticket", []byte(record.SessionID), []byte(`{"sub":"ann","properties":{"tenant":"a"}}`))
	_, err := h.Backend().Tickets().Rekey(t.Context(), ticketstore.Rekey{
		Key: record.Key, NewKey: record.Key, Version: record.Version, DisplayName: record.DisplayName,
		AuthTime: record.AuthTime,
		ACR:      record.ACR, AMR: record.AMR, Expires: record.Expires, EndsAt: record.EndsAt, Ticket: former,
	}, h.clock.Now())
	if err != nil {
		t.Fatal(err)
	}
}

func TestTicketOfAnEarlierRelease(t *testing.T) {
	t.Parallel()
	h, store := untrustedHost(t)
	b := h.browser()
	first := b.signIn(hostadapter.Identity{Subject: "ann", ACR: "silver"})
	unbind(t, h, store, b)
	b.mustBe("")
	if log := h.log.String(); !strings.Contains(log, "UnboundUntil") {
		t.Errorf("log %q, want it to name the setting", log)
	}

	h.config.UnboundUntil = h.clock.Now().Add(time.Hour)
	h.start()
	if session := b.mustBe("ann"); session.SessionID != first.SessionID || session.ACR != "silver" ||
		session.Properties["tenant"] != "a" {
		t.Errorf("session %+v, want the earlier one", session)
	}
	if n := h.backend.count("Rekey"); n != 2 { // by unbind and by the first use
		t.Errorf("%d writes of the ticket, want one", n-1)
	}
	b.mustBe("ann")
	if n := h.backend.count("Rekey"); n != 2 {
		t.Errorf("the ticket was sealed again")
	}
	h.config.UnboundUntil = time.Time{}
	h.start()
	b.mustBe("ann")

	unbind(t, h, store, b)
	h.config.UnboundUntil = h.clock.Now().Add(time.Minute)
	h.start()
	h.clock.advance(time.Minute)
	b.mustBe("")
	second := b.signIn(hostadapter.Identity{Subject: "ann"})
	if second.SessionID == first.SessionID {
		t.Error("signing in over a refused session kept its sid, want a new one")
	}
	b.mustBe("ann")
}
