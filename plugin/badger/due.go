package badger

// Sweeps: sessions that are over end as expired, and what has outlived its use is purged.

import (
	"context"
	"errors"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/plugin/badger/internal/kv"
	"github.com/fosite-sessions/sessions/plugin/badger/internal/layout"
	"github.com/fosite-sessions/sessions/plugin/records"
	"github.com/fosite-sessions/sessions/plugin/rules"
)

// together is how many sessions of one sweep end side by side: the committer puts them into few transactions.
const together = 32

func (s endings) EndDue(ctx context.Context, sweep logout.Sweep, now time.Time) (*logout.SweepResult, error) {
	if err := sweep.Validate(); err != nil {
		return nil, err
	}
	var due []dueEntry
	asking := rules.Missing{Registered: sweep.Registered}
	err := s.e.db.ViewAlong(ctx, func(r *kv.Snapshot) (err error) {
		due, err = dueEntries(r, layout.IndexExpiry, sweep.Limit, now)
		if err == nil && sweep.AskRegistered {
			due, err = leave(r, due, &asking, now)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	swept, err := s.e.endAll(ctx, due, sweep, now)
	swept.MissingClients = asking.Clients
	var purgeErr error
	swept.PurgeLeft, purgeErr = s.e.purgeEndings(ctx, sweep.Limit, now)
	err = errors.Join(err, purgeErr)
	if err == nil {
		err = s.e.db.ViewAlong(ctx, func(r *kv.Snapshot) (err error) {
			swept.Next, err = firstDue(r, layout.IndexExpiry)
			return err
		})
	}
	if err != nil && swept.Ended > 0 {
		// What has ended is reported. What has not is still due: the next sweep, which is to come at once,
		// meets the error again if it stays.
		s.e.logger.WarnContext(ctx,
			"a sweep did not complete, the next one goes on: if this repeats, check the database",
			"ended", swept.Ended, "error", err)
		swept.Next, err = now, nil
	}
	return swept, err
}

// endAll ends sessions that are due, and reports also beside an error what it did: one that cannot be ended
// keeps no other.
func (e *Engine) endAll(
	ctx context.Context, due []dueEntry, sweep logout.Sweep, now time.Time,
) (*logout.SweepResult, error) {
	swept := &logout.SweepResult{}
	var mutex sync.Mutex
	var group errgroup.Group
	group.SetLimit(together)
	for _, d := range due {
		group.Go(func() error {
			result, err := e.endIfDue(ctx, d, sweep, now)
			if layout.IsDamage(err) {
				result, err = e.endDamaged(ctx, d, sweep, now)
			}
			mutex.Lock()
			defer mutex.Unlock()
			swept.Ended += result.SessionsRemoved
			swept.NotificationsQueued += result.NotificationsQueued
			swept.Sessions = append(swept.Sessions, result.Ended...)
			return err
		})
	}
	return swept, group.Wait()
}

// endIfDue ends a session that the expiry index names if it is due indeed. An entry that renewal has left
// behind is moved.
func (e *Engine) endIfDue(
	ctx context.Context, d dueEntry, sweep logout.Sweep, now time.Time,
) (logout.Result, error) {
	ending := rules.Expiration(string(d.id), &sweep)
	return e.endInBackground(ctx, ending.SessionID, now, func(tx *kv.Tx) (*closing, error) {
		session, err := loadSession(tx, ending.SessionID)
		if err != nil {
			return nil, err
		}
		if session == nil || records.Nanos(d.at) != session.IndexedDue {
			tx.Delete(d.key) // another sweep was faster
			return nil, nil
		}
		if rules.Live(session, now) {
			return nil, saveSession(tx, session, true)
		}
		c := e.closing(tx, ending, now)
		return c, c.run(ending.SessionID)
	})
}

// endInBackground ends a session in a transaction that no user waits for, as f says, and purges what is left
// of it. Nil from f ends none.
func (e *Engine) endInBackground(
	ctx context.Context, sid string, now time.Time, f func(tx *kv.Tx) (*closing, error),
) (logout.Result, error) {
	var done *closing
	err := e.updateInBackground(ctx, func(tx *kv.Tx) (err error) {
		done, err = f(tx)
		return err
	})
	switch {
	case err != nil || done == nil: // what was counted before an error was not committed
		return logout.Result{}, err
	case !done.purge:
		return done.result, nil
	}
	// The caller may have gone, but the session has ended.
	return done.result, e.purgeSession(e.db.Base(), sid, now)
}

// endDamaged ends a session whose row is damaged, by what the listing says of it. It serves no
// request, due or not. Where the listing does not say either, the row stays, and no index
// points at it again.
func (e *Engine) endDamaged(
	ctx context.Context, d dueEntry, sweep logout.Sweep, now time.Time,
) (logout.Result, error) {
	ending := rules.Expiration(string(d.id), &sweep)
	listed, err := e.positionListed(ctx, ending.SessionID)
	if err != nil {
		return logout.Result{}, err
	}
	return e.endInBackground(ctx, ending.SessionID, now, func(tx *kv.Tx) (*closing, error) {
		tx.Delete(d.key)
		c := e.closing(tx, ending, now)
		c.listed = listed
		if err := c.run(ending.SessionID); err != nil {
			tx.Reset()
			tx.Delete(d.key)
			return nil, tx.StepOver(err)
		}
		return c, nil
	})
}

// purgeEndings removes ended records that judge nothing any more, and notifications and jobs whose time is
// up, at most so many of each, and reports whether it has left any.
func (e *Engine) purgeEndings(ctx context.Context, limit int, now time.Time) (left bool, err error) {
	limit = min(limit, maxPurge)
	nothing := false
	err = e.db.ViewAlong(ctx, func(r *kv.Snapshot) error {
		ended, err := dueEntries(r, layout.IndexEndedDue, 1, now)
		if err != nil {
			return err
		}
		notifications, err := dueEntries(r, layout.IndexNotificationPurge, 1, now)
		if err != nil {
			return err
		}
		jobs, err := dueEntries(r, layout.IndexJobAge, 1, now.Add(-logout.JobRetention))
		nothing = len(ended)+len(notifications)+len(jobs) == 0
		return err
	})
	if err != nil || nothing {
		return false, err // most sweeps: no write, no sync
	}
	err = e.updateInBackground(ctx, func(t *kv.Tx) error {
		left = false
		for _, purge := range []func(t *kv.Tx, limit int, now time.Time) (int, error){
			purgeEnded, purgeNotifications, purgeJobs,
		} {
			n, err := purge(t, limit, now)
			if err != nil {
				return err
			}
			left = left || n == limit
		}
		return nil
	})
	return left, err
}

// purgeEnded removes ended records under which no grant is left. The others are looked at again a day later.
func purgeEnded(t *kv.Tx, limit int, now time.Time) (int, error) {
	due, err := dueEntries(t, layout.IndexEndedDue, limit, now)
	if err != nil {
		return 0, err
	}
	for _, d := range due {
		sid := string(d.id)
		t.Delete(d.key)
		left, err := anyToken(t, sid)
		if err != nil {
			return 0, err
		}
		if left {
			t.Put(layout.EndedDueKey(records.Nanos(now.Add(rules.EndedRetention)), sid), nil)
			continue
		}
		ended, err := loadEnded(t, sid)
		if err := t.Abandon(err); err != nil {
			return 0, err
		}
		t.Delete(layout.EndedKey(sid))
		t.Delete(layout.EndedSubjectKey(ended.GetSubjectId(), sid))
	}
	return len(due), nil
}

func purgeNotifications(t *kv.Tx, limit int, now time.Time) (int, error) {
	due, err := dueEntries(t, layout.IndexNotificationPurge, limit, now)
	if err != nil {
		return 0, err
	}
	for _, d := range due {
		n := &records.Notification{}
		t.Delete(d.key)
		found, err := kv.Load(t, layout.NotificationKey(string(d.id)), n)
		if err := t.Abandon(err); err != nil {
			return 0, err
		}
		if err == nil && found {
			dropNotification(t, string(d.id), n)
		}
	}
	return len(due), nil
}

// anyToken reports whether a session has tokens left, dead or alive.
func anyToken(r kv.Reader, sid string) (found bool, err error) {
	err = r.Scan(layout.Key(layout.IndexGrantSession, layout.More(sid)), nil, false,
		func(_ []byte, value func() ([]byte, error)) (bool, error) {
			v, err := value()
			if ref, ok := records.RefOf(v); ok && ref.Type.IsToken() {
				// A row that was damaged and set aside has left its entry.
				row, rowErr := r.Get(layout.GrantKey(ref))
				found, err = row != nil, errors.Join(err, rowErr)
			}
			return !found, err
		})
	return found, err
}
