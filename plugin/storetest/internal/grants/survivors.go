package grants

// Grants that outlive their session.

import (
	"time"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/plugin/storetest/world"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// survivorCases check grants that outlive their session.
var survivorCases = []world.Case{
	{Name: "offline refresh tokens outlive a sign-out that keeps them", Run: func(w *world.World) {
		offlineOutlives(w, func(s *ticketstore.Session) {
			w.End(logout.Ending{SessionID: s.SessionID, Reason: logout.UserLogout, KeepOffline: true})
		})
	}},
	{Name: "offline refresh tokens outlive an expiry that keeps them", Run: func(w *world.World) {
		offlineOutlives(w, func(*ticketstore.Session) {
			w.Pass(time.Hour)
			w.Same(w.Sweep(logout.Sweep{KeepOffline: true}), 1, "sessions ended")
		})
	}},
	{Name: "offline tokens of a coordinating client end with the session", Run: func(w *world.World) {
		signedOut, expired := w.SignIn("ann"), w.SignIn("bob")
		var tied, free []grantstore.Grant
		for _, s := range []*ticketstore.Session{signedOut, expired} {
			w.Apply(grantstore.Batch{
				Use: &grantstore.Use{SessionID: s.SessionID, ClientID: "mail", Coordinated: true},
			})
			tied = append(tied, w.Stored(w.Refresh(s, "mail", world.Offline)))
			free = append(free, w.Stored(w.Refresh(s, "shop", world.Offline)))
		}
		w.Live(tied...)
		w.End(logout.Ending{SessionID: signedOut.SessionID, Reason: logout.UserLogout, KeepOffline: true})
		w.Pass(time.Hour)
		w.Same(w.Sweep(logout.Sweep{KeepOffline: true}), 1, "sessions ended")
		w.Dead(tied...)
		w.Live(free...)
	}},
	{Name: "offline tokens die with an ending that does not keep them", Run: func(w *world.World) {
		removed, expired := w.SignIn("ann"), w.SignIn("bob")
		r1, r2 := w.Stored(w.Refresh(removed, "mail", world.Offline)),
			w.Stored(w.Refresh(expired, "mail", world.Offline))
		w.End(logout.Ending{SessionID: removed.SessionID})
		w.Pass(time.Hour)
		w.Same(w.Sweep(logout.Sweep{}), 1, "sessions ended")
		w.Dead(r1, r2)
	}},
	{Name: "tokens issued for an offline refresh token survive like it", Run: func(w *world.World) {
		s := w.SignIn("ann")
		refresh := w.Stored(w.Refresh(s, "mail", world.Offline))
		w.End(logout.Ending{SessionID: s.SessionID, KeepOffline: true})
		for range 3 {
			w.Pass(10 * time.Hour)
			access, next := w.Access(s, "mail"), w.Refresh(s, "mail")
			w.Consume(refresh, access, next)
			w.Used(refresh)
			w.Live(access, next)
			found, err := w.GrantErr(next)
			w.OK(err, "Get the new refresh token")
			w.Same(found.Grant.SessionID, s.SessionID, "the session of the new refresh token")
			refresh = next
		}
		isOverForNewcomers(w, s)
	}},
	{Name: "tokens issued after a revocation survive, those before do not", Run: func(w *world.World) {
		s := w.SignIn("ann")
		before := w.Stored(w.Refresh(s, "mail", world.Offline))
		w.End(keeping(s))
		after := w.Stored(w.Refresh(s, "mail", world.Offline))
		w.End(logout.Ending{SessionID: s.SessionID, KeepOffline: true})
		w.Dead(before)
		access, next := exchange(w, after)
		w.Live(access, next)
	}},
	{Name: "survivors live until their expiry under sweeps and purges", Run: func(w *world.World) {
		s := w.SignIn("ann")
		month := 30 * 24 * time.Hour
		refresh := w.Stored(w.Refresh(s, "mail", world.Offline, world.Lasting(month)))
		forever := w.Stored(w.Refresh(s, "wiki", world.Offline, world.Forever))
		dead := w.Stored(w.Refresh(s, "mail", world.Forever))
		w.End(logout.Ending{SessionID: s.SessionID, KeepOffline: true})
		for range 4 {
			w.Pass(month - time.Hour)
			w.Sweep(logout.Sweep{})
			w.PurgeGrants()
			w.Live(refresh, forever)
			next := w.Refresh(nil, "", world.Lasting(month))
			w.Consume(refresh, next)
			refresh = next
			w.Dead(dead)
		}
		w.Pass(month)
		w.Missing(refresh)
		w.Live(forever)
	}},
	{Name: "removing the subject kills grants that outlived its sessions", Run: func(w *world.World) {
		s, other := w.SignIn("ann"), w.SignIn("bob")
		refresh, others := w.Stored(w.Refresh(s, "mail", world.Offline)),
			w.Stored(w.Refresh(other, "mail", world.Offline))
		for _, s := range []*ticketstore.Session{s, other} {
			w.End(logout.Ending{SessionID: s.SessionID, KeepOffline: true})
		}
		access, next := exchange(w, refresh)
		w.Live(access, next, others)
		result := w.End(logout.Ending{SubjectID: "ann"})
		w.Same(result, logout.Result{GrantsRevoked: 2}, "the answer to the removal")
		w.Dead(access, next, refresh)
		w.CannotConsume(next, grantstore.ErrSessionEnded, ticketstore.ErrNotFound)
		w.Live(others)
		w.Same(w.End(logout.Ending{SubjectID: "ann"}), logout.Result{}, "the answer to the second removal")
	}},
	{Name: "removing the subject for one client kills that client's survivors", Run: func(w *world.World) {
		s := w.SignIn("ann")
		mail, wiki := w.Stored(w.Refresh(s, "mail", world.Offline)),
			w.Stored(w.Refresh(s, "wiki", world.Offline))
		w.End(logout.Ending{SessionID: s.SessionID, KeepOffline: true})
		result := w.End(logout.Ending{SubjectID: "ann", ClientIDs: []string{"mail"}})
		w.Same(result.GrantsRevoked, 1, "GrantsRevoked")
		w.Dead(mail)
		access, refresh := exchange(w, wiki)
		w.Live(access, refresh)
	}},
	{Name: "survivors of two clients die by two removals, in any order", Run: func(w *world.World) {
		for _, first := range []string{"mail", "wiki"} {
			s := w.SignIn("ann")
			tokens := []grantstore.Grant{
				w.Stored(w.Refresh(s, "mail", world.Offline)), w.Stored(w.Refresh(s, "wiki", world.Offline)),
			}
			w.End(logout.Ending{SessionID: s.SessionID, KeepOffline: true})
			w.Live(tokens...)
			w.End(logout.Ending{SubjectID: "ann", ClientIDs: []string{first}})
			w.Same(w.End(logout.Ending{SubjectID: "ann"}).GrantsRevoked, 1, "GrantsRevoked after "+first)
			w.Dead(tokens...)
		}
	}},
	{Name: "kept tokens outlive the session, and codes never do", Run: func(w *world.World) {
		s := w.SignIn("ann")
		a := authorize(w, s, world.Offline)
		access, refresh := w.Stored(w.Access(s, "mail")), w.Stored(w.Refresh(s, "mail"))
		w.End(logout.Ending{SessionID: s.SessionID, KeepTokens: true})
		w.SessionGone(s)
		w.Live(access, refresh)
		w.Dead(a.code, a.openID, a.pkce)
		w.CannotConsume(a.code, grantstore.ErrSessionEnded, ticketstore.ErrNotFound)
		access2, refresh2 := exchange(w, refresh)
		w.Live(access2, refresh2)
		isOverForNewcomers(w, s)
	}},
	{Name: "tokens of unnamed clients survive, those of named clients die", Run: func(w *world.World) {
		s := w.SignIn("ann")
		w.Uses(s, "mail", "wiki")
		mail, wiki := w.Stored(w.Refresh(s, "mail", world.Offline)), w.Stored(w.Refresh(s, "wiki"))
		wikiCode := w.Stored(w.Code(s, "wiki"))
		w.End(logout.Ending{SessionID: s.SessionID, ClientIDs: []string{"mail"}})
		w.SessionGone(s)
		w.Dead(mail, wikiCode)
		w.Live(wiki)
		access, refresh := exchange(w, wiki)
		w.Live(access, refresh)
	}},
	{Name: "tokens revoked while the session stayed do not survive its end", Run: func(w *world.World) {
		for _, ending := range []logout.Ending{{KeepTokens: true}, {KeepOffline: true}} {
			s := w.SignIn("ann")
			w.Uses(s, "mail")
			dead := []grantstore.Grant{
				w.Stored(w.Refresh(s, "mail", world.Offline)), w.Stored(w.Access(s, "mail")),
			}
			w.End(keeping(s))
			live := w.Stored(w.Refresh(s, "mail", world.Offline))
			ending.SessionID = s.SessionID
			w.End(ending)
			w.Dead(dead...)
			w.Live(live)
		}
	}},
	{Name: "a used survivor is ErrConsumed", Run: func(w *world.World) {
		s := w.SignIn("ann")
		refresh := w.Stored(w.Refresh(s, "mail", world.Offline))
		_, next := exchange(w, refresh)
		w.End(logout.Ending{SessionID: s.SessionID, KeepOffline: true})
		w.Used(refresh)
		w.Live(next)
		w.CannotConsume(refresh, grantstore.ErrConsumed)
		w.Missing(next)
	}},
}

// offlineOutlives ends a session in a way that keeps offline refresh tokens and checks what is left.
func offlineOutlives(w *world.World, end func(s *ticketstore.Session)) {
	w.Helper()
	s := w.SignIn("ann")
	a := authorize(w, s, world.Offline)
	refresh := w.Stored(w.Refresh(s, "mail", world.Offline))
	others := []grantstore.Grant{
		w.Stored(w.Refresh(s, "mail")), w.Stored(w.Access(s, "mail")), w.Stored(w.Refresh(s, "wiki")),
	}
	end(s)
	w.SessionGone(s)
	w.Live(refresh)
	w.Dead(others...)
	w.Dead(a.code, a.openID, a.pkce)
	access, next := exchange(w, refresh)
	w.Live(access, next)
	w.Same(len(w.LiveGrants(grantstore.Filter{SessionID: s.SessionID})), 2,
		"number of live grants of the ended session")
}

// isOverForNewcomers checks that an ended session with survivors accepts only grants derived from a survivor.
func isOverForNewcomers(w *world.World, s *ticketstore.Session) {
	w.Helper()
	for what, batch := range map[string]grantstore.Batch{
		"a use":                    {Use: &grantstore.Use{SessionID: s.SessionID, ClientID: "mail"}},
		"a code":                   {Store: []grantstore.Grant{w.Code(s, "mail", world.Offline)}},
		"an access token":          {Store: []grantstore.Grant{w.Access(s, "mail", world.Offline)}},
		"an offline refresh token": {Store: []grantstore.Grant{w.Refresh(s, "mail", world.Offline)}},
	} {
		_, err := w.TryApply(batch)
		w.Fails(err, "Apply "+what+" in an ended session", grantstore.ErrSessionEnded)
	}
}
