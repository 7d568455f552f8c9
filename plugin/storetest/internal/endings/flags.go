package endings

// Rule 6: the flags of an ending.

import (
	"fmt"

	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/plugin/storetest/world"
)

var flagCases = []world.Case{
	{Name: "each combination of flags has its effect, by sid", Run: func(w *world.World) {
		everyCombination(w, func(l life) logout.Ending {
			return logout.Ending{SessionID: l.session.SessionID}
		})
	}},
	{Name: "each combination of flags has its effect, by subject", Run: func(w *world.World) {
		everyCombination(w, func(l life) logout.Ending {
			return logout.Ending{SubjectID: l.session.SubjectID}
		})
	}},
	{Name: "a dry run counts narrowed endings too", Run: func(w *world.World) {
		for i, ending := range []logout.Ending{
			{ClientIDs: []string{"mail"}}, {ClientIDs: []string{"tv", "wiki"}, KeepSession: true},
			{ClientIDs: []string{"tv"}, KeepTokens: true},
			{KeepOffline: true}, {ClientIDs: []string{"nobody"}},
		} {
			l := liveLife(w, fmt.Sprint("ann ", i))
			ending.SubjectID = l.session.SubjectID
			dry := ending
			dry.DryRun = true
			planned := w.End(dry)
			l.untouched(w)
			w.Same(w.End(ending), planned, fmt.Sprintf("the answer to %+v after its dry run", ending))
		}
	}},
	{Name: "a dry run of nothing counts nothing", Run: func(w *world.World) {
		w.Same(w.End(logout.Ending{SubjectID: "nobody", DryRun: true}), logout.Result{}, "the answer")
		w.Same(w.Notifications(logout.NotificationFilter{}), []logout.Notification{}, "notifications")
	}},
	{Name: "a dry run raises no version and no token number", Run: func(w *world.World) {
		l := liveLife(w, "ann")
		before := w.Find(l.session)
		w.End(logout.Ending{SubjectID: "ann", KeepSession: true, ClientIDs: []string{"mail"}, DryRun: true})
		w.Same(w.Find(l.session), before, "the session and its clients")
	}},
}

// everyCombination tries all sixteen combinations of the four flags, each on its own session and after a dry
// run. A second session must stay unchanged.
func everyCombination(w *world.World, selecting func(l life) logout.Ending) {
	w.Helper()
	onlooker := liveLife(w, "onlooker")
	for bits := range 16 {
		l := liveLife(w, fmt.Sprintf("subject %02d", bits))
		ending := selecting(l)
		ending.KeepSession, ending.KeepTokens = bits&1 != 0, bits&2 != 0
		ending.KeepConsents, ending.SkipNotification = bits&4 != 0, bits&8 != 0
		what := fmt.Sprintf("with KeepSession %v, KeepTokens %v, KeepConsents %v, SkipNotification %v",
			ending.KeepSession, ending.KeepTokens, ending.KeepConsents, ending.SkipNotification)
		w.Log(what)

		want := whole
		if ending.KeepSession {
			want.SessionsRemoved = 0
		}
		if ending.KeepTokens {
			want.GrantsRevoked = 0
		}
		if ending.KeepConsents {
			want.ConsentsRevoked = 0
		}
		if ending.SkipNotification {
			want.NotificationsQueued = 0
		}
		dry := ending
		dry.DryRun = true
		w.Same(w.End(dry), want, "the answer to a dry run "+what)
		l.untouched(w)
		w.Same(w.End(ending), want, "the answer "+what)
		l.isAfter(w, ending)
	}
	onlooker.untouched(w)
}

// isAfter checks what remains of a life after an ending of all its clients.
func (l life) isAfter(w *world.World, ending logout.Ending) {
	w.Helper()
	if ending.KeepSession {
		w.SessionLives(l.session)
	} else {
		w.SessionGone(l.session)
	}
	if ending.KeepTokens {
		w.Live(l.allTokens()...)
	} else {
		w.Dead(l.allTokens()...)
	}
	if ending.KeepConsents {
		w.Live(l.allConsents()...)
	} else {
		w.Missing(l.allConsents()...)
	}
	if ending.SkipNotification {
		w.Same(w.Notified(l.session), []string{}, "clients notified")
	} else {
		w.Same(w.Notified(l.session), []string{"mail", "wiki"}, "clients notified")
	}
}
