package endings

// Clients that muted some kinds of endings.

import (
	"time"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/plugin/storetest/world"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// mutedCases check which clients are notified of which endings.
var mutedCases = []world.Case{
	{Name: "a client is not notified of muted ends", Run: func(w *world.World) {
		for reason, end := range map[logout.Reason]ticketstore.Ends{
			logout.UserLogout: ticketstore.EndBySignOut, logout.SessionExpiration: ticketstore.EndByExpiry,
			logout.Terminated: ticketstore.EndByRemoval, logout.SessionReplaced: ticketstore.EndByReplacement,
		} {
			s := w.SignIn("ann")
			for client, muted := range map[string]ticketstore.Ends{
				"all": 0, "only this": ticketstore.EndByAny &^ end, "not this": end,
				"none": ticketstore.EndByAny,
			} {
				w.Apply(grantstore.Batch{
					Use: &grantstore.Use{
						SessionID: s.SessionID, ClientID: client, Notify: true, Muted: muted,
					},
				})
				w.Same(w.Client(s, client).Muted, muted, "the client's muted endings")
			}
			if reason == logout.SessionExpiration {
				w.Now = s.Expires
			}
			result := w.End(logout.Ending{SessionID: s.SessionID, Reason: reason})
			w.Same(result.NotificationsQueued, 2, "notifications queued by "+string(reason))
			w.Same(w.Notified(s), []string{"all", "only this"}, "clients notified by "+string(reason))
			w.SessionGone(s)
		}
	}},
	{Name: "a sweep notifies clients that did not mute expiry", Run: func(w *world.World) {
		s := w.SignIn("ann")
		w.Apply(grantstore.Batch{
			Use: &grantstore.Use{
				SessionID: s.SessionID, ClientID: "mail", Notify: true, Muted: ticketstore.EndByExpiry,
			},
		})
		w.Uses(s, "wiki")
		w.Now = s.Expires
		w.Same(w.SweepOnce(logout.Sweep{Limit: 10}).NotificationsQueued, 1, "notifications queued")
		w.Same(w.Notified(s), []string{"wiki"}, "clients notified")
	}},
	{Name: "an ending may notify coordinating clients only", Run: func(w *world.World) {
		for _, end := range []func(*ticketstore.Session) int{
			func(s *ticketstore.Session) int {
				return w.End(logout.Ending{SessionID: s.SessionID, CoordinatedOnly: true}).NotificationsQueued
			},
			func(*ticketstore.Session) int {
				w.Pass(2 * time.Hour)
				return w.SweepOnce(logout.Sweep{Limit: 10, CoordinatedOnly: true}).NotificationsQueued
			},
			func(*ticketstore.Session) int {
				return w.End(logout.Ending{SubjectID: "ann", CoordinatedOnly: true}).NotificationsQueued
			},
		} {
			s := w.SignIn("ann")
			w.Uses(s, "mail")
			for client, notify := range map[string]bool{"wiki": true, "chat": false} {
				w.Apply(grantstore.Batch{
					Use: &grantstore.Use{
						SessionID: s.SessionID, ClientID: client, Notify: notify, Coordinated: true,
					},
				})
			}
			w.Same(end(s), 1, "notifications queued")
			w.Same(w.Notified(s), []string{"wiki"}, "clients notified")
		}
	}},
	{Name: "an unknown muted ending is refused", Run: func(w *world.World) {
		s := w.SignIn("ann")
		_, err := w.Grants.Apply(w.Ctx(), &grantstore.Batch{
			OperationID: w.Op(),
			Use:         &grantstore.Use{SessionID: s.SessionID, ClientID: "mail", Muted: 1 << 7},
		}, w.Now)
		w.Refuses(err, "muted", "Apply")
		w.Same(w.Clients(s), []string{}, "clients")
	}},
}
