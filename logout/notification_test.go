package logout_test

import (
	"errors"
	"testing"
	"time"

	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/ticketstore"
)

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

func TestClaimValidate(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		claim logout.Claim
		field string
	}{
		"good": {logout.Claim{Limit: 1, PerClient: 1, Lease: 1}, ""},
		"largest": {
			logout.Claim{Limit: ticketstore.MaxCount, PerClient: 5000, Lease: time.Hour}, "",
		},
		"no limit":        {logout.Claim{PerClient: 1, Lease: 1}, "limit"},
		"too large":       {logout.Claim{Limit: ticketstore.MaxCount + 1, PerClient: 1, Lease: 1}, "limit"},
		"none per client": {logout.Claim{Limit: 1, Lease: 1}, "per_client"},
		"no lease":        {logout.Claim{Limit: 1, PerClient: 1}, "lease"},
		"lease in the past": {
			logout.Claim{Limit: 1, PerClient: 1, Lease: -time.Second}, "lease",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			names(t, row.claim.Validate(), row.field)
		})
	}
}

func TestOutcomeValidate(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		outcome logout.Outcome
		field   string
	}{
		"delivered":       {logout.Outcome{State: logout.Delivered}, ""},
		"refused":         {logout.Outcome{State: logout.Refused}, ""},
		"given up":        {logout.Outcome{State: logout.GivenUp}, ""},
		"put off":         {logout.Outcome{State: logout.Pending, NextAttempt: time.Unix(1, 0)}, ""},
		"no next attempt": {logout.Outcome{State: logout.Pending}, "next_attempt"},
		"no state":        {logout.Outcome{}, "state"},
		"unknown state":   {logout.Outcome{State: "lost"}, "state"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			names(t, row.outcome.Validate(), row.field)
		})
	}
}

func TestDeliveryQueryWalk(t *testing.T) {
	t.Parallel()
	filter := logout.NotificationFilter{State: logout.Refused, ClientID: "mail", SessionID: "sid"}
	first, err := logout.NotificationQuery{Filter: filter, Order: ticketstore.Ascending}.Walk()
	if err != nil {
		t.Fatalf("Walk: %v", err)
	}
	token, err := first.Token(ticketstore.Bound{Position: []byte("a")},
		ticketstore.Bound{Position: []byte("z")}, 0)
	if err != nil {
		t.Fatalf("Token: %v", err)
	}
	next, err := logout.NotificationQuery{ResultsToken: token, Prior: true}.Walk()
	if err != nil {
		t.Fatalf("Walk with the token: %v", err)
	}
	if next.Filter != filter || next.Order != ticketstore.Ascending || string(next.From.Position) != "a" {
		t.Errorf("the token has filter %+v, order %s, position %q", next.Filter, next.Order,
			next.From.Position)
	}
	for name, other := range map[string]logout.NotificationFilter{
		"state": {State: logout.Pending}, "client": {ClientID: "x"}, "session": {SessionID: "x"},
	} {
		if _, err := (logout.NotificationQuery{Filter: other, ResultsToken: token}).Walk(); !errors.Is(err,
			ticketstore.ErrResultsToken) {
			t.Errorf("Walk with a token of another %s: got %v, want ticketstore.ErrResultsToken", name, err)
		}
	}
	for field, query := range map[string]logout.NotificationQuery{
		"state":           {Filter: logout.NotificationFilter{State: "lost"}},
		"client_id":       {Filter: logout.NotificationFilter{ClientID: "\x00"}},
		"session_id":      {Filter: logout.NotificationFilter{SessionID: "\xff"}},
		"count_requested": {Count: -1},
		"results_token":   {ResultsToken: "x"},
	} {
		_, err := query.Walk()
		names(t, err, field)
	}
}

// FuzzToken: a text sent as a token is either refused with ErrResultsToken or yields a filter that a query
// may ask for.
func FuzzToken(f *testing.F) {
	for _, filter := range []logout.NotificationFilter{
		{}, {State: logout.Pending, ClientID: "mail"}, {SessionID: "a\x00b"}, {State: "lost"},
	} {
		w := ticketstore.Walk[logout.NotificationFilter]{
			Listing: "deliveries", Filter: filter, Order: ticketstore.Descending,
		}
		token, err := w.Token(ticketstore.Bound{}, ticketstore.Bound{Position: []byte{0xff}}, 0)
		if err != nil {
			f.Fatalf("Token: %v", err)
		}
		f.Add(token)
	}
	f.Add("")
	f.Fuzz(func(t *testing.T, token string) {
		w, err := logout.NotificationQuery{ResultsToken: token}.Walk()
		switch {
		case err != nil && !errors.Is(err, ticketstore.ErrResultsToken):
			t.Fatalf("got %v, want ticketstore.ErrResultsToken", err)
		case err == nil && w.Filter.Validate() != nil:
			t.Fatalf("the token has a filter that is invalid in queries: %v", w.Filter.Validate())
		}
	})
}
