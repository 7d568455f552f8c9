package hostadapter

// Queries and retries of notifications by operators.

import (
	"context"
	"fmt"

	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// QueryNotifications returns a page of notifications to clients.
func (o *Operations) QueryNotifications(
	ctx context.Context, query logout.NotificationQuery,
) (*logout.NotificationPage, error) {
	page, err := o.adapter.config.Backend.Logout().Notifications(ctx, query)
	if err != nil {
		return nil, fmt.Errorf("hostadapter: querying deliveries: %w", err)
	}
	return page, nil
}

// RetryNotification makes a notification due now, whatever its state. It returns ticketstore.ErrNotFound if
// it is unknown.
func (o *Operations) RetryNotification(ctx context.Context, id string) (*logout.Notification, error) {
	if err := ticketstore.CheckID("id", id); err != nil {
		return nil, err
	}
	retried, err := o.adapter.config.Backend.Logout().Retry(ctx, logout.Retry{ID: id}, o.adapter.now())
	if err != nil {
		return nil, fmt.Errorf("hostadapter: sending a notification again: %w", err)
	}
	o.adapter.dispatcher.Wake()
	return retried.Notification, nil
}

// RetryNotifications makes the notifications that a filter selects due now, in bounded batches, and returns
// how many. The filter needs at least one condition. Pending notifications that are due or in flight, and
// those queued meanwhile, are left unchanged. After an error some may have been retried; repeating the call
// is safe.
func (o *Operations) RetryNotifications(ctx context.Context, filter logout.NotificationFilter) (int, error) {
	retry := logout.Retry{Filter: filter, Limit: ticketstore.MaxCount}
	if err := retry.Validate(); err != nil {
		return 0, err
	}
	now := o.adapter.now()
	count, places := 0, walk{}
	for {
		retried, err := o.adapter.config.Backend.Logout().Retry(ctx, retry, now)
		o.adapter.dispatcher.Wake()
		if err != nil {
			return 0, fmt.Errorf("hostadapter: sending notifications again: %w", err)
		}
		count += retried.Count
		places.changed += retried.Count
		if retry.After = retried.Next; retry.After == "" {
			return count, nil
		}
		if err := places.on(retry.After); err != nil {
			return 0, fmt.Errorf("hostadapter: sending notifications again: %w", err)
		}
	}
}
