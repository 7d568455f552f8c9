package hostadapter

// Waiting for the deliveries of ended sessions.

import (
	"context"
	"fmt"
	"time"

	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// Intervals between polls of the awaited notifications.
const (
	firstPoll       = 5 * time.Millisecond
	maxPollInterval = 200 * time.Millisecond
)

// NotificationCount counts notifications by outcome.
type NotificationCount struct {
	Delivered int
	Refused   int
	GivenUp   int
}

func (c *NotificationCount) add(more NotificationCount) {
	c.Delivered += more.Delivered
	c.Refused += more.Refused
	c.GivenUp += more.GivenUp
}

// awaitNotifications waits until every notification of the ended sessions is delivered, refused or given up,
// and counts them. If ctx ends first it returns its error and the counts so far. It retries while the store
// is unavailable.
func (a *Adapter) awaitNotifications(
	ctx context.Context, sids []string,
) (count NotificationCount, err error) {
	var settled NotificationCount
	open := sids // a session is asked for until its notifications are settled
	for pause := firstPoll; ; pause = min(2*pause, maxPollInterval) {
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return count, ctx.Err()
		}
		var rest NotificationCount
		var left []string
		var err error
		for i, sid := range open {
			found, waiting, failed := a.countNotifications(ctx, sid)
			if failed != nil {
				left, err = append(left, open[i:]...), failed
				break
			}
			if waiting > 0 {
				rest.add(found)
				left = append(left, sid)
			} else {
				settled.add(found)
			}
		}
		open = left
		switch {
		case err == nil:
			count = settled
			count.add(rest)
		case !IsUnavailable(err):
			return count, fmt.Errorf("hostadapter: waiting for notifications: %w", err)
		}
		if len(open) == 0 {
			return count, nil
		}
	}
}

// countNotifications counts the notifications of a session by outcome; waiting counts those without one. A
// notification that awaits its second delivery counts as delivered.
func (a *Adapter) countNotifications(
	ctx context.Context, sid string,
) (count NotificationCount, waiting int, err error) {
	query := logout.NotificationQuery{
		Filter: logout.NotificationFilter{SessionID: sid}, Count: ticketstore.MaxCount,
	}
	err = eachPage(func(token string) (next string, more bool, err error) {
		query.ResultsToken = token
		page, err := a.config.Backend.Logout().Notifications(ctx, query)
		if err != nil {
			return "", false, err
		}
		for i := range page.Notifications {
			switch n := &page.Notifications[i]; {
			case n.State == logout.Delivered, wasDelivered(n):
				count.Delivered++
			case n.State == logout.Refused:
				count.Refused++
			case n.State == logout.GivenUp:
				count.GivenUp++
			default:
				waiting++
			}
		}
		return page.ResultsToken, page.HasNext, nil
	})
	return count, waiting, err
}

// wasDelivered reports whether a pending notification was delivered once and awaits its second delivery.
func wasDelivered(n *logout.Notification) bool {
	return n.State == logout.Pending && !n.LastAttempt.IsZero() && n.LastError == ""
}
