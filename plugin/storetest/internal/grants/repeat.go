package grants

// Rule 3: repeated batches.

import (
	"fmt"
	"time"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/plugin/storetest/world"
)

var repeatCases = []world.Case{
	{Name: "a repeated batch gets the same answer and applies nothing twice", Run: func(w *world.World) {
		s := w.SignIn("ann")
		a := authorize(w, s)
		gone := w.Stored(w.Access(s, "mail"))
		access, refresh := w.Access(nil, ""), w.Refresh(nil, "")
		batch := grantstore.Batch{
			OperationID: w.Op(), Use: &grantstore.Use{SessionID: s.SessionID, ClientID: "wiki"},
			Consume: &grantstore.Consumption{Ref: a.code.Ref},
			Delete:  []grantstore.Ref{gone.Ref}, Store: []grantstore.Grant{access, refresh},
		}
		first := w.Apply(batch)
		w.Same(first.Revoked, 1, "Revoked")
		client := w.Client(s, "wiki")
		w.Pass(grantstore.OperationRetention - time.Second)
		w.Same(w.Apply(batch), first, "the answer to the repeated batch")
		w.Live(access, refresh)
		w.Used(a.code)
		w.Same(w.Client(s, "wiki"), client, "the client's use after the repeated batch")
	}},
	{Name: "a repeated batch does not restore grants removed since", Run: func(w *world.World) {
		s := w.SignIn("ann")
		g := w.Access(s, "mail")
		batch := grantstore.Batch{OperationID: w.Op(), Store: []grantstore.Grant{g}}
		w.Apply(batch)
		w.Apply(grantstore.Batch{Delete: []grantstore.Ref{g.Ref}})
		w.Apply(batch)
		w.Missing(g)
	}},
	{Name: "the answer is the same after the session ended", Run: func(w *world.World) {
		s := w.SignIn("ann")
		g := w.Refresh(s, "mail")
		batch := grantstore.Batch{
			OperationID: w.Op(), Use: &grantstore.Use{SessionID: s.SessionID, ClientID: "mail", Notify: true},
			Store: []grantstore.Grant{g},
		}
		first := w.Apply(batch)
		w.End(logout.Ending{SessionID: s.SessionID})
		first.Session = nil // its times were those of the first call
		w.Same(w.Apply(batch), first, "the answer to the repeated batch")
		w.Dead(g)
		w.SessionGone(s)
		w.Same(w.Notified(s), []string{"mail"}, "clients notified")
	}},
	{Name: "an operation id determines the answer, whatever the batch", Run: func(w *world.World) {
		g := w.Access(nil, "mail")
		batch := grantstore.Batch{OperationID: w.Op(), Store: []grantstore.Grant{w.Access(nil, "mail")}}
		first := w.Apply(batch)
		batch.Store = []grantstore.Grant{g}
		w.Same(w.Apply(batch), first, "the answer to a different batch with the same id")
		w.Missing(g)
	}},
	{Name: "concurrent repeats of one batch get one answer", Run: func(w *world.World) {
		s := w.SignIn("ann")
		old, gone := w.Stored(w.Refresh(s, "mail")), w.Stored(w.Access(s, "mail"))
		access, refresh := w.Access(nil, ""), w.Refresh(nil, "")
		batch := grantstore.Batch{
			OperationID: w.Op(), Consume: &grantstore.Consumption{Ref: old.Ref},
			Delete: []grantstore.Ref{gone.Ref},
			Store:  []grantstore.Grant{access, refresh},
		}
		for i, err := range world.Race(16, func(int) error {
			result, err := w.TryApply(batch)
			if err == nil && result.Revoked != 1 {
				err = fmt.Errorf("result counts %d revoked, want 1", result.Revoked)
			}
			return err
		}) {
			w.OK(err, fmt.Sprintf("repeat %d of one batch", i))
		}
		w.Used(old)
		w.Live(access, refresh)
		w.Same(len(w.LiveGrants(grantstore.Filter{})), 2, "number of live grants")
	}},
	{Name: "answers are purged after their retention, not before", Run: func(w *world.World) {
		g := w.Access(nil, "mail", world.Forever)
		batch := grantstore.Batch{OperationID: w.Op(), Store: []grantstore.Grant{g}}
		first := w.Apply(batch)
		w.Pass(grantstore.OperationRetention - time.Second)
		w.Same(w.PurgeGrants(), 0, "records purged before the retention ends")
		w.Same(w.Apply(batch), first, "the answer to the repeated batch")
		w.Pass(2 * time.Second)
		n := w.PurgeGrants()
		w.Pass(grantstore.OperationRetention) // a store may purge many at once
		if n += w.PurgeGrants(); n < 1 {
			w.Fatalf("%d records were purged, want the answer purged", n)
		}
		w.Live(g)
	}},
}
