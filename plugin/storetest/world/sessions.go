package world

// Sessions of a case: creating, using and reading them.

import (
	"time"

	"github.com/fosite-sessions/sessions/ticketstore"
)

// Issuer is the iss of every session.
const Issuer = "https://op.example"

// SessionOption changes a session before it is stored.
type SessionOption func(*ticketstore.Session)

// Named gives the session a display name.
func Named(name string) SessionOption {
	return func(s *ticketstore.Session) { s.DisplayName = name }
}

// SID sets the session's sid.
func SID(sid string) SessionOption {
	return func(s *ticketstore.Session) { s.SessionID = sid }
}

// CreatedAt sets the session's creation time; its expiry is relative to it.
func CreatedAt(created time.Time) SessionOption {
	return func(s *ticketstore.Session) {
		shift := created.Sub(s.Created)
		s.AuthTime, s.Created, s.Renewed = s.AuthTime.Add(shift), created, s.Renewed.Add(shift)
		s.Expires = s.Expires.Add(shift)
		if !s.EndsAt.IsZero() {
			s.EndsAt = s.EndsAt.Add(shift)
		}
	}
}

// Idle sets the session's idle timeout, counted from its creation.
func Idle(d time.Duration) SessionOption {
	return func(s *ticketstore.Session) { s.Expires = s.Created.Add(d) }
}

// Absolute sets the session's absolute expiry, counted from its creation; 0 means none.
func Absolute(d time.Duration) SessionOption {
	return func(s *ticketstore.Session) {
		s.EndsAt = time.Time{}
		if d > 0 {
			s.EndsAt = s.Created.Add(d)
		}
	}
}

// Session returns a session of the subject that begins now, with an idle timeout of one hour, an absolute
// expiry of ten, and a value in every field. It is not stored.
func (w *World) Session(subject string, options ...SessionOption) *ticketstore.Session {
	sid := w.Name("sid")
	s := &ticketstore.Session{
		Key: ticketstore.KeyOf("cookie of " + sid), SessionID: sid, SubjectID: subject,
		DisplayName: "The user " + subject, Issuer: Issuer, AuthTime: w.Now.Add(-time.Minute),
		ACR: "urn:example:silver", AMR: []string{"pwd", "otp"}, RemoteAddr: "192.0.2.7:4711",
		UserAgent: "Firefox/150",
		Created:   w.Now, Renewed: w.Now, Expires: w.Now.Add(time.Hour), EndsAt: w.Now.Add(10 * time.Hour),
		Ticket: []byte{0, 1, 2, 0xff, 's', 'e', 'a', 'l', 'e', 'd'}, Visible: []byte{0, 0xff, 'v'},
	}
	for _, option := range options {
		option(s)
	}
	return s
}

// SignIn stores a session of the subject and returns the stored session.
func (w *World) SignIn(subject string, options ...SessionOption) *ticketstore.Session {
	w.Helper()
	s := w.Session(subject, options...)
	w.OK(w.Tickets.Create(w.Ctx(), s), "Create a session of "+subject)
	return w.Get(s)
}

// Get returns the present session.
func (w *World) Get(s *ticketstore.Session) *ticketstore.Session {
	w.Helper()
	got, err := w.Tickets.Get(w.Ctx(), s.Key)
	w.OK(err, "Get the session "+s.SessionID)
	return got
}

// Find returns the present session as operators see it.
func (w *World) Find(s *ticketstore.Session) *ticketstore.SessionDetail {
	w.Helper()
	got, err := w.Tickets.Find(w.Ctx(), s.SessionID)
	w.OK(err, "Find the session "+s.SessionID)
	return got
}

// Renew renews the session to expire that long from now and returns it.
func (w *World) Renew(s *ticketstore.Session, idle time.Duration) *ticketstore.Session {
	w.Helper()
	got, err := w.Tickets.Renew(w.Ctx(),
		ticketstore.Renewal{Key: s.Key, Version: s.Version, Expires: w.Now.Add(idle)}, w.Now)
	w.OK(err, "Renew the session "+s.SessionID)
	return got
}

// Rekey returns a rekey of the session to a new cookie, with new values in every field.
func (w *World) Rekey(s *ticketstore.Session) ticketstore.Rekey {
	return ticketstore.Rekey{
		Key: s.Key, Version: s.Version, NewKey: ticketstore.KeyOf(w.Name("new cookie")),
		DisplayName: s.DisplayName + " again", AuthTime: w.Now, ACR: "urn:example:gold", AMR: []string{"hwk"},
		RemoteAddr: "198.51.100.9:99", UserAgent: "Safari/30", Expires: w.Now.Add(2 * time.Hour),
		EndsAt: w.Now.Add(20 * time.Hour),
		Ticket: []byte("another ticket"), Visible: []byte("other properties"),
	}
}

// SessionLives ends the case if one of the sessions is missing.
func (w *World) SessionLives(sessions ...*ticketstore.Session) {
	w.Helper()
	for _, s := range sessions {
		w.Get(s)
		w.Find(s)
	}
}

// SessionGone ends the case if one of the sessions is still found, by key or sid.
func (w *World) SessionGone(sessions ...*ticketstore.Session) {
	w.Helper()
	for _, s := range sessions {
		_, err := w.Tickets.Get(w.Ctx(), s.Key)
		w.Fails(err, "Get the session "+s.SessionID+" that is gone", ticketstore.ErrNotFound)
		_, err = w.Tickets.Find(w.Ctx(), s.SessionID)
		w.Fails(err, "Find the session "+s.SessionID+" that is gone", ticketstore.ErrNotFound)
		page, err := w.Tickets.Query(w.Ctx(),
			ticketstore.SessionQuery{Filter: ticketstore.SessionFilter{SessionID: s.SessionID}})
		w.OK(err, "Query the session "+s.SessionID+" that is gone")
		if len(page.Sessions) != 0 {
			w.Fatalf("Query still lists the session %s, which is gone", s.SessionID)
		}
	}
}

// Clients returns the ids of the clients of the session, in the order of their first use.
func (w *World) Clients(s *ticketstore.Session) []string {
	w.Helper()
	var ids []string
	for _, client := range w.Find(s).Clients {
		ids = append(ids, client.ClientID)
	}
	return ids
}

// Client returns the client's part in the session.
func (w *World) Client(s *ticketstore.Session, clientID string) ticketstore.ClientUse {
	w.Helper()
	for _, client := range w.Find(s).Clients {
		if client.ClientID == clientID {
			return client
		}
	}
	w.Fatalf("client %s is not among those of the session %s: %v", clientID, s.SessionID, w.Clients(s))
	return ticketstore.ClientUse{}
}

// Query returns a page of sessions.
func (w *World) Query(query ticketstore.SessionQuery) *ticketstore.Page {
	w.Helper()
	page, err := w.Tickets.Query(w.Ctx(), query)
	w.OK(err, "Query sessions")
	return page
}

// SIDs returns the sids of every session that the filter selects, in ascending order.
func (w *World) SIDs(filter ticketstore.SessionFilter) []string {
	w.Helper()
	var sids []string
	query := ticketstore.SessionQuery{
		Filter: filter, Order: ticketstore.Ascending, Count: ticketstore.MaxCount,
	}
	for range 1000 {
		page := w.Query(query)
		for i := range page.Sessions {
			sids = append(sids, page.Sessions[i].SessionID)
		}
		if !page.HasNext {
			return sids
		}
		query.ResultsToken = page.ResultsToken
	}
	w.Fatal("a query of sessions does not end")
	return nil
}
