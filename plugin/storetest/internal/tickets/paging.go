package tickets

// Pages of sessions.

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/plugin/storetest/world"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// listing returns the listing of sessions that the filter selects. Queries with a token take the filter from
// it.
func listing(w *world.World, filter ticketstore.SessionFilter) world.Listing {
	return func(q world.Question) (world.Answer, error) {
		query := ticketstore.SessionQuery{
			Order: q.Order, Count: q.Count, ResultsToken: q.Token, Prior: q.Prior,
		}
		if q.Token == "" {
			query.Filter = filter
		}
		page, err := w.Tickets.Query(w.Ctx(), query)
		if err != nil {
			return world.Answer{}, err
		}
		answer := world.Answer{Token: page.ResultsToken, HasPrev: page.HasPrev, HasNext: page.HasNext}
		for i := range page.Sessions {
			answer.IDs = append(answer.IDs, page.Sessions[i].SessionID)
		}
		return answer, nil
	}
}

// seven stores seven sessions of ann, interleaved with seven of bob, all used by the client, and returns
// ann's sids in order.
func seven(w *world.World) []string {
	w.Helper()
	var sids []string
	for i := range 7 {
		created := world.CreatedAt(world.Base.Add(time.Duration(i) * time.Second))
		s := w.SignIn("ann", world.Named("Ann"), created)
		w.Uses(s, "mail")
		w.SignIn("bob", world.Named("Bob"), created)
		sids = append(sids, s.SessionID)
	}
	return sids
}

var pagingCases = []world.Case{
	{Name: "pages without filter", Run: func(w *world.World) {
		seven(w)
		w.CheckPaging(listing(w, ticketstore.SessionFilter{}), w.SIDs(ticketstore.SessionFilter{}))
	}},
	{Name: "pages by subject", Run: func(w *world.World) {
		w.CheckPaging(listing(w, ticketstore.SessionFilter{SubjectID: "ann"}), seven(w))
	}},
	{Name: "pages by client", Run: func(w *world.World) {
		w.CheckPaging(listing(w, ticketstore.SessionFilter{ClientID: "mail"}), seven(w))
	}},
	{Name: "pages by name", Run: func(w *world.World) {
		w.CheckPaging(listing(w, ticketstore.SessionFilter{DisplayName: "ANN"}), seven(w))
	}},
	{Name: "pages by times", Run: func(w *world.World) {
		sids := seven(w)
		created := ticketstore.SessionFilter{
			CreatedFrom: world.Base.Add(time.Second), CreatedBefore: world.Base.Add(6 * time.Second),
			SubjectID: "ann",
		}
		w.CheckPaging(listing(w, created), sids[1:6])
		expires := ticketstore.SessionFilter{
			ExpiresFrom: world.Base.Add(time.Hour + 2*time.Second), DisplayName: "ann",
		}
		w.CheckPaging(listing(w, expires), sids[2:])
	}},
	{Name: "sessions created at the same time are ordered by sid", Run: func(w *world.World) {
		sids := []string{"B", "a", "aa", "b", "ä"}
		for _, sid := range []string{"b", "ä", "a", "B", "aa"} {
			w.SignIn("ann", world.SID(sid))
		}
		early := w.SignIn("ann", world.SID("z early"), world.CreatedAt(world.Base.Add(-time.Microsecond)))
		late := w.SignIn("ann", world.SID("A late"), world.CreatedAt(world.Base.Add(time.Microsecond)))
		want := append([]string{early.SessionID}, append(sids, late.SessionID)...)
		w.CheckPaging(listing(w, ticketstore.SessionFilter{}), want)
		w.CheckPaging(listing(w, ticketstore.SessionFilter{SubjectID: "ann"}), want)
	}},
	{Name: "an unset count is the default, and the largest is served", Run: func(w *world.World) {
		w.Each(ticketstore.DefaultCount+1, func(i int) error {
			s := w.Session("ann", world.SID(fmt.Sprintf("%03d", i)))
			return w.Tickets.Create(w.Ctx(), s)
		})
		page := w.Query(ticketstore.SessionQuery{})
		w.Same(len(page.Sessions), ticketstore.DefaultCount, "rows of a page with an unset count")
		w.Same(page.TotalPages, 2, "TotalPages of a query with an unset count")
		page = w.Query(ticketstore.SessionQuery{Count: ticketstore.MaxCount})
		w.Same(len(page.Sessions), ticketstore.DefaultCount+1, "rows of the largest page")
		w.Same(len(w.Query(ticketstore.SessionQuery{Count: 1}).Sessions), 1, "rows of the smallest page")
	}},
	{Name: "pages have numbers in both directions", Run: func(w *world.World) {
		seven(w)
		for _, filter := range []ticketstore.SessionFilter{{SubjectID: "ann"}, {ClientID: "mail"}} {
			query := ticketstore.SessionQuery{Filter: filter, Count: 3}
			for step, want := range []int{1, 2, 3, 2, 1} {
				query.Prior = step > 2
				page := w.Query(query)
				w.Same([]int{page.CurrentPage, page.TotalPages, page.TotalCount}, []int{want, 3, 7},
					"page, pages and sessions")
				query.ResultsToken = page.ResultsToken
			}
		}
	}},
	{Name: "no page has a number beyond the last", Run: func(w *world.World) {
		sids := seven(w)
		query := ticketstore.SessionQuery{
			Filter: ticketstore.SessionFilter{SubjectID: "ann"}, Order: ticketstore.Ascending, Count: 1,
		}
		for range 4 {
			query.ResultsToken = w.Query(query).ResultsToken
		}
		for _, sid := range append(sids[:3:3], sids[6]) {
			w.End(logout.Ending{SessionID: sid})
		}
		page := w.Query(query)
		w.Same(pageSIDs(page), sids[4:5], "the fifth page, which is the second of three sessions by now")
		w.Same([]int{page.CurrentPage, page.TotalPages}, []int{3, 3}, "page and pages")
	}},
	{Name: "a token carries filter and order", Run: func(w *world.World) {
		sids := seven(w)
		filter := ticketstore.SessionFilter{SubjectID: "ann", CreatedBefore: world.Base.Add(time.Hour)}
		first := w.Query(ticketstore.SessionQuery{Filter: filter, Order: ticketstore.Ascending, Count: 3})
		want := sids[3:6]
		left := ticketstore.SessionQuery{Count: 3, ResultsToken: first.ResultsToken}
		w.Same(pageSIDs(w.Query(left)), want, "the next page with filter and order left out")
		partly := ticketstore.SessionQuery{
			Filter: ticketstore.SessionFilter{SubjectID: "ann"}, Count: 3, ResultsToken: first.ResultsToken,
		}
		w.Same(pageSIDs(w.Query(partly)), want, "the next page with half of the filter left out")
		again := ticketstore.SessionQuery{
			Filter: filter, Order: ticketstore.Ascending, Count: 3, ResultsToken: first.ResultsToken,
		}
		again.Filter.CreatedBefore = filter.CreatedBefore.In(time.FixedZone("west", -7*3600))
		w.Same(pageSIDs(w.Query(again)), want,
			"the next page with filter and order repeated, in another time zone")
	}},
	{Name: "a token of a different filter or order is refused", Run: func(w *world.World) {
		seven(w)
		filter := ticketstore.SessionFilter{SubjectID: "ann", CreatedFrom: world.Base}
		token := w.Query(ticketstore.SessionQuery{Filter: filter, Count: 3}).ResultsToken
		for name, query := range map[string]ticketstore.SessionQuery{
			"another subject":  {Filter: ticketstore.SessionFilter{SubjectID: "bob"}},
			"a sid more":       {Filter: ticketstore.SessionFilter{SessionID: "s"}},
			"a client more":    {Filter: ticketstore.SessionFilter{ClientID: "mail"}},
			"a name more":      {Filter: ticketstore.SessionFilter{DisplayName: "a"}},
			"another creation": {Filter: ticketstore.SessionFilter{CreatedFrom: world.Base.Add(1)}},
			"a last creation more": {
				Filter: ticketstore.SessionFilter{CreatedBefore: world.Base.Add(time.Hour)},
			},
			"an expiry more": {Filter: ticketstore.SessionFilter{ExpiresFrom: world.Base}},
			"a last expiry more": {
				Filter: ticketstore.SessionFilter{ExpiresBefore: world.Base.Add(time.Hour)},
			},
			"another order":           {Order: ticketstore.Ascending},
			"another order backwards": {Order: ticketstore.Ascending, Prior: true},
		} {
			query.ResultsToken = token
			_, err := w.Tickets.Query(w.Ctx(), query)
			w.RefusesToken(err, "Query with the token of a different query: "+name)
		}
	}},
	{Name: "a token of a different listing is refused", Run: func(w *world.World) {
		s := w.SignIn("ann")
		w.Uses(s, "mail")
		w.Stored(w.Refresh(s, "mail"))
		w.End(logout.Ending{SessionID: s.SessionID, KeepTokens: true})
		other := w.SignIn("ann")
		w.Stored(w.Refresh(other, "mail"))
		grants, err := w.Grants.Query(w.Ctx(), grantstore.Query{}, w.Now)
		w.OK(err, "Query grants")
		deliveries, err := w.Logout.Notifications(w.Ctx(), logout.NotificationQuery{})
		w.OK(err, "Notifications")
		for name, token := range map[string]string{
			"grants": grants.ResultsToken, "deliveries": deliveries.ResultsToken,
		} {
			if token == "" {
				w.Fatalf("the listing of %s has a row but gave no token", name)
			}
			_, err := w.Tickets.Query(w.Ctx(), ticketstore.SessionQuery{ResultsToken: token})
			w.RefusesToken(err, "Query sessions with a token of "+name)
		}
	}},
	{Name: "the token of the empty last page finds later rows", Run: func(w *world.World) {
		sids := seven(w)
		query := ticketstore.SessionQuery{
			Filter: ticketstore.SessionFilter{SubjectID: "ann"}, Order: ticketstore.Ascending, Count: 10,
		}
		query.ResultsToken = w.Query(query).ResultsToken
		empty := w.Query(query)
		w.Same(pageSIDs(empty), []string{}, "the page after the last")
		w.Pass(time.Hour)
		late := w.SignIn("ann")
		query.ResultsToken = empty.ResultsToken
		w.Same(pageSIDs(w.Query(query)), []string{late.SessionID},
			"the page after it once a new session is created")
		query.Prior = true
		w.Same(pageSIDs(w.Query(query)), sids, "the page before it")
	}},
	{Name: "the token of a page whose rows are gone works in both directions", Run: func(w *world.World) {
		sids := seven(w)
		query := ticketstore.SessionQuery{
			Filter: ticketstore.SessionFilter{SubjectID: "ann"}, Order: ticketstore.Ascending, Count: 2,
		}
		query.ResultsToken = w.Query(query).ResultsToken
		middle := w.Query(query)
		w.Same(pageSIDs(middle), sids[2:4], "the second page")
		for _, sid := range sids[2:4] {
			w.End(logout.Ending{SessionID: sid})
		}
		query.ResultsToken = middle.ResultsToken
		w.Same(pageSIDs(w.Query(query)), sids[4:6], "the page after the one whose rows are gone")
		query.Prior = true
		w.Same(pageSIDs(w.Query(query)), sids[:2], "the page before the one whose rows are gone")
	}},
	{Name: "a token works after every row is gone", Run: func(w *world.World) {
		seven(w)
		query := ticketstore.SessionQuery{Order: ticketstore.Ascending, Count: 5}
		first := w.Query(query)
		w.End(logout.Ending{SubjectID: "ann"})
		w.End(logout.Ending{SubjectID: "bob"})
		query.ResultsToken = first.ResultsToken
		empty := w.Query(query)
		w.Same(pageSIDs(empty), []string{}, "the page when nothing is left")
		if empty.ResultsToken == "" || empty.HasNext || empty.HasPrev {
			w.Fatalf("the page when nothing is left: got token %q, next %v, prev %v, want only a token",
				empty.ResultsToken, empty.HasNext, empty.HasPrev)
		}
		before := w.SignIn("ann", world.CreatedAt(world.Base.Add(-time.Hour)))
		query.ResultsToken, query.Prior = empty.ResultsToken, true
		w.Same(pageSIDs(w.Query(query)), []string{before.SessionID},
			"the page before the empty one once a session is created there")
	}},
	{Name: "a filter at its limits fits into a token", Run: func(w *world.World) {
		subject, name := strings.Repeat("<", ticketstore.MaxID), strings.Repeat("\x01", ticketstore.MaxText)
		var sids []string
		for range 3 {
			sids = append(sids, w.SignIn(subject, world.Named(name)).SessionID)
		}
		slices.Sort(sids)
		query := ticketstore.SessionQuery{
			Filter: ticketstore.SessionFilter{SubjectID: subject, DisplayName: name},
			Order:  ticketstore.Ascending, Count: 2,
		}
		query.ResultsToken = w.Query(query).ResultsToken
		w.Same(pageSIDs(w.Query(query)), sids[2:], "the second page")
	}},
}

func pageSIDs(page *ticketstore.Page) []string {
	var sids []string
	for i := range page.Sessions {
		sids = append(sids, page.Sessions[i].SessionID)
	}
	return sids
}
