package postgres

import (
	"fmt"
	"testing"
	"time"

	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/plugin/records"
)

// A claim examines a bounded number of clients, and the next claim continues with the others: a client after
// thousands that wait for a retry is served.
func TestClaimIsBounded(t *testing.T) {
	t.Parallel()
	e := openEngine(t)
	queue := func(due time.Time, clients ...string) {
		t.Helper()
		_, err := update(t.Context(), e, base, nil, planOf("queue"), func(t *tx) (none struct{}, err error) {
			for _, client := range clients {
				t.queue(&records.Notification{
					ClientId: client, SessionId: "sid", State: string(logout.Pending),
					NextAttempt: records.Nanos(due), Due: records.Nanos(due),
				})
			}
			return none, nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	claim := func() *logout.ClaimResult {
		t.Helper()
		claimed, err := e.Logout().Claim(t.Context(),
			logout.Claim{Limit: 5, PerClient: 1, Lease: time.Minute}, base)
		if err != nil {
			t.Fatal(err)
		}
		return claimed
	}
	for first := 0; first < maxSurveyed+10; first += 500 {
		var waiting []string
		for i := range 500 {
			waiting = append(waiting, fmt.Sprintf("client%05d", first+i))
		}
		queue(base.Add(time.Hour), waiting...)
	}
	queue(base, "the last")
	if got := claim(); len(got.Deliveries) != 0 || got.Next.After(base) {
		t.Errorf("the first claim: %d notifications, the next at %v; want none, and the next one now",
			len(got.Deliveries), got.Next)
	}
	if got := claim(); len(got.Deliveries) != 1 {
		t.Errorf("the second claim: %d notifications, want that of the last client", len(got.Deliveries))
	}
}
