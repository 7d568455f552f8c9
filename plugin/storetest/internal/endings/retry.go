package endings

// Retries by an operator.

import (
	"time"

	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/plugin/storetest/world"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// sentAgain retries a notification an hour later and checks that it is delivered like a new one.
func sentAgain(w *world.World, s *ticketstore.Session) {
	w.Helper()
	before := w.Notification(s, "mail")
	w.Pass(time.Hour)
	got := w.Retry(before.ID)
	w.Same(*got, w.Notification(s, "mail"), "the answer, which is the updated notification")
	want := before
	want.State, want.Attempts, want.NextAttempt, want.GiveUpAt = logout.Pending, 0, w.Now,
		w.Now.Add(logout.RetryWindow)
	want.LastAttempt, want.LastError = got.LastAttempt, got.LastError
	w.Same(*got, want, "the notification")
	d := w.ClaimOne()
	w.Same(d.ID, before.ID, "the notification handed out")
	w.Settle(d, logout.Outcome{State: logout.Delivered})
	after := w.Notification(s, "mail")
	w.Same(after.State, logout.Delivered, "the state in the end")
	w.Same(after.Attempts, 1, "Attempts in the end")
}

var retryCases = []world.Case{
	{Name: "a settled notification of any state is sent again", Run: func(w *world.World) {
		for _, state := range []logout.State{logout.Delivered, logout.Refused, logout.GivenUp} {
			s := endUsed(w, "mail")
			w.Settle(w.ClaimOne(), logout.Outcome{State: state, LastError: "some error"})
			sentAgain(w, s)
		}
	}},
	{Name: "a notification that was never attempted can be retried", Run: func(w *world.World) {
		sentAgain(w, endUsed(w, "mail"))
	}},
	{Name: "the second notification is sent even if the first is retried", Run: func(w *world.World) {
		s := w.SignIn("ann")
		w.Uses(s, "mail")
		w.End(logout.Ending{SessionID: s.SessionID})
		second := w.Now.Add(logout.SecondDelivery)
		w.Settle(w.ClaimOne(), logout.Outcome{State: logout.Delivered})
		w.Pass(time.Second)
		w.Retry(w.Notification(s, "mail").ID)
		w.Settle(w.ClaimOne(), logout.Outcome{State: logout.Delivered})
		got := w.Notification(s, "mail")
		w.Same(got.State, logout.Pending, "the state after it was sent again")
		w.At(got.NextAttempt, second, "NextAttempt")
		w.Now = second
		w.Settle(w.ClaimOne(), logout.Outcome{State: logout.Delivered})
		w.Same(w.Notification(s, "mail").State, logout.Delivered, "the state in the end")
	}},
	{Name: "a pending notification is sent now", Run: func(w *world.World) {
		s := endUsed(w, "mail")
		w.Settle(w.ClaimOne(),
			logout.Outcome{
				State: logout.Pending, NextAttempt: w.Now.Add(20 * time.Hour), LastError: "answered 500",
			})
		sentAgain(w, s)
	}},
	{Name: "a claimed notification is sent immediately and its claim is outdated", Run: func(w *world.World) {
		s := endUsed(w, "mail")
		d := w.ClaimOne()
		w.Retry(d.ID)
		err := w.Logout.Settle(w.Ctx(), d.ID, d.Claim, logout.Outcome{State: logout.Delivered}, w.Now)
		w.Fails(err, "Settle under the previous claim", logout.ErrOutdated)
		again := w.ClaimOne()
		if again.Claim <= d.Claim {
			w.Fatalf("the claim number is %d after %d, want a higher one", again.Claim, d.Claim)
		}
		err = w.Logout.Settle(w.Ctx(), d.ID, d.Claim, logout.Outcome{State: logout.Delivered}, w.Now)
		w.Fails(err, "Settle under the previous claim", logout.ErrOutdated)
		w.Settle(again, logout.Outcome{State: logout.Delivered})
		w.Same(w.Notification(s, "mail").State, logout.Delivered, "the state in the end")
	}},
	{Name: "a retry notifies no other client", Run: func(w *world.World) {
		s := endUsed(w, "mail", "wiki")
		for _, d := range w.Claim(10).Deliveries {
			w.Settle(d, logout.Outcome{State: logout.Delivered})
		}
		wiki := w.Notification(s, "wiki")
		w.Retry(w.Notification(s, "mail").ID)
		w.Same(w.Notification(s, "wiki"), wiki, "the other notification")
		w.Same(w.ClaimOne().ClientID, "mail", "the client handed out")
	}},
	{Name: "concurrent retries send once", Run: func(w *world.World) {
		s := endUsed(w, "mail")
		d := w.ClaimOne()
		w.Settle(d, logout.Outcome{State: logout.Delivered})
		for _, err := range world.Race(8, func(int) error {
			_, err := w.Logout.Retry(w.Ctx(), logout.Retry{ID: d.ID}, w.Now)
			return err
		}) {
			w.OK(err, "Retry")
		}
		w.Same(w.Notified(s), []string{"mail"}, "the client of each notification")
		w.Settle(w.ClaimOne(), logout.Outcome{State: logout.Delivered})
		w.Same(len(w.Claim(10).Deliveries), 0, "number of notifications handed out afterwards")
	}},
	{Name: "a selection by client and state is sent again, others are not", Run: func(w *world.World) {
		for _, name := range []string{"state", "client and state", "client"} {
			w.Log(name)
			mail, wiki := w.Name("mail"), w.Name("wiki")
			filter := map[string]logout.NotificationFilter{
				"client and state": {ClientID: mail, State: logout.GivenUp}, "client": {ClientID: mail},
				"state": {State: logout.GivenUp},
			}[name]
			s := endUsed(w, mail, wiki)
			for _, d := range w.Claim(10).Deliveries {
				w.Settle(d, logout.Outcome{State: logout.GivenUp, LastError: "no answer"})
			}
			delivered := endUsed(w, mail)
			w.Settle(w.ClaimOne(), logout.Outcome{State: logout.Delivered})
			w.Pass(time.Hour)
			want := map[string]int{"client and state": 1, "client": 2, "state": 2}[name]
			w.Same(retryAll(w, filter, 100), want, "notifications sent again by "+name)
			again := func(s *ticketstore.Session, client string) bool {
				n := w.Notification(s, client)
				if n.State == logout.Pending {
					w.At(n.NextAttempt, w.Now, "NextAttempt")
					w.At(n.GiveUpAt, w.Now.Add(logout.RetryWindow), "GiveUpAt")
					w.Same(n.Attempts, 0, "Attempts")
				}
				return n.State == logout.Pending
			}
			w.Same([]bool{again(s, mail), again(s, wiki), again(delivered, mail)},
				[]bool{true, name == "state", name == "client"}, "which were sent again by "+name)
			for _, d := range w.Claim(10).Deliveries {
				w.Settle(d, logout.Outcome{State: logout.Refused})
			}
		}
	}},
	{Name: "of pending notifications only the postponed are sent again", Run: func(w *world.World) {
		endUsed(w, "mail")
		w.Settle(w.ClaimOne(),
			logout.Outcome{
				State: logout.Pending, NextAttempt: w.Now.Add(20 * time.Hour), LastError: "answered 500",
			})
		endUsed(w, "mail")
		claimed := w.ClaimOne()
		endUsed(w, "mail")
		w.Same(retryAll(w, logout.NotificationFilter{State: logout.Pending}, 100), 1,
			"notifications sent again")
		w.Settle(claimed, logout.Outcome{State: logout.Delivered})
		w.Same(len(w.Claim(10).Deliveries), 2,
			"notifications handed out: the postponed one and the due one")
	}},
	{Name: "many are sent again by bounded calls, each once", Run: func(w *world.World) {
		n := w.Rows / 3
		for range n {
			endUsed(w, "mail")
		}
		for _, d := range w.Claim(n).Deliveries {
			w.Settle(d, logout.Outcome{State: logout.Refused, LastError: "answered 400"})
		}
		for _, limit := range []int{7, ticketstore.MaxCount} {
			w.Pass(time.Hour)
			w.Same(retryAll(w, logout.NotificationFilter{ClientID: "mail"}, limit), n,
				"notifications sent again")
			for _, d := range w.Claim(n).Deliveries {
				w.Settle(d, logout.Outcome{State: logout.Delivered})
			}
		}
		w.Same(len(w.Notifications(logout.NotificationFilter{State: logout.Delivered})), n,
			"notifications delivered in the end")
	}},
	{Name: "a retry without a match is no error", Run: func(w *world.World) {
		endUsed(w, "mail")
		w.Same(retryAll(w, logout.NotificationFilter{ClientID: "wiki"}, 10), 0, "notifications sent again")
	}},
	{Name: "a selection without a condition, or with a bad one, is refused", Run: func(w *world.World) {
		endUsed(w, "mail")
		w.Settle(w.ClaimOne(), logout.Outcome{State: logout.Refused})
		for field, retry := range map[string]logout.Retry{
			"state": {Limit: 1}, "client_id": {Filter: logout.NotificationFilter{ClientID: "\xff"}, Limit: 1},
			"session_id": {Filter: logout.NotificationFilter{SessionID: "a\x00"}, Limit: 1},
			"limit":      {Filter: logout.NotificationFilter{ClientID: "mail"}},
			"id":         {ID: "n", Filter: logout.NotificationFilter{ClientID: "mail"}},
			"after":      {Filter: logout.NotificationFilter{ClientID: "mail"}, Limit: 1, After: "\xff"},
		} {
			w.Refuses(world.Err(w.Logout.Retry(w.Ctx(), retry, w.Now)), field, "Retry with a bad "+field)
		}
		_, err := w.Logout.Retry(w.Ctx(),
			logout.Retry{Filter: logout.NotificationFilter{State: "lost"}, Limit: 1}, w.Now)
		w.Refuses(err, "state", "Retry of an unknown state")
		w.Same(len(w.Notifications(logout.NotificationFilter{State: logout.Refused})), 1,
			"unchanged notifications")
	}},
}

// retryAll retries the notifications that the filter selects, in calls with that limit, and returns their
// number.
func retryAll(w *world.World, filter logout.NotificationFilter, limit int) int {
	w.Helper()
	retry := logout.Retry{Filter: filter, Limit: limit}
	count := 0
	for range 1000 {
		retried, err := w.Logout.Retry(w.Ctx(), retry, w.Now)
		w.OK(err, "Retry by a filter")
		if retried.Count > limit || retried.Notification != nil {
			w.Fatalf("Retry by a filter with limit %d: got %+v", limit, retried)
		}
		count += retried.Count
		if retry.After = retried.Next; retry.After == "" {
			return count
		}
	}
	w.Fatal("the retries do not end")
	return 0
}
