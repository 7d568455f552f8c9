package kills

// Kills by changes of access tokens.

import (
	"time"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/plugin/storetest/world"
)

var tokenCases = []world.Case{
	{Name: "a refresh kills the access token", Run: func(w *world.World) {
		h, s := watching(w), w.SignIn("ann")
		access, refresh := w.Access(s, "mail", world.Family("f")), w.Refresh(s, "mail", world.Family("f"))
		w.Apply(grantstore.Batch{Store: []grantstore.Grant{access, refresh}})
		other := token(w, s, "mail")
		next := w.Access(s, "mail", world.Family("f"))
		k := h.during(func() { w.Consume(refresh, next, w.Refresh(s, "mail", world.Family("f"))) })
		k.names(access)
		k.spares(next, other)
		w.Live(next, other)
	}},
	{Name: "the reuse of a code kills its family, although its batch fails", Run: func(w *world.World) {
		h, s := watching(w), w.SignIn("ann")
		code := w.Stored(w.Code(s, "mail", world.Family("f")))
		access := w.Access(s, "mail", world.Family("f"))
		w.Consume(code, access, w.Refresh(s, "mail", world.Family("f")))
		other := token(w, s, "mail")
		k := h.during(func() { w.CannotConsume(code, grantstore.ErrConsumed) })
		k.names(access)
		k.spares(other)
	}},
	{Name: "a token or a family revoked", Run: func(w *world.World) {
		h := watching(w)
		one, other := token(w, nil, "mail"), token(w, nil, "mail")
		family := []grantstore.Grant{
			token(w, nil, "mail", world.Family("f")), token(w, nil, "mail", world.Family("f")),
		}
		k := h.during(func() { w.Apply(grantstore.Batch{Delete: []grantstore.Ref{one.Ref}}) })
		k.names(one)
		k.spares(other, family[0])
		k = h.during(func() {
			w.Apply(grantstore.Batch{Revoke: []grantstore.Revocation{{RequestID: "f"}}})
		})
		k.names(family...)
		k.spares(other)
	}},
	{Name: "tokens removed by a filter", Run: func(w *world.World) {
		h := watching(w)
		tokens := []grantstore.Grant{
			token(w, nil, "mail", world.Of("ann")), token(w, nil, "wiki", world.Of("ann")),
		}
		other := token(w, nil, "mail", world.Of("bob"))
		k := h.during(func() { w.Remove(grantstore.Filter{SubjectID: "ann"}) })
		k.names(tokens...)
		k.spares(other)
	}},
	{Name: "tokens purged", Run: func(w *world.World) {
		h := watching(w)
		gone := token(w, nil, "mail", world.Lasting(time.Minute))
		other := token(w, nil, "mail", world.Lasting(time.Hour))
		w.Pass(time.Minute)
		k := h.during(func() { w.PurgeGrants() })
		k.names(gone)
		k.spares(other)
	}},
	{Name: "a token stored under the key of an expired one", Run: func(w *world.World) {
		h := watching(w)
		old := token(w, nil, "mail", world.Lasting(time.Minute))
		w.Pass(time.Minute)
		again := w.Access(nil, "mail")
		again.Ref = old.Ref
		h.during(func() { w.Stored(again) }).names(old)
	}},
	{Name: "a failed batch kills nothing", Run: func(w *world.World) {
		h := watching(w)
		one := token(w, nil, "mail")
		h.during(func() {
			_, err := w.TryApply(grantstore.Batch{
				Delete: []grantstore.Ref{one.Ref},
				Store:  []grantstore.Grant{w.Access(&goneSession, "mail")},
			})
			w.Fails(err, "a token of a missing session", grantstore.ErrSessionEnded)
			w.Live(one)
		}).spares(one)
	}},
	{Name: "changes that only add kill nothing", Run: func(w *world.World) {
		h := watching(w)
		before := w.Kills.Position()
		s := w.SignIn("ann")
		w.Uses(s, "mail")
		code := w.Stored(w.Code(s, "mail", world.Family("f")))
		access := w.Access(s, "mail", world.Family("f"))
		w.Consume(code, access, w.Refresh(s, "mail", world.Family("f")))
		w.Uses(s, "mail")
		for _, kill := range h.through(h.began, w.Kills.Position()) {
			if kill.Position > before {
				w.Fatalf("a kill of %v %v: want none", kill.Sessions, kill.Grants)
			}
		}
	}},
}
