package endings

// Claims of notifications.

import (
	"fmt"
	"time"

	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/plugin/storetest/world"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// endUsed ends a session that the clients used a minute ago, which queues one notification per client, due
// now.
func endUsed(w *world.World, clientIDs ...string) *ticketstore.Session {
	w.Helper()
	s := w.SignIn("ann")
	w.Uses(s, clientIDs...)
	w.Pass(time.Minute)
	w.End(logout.Ending{SessionID: s.SessionID})
	return s
}

// queue queues n notifications for the client, one per session.
func queue(w *world.World, clientID string, n int) {
	w.Helper()
	sessions := make([]*ticketstore.Session, n)
	for i := range sessions {
		sessions[i] = w.Session("ann")
	}
	w.Each(n, func(i int) error {
		if err := w.Tickets.Create(w.Ctx(), sessions[i]); err != nil {
			return err
		}
		_, err := w.TryApply(useOf(sessions[i], clientID))
		return err
	})
	w.Pass(time.Minute)
	w.Each(n, func(i int) error {
		_, err := w.TryEnd(logout.Ending{SessionID: sessions[i].SessionID})
		return err
	})
}

var claimCases = []world.Case{
	{Name: "a claim on an empty queue returns nothing and no Next", Run: func(w *world.World) {
		w.SignIn("ann")
		w.Same(*w.Claim(10), logout.ClaimResult{}, "the answer")
	}},
	{Name: "a notification first claimed after its window gets a new one", Run: func(w *world.World) {
		endUsed(w, "mail")
		w.Pass(logout.RetryWindow + time.Hour) // no host was running, or its job was resumed late
		until := w.Now.Add(world.Lease + logout.RetryWindow)
		w.At(w.ClaimOne().GiveUpAt, until, "GiveUpAt at the first claim")
		w.Pass(world.Lease)
		w.At(w.ClaimOne().GiveUpAt, until, "GiveUpAt at the second claim")
	}},
	{Name: "a claimed notification is handed out again after its lease", Run: func(w *world.World) {
		endUsed(w, "mail")
		d := w.ClaimOne()
		claimed := w.Claim(10)
		w.Same(len(claimed.Deliveries), 0, "number of notifications handed out under a lease")
		w.At(claimed.Next, w.Now.Add(world.Lease), "Next, the end of the lease")
		w.Pass(world.Lease - time.Microsecond)
		w.Same(len(w.Claim(10).Deliveries), 0,
			"number of notifications handed out just before the end of the lease")
		w.Pass(time.Microsecond)
		again := w.ClaimOne()
		w.Same(again.ID, d.ID, "the notification handed out after the lease")
		if again.Claim <= d.Claim {
			w.Fatalf("the claim number is %d after %d, want a higher one", again.Claim, d.Claim)
		}
	}},
	{Name: "a lease has the requested length", Run: func(w *world.World) {
		endUsed(w, "mail")
		claimed := w.ClaimAs(logout.Claim{Limit: 1, PerClient: 1, Lease: time.Second})
		w.Same(len(claimed.Deliveries), 1, "number of notifications handed out")
		w.At(claimed.Next, w.Now.Add(time.Second), "Next after the claim of the only notification")
		w.Pass(time.Second)
		w.ClaimOne()
	}},
	{Name: "a claim is bounded by its limit", Run: func(w *world.World) {
		queue(w, "mail", 7)
		seen := map[string]bool{}
		for _, want := range []int{3, 3, 1, 0} {
			claimed := w.Claim(3)
			w.Same(len(claimed.Deliveries), want, "number of notifications handed out")
			for _, d := range claimed.Deliveries {
				if seen[d.ID] {
					w.Fatalf("a notification is handed out twice: %s", d.ID)
				}
				seen[d.ID] = true
			}
			if len(seen) < 7 && claimed.Next.After(w.Now) {
				w.Fatalf("Next is %v with notifications due at %v", claimed.Next, w.Now)
			}
		}
		w.Same(len(seen), 7, "number of notifications handed out in all")
	}},
	{Name: "a claim is bounded by its limit per client", Run: func(w *world.World) {
		queue(w, "slow", 5)
		endUsed(w, "quick")
		claimed := w.ClaimAs(logout.Claim{Limit: 10, PerClient: 2, Lease: world.Lease})
		counts := map[string]int{}
		for _, d := range claimed.Deliveries {
			counts[d.ClientID]++
		}
		w.Same(counts, map[string]int{"slow": 2, "quick": 1}, "notifications handed out by client")
	}},
	{Name: "busy clients are skipped", Run: func(w *world.World) {
		endUsed(w, "slow", "quick", "other")
		due := w.Now
		w.Pass(time.Second)
		claimed := w.Claim(10, "slow", "other")
		w.Same(len(claimed.Deliveries), 1, "number of notifications handed out")
		w.Same(claimed.Deliveries[0].ClientID, "quick", "the client handed out")
		w.At(claimed.Next, due, "Next, when the busy clients' notifications were due")
		w.Same(len(w.Claim(10, "slow", "other").Deliveries), 0,
			"number of notifications handed out again")
		w.Same(len(w.Claim(10).Deliveries), 2, "number of notifications handed out when no client is busy")
	}},
	{Name: "a pending notification is handed out when it is due", Run: func(w *world.World) {
		endUsed(w, "mail")
		due := w.Now.Add(10 * time.Minute)
		w.Settle(w.ClaimOne(),
			logout.Outcome{State: logout.Pending, NextAttempt: due, LastError: "answered 500"})
		claimed := w.Claim(10)
		w.Same(len(claimed.Deliveries), 0, "number of notifications handed out before the time")
		w.At(claimed.Next, due, "Next")
		w.Now = due
		w.ClaimOne()
	}},
	{Name: "next is the earliest of due times and leases", Run: func(w *world.World) {
		endUsed(w, "mail", "wiki")
		far, near := w.Now.Add(time.Hour), w.Now.Add(5*time.Second)
		work := w.Claim(10).Deliveries
		w.Settle(work[0], logout.Outcome{State: logout.Pending, NextAttempt: far})
		w.At(w.Claim(10).Next, w.Now.Add(world.Lease), "Next with a lease before a due time")
		w.Settle(work[1], logout.Outcome{State: logout.Pending, NextAttempt: near})
		w.At(w.Claim(10).Next, near, "Next with two due times")
		w.Now = near
		w.Settle(w.ClaimOne(), logout.Outcome{State: logout.Delivered})
		w.At(w.Claim(10).Next, far, "Next with one due time left")
		w.Now = far
		w.Settle(w.ClaimOne(), logout.Outcome{State: logout.Delivered})
		w.At(w.Claim(10).Next, time.Time{}, "Next with nothing left")
	}},
	{Name: "concurrent claims hand out each notification once", Run: func(w *world.World) {
		const n = 24
		for i := range 3 {
			queue(w, fmt.Sprint("client ", i), n/3)
		}
		work := make([][]logout.Delivery, 12)
		for _, err := range world.Race(len(work), func(i int) error {
			claimed, err := w.Logout.Claim(w.Ctx(), logout.Claim{Limit: 4, PerClient: 4, Lease: world.Lease},
				w.Now)
			if err == nil {
				work[i] = claimed.Deliveries
			}
			return err
		}) {
			w.OK(err, "Claim")
		}
		seen := map[string]bool{}
		for _, some := range work {
			for _, d := range some {
				if seen[d.ID] {
					w.Fatalf("a notification was handed out twice: %s", d.ID)
				}
				seen[d.ID] = true
			}
		}
		for len(seen) < n {
			rest := w.Claim(10).Deliveries
			if len(rest) == 0 {
				w.Fatalf("%d notifications were handed out, want %d", len(seen), n)
			}
			for _, d := range rest {
				if seen[d.ID] {
					w.Fatalf("a notification was handed out again under its lease: %s", d.ID)
				}
				seen[d.ID] = true
			}
		}
	}},
}
