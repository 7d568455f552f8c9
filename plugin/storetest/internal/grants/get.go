package grants

// Rule 2: reading grants.

import (
	"context"
	"errors"
	"time"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/plugin/storetest/world"
	"github.com/fosite-sessions/sessions/ticketstore"
)

var getCases = []world.Case{
	{Name: "a grant of each type is read with every field", Run: func(w *world.World) {
		s := w.SignIn("ann")
		for _, kind := range grantstore.Types {
			g := w.Stored(w.Grant(kind, s, "mail", world.Offline))
			found, err := w.GrantErr(g)
			w.OK(err, "Get the "+string(kind))
			w.Same(found.Grant, g, "the "+string(kind))
		}
	}},
	{Name: "a grant with only the required fields is read unchanged", Run: func(w *world.World) {
		for _, kind := range grantstore.Types {
			g := grantstore.Grant{
				Ref: grantstore.Ref{Type: kind, Key: ticketstore.KeyOf("h" + string(kind))}, Created: w.Now,
			}
			w.Stored(g)
			found, err := w.GrantErr(g)
			w.OK(err, "Get the "+string(kind))
			w.Same(found.Grant, g, "the "+string(kind))
			if !found.Grant.Expires.IsZero() || !found.Grant.Consumed.IsZero() {
				w.Fatalf("the %s expires %v and was used %v, want zero times", kind, found.Grant.Expires,
					found.Grant.Consumed)
			}
		}
	}},
	{Name: "data at its limit is kept whole", Run: func(w *world.World) {
		g := w.Refresh(nil, "mail")
		g.Data = make([]byte, grantstore.MaxData)
		for i := range g.Data {
			g.Data[i] = byte(i * 7)
		}
		w.Stored(g)
		found, err := w.GrantErr(g)
		w.OK(err, "Get")
		w.Same(found.Grant, g, "the grant")
	}},
	{Name: "times are returned in UTC", Run: func(w *world.World) {
		g := w.Refresh(nil, "mail")
		zone := time.FixedZone("east", 5*3600)
		g.Created, g.Expires = g.Created.In(zone), g.Expires.In(zone)
		w.Stored(g)
		w.Pass(time.Minute)
		w.Consume(g)
		found, err := w.GrantErr(g)
		w.Fails(err, "Get the used grant", grantstore.ErrConsumed)
		w.At(found.Grant.Created, g.Created, "Created")
		w.At(found.Grant.Expires, g.Expires, "Expires")
		w.At(found.Grant.Consumed, w.Now, "Consumed")
	}},
	{Name: "the store does not retain the caller's memory", Run: func(w *world.World) {
		g := w.Stored(w.Refresh(nil, "mail"))
		want, err := w.GrantErr(g)
		w.OK(err, "Get")
		g.Data[0] = 'X'
		got, err := w.GrantErr(g)
		w.OK(err, "Get after the caller changed its own")
		w.Same(got, want, "the grant after the caller changed its own")
	}},
	{Name: "a grant is not found under a different type or key", Run: func(w *world.World) {
		g := w.Stored(w.Refresh(nil, "mail"))
		other := g
		other.Type = grantstore.ReferenceToken
		w.Missing(other, w.Refresh(nil, "mail"))
		w.Live(g)
	}},
	{Name: "one key names a grant of each type", Run: func(w *world.World) {
		var grants []grantstore.Grant
		for _, kind := range grantstore.Types {
			g := w.Grant(kind, nil, "mail")
			g.Key = ticketstore.KeyOf("the same")
			grants = append(grants, w.Stored(g))
		}
		for _, g := range grants {
			found, err := w.GrantErr(g)
			w.OK(err, "Get the "+string(g.Type))
			w.Same(found.Grant, g, "the "+string(g.Type))
		}
	}},
	{Name: "a grant lives until its expiry and not at it", Run: func(w *world.World) {
		g, forever := w.Stored(w.Access(nil, "mail", world.Lasting(time.Hour))),
			w.Stored(w.Access(nil, "mail", world.Forever))
		w.Pass(time.Hour - time.Microsecond)
		w.Live(g)
		w.Pass(time.Microsecond)
		w.Missing(g)
		w.Pass(10 * 365 * 24 * time.Hour)
		w.Live(forever)
	}},
	{Name: "a used grant past its expiry is not found", Run: func(w *world.World) {
		g := w.Stored(w.Refresh(nil, "mail", world.Lasting(time.Hour)))
		w.Consume(g)
		w.Pass(time.Hour)
		w.Missing(g)
		w.CannotConsume(g, ticketstore.ErrNotFound)
	}},
	{Name: "a cancelled call never returns ErrNotFound", Run: func(w *world.World) {
		g := w.Stored(w.Refresh(nil, "mail"))
		ctx, cancel := context.WithCancel(w.Ctx())
		cancel()
		_, getErr := w.Grants.Get(ctx, g.Ref, w.Now)
		_, queryErr := w.Grants.Query(ctx, grantstore.Query{}, w.Now)
		batch := &grantstore.Batch{OperationID: w.Op(), Consume: &grantstore.Consumption{Ref: g.Ref}}
		_, applyErr := w.Grants.Apply(ctx, batch, w.Now)
		for call, err := range map[string]error{"Get": getErr, "Query": queryErr, "Apply": applyErr} {
			if err != nil && !errors.Is(err, context.Canceled) &&
				!errors.Is(err, ticketstore.ErrUnavailable) {
				w.Fatalf("%s with a cancelled context: got %v, want no error, Canceled or ErrUnavailable",
					call, err)
			}
		}
		w.Apply(*batch) // repeating it resolves the unknown outcome
		w.Used(g)
	}},
}
