package memory

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/fosite-sessions/sessions/plugin/rules"

	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/plugin/records"
	"github.com/fosite-sessions/sessions/plugin/transfer"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// waiting is a pending notice and when it is due: at its next attempt or, once it is handed out, at the end of its lease.
type waiting struct {
	id string
	at time.Time
}

// queues returns the pending notices of each client, the earliest first.
func (t *tx) queues() map[string][]waiting {
	queues := map[string][]waiting{}
	scan(t, transfer.Notifications, func(id string, n *records.Notification) {
		if n.GetState() != string(logout.Pending) {
			return
		}
		w := waiting{id, records.Moment(n.GetNextAttempt())}
		if until, leased := t.leases[id]; leased {
			w.at = until
		}
		queues[n.GetClientId()] = append(queues[n.GetClientId()], w)
	})
	for _, queue := range queues {
		slices.SortFunc(queue, func(a, b waiting) int { return cmp.Or(a.at.Compare(b.at), strings.Compare(a.id, b.id)) })
	}
	return queues
}

func (s endings) Claim(ctx context.Context, claim logout.Claim, now time.Time) (claimed *logout.ClaimResult, err error) {
	if err := claim.Validate(); err != nil {
		return nil, err
	}
	err = s.s.change(ctx, func(t *tx) error {
		claimed = &logout.ClaimResult{}
		next := func(at time.Time) {
			if claimed.Next.IsZero() || at.Before(claimed.Next) {
				claimed.Next = at
			}
		}
		var due [][]waiting
		queues := t.queues()
		for _, client := range slices.Sorted(maps.Keys(queues)) {
			queue, n := queues[client], 0
			for !slices.Contains(claim.Busy, client) && n < min(len(queue), claim.PerClient) && !queue[n].at.After(now) {
				n++
			}
			if n < len(queue) {
				next(queue[n].at)
			}
			if n > 0 {
				due = append(due, queue[:n])
			}
		}
		t.turns++
		for _, id := range inTurns(due, t.turns) {
			if len(claimed.Deliveries) == claim.Limit {
				next(now) // there is more at once
				break
			}
			n := t.notice(id)
			n.Claim++
			t.save(transfer.Notifications, id, n)
			t.leases[id] = now.Add(claim.Lease)
			next(t.leases[id])
			claimed.Deliveries = append(claimed.Deliveries, logout.Delivery{Notification: *records.NotificationOf(id, n), Claim: n.Claim})
		}
		return nil
	})
	return claimed, err
}

// inTurns takes the first of each queue, then the second of each. Who comes first changes with the turn, lest a limit always favour the same.
func inTurns(queues [][]waiting, turn int) (ids []string) {
	for round, left := 0, true; left; round++ {
		left = false
		for i := range queues {
			if queue := queues[(turn+i)%len(queues)]; round < len(queue) {
				ids, left = append(ids, queue[round].id), true
			}
		}
	}
	return ids
}

func (s endings) Settle(ctx context.Context, id string, claim uint64, outcome logout.Outcome, now time.Time) error {
	if err := outcome.Validate(); err != nil {
		return err
	}
	return s.s.change(ctx, func(t *tx) error {
		n := t.notice(id)
		if n == nil {
			return fmt.Errorf("notice: %w", ticketstore.ErrNotFound)
		}
		if _, leased := t.leases[id]; !leased || n.Claim != claim {
			return logout.ErrOutdated
		}
		delete(t.leases, id)
		rules.Settle(n, &outcome, now)
		t.save(transfer.Notifications, id, n)
		return nil
	})
}

func (s endings) Notifications(ctx context.Context, query logout.NotificationQuery) (result *logout.NotificationPage, err error) {
	walk, err := query.Walk()
	if err != nil {
		return nil, err
	}
	err = s.s.view(ctx, func(t *tx) (err error) {
		p := pageOf(t.noticesWhere(&walk.Filter), walk)
		result = &logout.NotificationPage{HasPrev: p.hasPrev, HasNext: p.hasNext}
		for _, n := range p.rows {
			result.Notifications = append(result.Notifications, *n)
		}
		result.ResultsToken, err = tokenOf(p, walk, 0)
		return err
	})
	return result, err
}

func (s endings) Retry(ctx context.Context, retry logout.Retry, now time.Time) (retried *logout.RetryResult, err error) {
	if err := retry.Validate(); err != nil {
		return nil, err
	}
	err = s.s.change(ctx, func(t *tx) error {
		retried = &logout.RetryResult{}
		if retry.ID != "" {
			n := t.notice(retry.ID)
			if n == nil {
				return fmt.Errorf("notice: %w", ticketstore.ErrNotFound)
			}
			t.sendAgain(retry.ID, n, now)
			retried.Notification, retried.Count = records.NotificationOf(retry.ID, n), 1
			return nil
		}
		looked := 0
		for _, e := range t.noticesWhere(&retry.Filter) {
			if e.position <= retry.After {
				continue
			}
			if looked == retry.Limit {
				return nil
			}
			looked, retried.Next = looked+1, e.position
			if n := t.notice(e.position); n.GetQueued() <= records.Nanos(now) && !t.underWay(e.position, n, now) {
				t.sendAgain(e.position, n, now)
				retried.Count++
			}
		}
		retried.Next = "" // all have been looked at
		return nil
	})
	return retried, err
}

// underWay tells whether a notice is being delivered, or will be without being asked for.
func (t *tx) underWay(id string, n *records.Notification, now time.Time) bool {
	_, leased := t.leases[id]
	return n.GetState() == string(logout.Pending) && (leased || n.GetNextAttempt() <= records.Nanos(now))
}

// sendAgain makes a notice due now, with a new retry window.
func (t *tx) sendAgain(id string, n *records.Notification, now time.Time) {
	delete(t.leases, id)
	rules.SendAgain(n, now)
	t.save(transfer.Notifications, id, n)
}
