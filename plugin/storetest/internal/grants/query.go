package grants

// Listings of grants.

import (
	"math/rand/v2"
	"slices"
	"time"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/plugin/storetest/world"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// listing returns the listing of grants that the filter selects, identified by their descriptions. Queries
// with a token take the filter from it.
func listing(w *world.World, filter grantstore.Filter) world.Listing {
	return func(q world.Question) (world.Answer, error) {
		query := grantstore.Query{Order: q.Order, Count: q.Count, ResultsToken: q.Token, Prior: q.Prior}
		if q.Token == "" {
			query.Filter = filter
		}
		page, err := w.Grants.Query(w.Ctx(), query, w.Now)
		if err != nil {
			return world.Answer{}, err
		}
		return world.Answer{
			IDs: descriptions(page.Grants), Token: page.ResultsToken, HasPrev: page.HasPrev,
			HasNext: page.HasNext,
		}, nil
	}
}

func descriptions(grants []grantstore.Grant) []string {
	var all []string
	for i := range grants {
		all = append(all, grants[i].Description)
	}
	return all
}

// manyGrants stores seven refresh tokens of ann's session with the mail client, a second apart and
// interleaved with other grants, and returns the session and their descriptions in order.
func manyGrants(w *world.World) (*ticketstore.Session, []string) {
	w.Helper()
	ann, bob := w.SignIn("ann"), w.SignIn("bob")
	var want []string
	for range 7 {
		g := w.Refresh(ann, "mail")
		w.Apply(grantstore.Batch{Store: []grantstore.Grant{
			g, w.Refresh(bob, "wiki"), w.Access(bob, "chat"), w.Consent("bob", "chat"),
			w.Access(nil, "robot"),
		}})
		want = append(want, g.Description)
		w.Pass(time.Second)
	}
	return ann, want
}

var queryCases = []world.Case{
	{Name: "grants are listed with every field except their data", Run: func(w *world.World) {
		want := w.Stored(w.Refresh(w.SignIn("ann"), "mail", world.Offline))
		want.Data = nil
		w.Same(w.LiveGrants(grantstore.Filter{}), []grantstore.Grant{want}, "the listing")
	}},
	{Name: "each filter selects exactly its grants", Run: func(w *world.World) {
		ann1, ann2, bob := w.SignIn("ann"), w.SignIn("ann"), w.SignIn("bob")
		store := func(g grantstore.Grant) string {
			w.Pass(time.Second)
			return w.Stored(g).Description
		}
		a1 := store(w.Refresh(ann1, "mail"))
		a2 := store(w.Access(ann1, "wiki"))
		a3 := store(w.Refresh(ann2, "mail"))
		a4 := store(w.Consent("ann", "mail"))
		b1 := store(w.Refresh(bob, "mail"))
		b2 := store(w.Access(bob, "wiki"))
		r1 := store(w.Access(nil, "robot"))
		for _, row := range []struct {
			name   string
			filter grantstore.Filter
			want   []string
		}{
			{"none", grantstore.Filter{}, []string{a1, a2, a3, a4, b1, b2, r1}},
			{"subject", grantstore.Filter{SubjectID: "ann"}, []string{a1, a2, a3, a4}},
			{"beginning of a subject", grantstore.Filter{SubjectID: "an"}, nil},
			{"session", grantstore.Filter{SessionID: ann1.SessionID}, []string{a1, a2}},
			{"client", grantstore.Filter{ClientID: "mail"}, []string{a1, a3, a4, b1}},
			{"type", grantstore.Filter{Type: grantstore.ReferenceToken}, []string{a2, b2, r1}},
			{"type without grants", grantstore.Filter{Type: grantstore.PKCERequest}, nil},
			{
				"subject and client", grantstore.Filter{SubjectID: "ann", ClientID: "mail"},
				[]string{a1, a3, a4},
			},
			{
				"subject and type", grantstore.Filter{SubjectID: "ann", Type: grantstore.RefreshToken},
				[]string{a1, a3},
			},
			{
				"session and client", grantstore.Filter{SessionID: bob.SessionID, ClientID: "wiki"},
				[]string{b2},
			},
			{"session of another", grantstore.Filter{SubjectID: "ann", SessionID: bob.SessionID}, nil},
			{
				"client and type", grantstore.Filter{ClientID: "robot", Type: grantstore.ReferenceToken},
				[]string{r1},
			},
			{"all", grantstore.Filter{
				SubjectID: "ann", SessionID: ann2.SessionID, ClientID: "mail", Type: grantstore.RefreshToken,
			}, []string{a3}},
		} {
			w.Same(descriptions(w.LiveGrants(row.filter)), row.want, "grants by "+row.name)
		}
	}},
	{Name: "only live grants are listed", Run: func(w *world.World) {
		s, idle, ended := w.SignIn("ann"), w.SignIn("ann", world.Idle(time.Minute)), w.SignIn("ann")
		live := w.Stored(w.Refresh(s, "mail"))
		w.Stored(w.Access(s, "mail", world.Lasting(time.Minute)))
		w.Consume(w.Stored(w.Refresh(s, "mail")))
		w.Apply(grantstore.Batch{Delete: []grantstore.Ref{w.Stored(w.Access(s, "mail")).Ref}})
		w.Stored(w.Refresh(s, "wiki"))
		w.End(keeping(s, "wiki"))
		w.Stored(w.Refresh(idle, "mail"))
		w.Stored(w.Refresh(ended, "mail"))
		survivor := w.Stored(w.Refresh(ended, "mail", world.Offline))
		w.End(logout.Ending{SessionID: ended.SessionID, KeepOffline: true})
		w.Pass(time.Minute)
		want := []string{live.Description, survivor.Description}
		slices.Sort(want)
		for name, filter := range map[string]grantstore.Filter{
			"none": {}, "subject": {SubjectID: "ann"}, "client": {ClientID: "mail"},
			"type": {Type: grantstore.RefreshToken},
		} {
			got := descriptions(w.LiveGrants(filter))
			slices.Sort(got)
			w.Same(got, want, "live grants by "+name)
		}
	}},
	{Name: "pages by subject", Run: func(w *world.World) {
		_, want := manyGrants(w)
		w.CheckPaging(listing(w, grantstore.Filter{SubjectID: "ann"}), want)
	}},
	{Name: "pages by session", Run: func(w *world.World) {
		s, want := manyGrants(w)
		w.CheckPaging(listing(w, grantstore.Filter{SessionID: s.SessionID}), want)
	}},
	{Name: "pages by client and type", Run: func(w *world.World) {
		_, want := manyGrants(w)
		w.CheckPaging(listing(w, grantstore.Filter{ClientID: "mail"}), want)
		w.CheckPaging(listing(w, grantstore.Filter{ClientID: "mail", Type: grantstore.RefreshToken}), want)
	}},
	{Name: "pages without filter", Run: func(w *world.World) {
		manyGrants(w)
		w.CheckPaging(listing(w, grantstore.Filter{}), descriptions(w.LiveGrants(grantstore.Filter{})))
	}},
	{Name: "a token of a different filter or listing is refused", Run: func(w *world.World) {
		manyGrants(w)
		page, err := w.Grants.Query(w.Ctx(),
			grantstore.Query{Filter: grantstore.Filter{SubjectID: "ann"}, Count: 2}, w.Now)
		w.OK(err, "Query grants")
		for name, filter := range map[string]grantstore.Filter{
			"another subject": {SubjectID: "bob"}, "a session more": {SessionID: "s"},
			"a client more": {ClientID: "mail"},
			"a type more":   {Type: grantstore.RefreshToken},
		} {
			_, err := w.Grants.Query(w.Ctx(),
				grantstore.Query{Filter: filter, ResultsToken: page.ResultsToken}, w.Now)
			w.RefusesToken(err, "Query with the token of a different query: "+name)
		}
		sessions := w.Query(ticketstore.SessionQuery{Count: 1})
		_, err = w.Grants.Query(w.Ctx(), grantstore.Query{ResultsToken: sessions.ResultsToken}, w.Now)
		w.RefusesToken(err, "Query with a token of sessions")
	}},
	{Name: "a walk shows each remaining grant once under changes", Run: walkGrants},
}

// walkGrants walks the grants of a subject in both orders while others are stored, deleted, used, and ended
// with their sessions.
func walkGrants(w *world.World) {
	random := rand.New(rand.NewPCG(5, 7)) //nolint:gosec // deterministic
	home := w.SignIn("ann")
	made := func(s *ticketstore.Session) grantstore.Grant {
		g := w.Refresh(s, "mail")
		g.Created = world.Base.Add(time.Duration(random.IntN(w.Rows/2+1)) * time.Millisecond)
		return g
	}
	var staying, leaving []grantstore.Grant
	var batches []grantstore.Batch
	for len(staying)+len(leaving) < w.Rows {
		batch := grantstore.Batch{}
		for i := range 30 {
			g := made(home)
			batch.Store = append(batch.Store, g)
			if i%3 == 0 {
				leaving = append(leaving, g)
			} else {
				staying = append(staying, g)
			}
		}
		batches = append(batches, batch)
	}
	w.Each(len(batches), func(i int) error {
		_, err := w.TryApply(batches[i])
		return err
	})
	change := func() {
		guest := w.SignIn("ann")
		w.Apply(grantstore.Batch{Store: []grantstore.Grant{made(guest), made(guest), made(home)}})
		if len(leaving) > 1 {
			w.Apply(grantstore.Batch{Delete: []grantstore.Ref{leaving[0].Ref}})
			w.Consume(leaving[1])
			leaving = leaving[2:]
		}
		w.End(logout.Ending{SessionID: guest.SessionID})
	}
	for _, order := range []ticketstore.Order{ticketstore.Ascending, ticketstore.Descending} {
		query := grantstore.Query{Filter: grantstore.Filter{SubjectID: "ann"}, Order: order}
		seen := map[string]bool{}
		for {
			query.Count = 1 + random.IntN(40)
			page, err := w.Grants.Query(w.Ctx(), query, w.Now)
			w.OK(err, "Query grants")
			for _, shown := range descriptions(page.Grants) {
				if seen[shown] {
					w.Fatalf("the walk in order %s shows a grant twice: %s", order, shown)
				}
				seen[shown] = true
			}
			if !page.HasNext {
				break
			}
			query.ResultsToken = page.ResultsToken
			change()
		}
		for _, g := range staying {
			if !seen[g.Description] {
				w.Fatalf("the walk in order %s never shows a grant that was there throughout: %s", order,
					g.Description)
			}
		}
	}
}
