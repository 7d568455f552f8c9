package grants

// Tokens that were revoked while their session stayed.

import (
	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/plugin/storetest/world"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// keeping returns an ending that revokes the tokens of a session, or of some of its clients, and keeps the
// session.
func keeping(s *ticketstore.Session, clientIDs ...string) logout.Ending {
	return logout.Ending{
		SessionID: s.SessionID, ClientIDs: clientIDs, KeepSession: true, SkipNotification: true,
	}
}

// revokedCases are about tokens that were revoked while their session stayed.
var revokedCases = []world.Case{
	{Name: "tokens of a kept session die and new ones live", Run: func(w *world.World) {
		s := w.SignIn("ann")
		tokens, used := everyToken(w, s)
		w.End(keeping(s))
		w.SessionLives(s)
		w.Dead(append(tokens, used)...)
		for _, g := range []grantstore.Grant{tokens[0], tokens[4], used} {
			w.CannotConsume(g, grantstore.ErrSessionEnded, ticketstore.ErrNotFound)
		}
		a := authorize(w, s)
		w.Live(a.code, a.openID, a.pkce)
		access, refresh := exchange(w, a.code)
		w.Live(access, refresh)
		access, refresh = exchange(w, refresh)
		w.Live(access, refresh)
		w.Dead(append(tokens, used)...)
	}},
	{Name: "revoking twice kills both times", Run: func(w *world.World) {
		s := w.SignIn("ann")
		var dead []grantstore.Grant
		for range 3 {
			tokens, used := everyToken(w, s)
			w.Live(tokens...)
			w.Dead(dead...)
			w.End(keeping(s))
			dead = append(dead, append(tokens, used)...)
			w.Dead(dead...)
		}
	}},
	{Name: "revoking raises the client's token number", Run: func(w *world.World) {
		s := w.SignIn("ann")
		w.Uses(s, "mail", "wiki")
		mail, wiki := w.Client(s, "mail"), w.Client(s, "wiki")
		w.End(keeping(s, "mail"))
		if got := w.Client(s, "mail").TokenNumber; got <= mail.TokenNumber {
			w.Fatalf("TokenNumber is %d after %d, want a higher one", got, mail.TokenNumber)
		}
		w.Same(w.Client(s, "wiki"), wiki, "the part of a client that was not named")
		ending := keeping(s, "wiki")
		ending.KeepTokens = true
		w.End(ending)
		w.Same(w.Client(s, "wiki"), wiki, "the part of a client whose tokens were kept")
	}},
	{Name: "only the tokens of the named client die", Run: func(w *world.World) {
		s := w.SignIn("ann")
		mail, wiki := w.Stored(w.Refresh(s, "mail")), w.Stored(w.Refresh(s, "wiki"))
		w.Uses(s, "mail", "wiki")
		w.End(keeping(s, "mail"))
		w.Dead(mail)
		w.Live(wiki)
		access, refresh := exchange(w, wiki)
		w.Live(access, refresh, w.Stored(w.Refresh(s, "mail")))
	}},
	{Name: "tokens of a client whose use was never recorded die too", Run: func(w *world.World) {
		s := w.SignIn("ann")
		mail, wiki := w.Stored(w.Refresh(s, "mail")), w.Stored(w.Refresh(s, "wiki"))
		result := w.End(keeping(s))
		w.Same(result.GrantsRevoked, 2, "GrantsRevoked")
		w.Dead(mail, wiki)
		w.Live(w.Stored(w.Refresh(s, "mail")))
	}},
	{Name: "a detached client is gone from the session until it is used again", Run: func(w *world.World) {
		s := w.SignIn("ann")
		w.UsesSilently(s, "mail")
		w.Uses(s, "wiki")
		old := w.Stored(w.Refresh(s, "mail"))
		w.End(keeping(s, "mail"))
		w.Same(w.Clients(s), []string{"wiki"}, "clients after mail was detached")
		w.Same(w.SIDs(ticketstore.SessionFilter{ClientID: "mail"}), []string{},
			"sessions of the detached client")
		w.Dead(old)
		w.Uses(s, "mail")
		w.Client(s, "mail")
		w.Same(w.SIDs(ticketstore.SessionFilter{ClientID: "mail"}), []string{s.SessionID},
			"sessions of the client attached again")
		w.Live(w.Stored(w.Refresh(s, "mail")))
		w.Dead(old)
	}},
	{Name: "revoking races exchanges and leaves no older token", Run: func(w *world.World) {
		s := w.SignIn("ann")
		for range 10 {
			code, refresh := authorize(w, s).code, w.Stored(w.Refresh(s, "mail"))
			world.Race(3, func(i int) error {
				var err error
				switch i {
				case 0:
					_, err = w.TryEnd(keeping(s))
				case 1:
					_, _, err = withGrace(w, refresh, 0)
				case 2:
					_, _, err = withGrace(w, code, 0)
				}
				return err
			})
			w.Same(w.LiveGrants(grantstore.Filter{SessionID: s.SessionID}), []grantstore.Grant{},
				"live grants after the race")
		}
	}},
}
