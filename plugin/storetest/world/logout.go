package world

// Endings and notifications of a case.

import (
	"slices"
	"time"

	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// End ends what the ending selects, with a new operation id and reason terminated if it has none.
func (w *World) End(ending logout.Ending) logout.Result {
	w.Helper()
	result, err := w.TryEnd(ending)
	w.OK(err, "End")
	if result == nil {
		w.Fatalf("End: got neither a result nor an error")
	}
	return *result
}

// TryEnd is End, returning the error. Its result does not list the ended sessions, unlike EndListed.
func (w *World) TryEnd(ending logout.Ending) (*logout.Result, error) {
	if ending.OperationID == "" {
		ending.OperationID = w.Op()
	}
	if ending.Reason == "" {
		ending.Reason = logout.Terminated
	}
	result, err := w.Logout.End(w.Ctx(), &ending, w.Now)
	if result != nil {
		result.Ended = nil
	}
	return result, err
}

// EndListed is End, returning the sids that the result lists, sorted.
func (w *World) EndListed(ending logout.Ending) []string {
	w.Helper()
	ending.OperationID, ending.Reason = w.Op(), logout.Terminated
	result, err := w.Logout.End(w.Ctx(), &ending, w.Now)
	w.OK(err, "End")
	again, err := w.Logout.End(w.Ctx(), &ending, w.Now)
	w.OK(err, "End repeated")
	if !ending.DryRun {
		w.Same(again, result, "the repeated answer")
	}
	return SIDsOf(result.Ended)
}

// SIDsOf returns the sids of ended sessions, sorted.
func SIDsOf(ended []logout.EndedSession) []string {
	sids := make([]string, 0, len(ended))
	for _, e := range ended {
		sids = append(sids, e.SessionID)
	}
	slices.Sort(sids)
	return sids
}

// jobTimeout is how long background work of a store may take on a busy machine.
const jobTimeout = 2 * time.Minute

// JobDone waits until the job is done and returns it, without the list of ended sessions. It checks that the
// counts never decrease.
func (w *World) JobDone(id string) logout.Job {
	w.Helper()
	last := logout.Job{}
	deadline := time.Now().Add(jobTimeout)
	for ; time.Now().Before(deadline); time.Sleep(2 * time.Millisecond) {
		job, err := w.Logout.Job(w.Ctx(), id)
		w.OK(err, "Job")
		switch {
		case job.ID != id:
			w.Fatalf("Job %s: got the job %s", id, job.ID)
		case job.Done < last.Done || job.Result.SessionsRemoved < last.Result.SessionsRemoved:
			w.Fatalf("Job %s: got %+v after %+v, want its counts not to decrease", id, *job, last)
		case job.State == logout.JobDone:
			w.Same(len(job.Result.Ended), min(job.Result.SessionsRemoved, logout.MaxEnded),
				"number of sessions that the job lists")
			job.Result.Ended = nil
			return *job
		case job.State != logout.JobRunning || job.Phase == "" || !job.Finished.IsZero():
			w.Fatalf("Job %s: got %+v, want it to be running in some phase, or done", id, *job)
		}
		last = *job
	}
	w.Fatalf("Job %s is not done after %v: %+v", id, jobTimeout, last)
	return last
}

// Notifications returns every notification that the filter selects, the oldest first.
func (w *World) Notifications(filter logout.NotificationFilter) []logout.Notification {
	w.Helper()
	var notifications []logout.Notification
	query := logout.NotificationQuery{
		Filter: filter, Order: ticketstore.Ascending, Count: ticketstore.MaxCount,
	}
	for range 1000 {
		page, err := w.Logout.Notifications(w.Ctx(), query)
		w.OK(err, "Notifications")
		notifications = append(notifications, page.Notifications...)
		if !page.HasNext {
			return notifications
		}
		query.ResultsToken = page.ResultsToken
	}
	w.Fatal("a query of notifications does not end")
	return nil
}

// Notified returns the client of each notification of the session, sorted.
func (w *World) Notified(s *ticketstore.Session) []string {
	w.Helper()
	var clients []string
	for _, n := range w.Notifications(logout.NotificationFilter{SessionID: s.SessionID}) {
		clients = append(clients, n.ClientID)
	}
	slices.Sort(clients)
	return clients
}

// Notification returns the client's only notification of the session.
func (w *World) Notification(s *ticketstore.Session, clientID string) logout.Notification {
	w.Helper()
	notifications := w.Notifications(logout.NotificationFilter{SessionID: s.SessionID, ClientID: clientID})
	if len(notifications) != 1 {
		w.Fatalf("client %s has %d notifications of the session %s, want one", clientID, len(notifications),
			s.SessionID)
	}
	return notifications[0]
}

// Lease is the default lease of claims.
const Lease = 30 * time.Second

// Claim claims at most limit notifications, any number of each client, skipping the busy clients.
func (w *World) Claim(limit int, busy ...string) *logout.ClaimResult {
	w.Helper()
	return w.ClaimAs(logout.Claim{Limit: limit, PerClient: limit, Busy: busy, Lease: Lease})
}

// ClaimAs claims notifications and checks the invariants of claims.
func (w *World) ClaimAs(claim logout.Claim) *logout.ClaimResult {
	w.Helper()
	claimed, err := w.Logout.Claim(w.Ctx(), claim, w.Now)
	w.OK(err, "Claim")
	if len(claimed.Deliveries) > claim.Limit {
		w.Fatalf("Claim handed out %d notifications, want at most %d", len(claimed.Deliveries), claim.Limit)
	}
	perClient := map[string]int{}
	for _, d := range claimed.Deliveries {
		perClient[d.ClientID]++
		if perClient[d.ClientID] > claim.PerClient {
			w.Fatalf("Claim handed out more than %d notifications of %s", claim.PerClient, d.ClientID)
		}
		if slices.Contains(claim.Busy, d.ClientID) {
			w.Fatalf("Claim handed out a notification of %s, which is busy", d.ClientID)
		}
		if d.State != logout.Pending {
			w.Fatalf("Claim handed out a notification that is %s, want %s", d.State, logout.Pending)
		}
	}
	return claimed
}

// ClaimOne claims the only notification that is due.
func (w *World) ClaimOne() logout.Delivery {
	w.Helper()
	claimed := w.Claim(10)
	if len(claimed.Deliveries) != 1 {
		w.Fatalf("Claim handed out %d notifications, want one", len(claimed.Deliveries))
	}
	return claimed.Deliveries[0]
}

// Settle records the outcome of a delivery.
func (w *World) Settle(d logout.Delivery, outcome logout.Outcome) {
	w.Helper()
	w.OK(w.Logout.Settle(w.Ctx(), d.ID, d.Claim, outcome, w.Now), "Settle as "+string(outcome.State))
}

// Retry retries a notification.
func (w *World) Retry(id string) *logout.Notification {
	w.Helper()
	retried, err := w.Logout.Retry(w.Ctx(), logout.Retry{ID: id}, w.Now)
	w.OK(err, "Retry")
	if retried.Notification == nil || retried.Count != 1 || retried.Next != "" {
		w.Fatalf("Retry of one notification: got %+v, want only that notification, and no next position",
			retried)
	}
	return retried.Notification
}

// Sweep sweeps until nothing is due and nothing is left to purge, and returns how many sessions ended.
func (w *World) Sweep(sweep logout.Sweep) int {
	w.Helper()
	if sweep.Limit == 0 {
		sweep.Limit = 100
	}
	ended := 0
	for range 1000 {
		swept := w.SweepOnce(sweep)
		ended += swept.Ended
		if swept.Ended == 0 && (swept.Next.IsZero() || swept.Next.After(w.Now)) && !swept.PurgeLeft {
			return ended
		}
	}
	w.Fatal("sweeping does not end: Next is never after now, or PurgeLeft stays set")
	return 0
}

// SweepOnce calls EndDue once.
func (w *World) SweepOnce(sweep logout.Sweep) *logout.SweepResult {
	w.Helper()
	swept, err := w.Logout.EndDue(w.Ctx(), sweep, w.Now)
	w.OK(err, "EndDue")
	if swept.Ended > sweep.Limit {
		w.Fatalf("EndDue ended %d sessions, want at most %d", swept.Ended, sweep.Limit)
	}
	return swept
}

// PurgeGrants purges until nothing is left to purge, and returns how many records it deleted or reduced.
func (w *World) PurgeGrants() int {
	w.Helper()
	return w.PurgeGrantsBy(100)
}

// PurgeGrantsBy is PurgeGrants with calls of the given limit.
func (w *World) PurgeGrantsBy(limit int) int {
	w.Helper()
	total := 0
	for range 1000 {
		n, err := w.Grants.Purge(w.Ctx(), limit, w.Now)
		w.OK(err, "Purge")
		if n > limit {
			w.Fatalf("Purge deleted %d records, want at most %d", n, limit)
		}
		total += n
		if n < limit {
			return total
		}
	}
	w.Fatal("purging does not end")
	return 0
}
