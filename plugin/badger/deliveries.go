package badger

// Pages of notifications.

import (
	"context"

	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/plugin/badger/internal/kv"
	"github.com/fosite-sessions/sessions/plugin/badger/internal/layout"
	"github.com/fosite-sessions/sessions/plugin/badger/internal/listing"
	"github.com/fosite-sessions/sessions/plugin/records"
	"github.com/fosite-sessions/sessions/plugin/rules"
)

func (s endings) Notifications(
	ctx context.Context, query logout.NotificationQuery,
) (*logout.NotificationPage, error) {
	walk, invalid := query.Walk()
	return read(ctx, s.e, invalid, func(r *kv.Snapshot) (*logout.NotificationPage, error) {
		p, err := listing.ReadPage(notificationListing(r, &walk.Filter), walk)
		if err != nil {
			return nil, err
		}
		result := &logout.NotificationPage{Notifications: p.Rows, HasPrev: p.HasPrev, HasNext: p.HasNext}
		result.ResultsToken, err = rules.Token(walk, p.Place, 0)
		return result, err
	})
}

// notificationListing lists notifications in the order of their ids, which is the order of enqueueing.
func notificationListing(r kv.Reader, f *logout.NotificationFilter) *listing.Listing[logout.Notification] {
	l := &listing.Listing[logout.Notification]{R: r, Prefix: layout.TableNotification}
	switch {
	case f.SessionID != "":
		l.Prefix = layout.Key(layout.IndexNotificationSession, layout.More(f.SessionID))
	case f.ClientID != "":
		l.Prefix = layout.Key(layout.IndexNotificationClient, layout.More(f.ClientID))
	case f.State != "":
		l.Prefix = layout.Key(layout.IndexNotificationState, layout.More(string(f.State)))
	}
	l.Match = func(position []byte, _ func() ([]byte, error)) (*logout.Notification, error) {
		id := string(position)
		n, err := kv.Find[records.Notification](r, layout.NotificationKey(id))
		if err != nil || n == nil || !rules.SelectedNotification(f, n) {
			return nil, err
		}
		return records.NotificationOf(id, n), nil
	}
	return l
}
