package grants

// Rule 3: a batch applies as a whole or not at all.

import (
	"time"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/plugin/storetest/world"
	"github.com/fosite-sessions/sessions/ticketstore"
)

var batchCases = []world.Case{
	{Name: "delete ignores a missing grant", Run: func(w *world.World) {
		a, b := w.Stored(w.Access(nil, "mail")), w.Stored(w.Access(nil, "mail"))
		result := w.Apply(grantstore.Batch{Delete: []grantstore.Ref{a.Ref, w.Access(nil, "mail").Ref}})
		w.Same(result.Revoked, 1, "Revoked")
		w.Missing(a)
		w.Live(b)
		result = w.Apply(grantstore.Batch{Delete: []grantstore.Ref{a.Ref}})
		w.Same(result.Revoked, 0, "Revoked the second time")
	}},
	{Name: "delete does not count grants that were no longer live", Run: func(w *world.World) {
		expired, used := w.Stored(w.Access(nil, "mail", world.Lasting(time.Minute))),
			w.Stored(w.Refresh(nil, "mail"))
		w.Consume(used)
		w.Pass(time.Minute)
		result := w.Apply(grantstore.Batch{Delete: []grantstore.Ref{expired.Ref, used.Ref}})
		w.Same(result.Revoked, 0, "Revoked")
		w.Missing(expired, used)
	}},
	{Name: "delete counts tokens and consents", Run: func(w *world.World) {
		token, consent := w.Stored(w.Access(nil, "mail")), w.Stored(w.Consent("ann", "mail"))
		result := w.Apply(grantstore.Batch{Delete: []grantstore.Ref{token.Ref, consent.Ref}})
		w.Same(result.Revoked, 2, "Revoked")
	}},
	{Name: "revoke removes the live tokens of a family", Run: func(w *world.World) {
		s := w.SignIn("ann")
		family := world.Family("the family")
		code, access, refresh := w.Stored(w.Code(s, "mail", family)), w.Stored(w.Access(s, "mail", family)),
			w.Stored(w.Refresh(s, "mail", family))
		expired := w.Stored(w.Access(s, "mail", family, world.Lasting(time.Minute)))
		other := w.Stored(w.Access(s, "mail", world.Family("a different family")))
		alone := w.Stored(w.Access(s, "mail", world.Family("")))
		w.Pass(time.Minute)
		result := w.Apply(grantstore.Batch{Revoke: []grantstore.Revocation{{RequestID: "the family"}}})
		w.Same(result.Revoked, 3, "Revoked")
		w.Missing(code, access, refresh, expired)
		w.Live(other, alone)
		result = w.Apply(grantstore.Batch{
			Revoke: []grantstore.Revocation{{RequestID: "the family"}, {RequestID: "nobody's"}},
		})
		w.Same(result.Revoked, 0, "Revoked the second time")
	}},
	{Name: "revoke removes only the named types", Run: func(w *world.World) {
		s := w.SignIn("ann")
		family := world.Family("f")
		access, refresh := w.Stored(w.Access(s, "mail", family)), w.Stored(w.Refresh(s, "mail", family))
		only := grantstore.Revocation{RequestID: "f", Types: []grantstore.Type{grantstore.ReferenceToken}}
		w.Same(w.Apply(grantstore.Batch{Revoke: []grantstore.Revocation{only}}).Revoked, 1, "Revoked")
		w.Missing(access)
		w.Live(refresh)
	}},
	{Name: "a batch deletes and revokes before it stores", Run: func(w *world.World) {
		old := w.Stored(w.Access(nil, "mail", world.Family("f")))
		fresh := old
		fresh.Description = "the new grant under the same key"
		sibling := w.Access(nil, "mail", world.Family("f"))
		result := w.Apply(grantstore.Batch{
			Delete: []grantstore.Ref{old.Ref}, Revoke: []grantstore.Revocation{{RequestID: "f"}},
			Store: []grantstore.Grant{fresh, sibling},
		})
		w.Same(result.Revoked, 1, "Revoked: a deleted grant of a revoked family counts once")
		found, err := w.GrantErr(old)
		w.OK(err, "Get the grant stored under the deleted one's key")
		w.Same(found.Grant, fresh, "the grant stored under the deleted one's key")
		w.Live(sibling)
	}},
	{Name: "a key taken by a live grant is refused", Run: func(w *world.World) {
		for _, kind := range grantstore.Types {
			g := w.Stored(w.Grant(kind, nil, "mail", world.Lasting(time.Minute)))
			again := g
			again.Description = "another"
			_, err := w.TryApply(grantstore.Batch{Store: []grantstore.Grant{again}})
			w.Fails(err, "Apply with a taken key of type "+string(kind), ticketstore.ErrExists)
			found, err := w.GrantErr(g)
			w.OK(err, "Get the grant that has the key")
			w.Same(found.Grant, g, "the grant that has the key")
		}
	}},
	{Name: "a key is free again when its grant has expired", Run: func(w *world.World) {
		for _, kind := range grantstore.Types {
			first := w.Stored(w.Grant(kind, nil, "mail", world.Lasting(time.Minute)))
			w.Pass(time.Minute)
			again := first
			again.Created, again.Expires = w.Now, w.Now.Add(time.Minute)
			w.Stored(again)
			found, err := w.GrantErr(again)
			w.OK(err, "Get the second grant with that key")
			w.Same(found.Grant, again, "the second grant with that key")
			if kind.IsToken() {
				w.Same(descriptions(w.LiveGrants(grantstore.Filter{Type: kind})), []string{again.Description},
					"live grants of its type")
			}
			w.Pass(time.Minute)
			w.Missing(again)
		}
	}},
	{Name: "a batch whose use fails writes nothing", Run: func(w *world.World) {
		failsWhole(w, grantstore.ErrSessionEnded,
			func(batch *grantstore.Batch) { batch.Use.SessionID = "nobody's" })
	}},
	{Name: "a batch that consumes a used token writes nothing", Run: func(w *world.World) {
		used := w.Stored(w.Refresh(nil, "mail"))
		w.Consume(used)
		failsWhole(w, grantstore.ErrConsumed, func(batch *grantstore.Batch) { batch.Consume.Ref = used.Ref })
	}},
	{Name: "a batch that consumes a missing token writes nothing", Run: func(w *world.World) {
		failsWhole(w, ticketstore.ErrNotFound,
			func(batch *grantstore.Batch) { batch.Consume.Key = ticketstore.KeyOf("nobody's") })
	}},
	{Name: "a batch that stores under a taken key writes nothing", Run: func(w *world.World) {
		taken := w.Stored(w.Access(nil, "mail"))
		failsWhole(w, ticketstore.ErrExists,
			func(batch *grantstore.Batch) { batch.Store = append(batch.Store, taken) })
	}},
	{Name: "a batch that stores for an ended session writes nothing", Run: func(w *world.World) {
		over := w.SignIn("bob", world.Idle(time.Minute))
		w.Pass(time.Minute)
		failsWhole(w, grantstore.ErrSessionEnded, func(batch *grantstore.Batch) {
			batch.Consume = nil
			batch.Store = append(batch.Store, w.Access(over, "mail"))
		})
	}},
	{Name: "a batch whose precondition fails writes nothing", Run: func(w *world.World) {
		gone, expired := w.Stored(w.Consent("ann", "mail")), w.Consent("ann", "wiki")
		expired.Expires = w.Now.Add(time.Minute)
		expired = w.Stored(expired)
		used := w.Stored(w.Refresh(nil, "mail"))
		changed := w.Stored(w.Consent("ann", "chat"))
		seen := []grantstore.Precondition{
			grantstore.PreconditionOf(&gone), grantstore.PreconditionOf(&expired),
			grantstore.PreconditionOf(&used), grantstore.PreconditionOf(&changed),
			{Ref: grantstore.Ref{Type: grantstore.UserConsent, Key: ticketstore.KeyOf("nobody's")}},
		}
		other := changed
		other.Data = []byte("other data")
		w.Apply(grantstore.Batch{
			Delete: []grantstore.Ref{gone.Ref, changed.Ref}, Store: []grantstore.Grant{other},
		})
		w.Consume(used)
		w.Pass(time.Minute)
		still := w.Stored(w.Consent("ann", "news"))
		for _, one := range seen {
			failsWhole(w, ticketstore.ErrConflict, func(batch *grantstore.Batch) {
				batch.Seen = []grantstore.Precondition{grantstore.PreconditionOf(&still), one}
			})
		}
	}},
	{Name: "a batch whose preconditions hold is applied", Run: func(w *world.World) {
		old := w.Stored(w.Consent("ann", "mail"))
		fresh := old
		fresh.Data = []byte("fresh data")
		replace := grantstore.Batch{
			OperationID: w.Op(), Seen: []grantstore.Precondition{grantstore.PreconditionOf(&old)},
			Delete: []grantstore.Ref{old.Ref}, Store: []grantstore.Grant{fresh},
		}
		w.Apply(replace)
		w.Apply(replace) // its answer was lost: the repeated batch is not refused because of its own change
		found, err := w.GrantErr(fresh)
		w.OK(err, "Get the grant stored again")
		w.Same(found.Grant, fresh, "the grant stored again")
		w.Same(w.Apply(grantstore.Batch{
			Seen: []grantstore.Precondition{grantstore.PreconditionOf(&fresh)},
		}).Revoked, 0, "Revoked by a batch without changes")
	}},
	{Name: "an invalid batch writes nothing", Run: func(w *world.World) {
		failsWhole(w, ticketstore.ErrInvalid,
			func(batch *grantstore.Batch) { batch.Store[1].ClientID = "a\x00b" })
	}},
	{Name: "a failed batch may be retried under its id", Run: func(w *world.World) {
		s := w.SignIn("ann")
		taken := w.Stored(w.Access(s, "mail"))
		batch := grantstore.Batch{OperationID: w.Op(), Store: []grantstore.Grant{taken}}
		w.Fails(world.Err(w.TryApply(batch)), "Apply with a taken key", ticketstore.ErrExists)
		w.Apply(grantstore.Batch{Delete: []grantstore.Ref{taken.Ref}})
		w.Apply(batch)
		w.Live(taken)
	}},
}

// failsWhole applies a batch with a change of every kind, one of which fails, and checks that nothing
// changed.
func failsWhole(w *world.World, target error, spoil func(batch *grantstore.Batch)) {
	w.Helper()
	s := w.SignIn("ann")
	consumed, deleted := w.Stored(w.Refresh(s, "mail")), w.Stored(w.Access(s, "mail"))
	revoked := w.Stored(w.Access(s, "mail", world.Family("revoked")))
	sibling := w.Stored(w.Access(s, "mail", world.Family(consumed.RequestID)))
	stored := []grantstore.Grant{w.Access(s, "mail"), w.Refresh(s, "mail")}
	batch := grantstore.Batch{
		Use:     &grantstore.Use{SessionID: s.SessionID, ClientID: "chat"},
		Consume: &grantstore.Consumption{Ref: consumed.Ref},
		Delete:  []grantstore.Ref{deleted.Ref}, Revoke: []grantstore.Revocation{{RequestID: "revoked"}},
		Store: stored,
	}
	clients := w.Find(s).Clients
	spoil(&batch)
	w.Fails(world.Err(w.TryApply(batch)), "Apply", target)
	w.Live(consumed, deleted, revoked, sibling)
	w.Missing(stored[:2]...)
	w.Same(w.Find(s).Clients, clients, "clients of the session after the batch failed")
}
