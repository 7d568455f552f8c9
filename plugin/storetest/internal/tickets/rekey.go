package tickets

// Rekeys: sign-ins that give a session a new cookie.

import (
	"time"

	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/plugin/storetest/world"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// rekeyed gives the session a new cookie and returns the updated session.
func rekeyed(w *world.World, rekey ticketstore.Rekey) *ticketstore.Session {
	w.Helper()
	got, err := w.Tickets.Rekey(w.Ctx(), rekey, w.Now)
	w.OK(err, "Rekey")
	return got
}

var rekeyCases = []world.Case{
	{Name: "the new cookie finds the updated session", Run: func(w *world.World) {
		s := w.SignIn("ann")
		w.Pass(time.Minute)
		rekey := w.Rekey(s)
		got := rekeyed(w, rekey)
		sameSession(w, got, rekey.Apply(s, w.Now), "the session after the rekey")
		if got.Version <= s.Version {
			w.Fatalf("Version is %d after %d, want a larger one", got.Version, s.Version)
		}
		w.Same(w.Get(got), got, "the session by its new key")
		w.Same(w.SIDs(ticketstore.SessionFilter{}), []string{s.SessionID}, "sessions: still one")
	}},
	{Name: "the old cookie is dead for every call", Run: func(w *world.World) {
		s := w.SignIn("ann")
		w.Pass(time.Minute)
		got := rekeyed(w, w.Rekey(s))
		w.Fails(world.Err(w.Tickets.Get(w.Ctx(), s.Key)), "Get by the old key", ticketstore.ErrNotFound)
		old := *got
		old.Key = s.Key
		w.Fails(world.Err(tryRenew(w, &old, time.Hour)), "Renew by the old key", ticketstore.ErrNotFound)
		_, err := w.Tickets.Rekey(w.Ctx(), w.Rekey(&old), w.Now)
		w.Fails(err, "Rekey by the old key", ticketstore.ErrNotFound)
		w.Same(w.Get(got), got, "the session by its new key")
	}},
	{Name: "the sid and the clients are kept", Run: func(w *world.World) {
		s := w.SignIn("ann")
		w.Uses(s, "mail", "wiki")
		before := w.Find(s)
		w.Pass(time.Minute)
		got := rekeyed(w, w.Rekey(w.Get(s)))
		w.Same(got.SessionID, s.SessionID, "sid")
		after := w.Find(s)
		w.Same(after.Clients, before.Clients, "clients")
		sameSession(w, &after.Session, public(got), "the session by its sid")
		w.Same(w.SIDs(ticketstore.SessionFilter{ClientID: "wiki"}), []string{s.SessionID},
			"sessions of a client")
	}},
	{Name: "grants of the session stay live", Run: func(w *world.World) {
		s := w.SignIn("ann")
		refresh := w.Stored(w.Refresh(s, "mail"))
		rekeyed(w, w.Rekey(w.Get(s)))
		w.Live(refresh)
		w.Stored(w.Access(s, "mail"))
	}},
	{Name: "the listing follows the new name and expiry", Run: func(w *world.World) {
		s := w.SignIn("ann", world.Named("Ann Old"))
		rekey := w.Rekey(s)
		rekey.DisplayName = "Ann New"
		got := rekeyed(w, rekey)
		w.Same(w.SIDs(ticketstore.SessionFilter{DisplayName: "old"}), []string{}, "sessions by the old name")
		w.Same(w.SIDs(ticketstore.SessionFilter{DisplayName: "new"}), []string{s.SessionID},
			"sessions by the new name")
		w.Same(w.SIDs(ticketstore.SessionFilter{ExpiresFrom: got.Expires}), []string{s.SessionID},
			"sessions by the new expiry")
	}},
	{Name: "an earlier expiry is detected when it falls due", Run: func(w *world.World) {
		s := w.SignIn("ann")
		rekey := w.Rekey(s)
		rekey.Expires, rekey.EndsAt = w.Now.Add(5*time.Minute), time.Time{}
		got := rekeyed(w, rekey)
		w.Pass(5 * time.Minute)
		w.Same(w.Sweep(logout.Sweep{}), 1, "sessions ended")
		w.SessionGone(got)
	}},
	{Name: "an outdated version is a conflict and changes nothing", Run: func(w *world.World) {
		s := w.SignIn("ann")
		w.Pass(time.Minute)
		renewed := w.Renew(s, time.Hour)
		rekey := w.Rekey(s)
		_, err := w.Tickets.Rekey(w.Ctx(), rekey, w.Now)
		w.Fails(err, "Rekey with the version before the renewal", ticketstore.ErrConflict)
		w.Same(w.Get(s), renewed, "the session after the conflict")
		_, err = w.Tickets.Get(w.Ctx(), rekey.NewKey)
		w.Fails(err, "Get by the refused key", ticketstore.ErrNotFound)
	}},
	{Name: "the key of a different session is refused", Run: func(w *world.World) {
		s, other := w.SignIn("ann"), w.SignIn("bob")
		rekey := w.Rekey(s)
		rekey.NewKey = other.Key
		_, err := w.Tickets.Rekey(w.Ctx(), rekey, w.Now)
		w.Fails(err, "Rekey to a taken key", ticketstore.ErrExists)
		w.Same(w.Get(s), s, "the session after the refusal")
		w.Same(w.Get(other), other, "the session that has the key")
	}},
	{Name: "a rekey to the same key replaces the ticket and keeps the cookie", Run: func(w *world.World) {
		s := w.SignIn("ann")
		w.Pass(time.Minute)
		rekey := w.Rekey(s)
		rekey.NewKey = s.Key
		got := rekeyed(w, rekey)
		sameSession(w, got, rekey.Apply(s, w.Now), "the session after the rekey")
		w.Same(w.Get(s), got, "the session by its key")
		w.Same(w.SIDs(ticketstore.SessionFilter{}), []string{s.SessionID}, "sessions: still one")
		_, err := w.Tickets.Rekey(w.Ctx(), rekey, w.Now)
		w.Fails(err, "Rekey with the previous version", ticketstore.ErrConflict)
	}},
	{Name: "unknown, ended and expired sessions get no cookie", Run: func(w *world.World) {
		_, err := w.Tickets.Rekey(w.Ctx(), w.Rekey(w.Session("nobody")), w.Now)
		w.Fails(err, "Rekey an unknown session", ticketstore.ErrNotFound)
		ended := w.SignIn("ann")
		w.End(logout.Ending{SessionID: ended.SessionID})
		rekey := w.Rekey(ended)
		_, err = w.Tickets.Rekey(w.Ctx(), rekey, w.Now)
		w.Fails(err, "Rekey an ended session", ticketstore.ErrNotFound)
		_, err = w.Tickets.Get(w.Ctx(), rekey.NewKey)
		w.Fails(err, "Get by the key meant for an ended session", ticketstore.ErrNotFound)
		idle, absolute := w.SignIn("bob"), w.SignIn("cid", world.Absolute(time.Hour), world.Idle(2*time.Hour))
		w.Pass(time.Hour)
		for _, s := range []*ticketstore.Session{idle, absolute} {
			_, err = w.Tickets.Rekey(w.Ctx(), w.Rekey(s), w.Now)
			w.Fails(err, "Rekey an expired session", ticketstore.ErrExpired)
			w.Same(w.Get(s), s, "the session after the refusal")
		}
	}},
	{Name: "of concurrent rekeys one wins", Run: func(w *world.World) {
		s := w.SignIn("ann")
		rekeys := make([]ticketstore.Rekey, 16)
		for i := range rekeys {
			rekeys[i] = w.Rekey(s)
		}
		errs := world.Race(len(rekeys), func(i int) error {
			_, err := w.Tickets.Rekey(w.Ctx(), rekeys[i], w.Now)
			return err
		})
		winner := -1
		for i, err := range errs {
			if err == nil && winner < 0 {
				winner = i
				continue
			}
			w.Fails(err, "Rekey that lost", ticketstore.ErrConflict, ticketstore.ErrNotFound)
			_, err = w.Tickets.Get(w.Ctx(), rekeys[i].NewKey)
			w.Fails(err, "Get by a key that lost", ticketstore.ErrNotFound)
		}
		if winner < 0 {
			w.Fatal("no rekey succeeded, want one")
		}
		w.OK(world.Err(w.Tickets.Get(w.Ctx(), rekeys[winner].NewKey)), "Get by the key that won")
	}},
	{Name: "a repeated create does not bring back a replaced key", Run: func(w *world.World) {
		s := w.Session("ann")
		w.OK(w.Tickets.Create(w.Ctx(), s), "Create")
		got := rekeyed(w, w.Rekey(w.Get(s)))
		w.Fails(w.Tickets.Create(w.Ctx(), s), "Create with the old key", ticketstore.ErrExists)
		w.Fails(world.Err(w.Tickets.Get(w.Ctx(), s.Key)), "Get by the old key", ticketstore.ErrNotFound)
		w.Same(w.Get(got), got, "the session by its new key")
	}},
}
