package endings

// Rule 3: repeated endings.

import (
	"fmt"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/plugin/storetest/world"
	"github.com/fosite-sessions/sessions/ticketstore"
)

var repeatCases = []world.Case{
	{Name: "a repeated ending gets the same answer and queues nothing twice", Run: func(w *world.World) {
		for _, ending := range []logout.Ending{
			{SubjectID: "ann"}, {SubjectID: "ann", ClientIDs: []string{"mail"}},
			{SubjectID: "ann", KeepSession: true},
		} {
			l := liveLife(w, "ann")
			ending.OperationID = w.Op()
			first := w.End(ending)
			notified := w.Notified(l.session)
			w.Pass(grantstore.OperationRetention - time.Second)
			w.Same(w.End(ending), first, "the answer to the repeated ending")
			w.Same(w.Notified(l.session), notified, "clients notified")
			w.End(logout.Ending{SubjectID: "ann"})
		}
	}},
	{Name: "a repeated ending by sid gets the same answer", Run: func(w *world.World) {
		l := liveLife(w, "ann")
		ending := logout.Ending{OperationID: w.Op(), SessionID: l.session.SessionID}
		w.Same(w.End(ending), whole, "the answer")
		w.Same(w.End(ending), whole, "the answer to the repeated ending")
		l.ended(w)
	}},
	{Name: "a repeated ending keeps what was stored since", Run: func(w *world.World) {
		old := liveLife(w, "ann")
		ending := logout.Ending{OperationID: w.Op(), SubjectID: "ann"}
		first := w.End(ending)
		fresh := liveLife(w, "ann")
		w.Same(w.End(ending), first, "the answer to the repeated ending")
		old.ended(w)
		fresh.untouched(w)
	}},
	{Name: "an empty answer is repeated too", Run: func(w *world.World) {
		ending := logout.Ending{OperationID: w.Op(), SubjectID: "ann"}
		w.Same(w.End(ending), logout.Result{}, "the answer without a match")
		l := liveLife(w, "ann")
		w.Same(w.End(ending), logout.Result{}, "the answer to the repeated ending")
		l.untouched(w)
	}},
	{Name: "an ending by sid that finds nothing to end writes nothing", Run: func(w *world.World) {
		s, live := w.SignIn("ann"), w.SignIn("ann", func(s *ticketstore.Session) { s.Expires = s.EndsAt })
		w.End(logout.Ending{SessionID: s.SessionID})
		purged := func() int {
			w.Pass(6 * grantstore.OperationRetention)
			return w.PurgeGrants()
		}
		w.Same(purged() > 0, true, "the answer to an ending is purged")
		for _, ending := range []logout.Ending{
			{SessionID: s.SessionID}, {SessionID: "never was"},
			{SessionID: s.SessionID, KeepOffline: true, Reason: logout.SessionExpiration},
			{SessionID: live.SessionID, Reason: logout.SessionExpiration},
		} {
			w.Same(w.End(ending), logout.Result{}, "the answer")
			w.Same(purged(), 0, "rows left by the ending of "+ending.SessionID)
		}
	}},
	{Name: "concurrent repeats of one ending get one answer", Run: func(w *world.World) {
		for i, selecting := range []logout.Ending{{SubjectID: "ann 0"}, {SessionID: "-"}} {
			l := liveLife(w, fmt.Sprint("ann ", i))
			ending := selecting
			ending.OperationID = w.Op()
			if ending.SessionID != "" {
				ending.SessionID = l.session.SessionID
			}
			for _, err := range world.Race(8, func(int) error {
				result, err := w.TryEnd(ending)
				if err == nil && !cmp.Equal(*result, whole, cmpopts.EquateEmpty()) {
					err = fmt.Errorf("the answer is %+v, want %+v", *result, whole)
				}
				return err
			}) {
				w.OK(err, "End")
			}
			l.ended(w)
		}
	}},
}
