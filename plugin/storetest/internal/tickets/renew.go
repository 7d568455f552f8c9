package tickets

// Renewals of sessions.

import (
	"time"

	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/plugin/storetest/world"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// tryRenew renews the session to expire that long from now.
func tryRenew(w *world.World, s *ticketstore.Session, idle time.Duration) (*ticketstore.Session, error) {
	return w.Tickets.Renew(w.Ctx(),
		ticketstore.Renewal{Key: s.Key, Version: s.Version, Expires: w.Now.Add(idle)}, w.Now)
}

var renewCases = []world.Case{
	{Name: "a renewed session expires later and is otherwise the same", Run: func(w *world.World) {
		s := w.SignIn("ann")
		w.Pass(10 * time.Minute)
		got := w.Renew(s, time.Hour)
		want := *s
		want.Renewed, want.Expires = w.Now, w.Now.Add(time.Hour)
		sameSession(w, got, &want, "the renewed session")
		if got.Version <= s.Version {
			w.Fatalf("Version is %d after %d, want a larger one", got.Version, s.Version)
		}
		w.Same(w.Get(s), got, "the session read after its renewal")
		found := w.Find(s)
		w.At(found.Expires, want.Expires, "Expires of the session found by its sid")
	}},
	{Name: "the listing shows the renewal", Run: func(w *world.World) {
		s := w.SignIn("ann")
		w.Pass(10 * time.Minute)
		got := w.Renew(s, time.Hour)
		page := w.Query(ticketstore.SessionQuery{})
		w.Same(len(page.Sessions), 1, "number of sessions")
		sameSession(w, &page.Sessions[0].Session, public(got), "the session in the listing")
		later := ticketstore.SessionFilter{ExpiresFrom: got.Expires}
		w.Same(w.SIDs(later), []string{s.SessionID}, "sessions that expire at the new time or later")
		w.Same(w.SIDs(ticketstore.SessionFilter{ExpiresBefore: got.Expires}), []string{},
			"sessions that expire before it")
	}},
	{Name: "a renewed session can be renewed again", Run: func(w *world.World) {
		s := w.SignIn("ann")
		for range 5 {
			w.Pass(30 * time.Minute)
			s = w.Renew(s, time.Hour)
			w.At(s.Expires, w.Now.Add(time.Hour), "Expires")
		}
	}},
	{Name: "no renewal passes the absolute limit", Run: func(w *world.World) {
		s := w.SignIn("ann", world.Absolute(90*time.Minute))
		w.Pass(50 * time.Minute)
		got := w.Renew(s, time.Hour)
		w.At(got.Expires, s.EndsAt, "Expires")
		w.Pass(40 * time.Minute)
		w.Fails(world.Err(tryRenew(w, got, time.Hour)), "Renew at EndsAt", ticketstore.ErrExpired)
	}},
	{Name: "a session without absolute limit is renewed as far as requested", Run: func(w *world.World) {
		s := w.SignIn("ann", world.Absolute(0))
		got := w.Renew(s, 1000*time.Hour)
		w.At(got.Expires, w.Now.Add(1000*time.Hour), "Expires")
	}},
	{Name: "no renewal moves the expiry back", Run: func(w *world.World) {
		s := w.SignIn("ann")
		w.Pass(time.Minute)
		got := w.Renew(s, time.Minute)
		w.At(got.Expires, s.Expires, "Expires")
		w.At(w.Get(s).Expires, s.Expires, "Expires of the session read afterwards")
	}},
	{Name: "an outdated version is a conflict and changes nothing", Run: func(w *world.World) {
		s := w.SignIn("ann")
		w.Pass(time.Minute)
		first := w.Renew(s, time.Hour)
		w.Pass(time.Minute)
		_, err := tryRenew(w, s, 2*time.Hour)
		w.Fails(err, "Renew with the version before the last renewal", ticketstore.ErrConflict)
		w.Same(w.Get(s), first, "the session after the conflict")
	}},
	{Name: "of concurrent renewals one wins", Run: func(w *world.World) {
		s := w.SignIn("ann")
		w.Pass(time.Minute)
		errs := world.Race(16, func(i int) error {
			_, err := tryRenew(w, s, time.Hour+time.Duration(i)*time.Minute)
			return err
		})
		winner := w.OneWins(errs, ticketstore.ErrConflict, "Renew")
		w.At(w.Get(s).Expires, w.Now.Add(time.Hour+time.Duration(winner)*time.Minute),
			"Expires of the winner's renewal")
	}},
	{Name: "an unknown session is not found", Run: func(w *world.World) {
		w.SignIn("ann")
		_, err := tryRenew(w, w.Session("bob"), time.Hour)
		w.Fails(err, "Renew an unknown session", ticketstore.ErrNotFound)
	}},
	{Name: "an ended session is not found", Run: func(w *world.World) {
		s := w.SignIn("ann")
		w.End(logout.Ending{SessionID: s.SessionID})
		w.Fails(world.Err(tryRenew(w, s, 2*time.Hour)), "Renew an ended session", ticketstore.ErrNotFound)
		w.SessionGone(s)
	}},
	{Name: "a session at its expiry is expired", Run: func(w *world.World) {
		s := w.SignIn("ann")
		w.Pass(time.Hour)
		w.Fails(world.Err(tryRenew(w, s, time.Hour)), "Renew at Expires", ticketstore.ErrExpired)
		w.Same(w.Get(s), s, "the session after the refusal")
	}},
	{Name: "a session just before its expiry is renewed", Run: func(w *world.World) {
		s := w.SignIn("ann")
		w.Pass(time.Hour - time.Microsecond)
		w.At(w.Renew(s, time.Hour).Expires, w.Now.Add(time.Hour), "Expires")
	}},
	{Name: "a renewal races the end of its session and leaves it ended", Run: func(w *world.World) {
		for range 10 {
			s := w.SignIn("ann")
			world.Race(2, func(i int) error {
				if i == 0 {
					_, err := w.TryEnd(logout.Ending{SessionID: s.SessionID})
					return err
				}
				_, err := tryRenew(w, s, 2*time.Hour)
				return err
			})
			w.SessionGone(s)
		}
	}},
}
