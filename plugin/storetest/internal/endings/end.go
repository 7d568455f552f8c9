package endings

// Endings of one session: what is removed, what is kept, and which clients are notified.

import (
	"fmt"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/plugin/storetest/world"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// life is a session in use by two clients that can be notified, mail and wiki, and one that cannot, tv. Each
// has an access token and a refresh token in the session, and the subject's consent.
type life struct {
	session *ticketstore.Session
	tokens  map[string][]grantstore.Grant
	consent map[string]grantstore.Grant
}

func liveLife(w *world.World, subject string) life {
	w.Helper()
	l := life{w.SignIn(subject), map[string][]grantstore.Grant{}, map[string]grantstore.Grant{}}
	for _, id := range []string{"mail", "tv", "wiki"} {
		l.tokens[id] = []grantstore.Grant{w.Access(l.session, id), w.Refresh(l.session, id)}
		l.consent[id] = w.Consent(subject, id)
		w.Apply(grantstore.Batch{
			Use:   &grantstore.Use{SessionID: l.session.SessionID, ClientID: id, Notify: id != "tv"},
			Store: append([]grantstore.Grant{l.consent[id]}, l.tokens[id]...),
		})
	}
	return l
}

// allTokens returns the tokens of every client.
func (l life) allTokens() (all []grantstore.Grant) {
	for _, tokens := range l.tokens {
		all = append(all, tokens...)
	}
	return all
}

// allConsents returns the consents to every client.
func (l life) allConsents() (all []grantstore.Grant) {
	for _, consent := range l.consent {
		all = append(all, consent)
	}
	return all
}

// untouched checks that the session and everything in it is unchanged, and that no client was notified.
func (l life) untouched(w *world.World) {
	w.Helper()
	w.SessionLives(l.session)
	w.Same(w.Get(l.session), l.session, "the session")
	w.Same(w.Clients(l.session), []string{"mail", "tv", "wiki"}, "clients of the session")
	w.Live(l.allTokens()...)
	w.Live(l.allConsents()...)
	w.Same(w.Notified(l.session), []string{}, "clients notified of the session's end")
}

// ended checks that nothing of the session remains and that each of its clients was notified once.
func (l life) ended(w *world.World) {
	w.Helper()
	w.SessionGone(l.session)
	w.Dead(l.allTokens()...)
	w.Dead(l.allConsents()...)
	w.Same(w.Notified(l.session), []string{"mail", "wiki"}, "clients notified of the session's end")
}

// whole is the result of ending one life.
var whole = logout.Result{SessionsRemoved: 1, GrantsRevoked: 6, ConsentsRevoked: 3, NotificationsQueued: 2}

var endCases = []world.Case{
	{Name: "an ending by sid ends one session with everything in it", Run: func(w *world.World) {
		l, same, other := liveLife(w, "ann"), w.SignIn("ann"), liveLife(w, "bob")
		token := w.Stored(w.Refresh(same, "mail"))
		w.Same(w.End(logout.Ending{SessionID: l.session.SessionID}), whole, "the answer")
		l.ended(w)
		w.SessionLives(same)
		w.Live(token)
		other.untouched(w)
	}},
	{Name: "an ending by subject ends all of its sessions", Run: func(w *world.World) {
		a, b, other := liveLife(w, "ann"), liveLife(w, "ann"), liveLife(w, "bob")
		want := logout.Result{
			SessionsRemoved: 2, GrantsRevoked: 12, ConsentsRevoked: 6, NotificationsQueued: 4,
		}
		w.Same(w.End(logout.Ending{SubjectID: "ann"}), want, "the answer")
		a.ended(w)
		b.ended(w)
		other.untouched(w)
	}},
	{Name: "an ending by both requires the session to be the subject's", Run: func(w *world.World) {
		l, same, other := liveLife(w, "ann"), liveLife(w, "ann"), liveLife(w, "bob")
		w.Same(w.End(logout.Ending{SubjectID: "bob", SessionID: l.session.SessionID}), logout.Result{},
			"the answer to a mismatch")
		w.Same(w.End(logout.Ending{SubjectID: "nobody", SessionID: l.session.SessionID}), logout.Result{},
			"the answer to a mismatch")
		l.untouched(w)
		same.untouched(w)
		other.untouched(w)
		result := w.End(logout.Ending{SubjectID: "ann", SessionID: l.session.SessionID})
		w.Same([]int{result.SessionsRemoved, result.GrantsRevoked, result.NotificationsQueued},
			[]int{1, 6, 2}, "the answer to a match")
		w.SessionGone(l.session)
		w.SessionLives(same.session)
		w.Live(same.allTokens()...)
		other.untouched(w)
	}},
	{Name: "an ending without a match has an empty answer", Run: func(w *world.World) {
		l := liveLife(w, "ann")
		for _, ending := range []logout.Ending{
			{SubjectID: "nobody"}, {SessionID: "nobody's"}, {SubjectID: "an"}, {SubjectID: "ann "},
			{SessionID: l.session.SessionID[:3]},
		} {
			w.Same(w.End(ending), logout.Result{}, "the answer to "+ending.SubjectID+ending.SessionID)
		}
		l.untouched(w)
	}},
	{Name: "a second ending changes nothing", Run: func(w *world.World) {
		l := liveLife(w, "ann")
		w.Same(w.End(logout.Ending{SessionID: l.session.SessionID}), whole, "the answer")
		w.Same(w.End(logout.Ending{SessionID: l.session.SessionID}), logout.Result{},
			"the answer to the second")
		w.Same(w.End(logout.Ending{SubjectID: "ann"}), logout.Result{}, "the answer to the third")
		l.ended(w)
	}},
	{Name: "an ending by sid keeps the subject's other consents and loose grants", Run: func(w *world.World) {
		l := liveLife(w, "ann")
		unused, others := w.Stored(w.Consent("ann", "chat")), w.Stored(w.Consent("bob", "mail"))
		loose := w.Stored(w.Refresh(nil, "mail", world.Of("ann")))
		w.Same(w.End(logout.Ending{SessionID: l.session.SessionID}), whole, "the answer")
		w.Live(unused, others, loose)
	}},
	{Name: "grants that are not live are not counted", Run: func(w *world.World) {
		s := w.SignIn("ann")
		w.Uses(s, "mail")
		w.Consume(w.Stored(w.Refresh(s, "mail")), w.Refresh(s, "mail"))
		w.Stored(w.Access(s, "mail", world.Lasting(1)))
		w.Apply(grantstore.Batch{Delete: []grantstore.Ref{w.Stored(w.Access(s, "mail")).Ref}})
		w.Pass(1000)
		for _, kind := range grantstore.Types {
			if kind.IsToken() {
				w.Stored(w.Grant(kind, s, "mail"))
			}
		}
		result := w.End(logout.Ending{SessionID: s.SessionID})
		w.Same(result, logout.Result{SessionsRemoved: 1, GrantsRevoked: 6, NotificationsQueued: 1},
			"the answer")
	}},
	{Name: "a session with many grants ends and is counted completely", Run: func(w *world.World) {
		s := w.SignIn("ann")
		w.Uses(s, "mail")
		batches := make([]grantstore.Batch, (w.Rows+49)/50)
		var all []grantstore.Grant
		for i := range batches {
			for range 50 {
				batches[i].Store = append(batches[i].Store, w.Access(s, "mail"))
			}
			all = append(all, batches[i].Store...)
		}
		w.Each(len(batches), func(i int) error {
			_, err := w.TryApply(batches[i])
			return err
		})
		w.Same(w.End(logout.Ending{SessionID: s.SessionID}).GrantsRevoked, len(all), "GrantsRevoked")
		w.Dead(all[0], all[len(all)/2], all[len(all)-1])
		w.Same(len(w.LiveGrants(grantstore.Filter{SubjectID: "ann"})), 0, "number of live grants")
	}},
	{Name: "subjects with special characters are kept apart", Run: func(w *world.World) {
		subjects := []string{"a", "aa", "a\x01", "a\x01b", "a/", "a/b", "a:b", "A", "ä", " a", "*", "%", "_"}
		sessions := map[string]*ticketstore.Session{}
		for _, subject := range subjects {
			sessions[subject] = w.SignIn(subject, world.SID("of "+subject))
			w.Uses(sessions[subject], subject)
			w.Stored(w.Refresh(nil, subject, world.Of(subject)))
			w.Stored(w.Consent(subject, subject))
		}
		for _, subject := range subjects {
			want := logout.Result{
				SessionsRemoved: 1, GrantsRevoked: 1, ConsentsRevoked: 1, NotificationsQueued: 1,
			}
			w.Same(w.End(logout.Ending{SubjectID: subject}), want,
				fmt.Sprintf("the answer for subject %q", subject))
			w.SessionGone(sessions[subject])
			w.Same(w.Notified(sessions[subject]), []string{subject},
				fmt.Sprintf("clients notified of %q", subject))
		}
	}},
}
