package endings

// Endings of a subject: its sessions, and its grants outside of them.

import (
	"fmt"
	"time"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/plugin/storetest/world"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// loose holds the grants of a subject outside of sessions: a token without session, a token that outlives its
// session, and a consent.
type loose struct{ token, survivor, consent grantstore.Grant }

func liveLoose(w *world.World, subject, clientID string) loose {
	w.Helper()
	s := w.SignIn(subject)
	l := loose{
		token:    w.Stored(w.Refresh(nil, clientID, world.Of(subject))),
		survivor: w.Stored(w.Refresh(s, clientID, world.Offline)),
		consent:  w.Stored(w.Consent(subject, clientID)),
	}
	w.End(logout.Ending{
		SessionID: s.SessionID, KeepOffline: true, KeepConsents: true, Reason: logout.UserLogout,
	})
	w.Live(l.token, l.survivor, l.consent)
	return l
}

func (l loose) live(w *world.World) {
	w.Helper()
	w.Live(l.token, l.survivor, l.consent)
}

func (l loose) dead(w *world.World) {
	w.Helper()
	w.Dead(l.token, l.survivor, l.consent)
}

var subjectCases = []world.Case{
	{Name: "grants outside of sessions are removed without a session", Run: func(w *world.World) {
		ann, bob := liveLoose(w, "ann", "mail"), liveLoose(w, "bob", "mail")
		w.Same(w.End(logout.Ending{SubjectID: "ann"}), logout.Result{GrantsRevoked: 2, ConsentsRevoked: 1},
			"the answer")
		ann.dead(w)
		bob.live(w)
		w.Same(w.End(logout.Ending{SubjectID: "ann"}), logout.Result{}, "the answer to the second")
	}},
	{Name: "grants stored later than AsOf, and the tolerated clock difference, are kept", Run: func(
		w *world.World,
	) {
		created := func(ahead time.Duration) world.GrantOption {
			return func(g *grantstore.Grant) { g.Created = w.Now.Add(ahead) }
		}
		now := w.Stored(w.Access(nil, "mail", world.Of("ann"), created(time.Second)))
		later := w.Stored(w.Access(nil, "mail", world.Of("ann"), created(time.Hour)))
		w.Same(w.End(logout.Ending{SubjectID: "ann"}), logout.Result{GrantsRevoked: 1}, "the answer")
		w.Dead(now)
		w.Live(later)
		w.Same(w.End(logout.Ending{SubjectID: "ann", AsOf: later.Created}), logout.Result{GrantsRevoked: 1},
			"the answer to an ending as of then")
		w.Dead(later)
	}},
	{Name: "grants outside of sessions are removed with the sessions", Run: func(w *world.World) {
		ann, l := liveLoose(w, "ann", "mail"), liveLife(w, "ann")
		unused := w.Stored(w.Consent("ann", "chat"))
		result := w.End(logout.Ending{SubjectID: "ann"})
		want := logout.Result{
			SessionsRemoved: 1, GrantsRevoked: 8, ConsentsRevoked: 5, NotificationsQueued: 2,
		}
		w.Same(result, want, "the answer")
		ann.dead(w)
		l.ended(w)
		w.Missing(unused)
		w.Same(w.End(logout.Ending{SubjectID: "ann", DryRun: true}), logout.Result{},
			"the answer to a dry run after it")
	}},
	{Name: "they are kept if the ending names the subject's sid", Run: func(w *world.World) {
		ann, l := liveLoose(w, "ann", "chat"), liveLife(w, "ann")
		w.Same(w.End(logout.Ending{SubjectID: "ann", SessionID: l.session.SessionID}), whole, "the answer")
		ann.live(w)
		l.ended(w)
	}},
	{Name: "they are kept if tokens and consents are kept", Run: func(w *world.World) {
		ann := liveLoose(w, "ann", "mail")
		w.Same(w.End(logout.Ending{SubjectID: "ann", KeepTokens: true, KeepConsents: true}), logout.Result{},
			"the answer")
		ann.live(w)
		w.Same(w.End(logout.Ending{SubjectID: "ann", KeepTokens: true}), logout.Result{ConsentsRevoked: 1},
			"the answer")
		w.Live(ann.token, ann.survivor)
		w.Missing(ann.consent)
		w.Same(w.End(logout.Ending{SubjectID: "ann", KeepConsents: true}), logout.Result{GrantsRevoked: 2},
			"the answer")
		w.Dead(ann.token, ann.survivor)
	}},
	{Name: "only those of the named clients are revoked", Run: func(w *world.World) {
		mail, wiki := liveLoose(w, "ann", "mail"), liveLoose(w, "ann", "wiki")
		result := w.End(logout.Ending{SubjectID: "ann", ClientIDs: []string{"mail", "chat"}})
		w.Same([]int{result.GrantsRevoked, result.ConsentsRevoked}, []int{2, 1},
			"grants and consents revoked")
		mail.dead(w)
		wiki.live(w)
	}},
	{Name: "they are removed even if the subject's sessions are kept", Run: func(w *world.World) {
		ann, l := liveLoose(w, "ann", "mail"), liveLife(w, "ann")
		result := w.End(logout.Ending{SubjectID: "ann", KeepSession: true, SkipNotification: true})
		w.Same(result, logout.Result{GrantsRevoked: 8, ConsentsRevoked: 4}, "the answer")
		ann.dead(w)
		w.SessionLives(l.session)
		w.Dead(l.allTokens()...)
		w.Missing(l.allConsents()...)
	}},
	{Name: "a kept consent of a session is removed with its subject", Run: func(w *world.World) {
		s := w.SignIn("ann")
		consent := w.Stored(w.Grant(grantstore.UserConsent, s, "mail", world.Forever))
		w.End(logout.Ending{SessionID: s.SessionID, KeepConsents: true})
		w.Live(consent)
		w.Same(w.End(logout.Ending{SubjectID: "ann"}), logout.Result{ConsentsRevoked: 1}, "the answer")
		w.Dead(consent)
	}},
	{Name: "a subject with many sessions is counted completely", Run: func(w *world.World) {
		n := w.Rows / 5
		sessions := make([]*ticketstore.Session, n)
		for i := range sessions {
			sessions[i] = w.Session("ann")
		}
		w.Each(n, func(i int) error {
			if err := w.Tickets.Create(w.Ctx(), sessions[i]); err != nil {
				return err
			}
			_, err := w.TryApply(grantstore.Batch{
				Use:   &grantstore.Use{SessionID: sessions[i].SessionID, ClientID: "mail", Notify: true},
				Store: []grantstore.Grant{w.Refresh(sessions[i], "mail")},
			})
			return err
		})
		other := w.SignIn("anna")
		want := logout.Result{SessionsRemoved: n, GrantsRevoked: n, NotificationsQueued: n}
		w.Same(w.End(logout.Ending{SubjectID: "ann", DryRun: true}), want, "the answer to the dry run")
		w.Same(w.End(logout.Ending{SubjectID: "ann"}), want, "the answer")
		w.Same(w.SIDs(ticketstore.SessionFilter{}), []string{other.SessionID}, "sessions left")
		w.Same(len(w.Notifications(logout.NotificationFilter{ClientID: "mail"})), n,
			"number of notifications")
		w.Same(len(w.LiveGrants(grantstore.Filter{})), 0, "number of live grants")
	}},
	{Name: "expired sessions of the subject end too", Run: func(w *world.World) {
		expired, live := w.SignIn("ann", world.Idle(time.Minute)), w.SignIn("ann")
		w.Uses(expired, "mail")
		w.Pass(time.Hour / 2)
		result := w.End(logout.Ending{SubjectID: "ann"})
		w.Same(result, logout.Result{SessionsRemoved: 2, NotificationsQueued: 1}, "the answer")
		w.SessionGone(expired, live)
	}},
	{Name: "many consents of a subject are revoked", Run: func(w *world.World) {
		const n = 200
		w.Each(n/50, func(i int) error {
			var batch grantstore.Batch
			for j := range 50 {
				batch.Store = append(batch.Store, w.Consent("ann", fmt.Sprint("client ", i*50+j)))
			}
			_, err := w.TryApply(batch)
			return err
		})
		w.Same(w.End(logout.Ending{SubjectID: "ann"}), logout.Result{ConsentsRevoked: n}, "the answer")
		w.Same(len(w.LiveGrants(grantstore.Filter{})), 0, "number of live grants")
	}},
}
