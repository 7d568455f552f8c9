package badger

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/plugin/badger/internal/kv"
	"github.com/fosite-sessions/sessions/plugin/badger/internal/layout"
	"github.com/fosite-sessions/sessions/plugin/records"
	"github.com/fosite-sessions/sessions/plugin/rules"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// nextNoticeID returns an id that is new and sorts by the moment.
func (e *Engine) nextNoticeID(now time.Time) string {
	return fmt.Sprintf("%016x%08x", uint64(records.Nanos(now)), e.noticeSeq.Add(1))
}

// insertNotice writes a new notice and all of its index entries.
func insertNotice(t *kv.Tx, id string, n *records.Notification) error {
	t.Put(layout.NoticeClientKey(n.ClientId, id), nil)
	t.Put(layout.NoticeSessionKey(n.SessionId, id), nil)
	return moveNotice(t, id, n, n.State, n.NextAttempt, 0)
}

// moveNotice writes a notice in a state, due at a moment and to be purged at another (0: never), and moves
// its index entries.
func moveNotice(t *kv.Tx, id string, n *records.Notification, state string, due, purgeAt int64) error {
	unlistNotice(t, id, n)
	n.State, n.Due, n.PurgeAt = state, due, purgeAt
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

func (s endings) Claim(
	ctx context.Context, claim logout.Claim, now time.Time,
) (claimed *logout.ClaimResult, err error) {
	if err := claim.Validate(); err != nil {
		return nil, err
	}
	// Most calls find nothing: look on a snapshot before asking for the committer.
	var found *survey
	err = s.e.db.ViewAlong(ctx, func(r *kv.Snapshot) (err error) {
		found, err = s.e.surveyQueue(r, &claim, now)
		return err
	})
	if err != nil || len(found.due)+len(found.damaged) == 0 {
		return &logout.ClaimResult{Next: found.nextDue()}, err
	}
	err = s.e.updateInBackground(ctx, func(tx *kv.Tx) error {
		claimed = &logout.ClaimResult{Next: found.next}
		lease := records.Nanos(now.Add(claim.Lease))
		for _, k := range found.damaged {
			tx.Delete(k)
			if err := tx.StepOver(layout.DamagedEntry(k)); err != nil {
				return err
			}
		}
		for i := range found.due {
			d := &found.due[i]
			n, err := takeDue(tx, d)
			if err != nil {
				return err
			}
			if n == nil {
				claimed.Next = now // another call was faster: look again
				continue
			}
			n.Claimed = true
			n.Claim++
			if err := moveNotice(tx, d.id, n, n.State, lease, 0); err != nil {
				return err
			}
			claimed.Deliveries = append(claimed.Deliveries,
				logout.Delivery{Notification: *records.NotificationOf(d.id, n), Claim: n.Claim})
		}
		if leased := records.Moment(lease); len(claimed.Deliveries) > 0 &&
			(claimed.Next.IsZero() || leased.Before(claimed.Next)) {
			claimed.Next = leased
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return claimed, nil
}

// takeDue returns the notice of an entry that a survey has found, nil if it does not stand there any more. An
// entry that leads to nothing, or to a row that is damaged, goes: it would be due for ever.
func takeDue(t *kv.Tx, d *dueNotice) (*records.Notification, error) {
	entry, err := t.Get(d.key)
	if err != nil || entry == nil {
		return nil, err
	}
	n := &records.Notification{}
	found, err := kv.Load(t, layout.NoticeKey(d.id), n)
	if layout.IsDamage(err) {
		t.Delete(d.key)
		t.Delete(layout.NoticeStateKey(string(logout.Pending), d.id))
		t.Delete(layout.NoticeClientKey(d.client, d.id))
		return nil, t.Abandon(err)
	}
	if err != nil {
		return nil, err
	}
	if !found || n.Due != records.Nanos(d.at) || n.ClientId != d.client {
		t.Delete(d.key)
		return nil, t.StepOver(layout.Damaged(layout.NoticeKey(d.id), errDangling))
	}
	return n, nil
}

var errDangling = errors.New("an entry of those that are due leads to it, and it is not there")

func (s endings) Settle(
	ctx context.Context, id string, claim uint64, outcome logout.Outcome, now time.Time,
) error {
	if err := outcome.Validate(); err != nil {
		return err
	}
	return s.e.updateInBackground(ctx, func(tx *kv.Tx) error {
		n, err := loadNotice(tx, id)
		if err != nil {
			return err
		}
		unlistNotice(tx, id, n)
		if err := rules.Settle(n, claim, &outcome, now); err != nil {
			return err
		}
		return listNotice(tx, id, n)
	})
}

func loadNotice(r kv.Reader, id string) (*records.Notification, error) {
	n := &records.Notification{}
	found, err := kv.Load(r, layout.NoticeKey(id), n)
	if err == nil && !found {
		err = fmt.Errorf("notice: %w", ticketstore.ErrNotFound)
	}
	return n, err
}
