package grants

// Grants die with their session.

import (
	"time"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/plugin/storetest/world"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// everyToken stores a token of each type in the session, and returns them with a used refresh token.
func everyToken(w *world.World, s *ticketstore.Session) (tokens []grantstore.Grant, used grantstore.Grant) {
	w.Helper()
	a := authorize(w, s)
	used = w.Stored(w.Refresh(s, "mail"))
	access, refresh := exchange(w, used)
	return []grantstore.Grant{a.code, a.openID, a.pkce, access, refresh}, used
}

// isOver checks that no grant of the session is live and that none can be stored in it.
func isOver(w *world.World, s *ticketstore.Session) {
	w.Helper()
	for what, batch := range map[string]grantstore.Batch{
		"a use":           {Use: &grantstore.Use{SessionID: s.SessionID, ClientID: "mail"}},
		"a code":          {Store: []grantstore.Grant{w.Code(s, "mail")}},
		"an access token": {Store: []grantstore.Grant{w.Access(s, "mail")}},
		"a refresh token": {Store: []grantstore.Grant{w.Refresh(s, "mail", world.Offline)}},
	} {
		_, err := w.TryApply(batch)
		w.Fails(err, "Apply "+what+" in an ended session", grantstore.ErrSessionEnded)
		for _, g := range batch.Store {
			w.Dead(g)
		}
	}
	w.Same(w.LiveGrants(grantstore.Filter{SessionID: s.SessionID}), []grantstore.Grant{},
		"live grants of an ended session")
}

// expires checks that the session's grants die with it at the given time.
func expires(w *world.World, s *ticketstore.Session, at time.Duration) {
	w.Helper()
	tokens, used := everyToken(w, s)
	w.Pass(at - time.Microsecond)
	w.Live(tokens...)
	w.Used(used)
	w.Pass(time.Microsecond)
	for _, g := range append(tokens, used) {
		_, err := w.GrantErr(g)
		w.Fails(err, "Get the "+string(g.Type)+" of an expired session", grantstore.ErrSessionEnded)
	}
	w.CannotConsume(tokens[0], grantstore.ErrSessionEnded)
	w.CannotConsume(tokens[4], grantstore.ErrSessionEnded)
	w.CannotConsume(used, grantstore.ErrSessionEnded)
	isOver(w, s)
}

var sessionCases = []world.Case{
	{Name: "grants die with a session at its idle timeout", Run: func(w *world.World) {
		expires(w, w.SignIn("ann", world.Idle(time.Hour)), time.Hour)
	}},
	{Name: "grants die with a session at its absolute limit", Run: func(w *world.World) {
		expires(w, w.SignIn("ann", world.Idle(2*time.Hour), world.Absolute(time.Hour)), time.Hour)
	}},
	{Name: "grants stay live in a renewed session", Run: func(w *world.World) {
		s := w.SignIn("ann")
		tokens, _ := everyToken(w, s)
		w.Pass(30 * time.Minute)
		w.Renew(s, time.Hour)
		w.Pass(45 * time.Minute)
		w.Live(tokens...)
		w.Stored(w.Access(s, "mail"))
	}},
	{Name: "grants die with an ended session", Run: func(w *world.World) {
		s := w.SignIn("ann")
		tokens, used := everyToken(w, s)
		w.End(logout.Ending{SessionID: s.SessionID})
		w.Dead(append(tokens, used)...)
		for _, g := range []grantstore.Grant{tokens[0], tokens[4], used} {
			w.CannotConsume(g, grantstore.ErrSessionEnded, ticketstore.ErrNotFound)
		}
		isOver(w, s)
	}},
	{Name: "grants die with a session that a sweep ended", Run: func(w *world.World) {
		s := w.SignIn("ann")
		tokens, used := everyToken(w, s)
		w.Pass(time.Hour)
		w.Same(w.Sweep(logout.Sweep{}), 1, "sessions ended")
		w.Dead(append(tokens, used)...)
		isOver(w, s)
	}},
	{Name: "nothing restores the grants of an ended session", Run: func(w *world.World) {
		s := w.SignIn("ann")
		forever := []grantstore.Grant{
			w.Stored(w.Refresh(s, "mail", world.Forever)), w.Stored(w.Access(s, "mail", world.Forever)),
		}
		w.End(logout.Ending{SessionID: s.SessionID})
		for range 4 {
			w.Pass(20 * 24 * time.Hour)
			w.Sweep(logout.Sweep{})
			w.PurgeGrants()
			w.Dead(forever...)
		}
		isOver(w, s)
	}},
	{Name: "nothing can be stored in an unknown session", Run: func(w *world.World) {
		isOver(w, w.Session("ann"))
	}},
	{Name: "a batch for a live session stores nothing in an ended one", Run: func(w *world.World) {
		live, over := w.SignIn("ann"), w.SignIn("ann")
		w.End(logout.Ending{SessionID: over.SessionID})
		g, other := w.Access(live, "mail"), w.Access(over, "mail")
		_, err := w.TryApply(grantstore.Batch{
			Use:   &grantstore.Use{SessionID: live.SessionID, ClientID: "mail"},
			Store: []grantstore.Grant{g, other},
		})
		w.Fails(err, "Apply grants of a live and an ended session", grantstore.ErrSessionEnded)
		w.Missing(g)
		w.Same(w.Clients(live), []string{}, "clients of the live session")
	}},
	{Name: "grants without session are judged alone", Run: func(w *world.World) {
		s := w.SignIn("ann")
		g := w.Stored(w.Refresh(nil, "mail", world.Of("ann"), world.Forever))
		w.End(logout.Ending{SessionID: s.SessionID})
		w.Live(g)
		w.Pass(1000 * time.Hour)
		access, refresh := exchange(w, g)
		w.Live(access, refresh)
	}},
	{Name: "grants of an ended session can be deleted and revoked", Run: func(w *world.World) {
		s := w.SignIn("ann")
		access, refresh := w.Stored(w.Access(s, "mail")), w.Stored(w.Refresh(s, "mail"))
		w.Pass(time.Hour)
		result := w.Apply(grantstore.Batch{
			Delete: []grantstore.Ref{access.Ref},
			Revoke: []grantstore.Revocation{{RequestID: refresh.RequestID}},
		})
		w.Same(result.Revoked, 0, "Revoked: none was live")
		w.Missing(access)
		w.Dead(refresh)
	}},
	{Name: "the end of a session keeps the grants of others", Run: func(w *world.World) {
		s, same, other := w.SignIn("ann"), w.SignIn("ann"), w.SignIn("bob")
		sameTokens, _ := everyToken(w, same)
		otherTokens, _ := everyToken(w, other)
		everyToken(w, s)
		w.End(logout.Ending{SessionID: s.SessionID})
		w.Live(sameTokens...)
		w.Live(otherTokens...)
	}},
}
