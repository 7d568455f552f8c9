package endings

// The sessions that a result lists.

import (
	"slices"
	"time"

	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/plugin/storetest/world"
)

// listedCases check which sessions a result lists.
var listedCases = []world.Case{
	{Name: "an end lists the session that it ended and its subject", Run: func(w *world.World) {
		s, other := w.SignIn("ann"), w.SignIn("ann")
		result, err := w.Logout.End(w.Ctx(),
			&logout.Ending{OperationID: w.Op(), SessionID: s.SessionID, Reason: logout.UserLogout}, w.Now)
		w.OK(err, "End")
		w.Same(result.Ended, []logout.EndedSession{{SessionID: s.SessionID, SubjectID: "ann"}},
			"sessions listed")
		w.Same(w.EndListed(logout.Ending{SessionID: s.SessionID}), []string{},
			"sessions listed by a later end")
		w.Same(w.EndListed(logout.Ending{SessionID: other.SessionID, KeepSession: true}), []string{},
			"sessions listed if the session is kept")
	}},
	{Name: "the end of a subject lists all sessions, also in a dry run", Run: func(w *world.World) {
		want := []string{w.SignIn("ann").SessionID, w.SignIn("ann").SessionID, w.SignIn("ann").SessionID}
		slices.Sort(want)
		w.SignIn("bob")
		w.Same(w.EndListed(logout.Ending{SubjectID: "ann", DryRun: true}), want,
			"sessions listed by a dry run")
		w.Same(w.EndListed(logout.Ending{SubjectID: "ann"}), want, "sessions listed")
	}},
	{Name: "all sessions are counted, even if not all are listed", Run: func(w *world.World) {
		const sessions = logout.MaxEnded + 10
		w.Each(sessions, func(int) error { return w.Tickets.Create(w.Ctx(), w.Session("ann")) })
		result, err := w.Logout.End(w.Ctx(),
			&logout.Ending{OperationID: w.Op(), SubjectID: "ann", Reason: logout.Terminated}, w.Now)
		w.OK(err, "End")
		w.Same([]int{result.SessionsRemoved, len(result.Ended)}, []int{sessions, logout.MaxEnded},
			"sessions removed and listed")
	}},
	{Name: "a sweep lists the sessions that it ended", Run: func(w *world.World) {
		s := w.SignIn("ann")
		slid := w.SignIn("bob")
		w.Pass(30 * time.Minute)
		w.Renew(slid, time.Hour)
		w.Pass(30 * time.Minute)
		swept := w.SweepOnce(logout.Sweep{Limit: 10})
		w.Same(swept.Sessions, []logout.EndedSession{{SessionID: s.SessionID, SubjectID: "ann"}},
			"sessions listed")
	}},
}
