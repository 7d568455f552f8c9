package endings

// The fields of notifications.

import (
	"time"

	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/plugin/storetest/world"
)

// notificationCases check the fields of notifications, and which clients get one.
var notificationCases = []world.Case{
	{Name: "a notification has every field that its client needs", Run: func(w *world.World) {
		for _, reason := range []logout.Reason{
			logout.UserLogout, logout.SessionExpiration, logout.Terminated, logout.SessionReplaced,
		} {
			s := w.SignIn("ann", world.Idle(30*time.Second))
			w.Uses(s, "mail")
			w.Pass(time.Minute) // only an expired session may end with session_expiration
			w.End(logout.Ending{SessionID: s.SessionID, Reason: reason})
			got := w.Notification(s, "mail")
			if got.ID == "" {
				w.Fatal("the notification has no id")
			}
			w.Same(got, logout.Notification{
				ID: got.ID, Issuer: world.Issuer, ClientID: "mail", SubjectID: "ann", SessionID: s.SessionID,
				Reason: reason, State: logout.Pending, Queued: w.Now, NextAttempt: w.Now,
				GiveUpAt: w.Now.Add(logout.RetryWindow),
			}, "the notification")
			w.At(got.Queued, w.Now, "Queued")
			w.At(got.NextAttempt, w.Now, "NextAttempt")
			w.At(got.GiveUpAt, w.Now.Add(logout.RetryWindow), "GiveUpAt")
		}
	}},
	{Name: "a notification of a detachment has the same fields", Run: func(w *world.World) {
		s := w.SignIn("ann")
		w.Uses(s, "mail")
		w.Pass(time.Minute)
		w.End(logout.Ending{SessionID: s.SessionID, ClientIDs: []string{"mail"}, KeepSession: true})
		got := w.Notification(s, "mail")
		w.Same(got, logout.Notification{
			ID: got.ID, Issuer: world.Issuer, ClientID: "mail", SubjectID: "ann", SessionID: s.SessionID,
			Reason: logout.Terminated, State: logout.Pending, Queued: w.Now, NextAttempt: w.Now,
			GiveUpAt: w.Now.Add(logout.RetryWindow),
		}, "the notification")
	}},
	{Name: "the claimed notification is the queued one", Run: func(w *world.World) {
		s := w.SignIn("ann")
		w.Uses(s, "mail")
		w.End(logout.Ending{SessionID: s.SessionID})
		queued := w.Notification(s, "mail")
		d := w.ClaimOne()
		got := d.Notification
		got.NextAttempt, got.Attempts = queued.NextAttempt, queued.Attempts
		w.Same(got, queued, "the claimed notification except for its attempts")
	}},
	{Name: "ids are unique and sort by the time of queueing", Run: func(w *world.World) {
		seen, last := map[string]bool{}, ""
		for range 5 {
			s := w.SignIn("ann")
			w.Uses(s, "mail", "wiki", "chat")
			w.End(logout.Ending{SessionID: s.SessionID})
			latest := last
			for _, n := range w.Notifications(logout.NotificationFilter{SessionID: s.SessionID}) {
				if seen[n.ID] {
					w.Fatalf("two notifications have the id %s", n.ID)
				}
				if n.ID <= last {
					w.Fatalf("the id %s of a later notification does not sort after %s", n.ID, last)
				}
				seen[n.ID], latest = true, max(latest, n.ID)
			}
			last = latest
			w.Pass(time.Second)
		}
	}},
	{Name: "a client is notified if its last use had a logout URI", Run: func(w *world.World) {
		s := w.SignIn("ann")
		w.Uses(s, "had", "has")
		w.UsesSilently(s, "had")
		w.UsesSilently(s, "gets")
		w.Uses(s, "gets")
		w.UsesSilently(s, "never")
		w.Same(w.End(logout.Ending{SessionID: s.SessionID}).NotificationsQueued, 2, "NotificationsQueued")
		w.Same(w.Notified(s), []string{"gets", "has"}, "clients notified")
	}},
	{Name: "a client that used the session recently is notified again", Run: func(w *world.World) {
		s := w.SignIn("ann")
		w.Uses(s, "long ago", "recent")
		w.Pass(time.Minute)
		w.Uses(s, "recent")
		w.Pass(logout.RecentUse - time.Second)
		w.Same(w.End(logout.Ending{SessionID: s.SessionID}).NotificationsQueued, 2, "NotificationsQueued")
		w.At(w.Notification(s, "long ago").Again, time.Time{},
			"Again of a client that used the session long ago")
		w.At(w.Notification(s, "recent").Again, w.Now.Add(logout.SecondDelivery),
			"Again of a client that used it recently")
	}},
	{Name: "a client of a session that is kept is notified once", Run: func(w *world.World) {
		s := w.SignIn("ann")
		w.Uses(s, "mail")
		w.End(logout.Ending{SessionID: s.SessionID, KeepSession: true})
		w.At(w.Notification(s, "mail").Again, time.Time{}, "Again of a client that may use the session again")
	}},
	{Name: "a use counts as recent up to its bound", Run: func(w *world.World) {
		on, after := w.SignIn("ann"), w.SignIn("ann")
		w.Uses(on, "mail")
		w.Uses(after, "mail")
		w.Pass(logout.RecentUse)
		w.End(logout.Ending{SessionID: on.SessionID})
		w.At(w.Notification(on, "mail").Again, w.Now.Add(logout.SecondDelivery),
			"Again of a client that used the session at the bound")
		w.Pass(time.Microsecond)
		w.End(logout.Ending{SessionID: after.SessionID})
		w.At(w.Notification(after, "mail").Again, time.Time{}, "Again just after the bound")
	}},
	{Name: "the second notification has its due time, and is the last", Run: func(w *world.World) {
		s := w.SignIn("ann")
		w.Uses(s, "mail")
		w.End(logout.Ending{SessionID: s.SessionID})
		ended := w.Now
		w.Pass(time.Second)
		first := w.ClaimOne()
		w.Settle(first, logout.Outcome{State: logout.Delivered})
		waiting := w.Notification(s, "mail")
		w.Same(waiting.State, logout.Pending, "the state between the two")
		w.At(waiting.NextAttempt, ended.Add(logout.SecondDelivery), "NextAttempt between the two")
		w.At(waiting.Again, time.Time{}, "Again between the two")
		claimed := w.Claim(10)
		w.Same(len(claimed.Deliveries), 0, "number of notifications to deliver between the two")
		w.At(claimed.Next, ended.Add(logout.SecondDelivery), "Next between the two")

		w.Now = ended.Add(logout.SecondDelivery)
		second := w.ClaimOne()
		w.Same(second.ID, first.ID, "the notification delivered again")
		w.Settle(second, logout.Outcome{State: logout.Delivered})
		w.Same(w.Notification(s, "mail").State, logout.Delivered, "the state after the second")
		w.At(w.Claim(10).Next, time.Time{}, "Next after the second")
	}},
	{Name: "a late first notification is followed by the second immediately", Run: func(w *world.World) {
		s := w.SignIn("ann")
		w.Uses(s, "mail")
		w.End(logout.Ending{SessionID: s.SessionID})
		w.Pass(time.Hour)
		w.Settle(w.ClaimOne(), logout.Outcome{State: logout.Delivered})
		w.Settle(w.ClaimOne(), logout.Outcome{State: logout.Delivered})
		w.Same(w.Notification(s, "mail").State, logout.Delivered, "the state after the second")
		w.Same(len(w.Claim(10).Deliveries), 0, "number of notifications to deliver after the second")
	}},
}
