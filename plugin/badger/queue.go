package badger

import (
	"fmt"
	"time"

	"github.com/fosite-sessions/sessions/plugin/badger/internal/kv"
	"github.com/fosite-sessions/sessions/plugin/badger/internal/layout"
	"github.com/fosite-sessions/sessions/plugin/records"
	"github.com/fosite-sessions/sessions/plugin/rules"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// nextNoticeID returns an id that is new and sorts by the moment.
func (e *Engine) nextNoticeID(now time.Time) string {
	return rules.NotificationID(now, e.noticeSeq.Add(1))
}

// insertNotice writes a new notice and all of its index entries.
func insertNotice(t *kv.Tx, id string, n *records.Notification) error {
	t.Put(layout.NoticeClientKey(n.ClientId, id), nil)
	t.Put(layout.NoticeSessionKey(n.SessionId, id), nil)
	return listNotice(t, id, n)
}

// changeNotice writes a notice that a rule changes, and moves its index entries.
func changeNotice(t *kv.Tx, id string, n *records.Notification, change func()) error {
	unlistNotice(t, id, n)
	change()
	return listNotice(t, id, n)
}

func listNotice(t *kv.Tx, id string, n *records.Notification) error {
	t.Put(layout.NoticeStateKey(n.State, id), nil)
	if n.Due != 0 {
		t.NoticeDue()
		t.Put(layout.NoticeDueKey(n.ClientId, n.Due, id), nil)
	}
	if n.PurgeAt != 0 {
		t.Put(layout.NoticePurgeKey(n.PurgeAt, id), nil)
	}
	return t.Save(layout.NoticeKey(id), n)
}

// unlistNotice removes the index entries that move.
func unlistNotice(t *kv.Tx, id string, n *records.Notification) {
	t.Delete(layout.NoticeStateKey(n.GetState(), id))
	if n.GetDue() != 0 {
		t.Delete(layout.NoticeDueKey(n.GetClientId(), n.GetDue(), id))
	}
	if n.GetPurgeAt() != 0 {
		t.Delete(layout.NoticePurgeKey(n.GetPurgeAt(), id))
	}
}

func dropNotice(t *kv.Tx, id string, n *records.Notification) {
	unlistNotice(t, id, n)
	t.Delete(layout.NoticeClientKey(n.GetClientId(), id))
	t.Delete(layout.NoticeSessionKey(n.GetSessionId(), id))
	t.Delete(layout.NoticeKey(id))
}

func loadNotice(r kv.Reader, id string) (*records.Notification, error) {
	n := &records.Notification{}
	found, err := kv.Load(r, layout.NoticeKey(id), n)
	if err == nil && !found {
		err = fmt.Errorf("notice: %w", ticketstore.ErrNotFound)
	}
	return n, err
}
