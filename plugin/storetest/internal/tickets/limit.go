package tickets

// Sign-ins under a limit of sessions.

import (
	"time"

	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/plugin/storetest/world"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// within signs the subject in under a limit and returns the sids of the sessions ended for it.
func within(w *world.World, s *ticketstore.Session, limit ticketstore.Limit) []string {
	w.Helper()
	ended, err := w.Tickets.CreateWithin(w.Ctx(), s, limit, w.Now)
	w.OK(err, "CreateWithin")
	return ended
}

var limitCases = []world.Case{
	{Name: "a sign-in below the limit is like any other", Run: func(w *world.World) {
		w.SignIn("bob")
		for range 3 {
			s := w.Session("ann")
			w.Same(within(w, s, ticketstore.Limit{Max: 3}), []string{}, "sids ended by the limit")
			sameSession(w, w.Get(s), s, "the session")
		}
		w.Same(w.Query(ticketstore.SessionQuery{}).TotalCount, 4, "TotalCount")
	}},
	{Name: "a sign-in above the limit is refused and changes nothing", Run: func(w *world.World) {
		first := w.SignIn("ann")
		s := w.Session("ann")
		_, err := w.Tickets.CreateWithin(w.Ctx(), s, ticketstore.Limit{Max: 1}, w.Now)
		w.Fails(err, "CreateWithin", ticketstore.ErrTooManySessions)
		w.SessionGone(s)
		w.Same(w.Get(first), first, "the first session")
		w.Same(within(w, w.Session("bob"), ticketstore.Limit{Max: 1}), []string{},
			"sids ended by the limit of a different subject")
	}},
	{Name: "or the oldest end, as terminated, and their clients are notified", Run: func(w *world.World) {
		var sessions []*ticketstore.Session
		for range 4 {
			sessions = append(sessions, w.SignIn("ann"))
			w.Uses(sessions[len(sessions)-1], "mail")
			w.Pass(time.Minute)
		}
		offline, online := w.Stored(w.Refresh(sessions[0], "mail", world.Offline)),
			w.Stored(w.Refresh(sessions[0], "mail"))
		consent := w.Stored(w.Consent("ann", "mail"))
		s := w.Session("ann")
		want := []string{sessions[0].SessionID, sessions[1].SessionID}
		w.Same(within(w, s, ticketstore.Limit{Max: 3, EndOldest: true, KeepOffline: true}), want,
			"sids ended by the limit")
		w.SessionGone(sessions[:2]...)
		w.SessionLives(sessions[2], sessions[3], s)
		w.Same(w.Notification(sessions[0], "mail").Reason, logout.Terminated, "reason of the notification")
		w.Live(offline, consent)
		w.Dead(online)
		w.Same(within(w, w.Session("ann"), ticketstore.Limit{Max: 3, EndOldest: true}),
			[]string{sessions[2].SessionID}, "sids ended by the next sign-in")
	}},
	{Name: "expired sessions do not count", Run: func(w *world.World) {
		over := w.SignIn("ann")
		w.Now = over.Expires
		w.Same(within(w, w.Session("ann"), ticketstore.Limit{Max: 1}), []string{}, "sids ended by the limit")
		w.Get(over) // left to the sweep
	}},
	{Name: "all sessions above a lowered limit end", Run: func(w *world.World) {
		w.Each(100, func(int) error { return w.Tickets.Create(w.Ctx(), w.Session("ann")) })
		s := w.Session("ann")
		w.Same(len(within(w, s, ticketstore.Limit{Max: 2, EndOldest: true})), 99,
			"number of sids ended by the limit")
		w.SessionLives(s)
		w.Same(w.Query(ticketstore.SessionQuery{}).TotalCount, 2, "TotalCount")
	}},
	{Name: "a repeated sign-in gets the same answer", Run: func(w *world.World) {
		s := w.Session("ann")
		within(w, s, ticketstore.Limit{Max: 1})
		w.Same(within(w, s, ticketstore.Limit{Max: 1, EndOldest: true}), []string{}, "sids ended")
		w.SessionLives(s)
		other := w.Session("eve", world.SID(s.SessionID))
		_, err := w.Tickets.CreateWithin(w.Ctx(), other, ticketstore.Limit{Max: 1}, w.Now)
		w.Fails(err, "CreateWithin under a taken sid", ticketstore.ErrExists)
	}},
	{Name: "concurrent sign-ins do not exceed the limit together", Run: func(w *world.World) {
		for _, endOldest := range []bool{false, true} {
			subject := w.Name("subject")
			sessions := make([]*ticketstore.Session, 16)
			for i := range sessions {
				sessions[i] = w.Session(subject)
			}
			refused := 0
			for i, err := range world.Race(len(sessions), func(i int) error {
				_, err := w.Tickets.CreateWithin(w.Ctx(), sessions[i],
					ticketstore.Limit{Max: 3, EndOldest: endOldest}, w.Now)
				return err
			}) {
				if err != nil {
					w.Fails(err, "CreateWithin", ticketstore.ErrTooManySessions)
					w.SessionGone(sessions[i])
					refused++
				}
			}
			w.Same(len(w.SIDs(ticketstore.SessionFilter{SubjectID: subject})), 3, "number of sessions")
			if endOldest {
				w.Same(refused, 0, "number of sign-ins refused")
			}
		}
	}},
	{Name: "a limit below one, and an invalid session, are refused", Run: func(w *world.World) {
		_, err := w.Tickets.CreateWithin(w.Ctx(), w.Session("ann"), ticketstore.Limit{}, w.Now)
		w.Refuses(err, "max", "CreateWithin")
		_, err = w.Tickets.CreateWithin(w.Ctx(), w.Session(""), ticketstore.Limit{Max: 1}, w.Now)
		w.Refuses(err, "subject_id", "CreateWithin")
		w.Same(w.Query(ticketstore.SessionQuery{}).TotalCount, 0, "TotalCount")
	}},
}
