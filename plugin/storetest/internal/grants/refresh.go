package grants

// Refresh tokens: rotation, grace and reuse.

import (
	"fmt"
	"time"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/plugin/storetest/world"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// withGrace uses a refresh token, for the first time or within its grace.
func withGrace(
	w *world.World, g grantstore.Grant, grace time.Duration,
) (access, refresh grantstore.Grant, err error) {
	access, refresh = w.Access(nil, ""), w.Refresh(nil, "")
	_, err = w.TryApply(grantstore.Batch{
		Consume: &grantstore.Consumption{Ref: g.Ref, Grace: grace},
		Store:   []grantstore.Grant{access, refresh},
	})
	return access, refresh, err
}

// used returns a used grant.
func used(w *world.World, g grantstore.Grant) grantstore.Grant {
	w.Helper()
	found, err := w.GrantErr(g)
	w.Fails(err, "Get the used "+string(g.Type), grantstore.ErrConsumed)
	return found.Grant
}

// small returns a used grant as it is stored after its grace.
func small(g grantstore.Grant, at time.Time) grantstore.Grant {
	g.Consumed, g.SubjectID, g.Description, g.Data = at, "", "", nil
	return g
}

var refreshCases = []world.Case{
	{Name: "rotation uses the old token and removes the family's access tokens", Run: func(w *world.World) {
		s := w.SignIn("ann")
		a, other := authorize(w, s), authorize(w, s)
		access1, refresh1 := exchange(w, a.code)
		otherAccess, otherRefresh := exchange(w, other.code)
		w.Pass(time.Minute)
		access2, refresh2 := exchange(w, refresh1)
		w.Missing(access1)
		w.Used(refresh1)
		w.Live(access2, refresh2, otherAccess, otherRefresh)
		found, err := w.GrantErr(refresh2)
		w.OK(err, "Get the new refresh token")
		w.Same(found.Grant.RequestID, a.code.RequestID, "the family of the new refresh token")
		access3, refresh3 := exchange(w, refresh2)
		w.Missing(access2)
		w.Live(access3, refresh3)
	}},
	{Name: "a used token is read with the time of its use", Run: func(w *world.World) {
		g := w.Stored(w.Refresh(w.SignIn("ann"), "mail", world.Offline))
		w.Pass(time.Minute)
		w.Consume(g)
		w.Same(used(w, g), small(g, w.Now), "the used token")
	}},
	{Name: "a used token keeps its data for its grace, and no longer", Run: func(w *world.World) {
		s := w.SignIn("ann")
		g := w.Stored(w.Refresh(s, "mail"))
		_, next, err := withGrace(w, g, time.Minute)
		w.OK(err, "the first use")
		at := w.Now
		w.Pass(time.Minute)
		w.PurgeGrants()
		want := g
		want.Consumed = at
		w.Same(used(w, g), want, "the used token at the end of its grace")
		_, _, err = withGrace(w, g, time.Hour)
		w.OK(err, "the use at the end of the grace")
		w.Pass(time.Microsecond)
		w.PurgeGrants()
		w.Same(used(w, g), small(g, at), "the used token after its grace")
		w.Live(next)
		w.CannotConsume(g, grantstore.ErrConsumed)
		w.Missing(next)
		w.Same(used(w, g), small(g, at), "the used token after its reuse")
	}},
	{Name: "used tokens are removed with their session", Run: func(w *world.World) {
		s, other := w.SignIn("ann"), w.SignIn("ann")
		var all []grantstore.Grant
		for range 3 {
			g := w.Stored(w.Refresh(s, "mail"))
			w.Consume(g)
			all = append(all, g)
		}
		kept := w.Stored(w.Refresh(other, "mail"))
		w.Consume(kept)
		w.End(logout.Ending{SessionID: s.SessionID})
		for _, g := range all {
			w.Fails(world.Err(w.GrantErr(g)), "Get a used token of the session", ticketstore.ErrNotFound,
				grantstore.ErrSessionEnded)
		}
		w.Used(kept)
	}},
	{Name: "a second use is refused and revokes the family in the same call", Run: func(w *world.World) {
		g := w.Stored(w.Refresh(w.SignIn("ann"), "mail"))
		other := w.Stored(w.Refresh(w.SignIn("bob"), "mail"))
		access, refresh := exchange(w, g)
		late := w.Access(nil, "mail")
		_, err := w.TryApply(grantstore.Batch{
			Consume: &grantstore.Consumption{Ref: g.Ref}, Delete: []grantstore.Ref{other.Ref},
			Store: []grantstore.Grant{late},
		})
		w.Fails(err, "Apply with a used token", grantstore.ErrConsumed)
		w.Missing(access, refresh, late)
		w.Live(other)
		w.CannotConsume(refresh, ticketstore.ErrNotFound)
		w.CannotConsume(g, grantstore.ErrConsumed)
	}},
	{Name: "a second use revokes all tokens of later rotations", Run: func(w *world.World) {
		g := w.Stored(w.Refresh(w.SignIn("ann"), "mail"))
		_, refresh1 := exchange(w, g)
		_, refresh2 := exchange(w, refresh1)
		access3, refresh3 := exchange(w, refresh2)
		w.Pass(time.Minute)
		w.CannotConsume(g, grantstore.ErrConsumed)
		w.Missing(access3, refresh3)
	}},
	{Name: "a repeated operation is not a second use", Run: func(w *world.World) {
		g := w.Stored(w.Refresh(w.SignIn("ann"), "mail"))
		access, refresh := w.Access(nil, ""), w.Refresh(nil, "")
		batch := grantstore.Batch{
			OperationID: w.Name("op"), Consume: &grantstore.Consumption{Ref: g.Ref},
			Store: []grantstore.Grant{access, refresh},
		}
		for range 3 {
			w.OK(world.Err(w.TryApply(batch)), "the same operation")
		}
		w.Live(access, refresh)
	}},
	{Name: "rotation without a family removes no other access token", Run: func(w *world.World) {
		bystander := w.Stored(w.Access(nil, "wiki", world.Family("")))
		g := w.Stored(w.Refresh(nil, "mail", world.Family("")))
		access, refresh := exchange(w, g)
		w.Live(bystander, access, refresh)
	}},
	{Name: "rotation without its own access token removes the family's", Run: func(w *world.World) {
		s, family := w.SignIn("ann"), world.Family(w.Name("family"))
		old := w.Stored(w.Access(s, "mail", family))
		access, refresh := exchange(w, w.Stored(w.Refresh(s, "mail", family)))
		w.Missing(old)
		w.Live(access, refresh)
		first, second, several := w.Access(nil, ""), w.Access(nil, ""), w.Refresh(nil, "")
		w.Consume(refresh, first, second, several)
		w.Live(first, second)
		access, refresh = exchange(w, several)
		w.Missing(first, second)
		w.Live(access, refresh)
	}},
	{Name: "within its grace a token can be used once more", Run: func(w *world.World) {
		g := w.Stored(w.Refresh(w.SignIn("ann"), "mail"))
		access1, refresh1, err := withGrace(w, g, 10*time.Second)
		w.OK(err, "the first use")
		used := w.Now
		w.Pass(6 * time.Second)
		access2, refresh2, err := withGrace(w, g, 10*time.Second)
		w.OK(err, "the use within the grace")
		w.Live(access1, refresh1, access2, refresh2)
		found, err := w.GrantErr(g)
		w.Fails(err, "Get the used token", grantstore.ErrConsumed)
		w.At(found.Grant.Consumed, used, "Consumed, the time of the first use")
		access3, refresh3 := exchange(w, refresh1)
		w.Live(access3, refresh3, refresh2)
	}},
	{Name: "each line that begins within a grace has its own access token", Run: func(w *world.World) {
		g := w.Stored(w.Refresh(w.SignIn("ann"), "mail"))
		access1, refresh1, err := withGrace(w, g, time.Minute)
		w.OK(err, "the first use")
		access2, refresh2, err := withGrace(w, g, time.Minute)
		w.OK(err, "the use within the grace")
		access3, refresh3 := exchange(w, refresh1)
		w.Missing(access1)
		w.Live(access3, access2)
		access4, _ := exchange(w, refresh2)
		w.Missing(access2)
		w.Live(access3, access4)
		access5, _ := exchange(w, refresh3)
		w.Missing(access3)
		w.Live(access4, access5)
	}},
	{Name: "within a grace a family grows to its bound, not beyond", Run: func(w *world.World) {
		s := w.SignIn("ann")
		g := w.Stored(w.Refresh(s, "mail"))
		var last grantstore.Grant
		for i := range grantstore.MaxLines {
			_, refresh, err := withGrace(w, g, time.Minute)
			w.OK(err, fmt.Sprint("use ", i+1))
			last = refresh
		}
		access, refresh, err := withGrace(w, g, time.Minute)
		w.Fails(err, "one use too many", grantstore.ErrConsumed)
		w.Missing(access, refresh)
		w.Live(last) // nothing is revoked
		access, refresh, err = withGrace(w, last, time.Minute)
		w.OK(err, "rotation in a full family")
		w.Live(access, refresh)
		lines := w.LiveGrants(grantstore.Filter{SessionID: s.SessionID, Type: grantstore.RefreshToken})
		w.Same(len(lines), grantstore.MaxLines, "live refresh tokens of the family")
		w.Pass(time.Hour / 2)
		w.CannotConsume(g, grantstore.ErrConsumed)
		w.Same(len(w.LiveGrants(grantstore.Filter{SessionID: s.SessionID})), 0, "live grants after its reuse")
	}},
	{Name: "the grace counts from the first use and ends", Run: func(w *world.World) {
		g := w.Stored(w.Refresh(w.SignIn("ann"), "mail"))
		_, _, err := withGrace(w, g, 10*time.Second)
		w.OK(err, "the first use")
		w.Pass(6 * time.Second)
		_, refresh2, err := withGrace(w, g, 10*time.Second)
		w.OK(err, "the use within the grace")
		w.Pass(6 * time.Second)
		access3, refresh3, err := withGrace(w, g, 10*time.Second)
		w.Fails(err, "the use 12 s after the first", grantstore.ErrConsumed)
		w.Missing(access3, refresh3, refresh2)
	}},
	{Name: "the grace ends just after its time", Run: func(w *world.World) {
		g := w.Stored(w.Refresh(w.SignIn("ann"), "mail"))
		_, _, err := withGrace(w, g, 10*time.Second)
		w.OK(err, "the first use")
		w.Pass(10 * time.Second)
		_, _, err = withGrace(w, g, 10*time.Second)
		w.OK(err, "the use at the end of the grace")
		w.Pass(time.Microsecond)
		_, _, err = withGrace(w, g, 10*time.Second)
		w.Fails(err, "the use a moment later", grantstore.ErrConsumed)
	}},
	{Name: "a second use cannot begin a grace that the first use did not have", Run: func(w *world.World) {
		g := w.Stored(w.Refresh(w.SignIn("ann"), "mail"))
		_, refresh := exchange(w, g)
		_, _, err := withGrace(w, g, time.Hour)
		w.Fails(err, "the second use", grantstore.ErrConsumed)
		w.Missing(refresh)
	}},
	{Name: "the grace is that of the later use", Run: func(w *world.World) {
		g := w.Stored(w.Refresh(w.SignIn("ann"), "mail"))
		_, _, err := withGrace(w, g, time.Hour)
		w.OK(err, "the first use")
		w.Pass(time.Second)
		w.CannotConsume(g, grantstore.ErrConsumed)
	}},
	{Name: "no grace brings a revoked family back", Run: func(w *world.World) {
		g := w.Stored(w.Refresh(w.SignIn("ann"), "mail"))
		_, refresh, err := withGrace(w, g, time.Minute)
		w.OK(err, "the first use")
		w.Apply(grantstore.Batch{Revoke: []grantstore.Revocation{{RequestID: g.RequestID}}})
		w.Missing(refresh)
		w.Pass(time.Second)
		access2, refresh2, err := withGrace(w, g, time.Minute)
		w.Fails(err, "the use within the grace of a revoked token", grantstore.ErrConsumed,
			ticketstore.ErrNotFound)
		w.Missing(access2, refresh2)
	}},
	{Name: "no grace brings a family back that the reuse of its code revoked", Run: func(w *world.World) {
		a := authorize(w, w.SignIn("ann"))
		_, refresh1 := exchange(w, a.code)
		_, _, err := withGrace(w, refresh1, time.Minute)
		w.OK(err, "the first use")
		w.CannotConsume(a.code, grantstore.ErrConsumed)
		access2, refresh2, err := withGrace(w, refresh1, time.Minute)
		w.Fails(err, "the use within the grace of a revoked token", grantstore.ErrConsumed,
			ticketstore.ErrNotFound)
		w.Missing(access2, refresh2)
	}},
	{Name: "no grace outlives the session", Run: func(w *world.World) {
		s := w.SignIn("ann")
		g := w.Stored(w.Refresh(s, "mail"))
		w.Pass(time.Hour - time.Second)
		_, _, err := withGrace(w, g, time.Minute)
		w.OK(err, "the first use")
		w.Pass(time.Second)
		_, _, err = withGrace(w, g, time.Minute)
		w.Fails(err, "the use within the grace after the session expired", grantstore.ErrSessionEnded)
	}},
}
