package endings

// Which sessions a sweep ends, and how.

import (
	"time"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/plugin/storetest/world"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// dueCases check which sessions a sweep ends, and how.
var dueCases = []world.Case{
	{Name: "sessions end at their expiry or their absolute limit and not before", Run: func(w *world.World) {
		idle := w.SignIn("ann", world.Idle(time.Hour))
		absolute := w.SignIn("ann", world.Idle(3*time.Hour), world.Absolute(2*time.Hour))
		unlimited := w.SignIn("ann", world.Idle(3*time.Hour), world.Absolute(0))
		w.Pass(time.Hour - time.Microsecond)
		w.Same(w.Sweep(logout.Sweep{}), 0, "sessions ended just before the first is due")
		w.SessionLives(idle, absolute, unlimited)
		for _, s := range []*ticketstore.Session{idle, absolute, unlimited} {
			w.Now = s.DueAt()
			w.Same(w.Sweep(logout.Sweep{}), 1, "sessions ended when one is due")
			w.SessionGone(s)
		}
	}},
	{Name: "an expired session ends with everything in it but the consents", Run: func(w *world.World) {
		l, other := liveLife(w, "ann"), liveLife(w, "bob")
		w.Pass(30 * time.Minute)
		w.Renew(other.session, time.Hour)
		other.session = w.Get(other.session)
		w.Now = l.session.Expires
		swept := w.SweepOnce(logout.Sweep{Limit: 10})
		w.Same([]int{swept.Ended, swept.NotificationsQueued}, []int{1, 2},
			"sessions ended and notifications queued")
		w.SessionGone(l.session)
		w.Dead(l.allTokens()...)
		w.Same(w.Notified(l.session), []string{"mail", "wiki"}, "clients notified")
		// a consent outlives the session: the user is not asked again after each idle timeout
		w.Live(l.allConsents()...)
		other.untouched(w)
	}},
	{Name: "notifications of an expired session have its reason", Run: func(w *world.World) {
		s := w.SignIn("ann")
		w.Uses(s, "mail")
		w.Pass(2 * time.Hour)
		w.Sweep(logout.Sweep{})
		got := w.Notification(s, "mail")
		w.Same(got, logout.Notification{
			ID: got.ID, Issuer: world.Issuer, ClientID: "mail", SubjectID: "ann", SessionID: s.SessionID,
			Reason: logout.SessionExpiration, State: logout.Pending, Queued: w.Now, NextAttempt: w.Now,
			GiveUpAt: w.Now.Add(logout.RetryWindow),
		}, "the notification")
	}},
	{Name: "a sweep with SkipNotification notifies no client", Run: func(w *world.World) {
		s := w.SignIn("ann")
		w.Uses(s, "mail")
		w.Pass(time.Hour)
		swept := w.SweepOnce(logout.Sweep{Limit: 10, SkipNotification: true})
		w.Same([]int{swept.Ended, swept.NotificationsQueued}, []int{1, 0},
			"sessions ended and notifications queued")
		w.SessionGone(s)
		w.Same(w.Notified(s), []string{}, "clients notified")
	}},
	{Name: "offline tokens are kept if the sweep keeps them", Run: func(w *world.World) {
		s := w.SignIn("ann")
		offline, online := w.Stored(w.Refresh(s, "mail", world.Offline)), w.Stored(w.Refresh(s, "mail"))
		w.Pass(time.Hour)
		w.Same(w.Sweep(logout.Sweep{KeepOffline: true}), 1, "sessions ended")
		w.Live(offline)
		w.Dead(online)
	}},
	{Name: "a renewed session ends only when it is due", Run: func(w *world.World) {
		s := w.SignIn("ann")
		for range 3 {
			before := s.Expires
			w.Now = before.Add(-10 * time.Minute)
			s = w.Renew(s, time.Hour)
			w.Now = before
			w.Same(w.Sweep(logout.Sweep{}), 0, "sessions ended")
			w.Same(w.Get(s), s, "the session")
		}
		w.Now = s.Expires
		w.Same(w.Sweep(logout.Sweep{}), 1, "sessions ended")
		w.SessionGone(s)
	}},
	{Name: "many renewed sessions do not hide a due one", Run: func(w *world.World) {
		for range 20 {
			s := w.SignIn("ann")
			w.Renew(s, 5*time.Hour)
		}
		w.Pass(time.Microsecond)
		due := w.SignIn("bob")
		w.Pass(time.Hour)
		w.Same(w.Sweep(logout.Sweep{Limit: 1}), 1, "sessions ended")
		w.SessionGone(due)
		w.Same(len(w.SIDs(ticketstore.SessionFilter{SubjectID: "ann"})), 20, "number of renewed sessions")
	}},
	{Name: "a sweep races a renewal and the session is ended or renewed", Run: func(w *world.World) {
		for range 10 {
			s := w.SignIn("ann")
			refresh := w.Stored(w.Refresh(s, "mail"))
			w.Now = s.Expires.Add(-time.Microsecond)
			before := w.Now
			world.Race(2, func(i int) error {
				if i == 0 {
					_, err := w.Logout.EndDue(w.Ctx(), logout.Sweep{Limit: 10}, s.Expires)
					return err
				}
				renewal := ticketstore.Renewal{Key: s.Key, Version: s.Version, Expires: before.Add(time.Hour)}
				_, err := w.Tickets.Renew(w.Ctx(), renewal, before)
				return err
			})
			w.Now = s.Expires
			if _, err := w.Tickets.Get(w.Ctx(), s.Key); err != nil {
				w.SessionGone(s)
				w.Dead(refresh)
				continue
			}
			w.Live(refresh)
			w.Same(w.Get(s).LiveAt(w.Now), true, "the renewed session is live")
			w.End(logout.Ending{SessionID: s.SessionID})
		}
	}},
	{Name: "an expiry does not end a live session", Run: func(w *world.World) {
		slid, due := liveLife(w, "bob"), liveLife(w, "ann")
		w.Now = due.session.Expires.Add(-time.Minute)
		w.Renew(slid.session, time.Hour)
		slid.session = w.Get(slid.session)
		w.Now = due.session.Expires
		expiry := logout.Ending{SessionID: slid.session.SessionID, Reason: logout.SessionExpiration}
		w.Same(w.End(expiry), logout.Result{}, "the answer for a renewed session")
		expiry.DryRun = true
		w.Same(w.End(expiry), logout.Result{}, "the answer to a dry run for a renewed session")
		w.Same(w.End(logout.Ending{
			SubjectID: "bob", Reason: logout.SessionExpiration, KeepTokens: true, KeepConsents: true,
		}), logout.Result{},
			"the answer for the subject of a renewed session")
		slid.untouched(w)
		expiry = logout.Ending{
			SessionID: due.session.SessionID, Reason: logout.SessionExpiration, KeepConsents: true,
		}
		result := w.End(expiry)
		w.Same([]int{result.SessionsRemoved, result.NotificationsQueued}, []int{1, 2},
			"sessions removed and notifications queued for a due session")
		w.SessionGone(due.session)
		slid.untouched(w)
	}},
	{Name: "a later removal does not count the grants of a swept session", Run: func(w *world.World) {
		s := w.SignIn("ann")
		w.Stored(w.Refresh(s, "mail", world.Offline))
		w.Pass(time.Hour)
		w.Sweep(logout.Sweep{})
		w.Same(w.End(logout.Ending{SubjectID: "ann"}), logout.Result{}, "the answer to the removal")
		w.Same(w.LiveGrants(grantstore.Filter{}), []grantstore.Grant{}, "live grants")
	}},
}
