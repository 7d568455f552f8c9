package kills

// Kills by changes of sessions.

import (
	"errors"
	"time"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/plugin/storetest/world"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// manyTokens is more than a store removes in the transaction that ends their session.
const manyTokens = 600

// pair is two sessions of different subjects with a token each: a change of the first must not kill the
// second one's token.
type pair struct {
	*watch
	ann, bob           *ticketstore.Session
	token, other, wiki grantstore.Grant // of ann's client, of bob's client, of a second client of ann
}

func newPair(w *world.World) *pair {
	p := &pair{watch: watching(w), ann: w.SignIn("ann"), bob: w.SignIn("bob")}
	p.token, p.other, p.wiki = token(w, p.ann, "mail"), token(w, p.bob, "mail"), token(w, p.ann, "wiki")
	return p
}

// many stores many tokens in ann's session.
func (p *pair) many() []grantstore.Grant {
	p.Helper()
	tokens := make([]grantstore.Grant, manyTokens)
	for i := range tokens {
		tokens[i] = p.Access(p.ann, "mail")
	}
	p.Each(len(tokens), func(i int) error {
		batch := &grantstore.Batch{OperationID: p.Op(), Store: tokens[i : i+1]}
		_, err := p.Grants.Apply(p.Ctx(), batch, p.Now)
		return err
	})
	return tokens
}

// ends checks an ending that kills the token and not the token of the other subject.
func (p *pair) ends(ending logout.Ending) {
	p.Helper()
	k := p.during(func() {
		if ending.OperationID = p.Op(); ending.Reason == "" {
			ending.Reason = logout.Terminated
		}
		result, err := p.TryEnd(ending)
		p.OK(err, "End")
		if result.JobID != "" {
			p.JobDone(result.JobID)
		}
		p.Dead(p.token)
	})
	k.names(p.token)
	if !ending.All {
		k.spares(p.other)
	}
}

var sessionCases = []world.Case{
	{Name: "the end of a session", Run: func(w *world.World) {
		p := newPair(w)
		p.ends(logout.Ending{SessionID: p.ann.SessionID})
	}},
	{Name: "the end of a subject's sessions, and its tokens without one", Run: func(w *world.World) {
		p := newPair(w)
		loose := token(w, nil, "mail", world.Of("ann"))
		k := p.during(func() { p.ends(logout.Ending{SubjectID: "ann"}) })
		k.names(p.token, p.wiki, loose)
	}},
	{Name: "the end of all sessions, by a job", Run: func(w *world.World) {
		p := newPair(w)
		loose := token(w, nil, "mail", world.Of("bob"))
		k := p.during(func() { p.ends(logout.Ending{All: true}) })
		k.names(p.token, p.wiki, p.other, loose)
	}},
	{Name: "the end of a session with more tokens than one transaction removes", Run: func(w *world.World) {
		p := newPair(w)
		tokens := p.many()
		p.during(func() { p.ends(logout.Ending{SessionID: p.ann.SessionID}) }).names(tokens...)
	}},
	{Name: "many tokens revoked in a kept session", Run: func(w *world.World) {
		p := newPair(w)
		tokens := p.many()
		p.during(func() {
			p.ends(logout.Ending{SessionID: p.ann.SessionID, KeepSession: true})
			w.Dead(tokens...)
		}).names(tokens...)
	}},
	{Name: "tokens revoked in a kept session", Run: func(w *world.World) {
		p := newPair(w)
		p.ends(logout.Ending{SessionID: p.ann.SessionID, KeepSession: true})
		w.SessionLives(p.ann)
	}},
	{Name: "tokens of one client revoked in a kept session", Run: func(w *world.World) {
		p := newPair(w)
		p.ends(logout.Ending{SessionID: p.ann.SessionID, KeepSession: true, ClientIDs: []string{"mail"}})
		w.Live(p.wiki)
	}},
	{Name: "tokens that have outlived their session", Run: func(w *world.World) {
		p := newPair(w)
		w.End(logout.Ending{SessionID: p.ann.SessionID, KeepTokens: true})
		w.Live(p.token)
		p.ends(logout.Ending{SessionID: p.ann.SessionID})
	}},
	{Name: "a session that keeps its tokens at its end", Run: func(w *world.World) {
		p := newPair(w) // the token no longer expires with the session
		p.during(func() {
			w.End(logout.Ending{SessionID: p.ann.SessionID, KeepTokens: true})
			w.Live(p.token)
		}).names(p.token)
	}},
	{Name: "a sweep", Run: func(w *world.World) {
		p := newPair(w)
		w.Now = p.ann.Expires
		k := p.during(func() {
			w.Sweep(logout.Sweep{Limit: 10})
			w.Dead(p.token, p.other)
		})
		k.names(p.token, p.other)
	}},
	{Name: "a session ended by a limit", Run: func(w *world.World) {
		p := newPair(w)
		k := p.during(func() {
			limit := ticketstore.Limit{Max: 1, EndOldest: true}
			ended, err := w.Tickets.CreateWithin(w.Ctx(), w.Session("ann"), limit, w.Now)
			w.OK(err, "CreateWithin")
			w.Same(ended, []string{p.ann.SessionID}, "the sessions that ended")
		})
		k.names(p.token)
		k.spares(p.other)
	}},
	{Name: "a session that is renewed, gets a new cookie or slides", Run: func(w *world.World) {
		p := newPair(w)
		w.Pass(time.Minute)
		p.during(func() { p.ann = w.Renew(p.ann, time.Hour) }).names(p.token)
		p.during(func() {
			rekey := w.Rekey(p.ann)
			rekey.EndsAt = w.Now.Add(time.Minute) // earlier than before
			w.OK(world.Err(w.Tickets.Rekey(w.Ctx(), rekey, w.Now)), "Rekey")
		}).names(p.token)
		k := p.during(func() {
			slid := w.Apply(grantstore.Batch{Slide: &grantstore.Slide{
				SessionID: p.bob.SessionID, Expires: w.Now.Add(2 * 24 * time.Hour), RenewedBefore: w.Now,
			}})
			if !slid.Slid {
				w.Fatal("the session was not renewed")
			}
		})
		k.names(p.other)
		k.spares(p.token)
	}},
	{Name: "a refused ending, or one without a match, kills nothing", Run: func(w *world.World) {
		p := newPair(w)
		p.during(func() {
			w.End(logout.Ending{SessionID: "unknown"})
			w.End(logout.Ending{SessionID: p.ann.SessionID, DryRun: true})
			if _, err := w.TryEnd(logout.Ending{}); !errors.Is(err, ticketstore.ErrInvalid) {
				w.Fatalf("an ending of nothing: got %v, want ErrInvalid", err)
			}
			w.Live(p.token, p.other)
		}).spares(p.token, p.other)
	}},
}
