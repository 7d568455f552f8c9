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
			return insertNotification(t, id, n)
		}
	}
}

// insertNotification writes a notification that is not there, with its index entries.
func insertNotification(t *kv.Tx, id string, n *records.Notification) error {
	t.Put(layout.NotificationClientKey(n.ClientId, id), nil)
	t.Put(layout.NotificationSessionKey(n.SessionId, id), nil)
	return listNotification(t, id, n)
}

// changeNotification applies a rule's change to a notification and moves its index entries.
func changeNotification(t *kv.Tx, id string, n *records.Notification, change func()) error {
	unlistNotification(t, id, n)
	change()
	return listNotification(t, id, n)
}

func listNotification(t *kv.Tx, id string, n *records.Notification) error {
	t.Put(layout.NotificationStateKey(n.State, id), nil)
	if n.Due != 0 {
		t.NotificationDue()
		t.Put(layout.NotificationDueKey(n.ClientId, n.Due, id), nil)
	}
	if n.PurgeAt != 0 {
		t.Put(layout.NotificationPurgeKey(n.PurgeAt, id), nil)
	}
	return t.Save(layout.NotificationKey(id), n)
}

// unlistNotification removes the index entries that depend on its state.
func unlistNotification(t *kv.Tx, id string, n *records.Notification) {
	t.Delete(layout.NotificationStateKey(n.GetState(), id))
	if n.GetDue() != 0 {
		t.Delete(layout.NotificationDueKey(n.GetClientId(), n.GetDue(), id))
	}
	if n.GetPurgeAt() != 0 {
		t.Delete(layout.NotificationPurgeKey(n.GetPurgeAt(), id))
	}
}

func dropNotification(t *kv.Tx, id string, n *records.Notification) {
	unlistNotification(t, id, n)
	t.Delete(layout.NotificationClientKey(n.GetClientId(), id))
	t.Delete(layout.NotificationSessionKey(n.GetSessionId(), id))
	t.Delete(layout.NotificationKey(id))
}

func loadNotification(r kv.Reader, id string) (*records.Notification, error) {
	n := &records.Notification{}
	found, err := kv.Load(r, layout.NotificationKey(id), n)
	if err == nil && !found {
		err = fmt.Errorf("notice: %w", ticketstore.ErrNotFound)
	}
	return n, err
}
