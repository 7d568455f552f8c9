package grants

// Sessions extended by the use of their tokens (rule 9).

import (
	"time"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/plugin/storetest/world"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// slide renews the session for an hour unless it was renewed within the last minute. It reports whether it
// did.
func slide(w *world.World, s *ticketstore.Session) bool {
	w.Helper()
	result := w.Apply(grantstore.Batch{Slide: &grantstore.Slide{
		SessionID: s.SessionID, Expires: w.Now.Add(time.Hour), RenewedBefore: w.Now.Add(-time.Minute),
	}})
	return result.Slid
}

var slideCases = []world.Case{
	{Name: "a session slides with a batch, within the throttle", Run: func(w *world.World) {
		s := w.SignIn("ann")
		w.Pass(time.Minute - time.Microsecond)
		w.Same(slide(w, s), false, "whether it slid just before the throttle ends")
		w.Same(w.Get(s), s, "the session")
		w.Pass(time.Microsecond)
		w.Same(slide(w, s), true, "whether it slid when the throttle ends")
		want := *s
		want.Renewed, want.Expires, want.Version = w.Now, w.Now.Add(time.Hour), w.Get(s).Version
		w.Same(w.Get(s), &want, "the session that slid")
		w.At(w.Find(s).Expires, want.Expires, "Expires of the session found by its sid")
		w.Same(slide(w, s), false, "whether it slid again immediately")
	}},
	{Name: "no slide passes the absolute limit", Run: func(w *world.World) {
		s := w.SignIn("ann", world.Absolute(90*time.Minute))
		w.Pass(50 * time.Minute)
		w.Same(slide(w, s), true, "whether it slid")
		w.At(w.Get(s).Expires, s.EndsAt, "Expires")
		w.Pass(10 * time.Minute)
		w.Same(slide(w, s), false, "whether it slid at its limit")
		w.Pass(30 * time.Minute)
		w.Same(slide(w, s), false, "whether it slid past its limit")
		w.Sweep(logout.Sweep{})
		w.SessionGone(s)
	}},
	{Name: "no slide moves the expiry back", Run: func(w *world.World) {
		s := w.SignIn("ann", world.Idle(5*time.Hour))
		w.Pass(time.Hour)
		w.Same(slide(w, s), false, "whether it slid")
		w.Same(w.Get(s), s, "the session")
	}},
	{Name: "an expired, ended or unknown session does not slide", Run: func(w *world.World) {
		over, ended := w.SignIn("ann"), w.SignIn("bob", world.Idle(5*time.Hour))
		w.End(logout.Ending{SessionID: ended.SessionID})
		w.Now = over.Expires
		for _, s := range []*ticketstore.Session{over, ended, w.Session("eve")} {
			w.Same(slide(w, s), false, "whether it slid")
		}
		w.Same(w.Get(over), over, "the expired session")
		w.SessionGone(ended)
	}},
	{Name: "a refresh can slide the session", Run: func(w *world.World) {
		s := w.SignIn("ann")
		refresh := w.Stored(w.Refresh(s, "mail"))
		w.Pass(10 * time.Minute)
		result := w.Apply(grantstore.Batch{
			Consume: &grantstore.Consumption{Ref: refresh.Ref},
			Store:   []grantstore.Grant{w.Refresh(s, "mail")},
			Slide: &grantstore.Slide{
				SessionID: s.SessionID, Expires: w.Now.Add(time.Hour), RenewedBefore: w.Now,
			},
		})
		w.Same(result.Slid, true, "whether it slid")
		w.At(w.Get(s).Expires, w.Now.Add(time.Hour), "Expires")
	}},
	{Name: "a refused batch slides no session", Run: func(w *world.World) {
		s := w.SignIn("ann")
		w.Pass(10 * time.Minute)
		_, err := w.Grants.Apply(w.Ctx(), &grantstore.Batch{
			OperationID: w.Op(), Consume: &grantstore.Consumption{Ref: w.Refresh(s, "mail").Ref},
			Slide: &grantstore.Slide{
				SessionID: s.SessionID, Expires: w.Now.Add(time.Hour), RenewedBefore: w.Now,
			},
		}, w.Now)
		w.Fails(err, "Apply", ticketstore.ErrNotFound)
		w.Same(w.Get(s), s, "the session")
	}},
	{Name: "a renewal with the version before a slide is a conflict", Run: func(w *world.World) {
		s := w.SignIn("ann")
		w.Pass(10 * time.Minute)
		slide(w, s)
		_, err := w.Tickets.Renew(w.Ctx(),
			ticketstore.Renewal{Key: s.Key, Version: s.Version, Expires: w.Now.Add(time.Hour)}, w.Now)
		w.Fails(err, "Renew", ticketstore.ErrConflict)
	}},
	{Name: "a slide without session or time is refused", Run: func(w *world.World) {
		s := w.SignIn("ann")
		for field, wrong := range map[string]grantstore.Slide{
			"session_id": {Expires: w.Now.Add(time.Hour)}, "expires": {SessionID: s.SessionID},
		} {
			_, err := w.Grants.Apply(w.Ctx(), &grantstore.Batch{OperationID: w.Op(), Slide: &wrong}, w.Now)
			w.Refuses(err, field, "Apply")
		}
	}},
	{Name: "a live grant is read with the times of its session", Run: func(w *world.World) {
		s := w.SignIn("ann")
		bound, free := w.Stored(w.Refresh(s, "mail")), w.Stored(w.Refresh(nil, "mail", world.Of("ann")))
		w.Pass(10 * time.Minute)
		slide(w, s)
		found, err := w.Grants.Get(w.Ctx(), bound.Ref, w.Now)
		w.OK(err, "Get")
		w.Same(found.Session,
			&grantstore.SessionTimes{Renewed: w.Now, Expires: w.Now.Add(time.Hour), EndsAt: s.EndsAt},
			"the session's times")
		found, err = w.Grants.Get(w.Ctx(), free.Ref, w.Now)
		w.OK(err, "Get")
		if found.Session != nil {
			w.Fatalf("a grant without session has the times %v", found.Session)
		}
	}},
}
