package badger

// Notifications and their index entries.

import (
	"fmt"
	"time"

	"github.com/fosite-sessions/sessions/plugin/badger/internal/kv"
	"github.com/fosite-sessions/sessions/plugin/badger/internal/layout"
	"github.com/fosite-sessions/sessions/plugin/records"
	"github.com/fosite-sessions/sessions/plugin/rules"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// queue writes a new notification under an id that sorts by time. A job that is resumed after a restart has
// the time of before it, and the counter begins anew: the id may be taken.
func (e *Engine) queue(t *kv.Tx, n *records.Notification, now time.Time) error {
	for {
		id := rules.NotificationID(now, e.notificationSeq.Add(1))
		taken, err := t.Get(layout.NotificationKey(id))
		if err != nil {
			return err
		}
		if taken == nil {
			return saveNotification(t, id, n, nil)
		}
	}
}

// changeNotification applies a rule's change to a notification and moves its index entries.
func changeNotification(t *kv.Tx, id string, n *records.Notification, change func() error) error {
	was := layout.NotificationEntries(id, n)
	if err := change(); err != nil {
		return err
	}
	return saveNotification(t, id, n, was)
}

// saveNotification writes a notification, and its index entries in place of those that it had.
func saveNotification(t *kv.Tx, id string, n *records.Notification, was []layout.Entry) error {
	replaceEntries(t, was, layout.NotificationEntries(id, n))
	if n.Due != 0 {
		t.NotificationDue()
	}
	return t.Save(layout.NotificationKey(id), n)
}

func dropNotification(t *kv.Tx, id string, n *records.Notification) {
	replaceEntries(t, layout.NotificationEntries(id, n), nil)
	t.Delete(layout.NotificationKey(id))
}

func loadNotification(r kv.Reader, id string) (*records.Notification, error) {
	n, err := kv.Find[records.Notification](r, layout.NotificationKey(id))
	if err == nil && n == nil {
		err = fmt.Errorf("notice: %w", ticketstore.ErrNotFound)
	}
	return n, err
}
