package grants

// The session times in the answer to a batch, which allow the host to cache the stored tokens.

import (
	"time"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/plugin/storetest/world"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// told checks that the times in the answer, which are optional, are those of s.
func told(w *world.World, result *grantstore.Result, s *ticketstore.Session) {
	w.Helper()
	if result.Session != nil {
		w.Same(*result.Session, grantstore.SessionTimes{
			Renewed: s.Renewed, Expires: s.Expires, EndsAt: s.EndsAt,
		}, "the times of the session")
	}
}

func untold(w *world.World, result *grantstore.Result, of string) {
	w.Helper()
	if result.Session != nil {
		w.Errorf("%s: got %+v, want no session times", of, *result.Session)
	}
}

var toldCases = []world.Case{
	{Name: "if the answer has times, the grants are read as they were stored", Run: func(w *world.World) {
		s := w.SignIn("ann")
		access, refresh := w.Access(s, "mail"), w.Refresh(s, "mail")
		read := func(batch grantstore.Batch) {
			told(w, w.Apply(batch), s)
			for _, g := range batch.Store {
				found, err := w.GrantErr(g)
				w.OK(err, "Get")
				w.Same(found.Grant, g, "the grant")
				told(w, &grantstore.Result{Session: found.Session}, s)
			}
		}
		read(grantstore.Batch{Store: []grantstore.Grant{access, refresh}})
		w.Pass(time.Minute)
		read(grantstore.Batch{
			Consume: &grantstore.Consumption{Ref: refresh.Ref},
			Store:   []grantstore.Grant{w.Refresh(s, "mail", world.Family(refresh.RequestID))},
		})
	}},
	{Name: "the answer has no times if grants were stored modified", Run: func(w *world.World) {
		s, other := w.SignIn("ann"), w.SignIn("ann")
		refresh := w.Stored(w.Refresh(s, "mail"))
		batch := grantstore.Batch{
			OperationID: w.Op(), Consume: &grantstore.Consumption{Ref: refresh.Ref},
			Store: []grantstore.Grant{w.Refresh(s, "mail")}, // of a different family
		}
		untold(w, w.Apply(batch), "a grant that takes its family from a consumed grant")
		untold(w, w.Apply(grantstore.Batch{
			Store: []grantstore.Grant{w.Access(s, "mail"), w.Access(other, "mail")},
		}), "grants of two sessions")
		untold(w, w.Apply(grantstore.Batch{
			Store: []grantstore.Grant{w.Access(s, "mail"), w.Access(nil, "mail")},
		}), "a grant without session")
		untold(w, w.Apply(grantstore.Batch{
			Use: &grantstore.Use{SessionID: s.SessionID, ClientID: "mail"},
		}), "a batch that stores nothing")
	}},
	{Name: "slid and ended sessions and repeated batches have no times", Run: func(w *world.World) {
		s := w.SignIn("ann")
		w.Pass(10 * time.Minute)
		slid := w.Apply(grantstore.Batch{
			Store: []grantstore.Grant{w.Access(s, "mail")},
			Slide: &grantstore.Slide{
				SessionID: s.SessionID, Expires: w.Now.Add(time.Hour), RenewedBefore: w.Now,
			},
		})
		w.Same(slid.Slid, true, "whether it slid")
		untold(w, slid, "a session that slid")
		batch := grantstore.Batch{OperationID: w.Op(), Store: []grantstore.Grant{w.Access(s, "mail")}}
		w.Apply(batch)
		untold(w, w.Apply(batch), "a repeated batch")
		refresh := w.Stored(w.Refresh(s, "mail", world.Offline))
		w.End(logout.Ending{SessionID: s.SessionID, KeepOffline: true})
		next := w.Refresh(s, "mail", world.Offline, world.Family(refresh.RequestID))
		untold(w, w.Apply(grantstore.Batch{
			Consume: &grantstore.Consumption{Ref: refresh.Ref}, Store: []grantstore.Grant{next},
		}), "a session with survivors")
	}},
}
