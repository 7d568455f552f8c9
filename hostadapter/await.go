package hostadapter

// The wait for the deliveries of sessions that ended.

import (
	"context"
	"fmt"
	"time"

	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// Pauses between reads of notifications that are waited for.
const (
	firstLook = 5 * time.Millisecond
	mostPause = 200 * time.Millisecond
)

// NotificationCount says what became of notifications.
type NotificationCount struct {
	Delivered int
	Refused   int
	GivenUp   int
}

// awaitNotifications returns when every client of the ended sessions has taken its notification, refused it,
// or was given up, and counts them; or with the error of the context, and what is known by then. A store that
// is unavailable is asked again.
func (a *Adapter) awaitNotifications(
	ctx context.Context, sids []string,
) (count NotificationCount, err error) {
	for pause := firstLook; ; pause = min(2*pause, mostPause) {
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return count, ctx.Err()
		}
		found, waiting, err := a.countNotifications(ctx, sids)
		switch {
		case err == nil && waiting == 0:
			return found, nil
		case err == nil:
			count = found
		case !IsUnavailable(err):
			return count, fmt.Errorf("hostadapter: waiting for notifications: %w", err)
		}
	}
}

// countNotifications counts the notifications of sessions. waiting are those without an outcome. One that
// awaits its second delivery is delivered.
func (a *Adapter) countNotifications(
	ctx context.Context, sids []string,
) (count NotificationCount, waiting int, err error) {
	for _, sid := range sids {
		query := logout.NotificationQuery{
			Filter: logout.NotificationFilter{SessionID: sid}, Count: ticketstore.MaxCount,
		}
		err := eachPage(func(token string) (next string, more bool, err error) {
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
		if err != nil {
			return count, 0, err
		}
	}
	return count, waiting, nil
}

// wasDelivered reports whether a client has accepted a pending notification once, and only its second
// delivery is due.
func wasDelivered(n *logout.Notification) bool {
	return n.State == logout.Pending && !n.LastAttempt.IsZero() && n.LastError == ""
}
