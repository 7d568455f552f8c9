package endings

// Endings narrowed to clients.

import (
	"time"

	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/plugin/storetest/world"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// only checks that the tokens and consents of the named clients are gone, and those of other clients are
// kept.
func (l life) only(w *world.World, clientIDs ...string) {
	w.Helper()
	named := map[string]bool{}
	for _, id := range clientIDs {
		named[id] = true
	}
	for _, id := range []string{"mail", "tv", "wiki"} {
		if named[id] {
			w.Dead(l.tokens[id]...)
			w.Missing(l.consent[id])
		} else {
			w.Live(l.tokens[id]...)
			w.Live(l.consent[id])
		}
	}
}

// clientCases check endings narrowed by client ids, and detachment.
var clientCases = []world.Case{
	{Name: "the session ends, and only the named client is revoked and notified", Run: func(w *world.World) {
		for _, by := range []string{"sid", "subject"} {
			l := liveLife(w, "ann by "+by)
			ending := logout.Ending{SubjectID: l.session.SubjectID, ClientIDs: []string{"mail"}}
			if by == "sid" {
				ending = logout.Ending{SessionID: l.session.SessionID, ClientIDs: []string{"mail"}}
			}
			w.Same(w.End(ending), logout.Result{
				SessionsRemoved: 1, GrantsRevoked: 2, ConsentsRevoked: 1, NotificationsQueued: 1,
				ClientsLeftAlone: []string{"tv", "wiki"},
			}, "the answer by "+by)
			w.SessionGone(l.session)
			l.only(w, "mail")
			w.Same(w.Notified(l.session), []string{"mail"}, "clients notified")
		}
	}},
	{Name: "naming every client leaves none alone", Run: func(w *world.World) {
		l := liveLife(w, "ann")
		w.Same(w.End(logout.Ending{
			SessionID: l.session.SessionID, ClientIDs: []string{"wiki", "tv", "mail"},
		}), whole, "the answer")
		l.ended(w)
	}},
	{Name: "naming a client twice counts once", Run: func(w *world.World) {
		l := liveLife(w, "ann")
		result := w.End(logout.Ending{SessionID: l.session.SessionID, ClientIDs: []string{"mail", "mail"}})
		w.Same([]int{result.GrantsRevoked, result.NotificationsQueued}, []int{2, 1},
			"grants revoked and notifications queued")
		w.Same(w.Notified(l.session), []string{"mail"}, "clients notified")
	}},
	{Name: "a named client that never used the session is not notified", Run: func(w *world.World) {
		l := liveLife(w, "ann")
		w.Same(w.End(logout.Ending{SessionID: l.session.SessionID, ClientIDs: []string{"chat"}}),
			logout.Result{SessionsRemoved: 1, ClientsLeftAlone: []string{"mail", "tv", "wiki"}}, "the answer")
		l.only(w)
		w.Same(w.Notified(l.session), []string{}, "clients notified")
	}},
	{Name: "clients left alone in several sessions are named once and sorted", Run: func(w *world.World) {
		liveLife(w, "ann")
		s := w.SignIn("ann")
		w.Uses(s, "zoo", "mail", "art")
		result := w.End(logout.Ending{SubjectID: "ann", ClientIDs: []string{"mail"}})
		w.Same(result.ClientsLeftAlone, []string{"art", "tv", "wiki", "zoo"}, "ClientsLeftAlone")
	}},
	{Name: "a named client of a kept session is notified and detached", Run: func(w *world.World) {
		l := liveLife(w, "ann")
		w.Same(w.End(logout.Ending{
			SessionID: l.session.SessionID, ClientIDs: []string{"mail"}, KeepSession: true,
		}), logout.Result{
			GrantsRevoked: 2, ConsentsRevoked: 1, NotificationsQueued: 1,
			ClientsLeftAlone: []string{"tv", "wiki"},
		}, "the answer")
		w.SessionLives(l.session)
		l.only(w, "mail")
		w.Same(w.Clients(l.session), []string{"tv", "wiki"}, "clients of the session")
		w.Same(w.SIDs(ticketstore.SessionFilter{ClientID: "mail"}), []string{},
			"sessions of the detached client")
		w.Same(w.Notified(l.session), []string{"mail"}, "clients notified")
	}},
	{Name: "a client of a kept session without logout URI is detached", Run: func(w *world.World) {
		l := liveLife(w, "ann")
		w.End(logout.Ending{SessionID: l.session.SessionID, ClientIDs: []string{"tv"}, KeepSession: true})
		l.only(w, "tv")
		w.Same(w.Clients(l.session), []string{"mail", "wiki"}, "clients of the session")
		w.Same(w.Notified(l.session), []string{}, "clients notified")
	}},
	{Name: "a client of a kept session that is not notified stays attached", Run: func(w *world.World) {
		l := liveLife(w, "ann")
		ending := logout.Ending{
			SessionID: l.session.SessionID, ClientIDs: []string{"mail"}, KeepSession: true,
			SkipNotification: true,
		}
		w.End(ending)
		l.only(w, "mail")
		w.Same(w.Clients(l.session), []string{"mail", "tv", "wiki"}, "clients of the session")
		w.Same(w.Notified(l.session), []string{}, "clients notified")
	}},
	{Name: "a detached client is not notified of the end", Run: func(w *world.World) {
		l := liveLife(w, "ann")
		w.End(logout.Ending{SessionID: l.session.SessionID, ClientIDs: []string{"mail"}, KeepSession: true})
		result := w.End(logout.Ending{SessionID: l.session.SessionID})
		w.Same(result,
			logout.Result{SessionsRemoved: 1, GrantsRevoked: 4, ConsentsRevoked: 2, NotificationsQueued: 1},
			"the answer to the end")
		w.Same(w.Notified(l.session), []string{"mail", "wiki"}, "clients notified, each once")
	}},
	{Name: "a reattached client is notified", Run: func(w *world.World) {
		s := w.SignIn("ann")
		w.Uses(s, "mail")
		w.Pass(time.Minute)
		w.End(logout.Ending{SessionID: s.SessionID, ClientIDs: []string{"mail"}, KeepSession: true})
		w.Settle(w.ClaimOne(), logout.Outcome{State: logout.Delivered})
		w.Uses(s, "mail")
		w.Same(w.Clients(s), []string{"mail"}, "clients of the session")
		w.Pass(time.Minute)
		w.Same(w.End(logout.Ending{SessionID: s.SessionID}).NotificationsQueued, 1, "NotificationsQueued")
		pending := w.Notifications(logout.NotificationFilter{
			SessionID: s.SessionID, ClientID: "mail", State: logout.Pending,
		})
		w.Same(len(pending), 1, "number of pending notifications")
		w.At(pending[0].Queued, w.Now, "Queued")
	}},
	{Name: "detaching in one session leaves the client in others", Run: func(w *world.World) {
		a, b := liveLife(w, "ann"), liveLife(w, "ann")
		w.End(logout.Ending{
			SubjectID: "ann", SessionID: a.session.SessionID, ClientIDs: []string{"mail"}, KeepSession: true,
			KeepConsents: true,
		})
		w.Same(w.Clients(a.session), []string{"tv", "wiki"}, "clients of the session")
		b.untouched(w)
	}},
	{Name: "detaching races a use and the client is notified or stays", Run: func(w *world.World) {
		for range 10 {
			s := w.SignIn("ann")
			w.Uses(s, "mail")
			world.Race(2, func(i int) error {
				if i == 0 {
					_, err := w.TryEnd(logout.Ending{
						SessionID: s.SessionID, ClientIDs: []string{"mail"}, KeepSession: true,
					})
					return err
				}
				_, err := w.TryApply(useOf(s, "mail"))
				return err
			})
			attached := len(w.Clients(s))
			w.Same(w.Notified(s), []string{"mail"}, "clients notified of the detachment")
			queued := w.End(logout.Ending{SessionID: s.SessionID}).NotificationsQueued
			w.Same(queued, attached, "notifications queued at the end, one for each client that was attached")
		}
	}},
}
