package memory

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/plugin/records"
	"github.com/fosite-sessions/sessions/plugin/rules"
	"github.com/fosite-sessions/sessions/plugin/transfer"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// queue writes a new notification. Its number may be one from before a move.
func (t *tx) queue(n *records.Notification) {
	for {
		t.queued++
		if id := rules.NotificationID(t.now, t.queued); t.notification(id) == nil {
			t.save(transfer.Notifications, id, n)
			return
		}
	}
}

// waiting is the index of the pending notifications of a client.
func waiting(client string) string { return "q" + client + "\x00" }

// clientsWaiting returns the clients with pending notifications, in the order of their turns.
func (t *tx) clientsWaiting() (clients []string) {
	for from := "q"; from != ""; {
		start := from
		from = ""
		t.tree.AscendGreaterOrEqual(entry{name: start}, func(e entry) bool {
			if client, _, ok := strings.Cut(e.name[1:], "\x00"); ok && e.name[0] == 'q' {
				clients, from = append(clients, client), "q"+client+"\x01"
			}
			return false
		})
	}
	after, _ := slices.BinarySearch(clients, t.served+"\x00")
	return slices.Concat(clients[after:], clients[:after])
}

// ready returns what a claim may have, of each client its earliest, and when there is more.
func (t *tx) ready(claim *logout.Claim) (due []*row, next time.Time) {
	for _, client := range t.clientsWaiting() {
		taken, busy, full := 0, slices.Contains(claim.Busy, client), false
		t.scan(waiting(client), nil, false, func(_ string, r *row) bool {
			switch at := records.Moment(t.notification(r.key).GetDue()); {
			case busy, at.After(t.now), taken == claim.PerClient:
				next = earlier(next, at)
				return false
			case len(due) == claim.Limit:
				full, next = true, t.now
				return false
			}
			due, taken, t.served = append(due, r), taken+1, client
			return true
		})
		if full {
			break
		}
	}
	return due, next
}

func earlier(a, b time.Time) time.Time {
	if a.IsZero() || b.Before(a) {
		return b
	}
	return a
}

func (s endings) Claim(
	ctx context.Context, claim logout.Claim, now time.Time,
) (claimed *logout.ClaimResult, err error) {
	if err := claim.Validate(); err != nil {
		return nil, err
	}
	err = s.s.change(ctx, now, func(t *tx) error {
		due, next := t.ready(&claim)
		claimed = &logout.ClaimResult{Next: next}
		for _, r := range due {
			n := proto.CloneOf(t.notification(r.key))
			rules.Claim(n, now.Add(claim.Lease))
			t.save(transfer.Notifications, r.key, n)
			claimed.Next = earlier(claimed.Next, now.Add(claim.Lease))
			claimed.Deliveries = append(claimed.Deliveries, logout.Delivery{
				Notification: *records.NotificationOf(r.key, n), Claim: n.Claim,
			})
		}
		return nil
	})
	return claimed, err
}

// known returns a notification's row for the caller to change.
func (t *tx) known(id string) (*records.Notification, error) {
	n := proto.CloneOf(t.notification(id))
	if n == nil {
		return nil, fmt.Errorf("notice: %w", ticketstore.ErrNotFound)
	}
	return n, nil
}

func (s endings) Settle(
	ctx context.Context, id string, claim uint64, outcome logout.Outcome, now time.Time,
) error {
	if err := outcome.Validate(); err != nil {
		return err
	}
	return s.s.change(ctx, now, func(t *tx) error {
		n, err := t.known(id)
		if err != nil {
			return err
		}
		if err := rules.Settle(n, claim, &outcome, now); err != nil {
			return err
		}
		t.save(transfer.Notifications, id, n)
		return nil
	})
}

func (s endings) Notifications(
	ctx context.Context, query logout.NotificationQuery,
) (result *logout.NotificationPage, err error) {
	walk, err := query.Walk()
	if err != nil {
		return nil, err
	}
	err = s.s.view(ctx, time.Time{}, func(t *tx) (err error) {
		rows, place := page(t, nameOf(transfer.Notifications, ""), walk, func(r *row) bool {
			return rules.Filed(&walk.Filter, t.notification(r.key))
		})
		result = &logout.NotificationPage{HasPrev: place.HasPrev, HasNext: place.HasNext}
		for _, r := range rows {
			result.Notifications = append(result.Notifications, *records.NotificationOf(r.key, t.notification(r.key)))
		}
		result.ResultsToken, err = rules.Token(walk, place, 0)
		return err
	})
	return result, err
}

func (s endings) Retry(
	ctx context.Context, retry logout.Retry, now time.Time,
) (retried *logout.RetryResult, err error) {
	if err := retry.Validate(); err != nil {
		return nil, err
	}
	err = s.s.change(ctx, now, func(t *tx) error {
		retried = &logout.RetryResult{}
		if retry.ID != "" {
			n, err := t.known(retry.ID)
			if err != nil {
				return err
			}
			rules.SendAgain(n, now)
			t.save(transfer.Notifications, retry.ID, n)
			retried.Notification, retried.Count = records.NotificationOf(retry.ID, n), 1
			return nil
		}
		var from *ticketstore.Bound
		if retry.After != "" {
			from = &ticketstore.Bound{Position: []byte(retry.After)}
		}
		rows, found := t.read(nameOf(transfer.Notifications, ""), from, false, retry.Limit, func(r *row) bool {
			return rules.Filed(&retry.Filter, t.notification(r.key))
		})
		if found.More {
			retried.Next = string(found.Last)
		}
		for _, r := range rows {
			if n := proto.CloneOf(t.notification(r.key)); rules.Retries(&retry.Filter, n, now) {
				rules.SendAgain(n, now)
				t.save(transfer.Notifications, r.key, n)
				retried.Count++
			}
		}
		return nil
	})
	return retried, err
}
