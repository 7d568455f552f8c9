package memory

// The queue of notifications: claims, settlements, listing and retries.

import (
	"context"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/plugin/records"
	"github.com/fosite-sessions/sessions/plugin/rules"
	"github.com/fosite-sessions/sessions/plugin/transfer"
)

// queue adds a new notification. It skips ids already taken, which may be from before a move.
func (t *tx) queue(n *records.Notification) {
	id := ""
	for id == "" || t.at(transfer.Notifications, id) != nil {
		t.queued++
		id = rules.NotificationID(t.now, t.queued)
	}
	t.save(transfer.Notifications, id, n)
}

func (r *row) notification() *records.Notification { return messageOf[*records.Notification](r) }

// clientsWaiting returns the clients with pending notifications, in round-robin order.
func (t *tx) clientsWaiting() (clients []string) {
	for more, from := true, "q"; more; {
		more = false
		t.tree.AscendGreaterOrEqual(entry{name: from}, func(e entry) bool {
			if client, _, _ := strings.Cut(e.name[1:], "\x00"); e.name[0] == 'q' {
				clients, from, more = append(clients, client), "q"+client+"\x01", true
			}
			return false
		})
	}
	next, _ := slices.BinarySearch(clients, t.served+"\x00")
	return slices.Concat(clients[next:], clients[:next])
}

// ready returns the notifications for a claim, each client's earliest first, and when more are due.
func (t *tx) ready(claim *logout.Claim) (due []*row, next time.Time) {
	round := rules.NewRound(claim, t.now)
	for _, client := range t.clientsWaiting() {
		t.scan(waiting(client), nil, false, func(_ string, r *row) bool {
			takes := round.Decide(client, records.Moment(r.notification().Due)) == rules.Claimed
			if takes {
				due, t.served = append(due, r), client
			}
			return takes
		})
		if round.Full {
			break
		}
	}
	return due, round.Next
}

func (s endings) Claim(ctx context.Context, claim logout.Claim, now time.Time) (*logout.ClaimResult, error) {
	return change(ctx, s.Store, now, claim.Validate(), func(t *tx) (*logout.ClaimResult, error) {
		due, next := t.ready(&claim)
		claimed := &logout.ClaimResult{Next: next}
		for _, r := range due {
			n := proto.CloneOf(r.notification())
			rules.Claim(n, now.Add(claim.Lease))
			t.save(r.kind, r.key, n)
			claimed.Next = rules.Earlier(claimed.Next, now.Add(claim.Lease))
			delivery := logout.Delivery{Notification: *records.NotificationOf(r.key, n), Claim: n.Claim}
			claimed.Deliveries = append(claimed.Deliveries, delivery)
		}
		return claimed, nil
	})
}

// mutableNotification returns a copy of a notification, which the caller may change and save.
func (t *tx) mutableNotification(id string) (*records.Notification, error) {
	if n := t.at(transfer.Notifications, id).notification(); n != nil {
		return proto.CloneOf(n), nil
	}
	return nil, missing("notification")
}

func (s endings) Settle(
	ctx context.Context, id string, claim uint64, outcome logout.Outcome, now time.Time,
) error {
	_, err := change(ctx, s.Store, now, outcome.Validate(), func(t *tx) (*records.Notification, error) {
		n, err := t.mutableNotification(id)
		if err == nil {
			err = rules.Settle(n, claim, &outcome, now)
		}
		if err == nil {
			t.save(transfer.Notifications, id, n)
		}
		return n, err
	})
	return err
}

func (s endings) Notifications(
	ctx context.Context, query logout.NotificationQuery,
) (*logout.NotificationPage, error) {
	walk, invalid := query.Walk()
	return view(ctx, s.Store, anyTime, invalid, func(t *tx) (result *logout.NotificationPage, err error) {
		rows, place := page(t, all(transfer.Notifications), walk, func(r *row) bool {
			return rules.SelectedNotification(&walk.Filter, r.notification())
		})
		result = &logout.NotificationPage{HasPrev: place.HasPrev, HasNext: place.HasNext}
		for _, r := range rows {
			n := records.NotificationOf(r.key, r.notification())
			result.Notifications = append(result.Notifications, *n)
		}
		result.ResultsToken, err = rules.Token(walk, place, 0)
		return result, err
	})
}

func (s endings) Retry(ctx context.Context, retry logout.Retry, now time.Time) (*logout.RetryResult, error) {
	return change(ctx, s.Store, now, retry.Validate(), func(t *tx) (*logout.RetryResult, error) {
		again := func(id string, n *records.Notification) {
			rules.SendAgain(n, now)
			t.save(transfer.Notifications, id, n)
		}
		if retry.ID != "" {
			n, err := t.mutableNotification(retry.ID)
			if err != nil {
				return nil, err
			}
			again(retry.ID, n)
			return &logout.RetryResult{Notification: records.NotificationOf(retry.ID, n), Count: 1}, nil
		}
		retried, index := &logout.RetryResult{}, all(transfer.Notifications)
		rows, found := t.read(index, behind(retry.After), false, retry.Limit, func(r *row) bool {
			return rules.SelectedNotification(&retry.Filter, r.notification())
		})
		if found.More {
			retried.Next = string(found.Last)
		}
		for _, r := range rows {
			if rules.Retries(&retry.Filter, r.notification(), now) {
				again(r.key, proto.CloneOf(r.notification()))
				retried.Count++
			}
		}
		return retried, nil
	})
}
