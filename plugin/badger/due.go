package badger

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/fosite-sessions/sessions/plugin/rules"

	"golang.org/x/sync/errgroup"

	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/plugin/records"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// together is how many sessions of one sweep end side by side: the committer puts them into few transactions.
const together = 32

func (s endings) EndDue(ctx context.Context, sweep logout.Sweep, now time.Time) (*logout.SweepResult, error) {
	if sweep.Limit <= 0 {
		return nil, ticketstore.Invalidf("limit", "is not positive")
	}
	var due []dueEntry
	err := s.e.viewAlong(ctx, func(r reader) (err error) {
		due, err = dueEntries(r, indexExpiry, sweep.Limit, now)
		return err
	})
	if err != nil {
		return nil, err
	}
	swept, err := s.e.endAll(ctx, due, sweep, now)
	var purgeErr error
	swept.PurgeLeft, purgeErr = s.e.purgeEndings(ctx, sweep.Limit, now)
	err = errors.Join(err, purgeErr)
	if err == nil {
		err = s.e.viewAlong(ctx, func(r reader) (err error) {
			swept.Next, err = firstDue(r, indexExpiry)
			return err
		})
	}
	if err != nil && swept.Ended > 0 {
		// What has ended is told. What has not is due still: the next sweep, which is to come at once, meets the error again if it stays.
		s.e.logger.WarnContext(ctx, "a sweep did not come to its end", "ended", swept.Ended, "error", err)
		swept.Next, err = now, nil
	}
	return swept, err
}

// endAll ends sessions that are due, and tells also beside an error what it did: one that cannot be ended keeps no other.
func (e *Engine) endAll(ctx context.Context, due []dueEntry, sweep logout.Sweep, now time.Time) (*logout.SweepResult, error) {
	swept := &logout.SweepResult{}
	var mutex sync.Mutex
	var group errgroup.Group
	group.SetLimit(together)
	for _, d := range due {
		group.Go(func() error {
			result, err := e.endIfDue(ctx, d, sweep, now)
			if isDamage(err) {
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

// endIfDue ends a session that the expiry index names if it is due indeed. An entry that renewal has left behind is moved.
func (e *Engine) endIfDue(ctx context.Context, d dueEntry, sweep logout.Sweep, now time.Time) (logout.Result, error) {
	ending := expiration(d, sweep)
	return e.endBehind(ctx, ending.SessionID, now, func(tx *tx) (*closing, error) {
		session, err := loadSession(tx, ending.SessionID)
		if err != nil {
			return nil, err
		}
		if session == nil || records.Nanos(d.at) != session.IndexedDue {
			tx.delete(d.key) // another sweep was faster
			return nil, nil
		}
		if rules.Live(session, now) {
			return nil, tx.saveSession(session, true)
		}
		c := e.closing(tx, ending, now)
		return c, c.run(ending.SessionID)
	})
}

// endBehind ends a session in a transaction that no user waits for, as f says, and purges what is left of it. Nil from f ends none.
func (e *Engine) endBehind(
	ctx context.Context, sid string, now time.Time, f func(tx *tx) (*closing, error),
) (logout.Result, error) {
	var done *closing
	err := e.updateBehind(ctx, func(tx *tx) (err error) {
		done, err = f(tx)
		return err
	})
	switch {
	case err != nil || done == nil: // what was counted before an error was not committed
		return logout.Result{}, err
	case !done.purge:
		return done.result, nil
	}
	// The caller may have gone; the session has ended all the same.
	return done.result, e.purgeSession(e.base, sid, now)
}

func expiration(d dueEntry, sweep logout.Sweep) *logout.Ending {
	return &logout.Ending{
		SessionID: string(d.id), Reason: logout.SessionExpiration,
		KeepConsents: true, KeepOffline: sweep.KeepOffline, SkipNotification: sweep.SkipNotification,
		CoordinatedOnly: sweep.CoordinatedOnly,
	}
}

// endDamaged ends a session whose row is damaged, by what the listing tells of it. It is of no use to anybody, due or not. Where the listing
// does not tell either, the row stays, and nobody is told to look at it again.
func (e *Engine) endDamaged(ctx context.Context, d dueEntry, sweep logout.Sweep, now time.Time) (logout.Result, error) {
	ending := expiration(d, sweep)
	listed, err := e.positionListed(ctx, ending.SessionID)
	if err != nil {
		return logout.Result{}, err
	}
	return e.endBehind(ctx, ending.SessionID, now, func(tx *tx) (*closing, error) {
		tx.delete(d.key)
		c := e.closing(tx, ending, now)
		c.listed = listed
		if err := c.run(ending.SessionID); err != nil {
			tx.reset()
			tx.delete(d.key)
			return nil, tx.stepOver(err)
		}
		return c, nil
	})
}

// purgeEndings removes ended records that judge nothing any more, and notices and jobs whose time is up, at most so many of each, and tells
// whether it has left any.
func (e *Engine) purgeEndings(ctx context.Context, limit int, now time.Time) (left bool, err error) {
	limit = min(limit, maxPurge)
	nothing := false
	err = e.viewAlong(ctx, func(r reader) error {
		ended, err := dueEntries(r, indexEndedDue, 1, now)
		if err != nil {
			return err
		}
		notices, err := dueEntries(r, indexNoticePurge, 1, now)
		if err != nil {
			return err
		}
		jobs, err := dueEntries(r, indexJobAge, 1, now.Add(-logout.JobRetention))
		nothing = len(ended)+len(notices)+len(jobs) == 0
		return err
	})
	if err != nil || nothing {
		return false, err // most sweeps: no write, no sync
	}
	err = e.updateBehind(ctx, func(tx *tx) error {
		left = false
		for _, purge := range []func(int, time.Time) (int, error){tx.purgeEnded, tx.purgeNotices, tx.purgeJobs} {
			n, err := purge(limit, now)
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
func (t *tx) purgeEnded(limit int, now time.Time) (int, error) {
	due, err := dueEntries(t, indexEndedDue, limit, now)
	if err != nil {
		return 0, err
	}
	for _, d := range due {
		sid := string(d.id)
		t.delete(d.key)
		left, err := anyToken(t, sid)
		if err != nil {
			return 0, err
		}
		if left {
			t.put(key(indexEndedDue, timeKey(records.Nanos(now.Add(endedRetention))), last(sid)), nil)
			continue
		}
		ended, err := loadEnded(t, sid)
		if err := t.abandon(err); err != nil {
			return 0, err
		}
		t.delete(endedKey(sid))
		t.delete(key(indexEndedSubject, more(ended.GetSubjectId()), last(sid)))
	}
	return len(due), nil
}

func (t *tx) purgeNotices(limit int, now time.Time) (int, error) {
	due, err := dueEntries(t, indexNoticePurge, limit, now)
	if err != nil {
		return 0, err
	}
	for _, d := range due {
		n := &records.Notification{}
		t.delete(d.key)
		found, err := load(t, noticeKey(string(d.id)), n)
		if err := t.abandon(err); err != nil {
			return 0, err
		}
		if err == nil && found {
			t.dropNotice(string(d.id), n)
		}
	}
	return len(due), nil
}

// anyToken tells whether a session has tokens left, dead or alive.
func anyToken(r reader, sid string) (found bool, err error) {
	err = r.scan(key(indexGrantSession, more(sid)), nil, false, func(_ []byte, value func() ([]byte, error)) (bool, error) {
		v, err := value()
		if ref, ok := records.RefOf(v); ok && ref.Type.IsToken() {
			// A row that was damaged and set aside has left its entry.
			row, rowErr := r.get(grantKey(ref))
			found, err = row != nil, errors.Join(err, rowErr)
		}
		return !found, err
	})
	return found, err
}
