package rules_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fosite-sessions/sessions/plugin/records"
	"github.com/fosite-sessions/sessions/plugin/rules"
	"github.com/fosite-sessions/sessions/ticketstore"
)

func TestPlaceOf(t *testing.T) {
	t.Parallel()
	at := func(p string) ticketstore.Bound { return ticketstore.Bound{Position: []byte(p)} }
	incl := func(p string) ticketstore.Bound {
		return ticketstore.Bound{Position: []byte(p), Inclusive: true}
	}
	from := at("f")
	for name, c := range map[string]struct {
		from    *ticketstore.Bound
		scanned rules.Scanned
		behind  bool
		near    ticketstore.Bound
		// of the page after From; for the page before it they are exchanged
		before, after    ticketstore.Bound
		hasPrev, hasNext bool
		nothing          bool
	}{
		"the first page": {
			nil, rules.Scanned{Rows: 2, First: []byte("g"), Last: []byte("h"), Seen: []byte("h"), More: true},
			false,
			at("g"), at("g"), at("h"), false, true, false,
		},
		"a middle page": {
			&from,
			rules.Scanned{Rows: 2, First: []byte("g"), Last: []byte("h"), Seen: []byte("h"), More: true},
			true,
			at("g"), at("g"), at("h"), true, true, false,
		},
		"the last page": {
			&from, rules.Scanned{Rows: 1, First: []byte("g"), Last: []byte("g"), Seen: []byte("k")}, true,
			at("g"), at("g"), at("g"), true, false, false,
		},
		"the bound of examined rows": {
			&from,
			rules.Scanned{Rows: 1, First: []byte("g"), Last: []byte("g"), Seen: []byte("k"), More: true},
			true,
			at("g"), at("g"), at("k"), true, true, false,
		},
		"no rows": {
			nil, rules.Scanned{}, false, ticketstore.Bound{}, ticketstore.Bound{}, ticketstore.Bound{}, false,
			false, true,
		},
		"no match": {
			nil, rules.Scanned{Seen: []byte("k")}, false, incl("k"), incl("k"), at("k"), false, false, false,
		},
		"no rows after From": {
			&from, rules.Scanned{}, true, incl("f"), incl("f"), at("f"), true, false, false,
		},
		"no match so far": {
			&from, rules.Scanned{Seen: []byte("k"), More: true}, true, incl("f"), incl("f"), at("k"), true,
			true, false,
		},
	} {
		for _, prior := range []bool{false, true} {
			w := &ticketstore.Walk[ticketstore.SessionFilter]{
				Listing: "sessions", Order: ticketstore.Ascending, Count: 2, From: c.from,
				Prior: prior,
			}
			if near := rules.NearBound(w, &c.scanned); cmp.Diff(c.near, near) != "" {
				t.Errorf("%s: near %+v, want %+v", name, near, c.near)
			}
			p := rules.PlaceOf(w, &c.scanned, c.behind)
			before, after, hasPrev, hasNext := c.before, c.after, c.hasPrev, c.hasNext
			if prior {
				before, after, hasPrev, hasNext = after, before, hasNext, hasPrev
			}
			want := ""
			if !c.nothing {
				var err error
				if want, err = w.Token(before, after, 3); err != nil {
					t.Fatal(err)
				}
			}
			token, err := rules.Token(w, p, 3)
			if err != nil || token != want || p.HasPrev != hasPrev || p.HasNext != hasNext {
				t.Errorf("%s, prior %t: %+v, error %v; want %+v to %+v, %t, %t", name, prior, p, err, before,
					after, hasPrev, hasNext)
			}
		}
	}
}

func TestNumber(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		page             int // of the token
		rows, total      int
		hasPrev, hasNext bool
		pages, current   int
	}{
		"the only one":                   {1, 5, 5, false, false, 1, 1},
		"nothing":                        {1, 0, 0, false, false, 0, 1},
		"a middle page":                  {3, 10, 45, true, true, 5, 3},
		"the last page, miscounted":      {3, 5, 45, true, false, 5, 5},
		"the first page, miscounted":     {3, 10, 45, false, true, 5, 1},
		"a number beyond the last page":  {9, 10, 45, true, true, 5, 5},
		"after the last page":            {6, 0, 45, true, false, 5, 5},
		"a token without a number":       {0, 10, 45, true, true, 5, -1},
		"without a total":                {3, 10, -1, true, true, -1, 3},
		"the first page without a total": {0, 10, -1, false, true, -1, 1},
	} {
		p := &ticketstore.Page{
			Sessions: make([]ticketstore.SessionDetail, c.rows), TotalCount: c.total, HasPrev: c.hasPrev,
			HasNext: c.hasNext,
		}
		rules.Number(p, &ticketstore.Walk[ticketstore.SessionFilter]{Count: 10, Page: c.page})
		if p.TotalPages != c.pages || p.CurrentPage != c.current {
			t.Errorf("%s: page %d of %d, want %d of %d", name, p.CurrentPage, p.TotalPages, c.current,
				c.pages)
		}
	}
}

func TestShown(t *testing.T) {
	t.Parallel()
	if rules.Shown(nil) || rules.Shown(&records.ClientUse{Detached: true}) ||
		!rules.Shown(&records.ClientUse{}) {
		t.Error("want a client shown unless it has no row or is detached")
	}
}
