package endings

// The bounds of a sweep, its Next, and what it purges.

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/plugin/storetest/world"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// dueOneByOne stores n sessions, each used by a client, that fall due a minute apart, the first in a minute,
// and returns them in order.
func dueOneByOne(w *world.World, n int) []*ticketstore.Session {
	w.Helper()
	sessions := make([]*ticketstore.Session, n)
	for i := n - 1; i >= 0; i-- {
		sessions[i] = w.SignIn(fmt.Sprint("ann ", i), world.Idle(time.Duration(i+1)*time.Minute))
		w.Uses(sessions[i], "mail")
	}
	return sessions
}

// sweepCases check the bounds of a sweep, its Next, and what it purges.
var sweepCases = []world.Case{
	{Name: "nothing to end is no error", Run: func(w *world.World) {
		w.Same(*w.SweepOnce(logout.Sweep{Limit: 10}), logout.SweepResult{}, "the answer")
	}},
	{Name: "a sweep ends a bounded number, in the order of their due times", Run: func(w *world.World) {
		sessions := dueOneByOne(w, 5)
		w.Pass(5 * time.Minute)
		for at := 0; at < len(sessions); at += 2 {
			end := min(at+2, len(sessions))
			swept := w.SweepOnce(logout.Sweep{Limit: 2})
			w.Same([]int{swept.Ended, swept.NotificationsQueued}, []int{end - at, end - at},
				"sessions ended and notifications queued")
			var named []logout.EndedSession
			for _, s := range sessions[at:end] {
				named = append(named, logout.EndedSession{SessionID: s.SessionID, SubjectID: s.SubjectID})
			}
			slices.SortFunc(swept.Sessions, func(a, b logout.EndedSession) int {
				return strings.Compare(a.SubjectID, b.SubjectID)
			})
			w.Same(swept.Sessions, named, "the sessions that it lists")
			w.SessionGone(sessions[at:end]...)
			w.SessionLives(sessions[end:]...)
			if end < len(sessions) && swept.Next.After(w.Now) {
				w.Fatalf("Next is %v with sessions due at %v", swept.Next, w.Now)
			}
		}
	}},
	{Name: "a sweep of no sessions is refused", Run: func(w *world.World) {
		s := w.SignIn("ann")
		w.Now = s.Expires
		for _, limit := range []int{0, -1} {
			_, err := w.Logout.EndDue(w.Ctx(), logout.Sweep{Limit: limit}, w.Now)
			w.Refuses(err, "limit", "EndDue")
		}
		w.Same(w.Sweep(logout.Sweep{}), 1, "sessions ended")
	}},
	{Name: "next is when the next session is due", Run: func(w *world.World) {
		sessions := dueOneByOne(w, 3)
		w.At(w.SweepOnce(logout.Sweep{Limit: 10}).Next, sessions[0].Expires, "Next before any is due")
		w.Pass(time.Minute)
		w.At(w.SweepOnce(logout.Sweep{Limit: 10}).Next, sessions[1].Expires, "Next after the first")
		w.End(logout.Ending{SessionID: sessions[1].SessionID})
		w.At(w.SweepOnce(logout.Sweep{Limit: 10}).Next, sessions[2].Expires,
			"Next after the second was removed")
		w.Pass(2 * time.Minute)
		w.At(w.SweepOnce(logout.Sweep{Limit: 10}).Next, time.Time{}, "Next after the last")
	}},
	{Name: "next is never later than a session is due", Run: func(w *world.World) {
		s := w.SignIn("ann", world.Absolute(90*time.Minute))
		w.Pass(50 * time.Minute)
		w.Renew(s, time.Hour)
		next := w.SweepOnce(logout.Sweep{Limit: 10}).Next
		if next.IsZero() || next.After(s.EndsAt) {
			w.Fatalf("Next is %v, want at most %v, when the session is due", next, s.EndsAt)
		}
		w.Now = s.Expires
		w.At(w.SweepOnce(logout.Sweep{Limit: 10}).Next, s.EndsAt, "Next after the early entry was found")
	}},
	{Name: "concurrent sweeps end each session once", Run: func(w *world.World) {
		sessions := dueOneByOne(w, 12)
		w.Pass(time.Hour)
		swept := make([]logout.SweepResult, 8)
		for _, err := range world.Race(len(swept), func(i int) error {
			answer, err := w.Logout.EndDue(w.Ctx(), logout.Sweep{Limit: 100}, w.Now)
			if err == nil {
				swept[i] = *answer
			}
			return err
		}) {
			w.OK(err, "EndDue")
		}
		ended, queued := 0, 0
		for _, answer := range swept {
			ended += answer.Ended
			queued += answer.NotificationsQueued
		}
		w.Same([]int{ended, queued}, []int{len(sessions), len(sessions)},
			"sessions ended and notifications queued by all sweeps")
		w.SessionGone(sessions...)
		for _, s := range sessions {
			w.Same(w.Notified(s), []string{"mail"}, "clients notified")
		}
	}},
	{Name: "a settled notification is kept for its retention and then purged", Run: func(w *world.World) {
		for _, state := range []logout.State{logout.Delivered, logout.Refused, logout.GivenUp} {
			s := w.SignIn("ann")
			w.Uses(s, "mail")
			w.Pass(time.Minute)
			w.End(logout.Ending{SessionID: s.SessionID})
			w.Pass(time.Hour)
			w.Settle(w.ClaimOne(), logout.Outcome{State: state})
			w.Pass(logout.NotificationRetention - time.Minute)
			w.Sweep(logout.Sweep{})
			id := w.Notification(s, "mail").ID
			w.Pass(2 * time.Minute)
			w.Sweep(logout.Sweep{})
			w.Same(w.Notified(s), []string{}, "clients with a notification after its retention")
			_, err := w.Logout.Retry(w.Ctx(), logout.Retry{ID: id}, w.Now)
			w.Fails(err, "Retry a purged notification", ticketstore.ErrNotFound)
		}
	}},
	{Name: "a sweep reports what is left to purge", Run: func(w *world.World) {
		const many = 7
		for range many {
			s := w.SignIn("ann")
			w.Uses(s, "mail")
			w.Pass(time.Minute)
			w.End(logout.Ending{SessionID: s.SessionID})
			w.Settle(w.ClaimOne(), logout.Outcome{State: logout.Delivered})
		}
		w.Pass(logout.NotificationRetention + time.Minute)
		for range many + 1 {
			if !w.SweepOnce(logout.Sweep{Limit: 2}).PurgeLeft {
				break
			}
		}
		w.Same(w.Notifications(logout.NotificationFilter{}), []logout.Notification{},
			"notifications after their retention")
		w.Same(*w.SweepOnce(logout.Sweep{Limit: 2}), logout.SweepResult{}, "the answer after all were purged")
	}},
	{Name: "a pending notification is not purged", Run: func(w *world.World) {
		s := w.SignIn("ann")
		w.Uses(s, "mail")
		w.End(logout.Ending{SessionID: s.SessionID})
		w.Pass(23 * time.Hour)
		w.Sweep(logout.Sweep{})
		w.ClaimOne()
	}},
	{Name: "a retried notification is kept for its retention again", Run: func(w *world.World) {
		s := w.SignIn("ann")
		w.Uses(s, "mail")
		w.Pass(time.Minute)
		w.End(logout.Ending{SessionID: s.SessionID})
		d := w.ClaimOne()
		w.Settle(d, logout.Outcome{State: logout.Refused})
		w.Pass(logout.NotificationRetention - time.Minute)
		w.Retry(d.ID)
		w.Settle(w.ClaimOne(), logout.Outcome{State: logout.Delivered})
		w.Pass(time.Hour)
		w.Sweep(logout.Sweep{})
		w.Same(w.Notification(s, "mail").State, logout.Delivered, "the state of the notification")
	}},
	{Name: "the record of an ended session is kept for at least a day", Run: func(w *world.World) {
		s := w.SignIn("ann")
		w.End(logout.Ending{SessionID: s.SessionID})
		w.Pass(24*time.Hour - time.Second)
		w.Sweep(logout.Sweep{})
		w.Fails(w.Tickets.Create(w.Ctx(), w.Session("ann", world.SID(s.SessionID))),
			"Create with the sid of an ended session", ticketstore.ErrExists)
	}},
	{Name: "a sid can be reused when the record of its session is purged", Run: func(w *world.World) {
		s := w.SignIn("ann")
		w.Stored(w.Refresh(s, "mail"))
		w.End(logout.Ending{SessionID: s.SessionID})
		w.Fails(w.Tickets.Create(w.Ctx(), s), "Create with the sid of an ended session",
			ticketstore.ErrExists)
		w.Pass(60 * 24 * time.Hour)
		w.Sweep(logout.Sweep{})
		w.PurgeGrants()
		w.Sweep(logout.Sweep{})
		again := w.Session("ann", world.SID(s.SessionID))
		w.OK(w.Tickets.Create(w.Ctx(), again), "Create with the sid of a purged session")
		w.Same(w.LiveGrants(grantstore.Filter{}), []grantstore.Grant{}, "live grants")
	}},
}
