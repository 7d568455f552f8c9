package badger

// Retries of notifications requested by an operator.

import (
	"context"
	"time"

	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/plugin/badger/internal/kv"
	"github.com/fosite-sessions/sessions/plugin/badger/internal/layout"
	"github.com/fosite-sessions/sessions/plugin/badger/internal/listing"
	"github.com/fosite-sessions/sessions/plugin/records"
	"github.com/fosite-sessions/sessions/plugin/rules"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// maxRetries bounds the notifications retried by one transaction.
const maxRetries = 256

func (s endings) Retry(ctx context.Context, retry logout.Retry, now time.Time) (*logout.RetryResult, error) {
	if err := retry.Validate(); err != nil {
		return nil, err
	}
	if retry.ID == "" {
		return s.e.retrySelected(ctx, retry, now)
	}
	retried := &logout.RetryResult{Count: 1}
	err := s.e.update(ctx, func(tx *kv.Tx) error {
		n, err := loadNotification(tx, retry.ID)
		if err != nil {
			return err
		}
		if err := sendAgain(tx, retry.ID, n, now); err != nil {
			return err
		}
		retried.Notification = records.NotificationOf(retry.ID, n)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return retried, nil
}

// retrySelected finds notifications in a snapshot, without blocking the committer, and checks each again in
// the transaction that retries it.
func (e *Engine) retrySelected(
	ctx context.Context, retry logout.Retry, now time.Time,
) (*logout.RetryResult, error) {
	var ids []string
	retried := &logout.RetryResult{}
	err := e.db.View(ctx, func(r *kv.Snapshot) error {
		l := notificationListing(r, &retry.Filter)
		from := &ticketstore.Bound{Position: []byte(retry.After)}
		if retry.After == "" {
			from = nil
		}
		found, err := l.Read(from, false, min(retry.Limit, maxRetries), listing.MaxScan)
		if err != nil {
			return err
		}
		if found.More && found.Seen != nil {
			retried.Next = string(found.Seen)
		}
		for i := range found.Rows {
			ids = append(ids, found.Rows[i].ID)
		}
		return nil
	})
	if err != nil || len(ids) == 0 {
		return retried, err
	}
	err = e.update(ctx, func(tx *kv.Tx) error {
		retried.Count = 0
		for _, id := range ids {
			n, err := kv.Find[records.Notification](tx, layout.NotificationKey(id))
			if err := tx.StepOver(err); err != nil {
				return err
			}
			if n == nil || !rules.Retries(&retry.Filter, n, now) {
				continue
			}
			if err := sendAgain(tx, id, n, now); err != nil {
				return err
			}
			retried.Count++
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return retried, nil
}

// sendAgain makes a notification due now, with a new retry window.
func sendAgain(t *kv.Tx, id string, n *records.Notification, now time.Time) error {
	return changeNotification(t, id, n, func() error { rules.SendAgain(n, now); return nil })
}
