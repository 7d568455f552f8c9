package ticketstore_test

// Tests of queries and filters.

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fosite-sessions/sessions/ticketstore"
)

var base = time.Date(2031, time.May, 6, 7, 8, 9, 123456000, time.UTC)

type walk = ticketstore.Walk[ticketstore.SessionFilter]

// names checks that err is a FieldError that names the field, or nil if field is empty.
func names(t *testing.T, err error, field string) {
	t.Helper()
	var fieldError *ticketstore.FieldError
	switch {
	case field == "" && err != nil:
		t.Errorf("got error %v, want none", err)
	case field != "" && !errors.As(err, &fieldError):
		t.Errorf("got error %v, want a FieldError that names %s", err, field)
	case field != "" && fieldError.Field != field:
		t.Errorf("the error %v names %s, want %s", err, fieldError.Field, field)
	}
}

func TestFirstPage(t *testing.T) {
	t.Parallel()
	filter := ticketstore.SessionFilter{SubjectID: "ann"}
	for name, row := range map[string]struct {
		query ticketstore.SessionQuery
		want  *walk
	}{
		"nothing asked": {
			ticketstore.SessionQuery{},
			&walk{
				Listing: "sessions", Order: ticketstore.Descending, Count: ticketstore.DefaultCount, Page: 1,
			},
		},
		"everything asked": {
			ticketstore.SessionQuery{
				Filter: filter, Order: ticketstore.Ascending, Count: ticketstore.MaxCount,
			},
			&walk{
				Listing: "sessions", Filter: filter, Order: ticketstore.Ascending,
				Count: ticketstore.MaxCount, Page: 1,
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := row.query.Walk()
			if err != nil {
				t.Fatalf("Walk: %v", err)
			}
			if diff := cmp.Diff(row.want, got); diff != "" {
				t.Errorf("the walk is not as expected (-want +got):\n%s", diff)
			}
		})
	}
}

func TestQueryRefuses(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 10<<10)
	for name, row := range map[string]struct {
		query ticketstore.SessionQuery
		field string
	}{
		"negative count": {ticketstore.SessionQuery{Count: -1}, "count_requested"},
		"count over the limit": {
			ticketstore.SessionQuery{Count: ticketstore.MaxCount + 1}, "count_requested",
		},
		"unknown order":         {ticketstore.SessionQuery{Order: "up"}, "order"},
		"prior without a token": {ticketstore.SessionQuery{Prior: true}, "request_prior_results"},
		"malformed token":       {ticketstore.SessionQuery{ResultsToken: "x"}, "results_token"},
		"subject with a NUL": {
			ticketstore.SessionQuery{Filter: ticketstore.SessionFilter{SubjectID: "a\x00"}}, "subject_id",
		},
		"sid of 10 kB": {
			ticketstore.SessionQuery{Filter: ticketstore.SessionFilter{SessionID: long}}, "session_id",
		},
		"client not UTF-8": {
			ticketstore.SessionQuery{Filter: ticketstore.SessionFilter{ClientID: "\xff"}}, "client_id",
		},
		"name of 10 kB": {
			ticketstore.SessionQuery{Filter: ticketstore.SessionFilter{DisplayName: long}}, "display_name",
		},
		"name within the limits": {
			ticketstore.SessionQuery{
				Filter: ticketstore.SessionFilter{DisplayName: long[:ticketstore.MaxText]},
			},
			"",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := row.query.Walk()
			names(t, err, row.field)
		})
	}
}

func TestNextPages(t *testing.T) {
	t.Parallel()
	filter := ticketstore.SessionFilter{SubjectID: "ann", CreatedFrom: base}
	before, after := ticketstore.Bound{Position: []byte("b")},
		ticketstore.Bound{Position: []byte("y"), Inclusive: true}
	first := &walk{Listing: "sessions", Filter: filter, Order: ticketstore.Ascending}
	token := func(page int) string {
		token, err := first.Token(before, after, page)
		if err != nil {
			t.Fatalf("Token: %v", err)
		}
		return token
	}
	for name, row := range map[string]struct {
		query ticketstore.SessionQuery
		from  ticketstore.Bound
		page  int
	}{
		"next":                {ticketstore.SessionQuery{ResultsToken: token(3)}, after, 4},
		"next of an unknown":  {ticketstore.SessionQuery{ResultsToken: token(0)}, after, 0},
		"prior":               {ticketstore.SessionQuery{ResultsToken: token(3), Prior: true}, before, 2},
		"prior of the first":  {ticketstore.SessionQuery{ResultsToken: token(1), Prior: true}, before, 0},
		"prior of an unknown": {ticketstore.SessionQuery{ResultsToken: token(0), Prior: true}, before, 0},
		"with filter and order": {
			ticketstore.SessionQuery{ResultsToken: token(1), Filter: filter, Order: ticketstore.Ascending},
			after, 2,
		},
		"with half of a filter": {
			ticketstore.SessionQuery{
				ResultsToken: token(1), Filter: ticketstore.SessionFilter{SubjectID: "ann"},
			},
			after, 2,
		},
		"in another time zone": {
			ticketstore.SessionQuery{ResultsToken: token(1), Filter: elsewhere(filter)}, after, 2,
		},
		"with a count of itself": {ticketstore.SessionQuery{ResultsToken: token(1), Count: 7}, after, 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := row.query.Walk()
			if err != nil {
				t.Fatalf("Walk: %v", err)
			}
			count := row.query.Count
			if count == 0 {
				count = ticketstore.DefaultCount
			}
			want := &walk{
				Listing: "sessions", Filter: filter, Order: ticketstore.Ascending, Count: count,
				Prior: row.query.Prior, From: &row.from, Page: row.page,
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("the walk is not as expected (-want +got):\n%s", diff)
			}
		})
	}
}

func elsewhere(f ticketstore.SessionFilter) ticketstore.SessionFilter {
	f.CreatedFrom = f.CreatedFrom.In(time.FixedZone("west", -7*3600))
	return f
}

func TestTokenOfAnotherQueryIsRefused(t *testing.T) {
	t.Parallel()
	token, err := (&walk{Listing: "sessions", Order: ticketstore.Descending}).Token(ticketstore.Bound{},
		ticketstore.Bound{}, 1)
	if err != nil {
		t.Fatalf("Token: %v", err)
	}
	for name, query := range map[string]ticketstore.SessionQuery{
		"order":          {Order: ticketstore.Ascending},
		"subject":        {Filter: ticketstore.SessionFilter{SubjectID: "a"}},
		"session":        {Filter: ticketstore.SessionFilter{SessionID: "a"}},
		"client":         {Filter: ticketstore.SessionFilter{ClientID: "a"}},
		"name":           {Filter: ticketstore.SessionFilter{DisplayName: "a"}},
		"created from":   {Filter: ticketstore.SessionFilter{CreatedFrom: base}},
		"created before": {Filter: ticketstore.SessionFilter{CreatedBefore: base}},
		"expires from":   {Filter: ticketstore.SessionFilter{ExpiresFrom: base}},
		"expires before": {Filter: ticketstore.SessionFilter{ExpiresBefore: base}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			query.ResultsToken = token
			_, err := query.Walk()
			refusedAsToken(t, err)
		})
	}
}

func TestReverse(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		order ticketstore.Order
		prior bool
		want  bool
	}{
		{ticketstore.Ascending, false, false},
		{ticketstore.Ascending, true, true},
		{ticketstore.Descending, false, true},
		{ticketstore.Descending, true, false},
	} {
		w := walk{Order: row.order, Prior: row.prior}
		if got := w.Reverse(); got != row.want {
			t.Errorf("Reverse in order %s, prior %v: got %v, want %v", row.order, row.prior, got, row.want)
		}
	}
}
