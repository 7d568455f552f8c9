package badger

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/fosite-sessions/sessions/plugin/rules"

	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/plugin/records"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// nextNoticeID returns an id that is new and sorts by the moment.
func (e *Engine) nextNoticeID(now time.Time) string {
	return fmt.Sprintf("%016x%08x", uint64(records.Nanos(now)), e.noticeSeq.Add(1))
}

// insertNotice writes a new notice and all of its index entries.
func (t *tx) insertNotice(id string, n *records.Notification) error {
	t.put(key(indexNoticeClient, more(n.ClientId), last(id)), nil)
	t.put(key(indexNoticeSession, more(n.SessionId), last(id)), nil)
	return t.moveNotice(id, n, n.State, n.NextAttempt, 0)
}

// moveNotice writes a notice in a state, due at a moment and to be purged at another (0: never), and moves its index entries.
func (t *tx) moveNotice(id string, n *records.Notification, state string, due, purgeAt int64) error {
	t.unlistNotice(id, n)
	n.State, n.Due, n.PurgeAt = state, due, purgeAt
	return t.listNotice(id, n)
}

// changeNotice writes a notice that a rule changes, and moves its index entries.
func (t *tx) changeNotice(id string, n *records.Notification, change func()) error {
	t.unlistNotice(id, n)
	change()
	return t.listNotice(id, n)
}

func (t *tx) listNotice(id string, n *records.Notification) error {
	t.put(key(indexNoticeState, more(n.State), last(id)), nil)
	if n.Due != 0 {
		t.queued = true
		t.put(key(indexNoticeDue, more(n.ClientId), timeKey(n.Due), last(id)), nil)
	}
	if n.PurgeAt != 0 {
		t.put(key(indexNoticePurge, timeKey(n.PurgeAt), last(id)), nil)
	}
	return t.save(noticeKey(id), n)
}

// unlistNotice removes the index entries that move.
func (t *tx) unlistNotice(id string, n *records.Notification) {
	t.delete(key(indexNoticeState, more(n.GetState()), last(id)))
	if n.GetDue() != 0 {
		t.delete(key(indexNoticeDue, more(n.GetClientId()), timeKey(n.GetDue()), last(id)))
	}
	if n.GetPurgeAt() != 0 {
		t.delete(key(indexNoticePurge, timeKey(n.GetPurgeAt()), last(id)))
	}
}

func (t *tx) dropNotice(id string, n *records.Notification) {
	t.unlistNotice(id, n)
	t.delete(key(indexNoticeClient, more(n.GetClientId()), last(id)))
	t.delete(key(indexNoticeSession, more(n.GetSessionId()), last(id)))
	t.delete(noticeKey(id))
}

func (s endings) Claim(ctx context.Context, claim logout.Claim, now time.Time) (claimed *logout.ClaimResult, err error) {
	if err := claim.Validate(); err != nil {
		return nil, err
	}
	// Most calls find nothing: look on a snapshot before asking for the committer.
	var found *survey
	err = s.e.viewAlong(ctx, func(r reader) (err error) {
		snapshot, _ := r.(snapshot)
		found, err = s.e.surveyQueue(snapshot, &claim, now)
		return err
	})
	if err != nil || len(found.due)+len(found.damaged) == 0 {
		return &logout.ClaimResult{Next: found.nextDue()}, err
	}
	err = s.e.updateBehind(ctx, func(tx *tx) error {
		claimed = &logout.ClaimResult{Next: found.next}
		lease := records.Nanos(now.Add(claim.Lease))
		for _, k := range found.damaged {
			tx.delete(k)
			if err := tx.stepOver(damagedEntry(k)); err != nil {
				return err
			}
		}
		for i := range found.due {
			d := &found.due[i]
			n, err := tx.takeDue(d)
			if err != nil {
				return err
			}
			if n == nil {
				claimed.Next = now // another call was faster: look again
				continue
			}
			n.Claimed = true
			n.Claim++
			if err := tx.moveNotice(d.id, n, n.State, lease, 0); err != nil {
				return err
			}
			claimed.Deliveries = append(claimed.Deliveries, logout.Delivery{Notification: *records.NotificationOf(d.id, n), Claim: n.Claim})
		}
		if leased := records.Moment(lease); len(claimed.Deliveries) > 0 && (claimed.Next.IsZero() || leased.Before(claimed.Next)) {
			claimed.Next = leased
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return claimed, nil
}

// takeDue returns the notice of an entry that a survey has found, nil if it does not stand there any more. An entry that leads to nothing, or
// to a row that is damaged, goes: it would be due for ever.
func (t *tx) takeDue(d *dueNotice) (*records.Notification, error) {
	entry, err := t.get(d.key)
	if err != nil || entry == nil {
		return nil, err
	}
	n := &records.Notification{}
	found, err := load(t, noticeKey(d.id), n)
	if isDamage(err) {
		t.delete(d.key)
		t.delete(key(indexNoticeState, more(string(logout.Pending)), last(d.id)))
		t.delete(key(indexNoticeClient, more(d.client), last(d.id)))
		return nil, t.abandon(err)
	}
	if err != nil {
		return nil, err
	}
	if !found || n.Due != records.Nanos(d.at) || n.ClientId != d.client {
		t.delete(d.key)
		return nil, t.stepOver(&damage{noticeKey(d.id), errDangling})
	}
	return n, nil
}

var errDangling = errors.New("an entry of those that are due leads to it, and it is not there")

func (s endings) Settle(ctx context.Context, id string, claim uint64, outcome logout.Outcome, now time.Time) error {
	if err := outcome.Validate(); err != nil {
		return err
	}
	return s.e.updateBehind(ctx, func(tx *tx) error {
		n, err := loadNotice(tx, id)
		if err != nil {
			return err
		}
		tx.unlistNotice(id, n)
		if err := rules.Settle(n, claim, &outcome, now); err != nil {
			return err
		}
		return tx.listNotice(id, n)
	})
}

func loadNotice(r reader, id string) (*records.Notification, error) {
	n := &records.Notification{}
	found, err := load(r, noticeKey(id), n)
	if err == nil && !found {
		err = fmt.Errorf("notice: %w", ticketstore.ErrNotFound)
	}
	return n, err
}
