package badger

// Sweeps: expired sessions are ended, and obsolete records are purged.

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

// sweepConcurrency is the number of sessions of a sweep that end concurrently: the committer batches them
// into few transactions.
const sweepConcurrency = 32

func (s endings) EndDue(ctx context.Context, sweep logout.Sweep, now time.Time) (*logout.SweepResult, error) {
	if err := sweep.Validate(); err != nil {
		return nil, err
	}
	var due []dueEntry
	asking := rules.Missing{Registered: sweep.Registered}
	err := s.e.db.ViewAlong(ctx, func(r *kv.Snapshot) (err error) {
		due, err = dueEntries(r, layout.IndexExpiry, sweep.Limit, now)
		if err == nil && sweep.AskRegistered {
			due, err = withRegistrations(r, due, &asking, now)
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
		// The ended sessions are reported. The others are still due: the next sweep, which is to start
		// immediately, gets the error again if it persists.
		s.e.logger.WarnContext(ctx,
			"sweep did not complete, the next one continues: if this repeats, check the database",
			"ended", swept.Ended, "error", err)
		swept.Next, err = now, nil
	}
	return swept, err
}

// endAll ends due sessions. Even with an error it returns what it did: a session that cannot be ended does
// not stop the others.
func (e *Engine) endAll(
	ctx context.Context, due []dueEntry, sweep logout.Sweep, now time.Time,
) (*logout.SweepResult, error) {
	swept := &logout.SweepResult{}
	var mutex sync.Mutex
	var group errgroup.Group
	group.SetLimit(sweepConcurrency)
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

// endIfDue ends a session from the expiry index if it is really due. A stale entry, left by a renewal, is
// moved.
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
			tx.Delete(d.key) // a concurrent sweep was faster
			return nil, nil
		}
		if rules.Live(session, now) {
			return nil, saveSession(tx, session, true)
		}
		c := e.closing(tx, ending, now)
		return c, c.run(ending.SessionID)
	})
}

// endInBackground ends a session as a background change, as f decides, and purges its remaining rows. If f
// returns nil, no session ends.
func (e *Engine) endInBackground(
	ctx context.Context, sid string, now time.Time, f func(tx *kv.Tx) (*closing, error),
) (logout.Result, error) {
	var done *closing
	err := e.updateInBackground(ctx, func(tx *kv.Tx) (err error) {
		done, err = f(tx)
		return err
	})
	switch {
	case err != nil || done == nil: // counts from before an error were not committed
		return logout.Result{}, err
	case !done.Purge:
		return done.Result, nil
	}
	// The caller's context may have ended, but the session has ended too.
	return done.Result, e.purgeSession(e.db.Base(), sid, now)
}

// endDamaged ends a session whose row is damaged, using its row in the listing, due or not: it serves no
// request. If that cannot be used either, the row stays, but its index entries are removed.
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

// purgeEndings removes ended records without grants to judge, and notifications and jobs that are due for
// purging, at most limit of each, and reports whether some are left.
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
		return false, err // the common case: no write, no sync
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

// purgeEnded removes ended records without grants. The others are checked again a day later.
func purgeEnded(t *kv.Tx, limit int, now time.Time) (int, error) {
	return takeEntries(t, layout.IndexEndedDue, limit, now, func(sid string) error {
		left, err := anyToken(t, sid)
		if err != nil {
			return err
		}
		if left {
			t.Put(layout.EndedDueKey(records.Nanos(now.Add(rules.EndedRetention)), sid), nil)
			return nil
		}
		ended, err := loadEnded(t, sid)
		if err := t.Abandon(err); err != nil {
			return err
		}
		t.Delete(layout.EndedKey(sid))
		t.Delete(layout.EndedSubjectKey(ended.GetSubjectId(), sid))
		return nil
	})
}

func purgeNotifications(t *kv.Tx, limit int, now time.Time) (int, error) {
	return takeEntries(t, layout.IndexNotificationPurge, limit, now, func(id string) error {
		n, err := kv.Find[records.Notification](t, layout.NotificationKey(id))
		if n != nil {
			dropNotification(t, id, n)
		}
		return t.Abandon(err)
	})
}

// anyToken reports whether a session has tokens left, dead or alive.
func anyToken(r kv.Reader, sid string) (found bool, err error) {
	err = r.Scan(layout.Key(layout.IndexGrantSession, layout.More(sid)), nil, false,
		func(_ []byte, value func() ([]byte, error)) (bool, error) {
			v, err := value()
			if ref, ok := records.RefOf(v); ok && ref.Type.IsToken() {
				// The entry of a damaged row that was set aside remains.
				row, rowErr := r.Get(layout.GrantKey(ref))
				found, err = row != nil, errors.Join(err, rowErr)
			}
			return !found, err
		})
	return found, err
}
