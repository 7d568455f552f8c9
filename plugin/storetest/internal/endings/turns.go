package endings

// Round robin among the clients of a queue.

import (
	"time"

	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/plugin/storetest/world"
)

// turnCases check that the queue of one client does not delay the queues of others.
var turnCases = []world.Case{
	{Name: "a client with a long queue does not delay other clients", Run: func(w *world.World) {
		queue(w, "dead", w.Rows/4)
		endUsed(w, "quick")
		claimed := w.ClaimAs(logout.Claim{Limit: 2, PerClient: 1, Lease: world.Lease})
		counts := map[string]int{}
		for _, d := range claimed.Deliveries {
			counts[d.ClientID]++
		}
		w.Same(counts, map[string]int{"dead": 1, "quick": 1}, "notifications handed out by client")
	}},
	{Name: "a busy client's long queue is skipped", Run: func(w *world.World) {
		queue(w, "a dead one", w.Rows/4)
		queue(w, "quick", 3)
		queue(w, "z dead one", w.Rows/4)
		seen := 0
		for range 3 {
			work := w.ClaimAs(logout.Claim{
				Limit: 1, PerClient: 1, Busy: []string{"a dead one", "z dead one"}, Lease: world.Lease,
			}).Deliveries
			seen += len(work)
		}
		w.Same(seen, 3, "number of notifications handed out for the idle client")
	}},
	{Name: "clients are served round robin with a limit of one", Run: func(w *world.World) {
		clients := []string{"a", "b", "c", "d"}
		for _, id := range clients {
			queue(w, id, 30)
		}
		w.Same(len(turns(w, 28)), len(clients),
			"number of clients served within 28 claims, among four with 30 notifications each")
	}},
	{Name: "a client with a short queue is served among long ones", Run: func(w *world.World) {
		for _, id := range []string{"a", "b", "y", "z"} {
			queue(w, id, 35)
		}
		turns(w, 3)
		endUsed(w, "newcomer")
		if !turns(w, 32)["newcomer"] {
			w.Fatal("the fifth client was not served within 32 claims")
		}
	}},
	{Name: "every notification of every client is delivered eventually", Run: func(w *world.World) {
		queue(w, "a", 9)
		queue(w, "b", 2)
		queue(w, "c", 5)
		delivered := 0
		for range 100 {
			claimed := w.ClaimAs(logout.Claim{Limit: 3, PerClient: 2, Lease: world.Lease})
			for _, d := range claimed.Deliveries {
				w.Settle(d, logout.Outcome{State: logout.Delivered})
				delivered++
			}
			if claimed.Next.IsZero() {
				break
			}
		}
		w.Same(delivered, 16, "number of notifications delivered")
		w.Same(len(w.Notifications(logout.NotificationFilter{State: logout.Delivered})), 16,
			"number of delivered notifications")
	}},
}

// turns claims one notification at a time, while the clock advances by microseconds, and returns their
// clients in order.
func turns(w *world.World, claims int) map[string]bool {
	w.Helper()
	seen := map[string]bool{}
	for i := range claims {
		w.Pass(time.Duration(7*i*i+3) * time.Microsecond)
		for _, d := range w.ClaimAs(logout.Claim{Limit: 1, PerClient: 1, Lease: time.Hour}).Deliveries {
			seen[d.ClientID] = true
		}
	}
	return seen
}
