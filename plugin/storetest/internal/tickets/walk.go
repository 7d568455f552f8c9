package tickets

// Walks of listings that change meanwhile.

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/plugin/storetest/world"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// walkCases walk the listing of all rows and filtered listings.
func walkCases(all, filtered int) []world.Case {
	var cases []world.Case
	for i, walk := range []struct {
		name   string
		filter ticketstore.SessionFilter
	}{
		{"a walk", ticketstore.SessionFilter{}},
		{"a walk by subject", ticketstore.SessionFilter{SubjectID: "ann"}},
		{"a walk by client", ticketstore.SessionFilter{ClientID: "mail"}},
		{"a walk by name", ticketstore.SessionFilter{DisplayName: "aNN"}},
		{"a walk by times", ticketstore.SessionFilter{
			CreatedFrom: world.Base, CreatedBefore: world.Base.Add(time.Hour),
			ExpiresFrom:   world.Base.Add(time.Minute),
			ExpiresBefore: world.Base.Add(10000 * time.Hour),
		}},
		{"a walk by all conditions", ticketstore.SessionFilter{
			SubjectID: "ann", ClientID: "mail", DisplayName: "joanne", CreatedFrom: world.Base,
			ExpiresFrom: world.Base,
		}},
	} {
		rows := filtered
		if walk.filter == (ticketstore.SessionFilter{}) {
			rows = all
		}
		cases = append(cases, world.Case{
			Name: walk.name + " shows each remaining session once under changes",
			Run:  func(w *world.World) { newChurn(w, rows, uint64(i), walk.filter).check() },
		})
	}
	return cases
}

// churn is a listing that changes during a walk: sessions are created and end before and behind the reader,
// or are renewed or rekeyed.
type churn struct {
	w      *world.World
	rows   int
	random *rand.Rand
	filter ticketstore.SessionFilter
	// staying are the sessions present throughout the walk, leaving are those that may end.
	staying []*ticketstore.Session
	leaving []*ticketstore.Session
}

func newChurn(w *world.World, rows int, seed uint64, filter ticketstore.SessionFilter) *churn {
	w.Helper()
	random := rand.New(rand.NewPCG(seed, 7)) //nolint:gosec // deterministic
	c := &churn{w: w, rows: rows, random: random, filter: filter}
	sessions := make([]*ticketstore.Session, rows)
	for i := range sessions {
		sessions[i] = c.session()
	}
	w.Each(len(sessions), func(i int) error { return c.store(sessions[i]) })
	for i, s := range sessions {
		if i%3 == 0 {
			c.leaving = append(c.leaving, s)
		} else {
			c.staying = append(c.staying, s)
		}
	}
	return c
}

// session returns a session created near the others in time; many are created at the same time.
func (c *churn) session() *ticketstore.Session {
	created := world.Base.Add(time.Duration(c.random.IntN(c.rows/2+1)) * time.Millisecond)
	return c.w.Session("ann", world.Named("Joanne"), world.CreatedAt(created), world.Absolute(0),
		world.Idle(1000*time.Hour))
}

func (c *churn) store(s *ticketstore.Session) error {
	if err := c.w.Tickets.Create(c.w.Ctx(), s); err != nil {
		return err
	}
	if c.filter.ClientID == "" {
		return nil
	}
	use := &grantstore.Use{SessionID: s.SessionID, ClientID: c.filter.ClientID}
	_, err := c.w.Grants.Apply(c.w.Ctx(), &grantstore.Batch{OperationID: c.w.Op(), Use: use}, c.w.Now)
	return err
}

// check walks forward in both orders, and backward from the end.
func (c *churn) check() {
	c.w.Helper()
	for _, order := range []ticketstore.Order{ticketstore.Ascending, ticketstore.Descending} {
		token := c.walk(ticketstore.SessionQuery{Filter: c.filter, Order: order})
		c.walk(ticketstore.SessionQuery{Order: order, ResultsToken: token, Prior: true})
	}
}

// walk follows the query to its end, makes changes between pages, and returns the token of the empty page at
// the end.
func (c *churn) walk(query ticketstore.SessionQuery) string {
	w := c.w
	w.Helper()
	what := fmt.Sprintf("walk in order %s, prior %v", query.Order, query.Prior)
	seen := map[string]bool{}
	var last *ticketstore.Session
	for pages := 0; ; pages++ {
		if pages > 100+10*c.rows {
			w.Fatalf("%s does not end", what)
		}
		query.Count = 1 + c.random.IntN(max(40, min(c.rows/20, ticketstore.MaxCount)))
		page := w.Query(query)
		if len(page.Sessions) > query.Count {
			w.Fatalf("%s: a page has %d rows, want at most %d", what, len(page.Sessions), query.Count)
		}
		for i := range page.Sessions {
			s := &page.Sessions[i].Session
			if query.Prior {
				s = &page.Sessions[len(page.Sessions)-1-i].Session
			}
			if seen[s.SessionID] {
				w.Fatalf("%s shows %s twice", what, s.SessionID)
			}
			seen[s.SessionID] = true
			if ascending := (query.Order == ticketstore.Ascending) != query.Prior; last != nil &&
				before(last, s) != ascending {
				w.Fatalf("%s shows %s (%v) after %s (%v): not in order", what, s.SessionID, s.Created,
					last.SessionID, last.Created)
			}
			last = s
		}
		query.ResultsToken = page.ResultsToken
		if len(page.Sessions) == 0 && !more(page, query.Prior) {
			break
		}
		c.change()
	}
	for _, s := range c.staying {
		if !seen[s.SessionID] {
			w.Fatalf("%s never shows %s (%v), which was there throughout", what, s.SessionID, s.Created)
		}
	}
	return query.ResultsToken
}

// before reports whether a precedes b in a listing: by creation, then sid.
func before(a, b *ticketstore.Session) bool {
	if a.Created.Equal(b.Created) {
		return a.SessionID < b.SessionID
	}
	return a.Created.Before(b.Created)
}

func more(page *ticketstore.Page, prior bool) bool {
	if prior {
		return page.HasPrev
	}
	return page.HasNext
}

// change creates a session, ends one, renews one and rekeys one.
func (c *churn) change() {
	w := c.w
	w.Helper()
	began := c.session()
	w.OK(c.store(began), "Create during a walk")
	if len(c.leaving) > 0 {
		i := c.random.IntN(len(c.leaving))
		w.End(logout.Ending{SessionID: c.leaving[i].SessionID})
		c.leaving[i] = began
	}
	w.Pass(time.Second)
	w.Renew(w.Get(c.staying[c.random.IntN(len(c.staying))]), time.Hour)
	i := c.random.IntN(len(c.staying))
	rekey := w.Rekey(w.Get(c.staying[i]))
	rekey.DisplayName = "Joanne again"
	c.staying[i] = rekeyed(w, rekey)
}
