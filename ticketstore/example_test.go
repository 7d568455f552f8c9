package ticketstore_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/fosite-sessions/sessions/ticketstore"
)

// listSessions prints the sessions of a subject, page by page. The token carries the filter.
func listSessions(ctx context.Context, store ticketstore.Store, subject string) error {
	query := ticketstore.SessionQuery{Filter: ticketstore.SessionFilter{SubjectID: subject}, Count: 100}
	for {
		page, err := store.Query(ctx, query)
		if err != nil {
			return err
		}
		for _, s := range page.Sessions {
			fmt.Println(s.SessionID, s.DisplayName, s.Created, len(s.Clients))
		}
		if !page.HasNext {
			return nil
		}
		query = ticketstore.SessionQuery{Count: 100, ResultsToken: page.ResultsToken}
	}
}

// A walk over all sessions of one subject, and an error that names the field.
func Example() {
	var store ticketstore.Store // plugin.Open(...).Tickets()
	if store != nil {
		_ = listSessions(context.Background(), store, "ann")
	}

	_, err := ticketstore.SessionQuery{Count: 5000}.Walk()
	var fieldError *ticketstore.FieldError
	if errors.As(err, &fieldError) {
		fmt.Println(fieldError.Field, fieldError.Problem)
	}
	fmt.Println(ticketstore.KeyOf("the cookie's secret"))
	// Output:
	// count_requested is outside 1 to 1000
	// [redacted]
}
