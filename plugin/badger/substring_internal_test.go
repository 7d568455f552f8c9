package badger

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/fosite-sessions/sessions/plugin/badger/internal/listing"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// A page of a substring query examines a bounded number of rows: it may be short and without totals, and its
// token continues after these rows.
func TestSubstringWalkIsBounded(t *testing.T) {
	t.Parallel()
	e := openAt(t, t.TempDir())
	const others, callers = listing.MaxScan + 500, 100
	sign := func(i int, name string) error {
		s := benchSession(i)
		s.DisplayName, s.Created = name, base.Add(time.Duration(i)*time.Millisecond)
		return e.Tickets().Create(t.Context(), s)
	}
	// The oldest session, which the query reaches last.
	if err := sign(0, "Zoe Needle"); err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	for caller := range callers {
		group.Go(func() {
			for i := 1 + caller; i <= others; i += callers {
				if err := sign(i, fmt.Sprint("Ann ", i)); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	group.Wait()
	query := ticketstore.SessionQuery{Filter: ticketstore.SessionFilter{DisplayName: "needle"}}
	page, err := e.Tickets().Query(t.Context(), query)
	if err != nil {
		t.Fatal(err)
	}
	if len(page.Sessions) != 0 || !page.HasNext || page.ResultsToken == "" {
		t.Fatalf("first page: %d rows, has next %t, want a short page with a next one", len(page.Sessions),
			page.HasNext)
	}
	if page.TotalCount != -1 || page.TotalPages != -1 {
		t.Errorf("totals %d and %d, want them unknown", page.TotalCount, page.TotalPages)
	}
	page, err = e.Tickets().Query(t.Context(), ticketstore.SessionQuery{ResultsToken: page.ResultsToken})
	if err != nil {
		t.Fatal(err)
	}
	if len(page.Sessions) != 1 || page.Sessions[0].DisplayName != "Zoe Needle" || page.HasNext {
		t.Errorf("second page: %+v, want the match and no next page", page)
	}
}
