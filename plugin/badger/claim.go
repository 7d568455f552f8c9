package badger

// Claims: due notifications are leased to their deliverers, round robin over clients.

import (
	"bytes"
	"context"
	"errors"
	"sync"
	"time"

	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/plugin/badger/internal/kv"
	"github.com/fosite-sessions/sessions/plugin/badger/internal/layout"
	"github.com/fosite-sessions/sessions/plugin/records"
	"github.com/fosite-sessions/sessions/plugin/rules"
)

func (s endings) Claim(
	ctx context.Context, claim logout.Claim, now time.Time,
) (claimed *logout.ClaimResult, err error) {
	if err := claim.Validate(); err != nil {
		return nil, err
	}
	// Most calls find nothing: look in a snapshot before using the committer.
	var found *survey
	err = s.e.db.ViewAlong(ctx, func(r *kv.Snapshot) (err error) {
		found, err = s.e.surveyQueue(r, &claim, now)
		return err
	})
	if err != nil {
		return nil, err
	}
	if len(found.due)+len(found.damaged) == 0 {
		return &logout.ClaimResult{Next: found.Next}, nil
	}
	err = s.e.updateInBackground(ctx, func(tx *kv.Tx) error {
		claimed = &logout.ClaimResult{Next: found.Next}
		lease := now.Add(claim.Lease)
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
				claimed.Next = now // a concurrent claim was faster: try again
				continue
			}
			err = changeNotification(tx, d.id, n, func() error { rules.Claim(n, lease); return nil })
			if err != nil {
				return err
			}
			claimed.Deliveries = append(claimed.Deliveries,
				logout.Delivery{Notification: *records.NotificationOf(d.id, n), Claim: n.Claim})
		}
		if len(claimed.Deliveries) > 0 {
			claimed.Next = rules.Earlier(claimed.Next, lease)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return claimed, nil
}

// takeDue returns the notification of an entry found by a survey, or nil if the entry is gone. An entry
// without a readable row is deleted: it would remain due forever.
func takeDue(t *kv.Tx, d *dueNotification) (*records.Notification, error) {
	entry, err := t.Get(d.key)
	if err != nil || entry == nil {
		return nil, err
	}
	n, err := kv.Find[records.Notification](t, layout.NotificationKey(d.id))
	if layout.IsDamage(err) {
		t.Delete(d.key)
		t.Delete(layout.NotificationStateKey(string(logout.Pending), d.id))
		t.Delete(layout.NotificationClientKey(d.client, d.id))
		return nil, t.Abandon(err)
	}
	if err != nil {
		return nil, err
	}
	if n == nil || n.Due != records.Nanos(d.at) || n.ClientId != d.client {
		t.Delete(d.key)
		return nil, t.StepOver(layout.Damaged(layout.NotificationKey(d.id), errDangling))
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
		n, err := loadNotification(tx, id)
		if err != nil {
			return err
		}
		return changeNotification(tx, id, n, func() error { return rules.Settle(n, claim, &outcome, now) })
	})
}

// maxSurveyed bounds the clients whose queues one claim examines.
const maxSurveyed = 4096

// rotation is the round-robin state of claims. It is lost with the process and then rebuilt.
type rotation struct {
	mutex sync.Mutex
	// last is the client served last: the next survey begins after it.
	last string
	// quiet is set if, when the counter was queued, nothing was due before next (zero: the queue was empty).
	quiet  bool
	queued uint64
	next   time.Time
}

// dueNotification is an entry of the queue.
type dueNotification struct {
	key    []byte
	client string
	at     time.Time
	id     string
}

// survey is the result of visiting the heads of the clients' queues.
type survey struct {
	*rules.Round
	due []dueNotification
	// damaged are malformed entries.
	damaged [][]byte
	// head is when the first notification of all clients is due, including busy ones.
	head time.Time
	// client is the current client, the n-th.
	client string
	n      int
}

// surveyQueue selects due notifications round robin: the earliest of each client that is not busy, at most
// PerClient. It skips from client to client, so that the long queue of a busy or dead client costs no more
// than a short one, and stops when it has enough; the next survey continues with the next client. It does not
// scan at all until something falls due.
func (e *Engine) surveyQueue(r *kv.Snapshot, claim *logout.Claim, now time.Time) (*survey, error) {
	t := &e.rotation
	s := &survey{Round: rules.NewRound(claim, now)}
	t.mutex.Lock()
	// The counter tells whether a notification was enqueued since the queue was found quiet. It is
	// incremented after the commit that enqueues it, before that commit is acknowledged, and was read before
	// the snapshot was made. So it can only lag: the snapshot may have a notification that is not counted
	// yet. The next claim then sees the higher counter and does one extra scan that finds nothing. No
	// acknowledged notification is missed.
	behind, quiet := t.last, t.quiet && t.queued == r.Queued() && (t.next.IsZero() || now.Before(t.next))
	if quiet {
		s.Next = t.next
	}
	t.mutex.Unlock()
	if quiet {
		return s, nil
	}
	start := layout.Successor(layout.Key(layout.IndexNotificationDue, layout.More(behind)))
	if err := r.Hop(layout.IndexNotificationDue, start, s.visit); err != nil {
		return nil, err
	}
	if !s.Full {
		err := r.Hop(layout.IndexNotificationDue, layout.IndexNotificationDue,
			func(k []byte) ([]byte, bool, error) {
				if bytes.Compare(k, start) >= 0 {
					return nil, false, nil
				}
				return s.visit(k)
			})
		if err != nil {
			return nil, err
		}
	}
	t.mutex.Lock()
	defer t.mutex.Unlock()
	switch {
	case s.Full && len(s.due) < claim.Limit:
		t.last = s.client
	case len(s.due) > 0:
		t.last = s.due[len(s.due)-1].client
	}
	t.quiet = !s.Full && len(s.damaged) == 0 && (s.head.IsZero() || s.head.After(now))
	t.queued, t.next = r.Queued(), s.head
	return s, nil
}

// visit examines an entry and returns where to continue: at the key next or, if that is nil, at the next
// entry.
func (s *survey) visit(k []byte) (next []byte, more bool, err error) {
	client, err := clientOfDue(k)
	if err != nil {
		s.damaged = append(s.damaged, k)
		return nil, true, nil
	}
	at, id, err := layout.SplitTimed(k, len(layout.IndexNotificationDue)+len(layout.More(client)))
	if err != nil {
		s.damaged = append(s.damaged, k)
		return nil, true, nil
	}
	if s.n == 0 || client != s.client {
		if s.n++; s.n > maxSurveyed {
			s.Stop()
			return nil, false, nil
		}
		s.client, s.head = client, rules.Earlier(s.head, at)
	}
	switch s.Decide(client, at) {
	case rules.ClientSkipped:
		return layout.Successor(layout.Key(layout.IndexNotificationDue, layout.More(client))), true, nil
	case rules.ClaimComplete:
		return nil, false, nil
	}
	s.due = append(s.due, dueNotification{key: k, client: client, at: at, id: string(id)})
	return nil, true, nil
}

func clientOfDue(k []byte) (string, error) {
	client, _, found := bytes.Cut(k[len(layout.IndexNotificationDue):], []byte{0})
	if !found {
		return "", layout.DamagedEntry(k)
	}
	return string(client), nil
}
