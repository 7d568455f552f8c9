package grantstore_test

// Tests of queries and their results tokens.

import (
	"errors"
	"testing"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/ticketstore"
)

func TestQueryWalk(t *testing.T) {
	t.Parallel()
	filter := grantstore.Filter{
		SubjectID: "ann", SessionID: "sid", ClientID: "mail", Type: grantstore.RefreshToken,
	}
	first, err := grantstore.Query{Filter: filter, Order: ticketstore.Ascending, Count: 5}.Walk()
	if err != nil {
		t.Fatalf("Walk: %v", err)
	}
	token, err := first.Token(ticketstore.Bound{}, ticketstore.Bound{Position: []byte("z")}, 0)
	if err != nil {
		t.Fatalf("Token: %v", err)
	}
	next, err := grantstore.Query{ResultsToken: token}.Walk()
	if err != nil {
		t.Fatalf("Walk with the token: %v", err)
	}
	if next.Filter != filter || next.Order != ticketstore.Ascending || string(next.From.Position) != "z" {
		t.Errorf("the token leads to filter %+v in order %s from %q", next.Filter, next.Order,
			next.From.Position)
	}
	for name, other := range map[string]grantstore.Filter{
		"subject": {SubjectID: "bob"}, "session": {SessionID: "x"}, "client": {ClientID: "x"},
		"type": {Type: grantstore.JTI},
	} {
		if _, err := (grantstore.Query{Filter: other, ResultsToken: token}).Walk(); !errors.Is(err,
			ticketstore.ErrResultsToken) {
			t.Errorf("Walk with the token of another %s: got %v, want ticketstore.ErrResultsToken", name, err)
		}
	}
	if _, err := (ticketstore.SessionQuery{ResultsToken: token}).Walk(); !errors.Is(err,
		ticketstore.ErrResultsToken) {
		t.Errorf("Walk over sessions with a token of grants: got %v, want ticketstore.ErrResultsToken", err)
	}
}

func TestQueryRefuses(t *testing.T) {
	t.Parallel()
	for field, query := range map[string]grantstore.Query{
		"subject_id":            {Filter: grantstore.Filter{SubjectID: "\x00"}},
		"session_id":            {Filter: grantstore.Filter{SessionID: "\xff"}},
		"client_id":             {Filter: grantstore.Filter{ClientID: "a\x00"}},
		"type":                  {Filter: grantstore.Filter{Type: "token"}},
		"count_requested":       {Count: ticketstore.MaxCount + 1},
		"order":                 {Order: "up"},
		"request_prior_results": {Prior: true},
		"results_token":         {ResultsToken: "x"},
	} {
		_, err := query.Walk()
		names(t, err, field)
	}
}

// FuzzToken: a text sent as a token is either refused with ErrResultsToken or yields a filter that a query
// may ask for.
func FuzzToken(f *testing.F) {
	for _, filter := range []grantstore.Filter{
		{}, {SubjectID: "ann", Type: grantstore.JTI}, {ClientID: "a\x00b"}, {Type: "token"},
	} {
		w := ticketstore.Walk[grantstore.Filter]{
			Listing: "grants", Filter: filter, Order: ticketstore.Descending,
		}
		token, err := w.Token(ticketstore.Bound{}, ticketstore.Bound{Position: []byte{0xff}}, 0)
		if err != nil {
			f.Fatalf("Token: %v", err)
		}
		f.Add(token)
	}
	f.Add("")
	f.Fuzz(func(t *testing.T, token string) {
		w, err := grantstore.Query{ResultsToken: token}.Walk()
		switch {
		case err != nil && !errors.Is(err, ticketstore.ErrResultsToken):
			t.Fatalf("got %v, want ticketstore.ErrResultsToken", err)
		case err == nil && w.Filter.Validate() != nil:
			t.Fatalf("the token leads to a filter that no query may have: %v", w.Filter.Validate())
		}
	})
}
