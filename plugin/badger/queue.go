package badger

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/plugin/badger/internal/recordpb"
)

// nextNoticeID returns an id that is new and sorts by the moment.
func (e *Engine) nextNoticeID(now time.Time) string {
	return fmt.Sprintf("%016x%08x", uint64(nanos(now)), e.noticeSeq.Add(1))
}

// insertNotice writes a new notice and all of its index entries.
func (t *tx) insertNotice(id string, n *recordpb.Notification) error {
	t.put(key(indexNoticeClient, more(n.ClientId), last(id)), nil)
	t.put(key(indexNoticeSession, more(n.SessionId), last(id)), nil)
	return t.moveNotice(id, n, n.State, n.NextAttempt, 0)
}

// moveNotice writes a notice in a state, due at a moment and to be purged at another (0: never), and moves its index entries.
func (t *tx) moveNotice(id string, n *recordpb.Notification, state string, due, purgeAt int64) error {
	t.unlistNotice(id, n)
	n.State, n.Due, n.PurgeAt = state, due, purgeAt
	t.put(key(indexNoticeState, more(n.State), last(id)), nil)
	if n.Due != 0 {
		t.put(key(indexNoticeDue, more(n.ClientId), timeKey(n.Due), last(id)), nil)
	}
	if n.PurgeAt != 0 {
		t.put(key(indexNoticePurge, timeKey(n.PurgeAt), last(id)), nil)
	}
	return t.save(noticeKey(id), n)
}

// unlistNotice removes the index entries that move.
func (t *tx) unlistNotice(id string, n *recordpb.Notification) {
	t.delete(key(indexNoticeState, more(n.GetState()), last(id)))
	if n.GetDue() != 0 {
		t.delete(key(indexNoticeDue, more(n.GetClientId()), timeKey(n.GetDue()), last(id)))
	}
	if n.GetPurgeAt() != 0 {
		t.delete(key(indexNoticePurge, timeKey(n.GetPurgeAt()), last(id)))
	}
}

func (t *tx) dropNotice(id string, n *recordpb.Notification) {
	t.unlistNotice(id, n)
	t.delete(key(indexNoticeClient, more(n.GetClientId()), last(id)))
	t.delete(key(indexNoticeSession, more(n.GetSessionId()), last(id)))
	t.delete(noticeKey(id))
}

func (s endings) Claim(ctx context.Context, claim logout.Claim, now time.Time) (claimed *logout.Claimed, err error) {
	if err := claim.Validate(); err != nil {
		return nil, err
	}
	// Most calls find nothing: look on a snapshot before asking for the committer.
	turn := s.e.turn.Add(1)
	var found *survey
	err = s.e.view(ctx, func(r reader) (err error) {
		found, err = surveyQueue(r, claim, turn, now)
		return err
	})
	if err != nil || len(found.due) == 0 {
		return &logout.Claimed{Next: found.nextDue()}, err
	}
	err = s.e.update(ctx, func(tx *tx) error {
		if found, err = surveyQueue(tx, claim, turn, now); err != nil {
			return err
		}
		claimed = &logout.Claimed{}
		lease := nanos(now.Add(claim.Lease))
		for _, id := range found.due {
			n := &recordpb.Notification{}
			if there, err := load(tx, noticeKey(id), n); err != nil || !there {
				return errors.Join(err, fmt.Errorf("notice of an index entry: %w", logout.ErrNotFound))
			}
			n.Claimed = true
			n.Claim++
			if err := tx.moveNotice(id, n, n.State, lease, 0); err != nil {
				return err
			}
			claimed.Work = append(claimed.Work, logout.Delivery{Notification: *noticeOf(id, n), Claim: n.Claim})
		}
		claimed.Next = found.nextDue()
		if leased := moment(lease); len(found.due) > 0 && (claimed.Next.IsZero() || leased.Before(claimed.Next)) {
			claimed.Next = leased
		}
		return nil
	})
	return claimed, err
}

// survey is what a look along the heads of all clients' queues finds.
type survey struct {
	due  []string
	next time.Time
}

func (s *survey) nextDue() time.Time {
	if s == nil {
		return time.Time{}
	}
	return s.next
}

// surveyQueue takes due notices in turns: of each client that is not busy, its earliest, at most PerClient. It jumps from client to
// client, so that a long queue of a client that is busy or dead costs no more than a short one. Who comes first changes with the turn, lest
// the limit always favour the same.
func surveyQueue(r reader, claim logout.Claim, turn uint32, now time.Time) (*survey, error) {
	found := &survey{}
	var queues [][]string
	prefix := indexNoticeDue
	for from := prefix; from != nil; {
		head, err := firstKey(r, prefix, from)
		if err != nil || head == nil {
			return found.fill(queues, claim.Limit, turn, now), err
		}
		client, err := clientOfDue(head)
		if err != nil {
			return nil, err
		}
		queue, next, err := dueOfClient(r, client, claim, now)
		if err != nil {
			return nil, err
		}
		if len(queue) > 0 {
			queues = append(queues, queue)
		}
		if !next.IsZero() && (found.next.IsZero() || next.Before(found.next)) {
			found.next = next
		}
		from = successor(key(prefix, more(client)))
	}
	return found.fill(queues, claim.Limit, turn, now), nil
}

func (s *survey) fill(queues [][]string, limit int, turn uint32, now time.Time) *survey {
	if len(queues) == 0 {
		return s
	}
	first := int(turn) % len(queues)
	for round, any := 0, true; any; round++ {
		any = false
		for i := range queues {
			queue := queues[(first+i)%len(queues)]
			if round >= len(queue) {
				continue
			}
			if len(s.due) == limit {
				s.next = now // there is more at once
				return s
			}
			s.due, any = append(s.due, queue[round]), true
		}
	}
	return s
}

// dueOfClient returns the client's earliest due notices, none if it is busy, and when its next one is due.
func dueOfClient(r reader, client string, claim logout.Claim, now time.Time) (due []string, next time.Time, err error) {
	busy := slices.Contains(claim.Busy, client)
	prefix := key(indexNoticeDue, more(client))
	err = r.scan(prefix, nil, false, func(k []byte, _ func() ([]byte, error)) (bool, error) {
		at, id, err := splitTimed(k, len(prefix))
		if err != nil {
			return false, err
		}
		if busy || at.After(now) || len(due) == claim.PerClient {
			next = at
			return false, nil
		}
		due = append(due, string(id))
		return true, nil
	})
	return due, next, err
}

func firstKey(r reader, prefix, from []byte) (first []byte, err error) {
	err = r.scan(prefix, from, false, func(k []byte, _ func() ([]byte, error)) (bool, error) {
		first = k
		return false, nil
	})
	return first, err
}

func clientOfDue(k []byte) (string, error) {
	client, _, found := bytes.Cut(k[len(indexNoticeDue):], []byte{0})
	if !found {
		return "", damagedEntry(k)
	}
	return string(client), nil
}

func (s endings) Settle(ctx context.Context, id string, claim uint64, outcome logout.Outcome, now time.Time) error {
	if err := outcome.Validate(); err != nil {
		return err
	}
	return s.e.update(ctx, func(tx *tx) error {
		n, err := loadNotice(tx, id)
		if err != nil {
			return err
		}
		if !n.Claimed || n.Claim != claim {
			return logout.ErrOutdated
		}
		n.Claimed = false
		n.Attempts++
		n.LastAttempt, n.LastError = nanos(now), cut(outcome.LastError)
		if outcome.State == logout.Delivered && n.Again != 0 {
			n.NextAttempt, n.Again = max(n.Again, nanos(now)), 0
			return tx.moveNotice(id, n, string(logout.Pending), n.NextAttempt, 0)
		}
		if outcome.State == logout.Pending {
			n.NextAttempt = nanos(outcome.NextAttempt)
			return tx.moveNotice(id, n, n.State, n.NextAttempt, 0)
		}
		n.NextAttempt, n.Again = 0, 0
		return tx.moveNotice(id, n, string(outcome.State), 0, nanos(now.Add(logout.NotificationRetention)))
	})
}

// cut bounds a text between two letters.
func cut(text string) string {
	return strings.ToValidUTF8(text[:min(len(text), logout.MaxLastError)], "")
}

func loadNotice(r reader, id string) (*recordpb.Notification, error) {
	n := &recordpb.Notification{}
	found, err := load(r, noticeKey(id), n)
	if err == nil && !found {
		err = fmt.Errorf("notice: %w", logout.ErrNotFound)
	}
	return n, err
}
