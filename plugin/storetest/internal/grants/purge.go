package grants

// Rule 3: how long used and expired grants are kept.

import (
	"time"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/plugin/storetest/world"
)

var purgeCases = []world.Case{
	{Name: "grants that are live or not yet due are never purged", Run: func(w *world.World) {
		s := w.SignIn("ann")
		tokens, used := everyToken(w, s)
		w.Same(w.PurgeGrants(), 0, "records purged")
		w.Live(tokens...)
		w.Used(used)
	}},
	{Name: "purging is bounded and complete", Run: func(w *world.World) {
		const rows = 60
		s := w.SignIn("ann", world.Absolute(0), world.Idle(1000*time.Hour))
		batch := grantstore.Batch{}
		for range rows {
			batch.Store = append(batch.Store, w.Access(s, "mail", world.Lasting(time.Hour)))
		}
		w.Apply(batch)
		live := w.Stored(w.Access(s, "mail", world.Lasting(100*time.Hour)))
		w.Pass(time.Hour)
		if total := w.PurgeGrantsBy(7); total < rows {
			w.Fatalf("%d records were purged, want the %d expired grants and more", total, rows)
		}
		w.Same(w.PurgeGrants(), 0, "records purged when nothing was left")
		w.Missing(batch.Store...)
		w.Live(live)
	}},
	{Name: "purging the records of simultaneous calls is bounded", Run: func(w *world.World) {
		batches := make([]grantstore.Batch, racers)
		for i := range batches {
			batches[i].Store = []grantstore.Grant{w.Access(nil, "mail", world.Lasting(time.Minute))}
		}
		for _, err := range world.Race(racers, func(i int) error {
			_, err := w.TryApply(batches[i])
			return err
		}) {
			w.OK(err, "Apply")
		}
		w.Pass(2 * grantstore.OperationRetention)
		if total := w.PurgeGrantsBy(7); total < racers {
			w.Fatalf("%d records were purged, want the %d expired grants and more", total, racers)
		}
		for _, batch := range batches {
			w.Missing(batch.Store...)
		}
	}},
	{Name: "a used grant is kept until its expiry", Run: func(w *world.World) {
		g := w.Stored(w.Refresh(nil, "mail", world.Lasting(100*24*time.Hour)))
		w.Consume(g)
		w.Pass(99 * 24 * time.Hour)
		w.PurgeGrants()
		w.Used(g)
		w.CannotConsume(g, grantstore.ErrConsumed)
		w.Pass(24 * time.Hour)
		w.PurgeGrants()
		w.Missing(g)
	}},
	{Name: "a used grant without expiry is kept for a while", Run: func(w *world.World) {
		g := w.Stored(w.Refresh(nil, "mail", world.Forever))
		w.Consume(g)
		w.Pass(grantstore.ConsumedRetention - time.Minute)
		w.PurgeGrants()
		w.Used(g)
		w.Pass(2 * time.Minute)
		w.PurgeGrants()
		w.Missing(g)
	}},
	{Name: "a key stored again is not purged by its first expiry", Run: func(w *world.World) {
		first := w.Stored(w.Grant(grantstore.JTI, nil, "mail", world.Lasting(time.Minute)))
		w.Pass(time.Minute)
		again := first
		again.Created, again.Expires = w.Now, w.Now.Add(time.Hour)
		w.Stored(again)
		w.PurgeGrants()
		w.Live(again)
	}},
	{Name: "concurrent purges are safe", Run: func(w *world.World) {
		batch := grantstore.Batch{}
		for range grantstore.MaxBatch {
			batch.Store = append(batch.Store, w.Access(nil, "mail", world.Lasting(time.Minute)))
		}
		w.Apply(batch)
		live := w.Stored(w.Access(nil, "mail"))
		w.Pass(time.Hour)
		for _, err := range world.Race(8, func(int) error {
			_, err := w.Grants.Purge(w.Ctx(), 10, w.Now)
			return err
		}) {
			w.OK(err, "Purge")
		}
		w.PurgeGrants()
		w.Missing(batch.Store...)
		w.Live(live)
	}},
}
