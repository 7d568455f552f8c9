package postgres

// Sweeps: expired sessions are ended, obsolete records are purged, and jobs left by other hosts are resumed
// (rules 8 and 14).

import (
	"context"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/plugin/records"
	"github.com/fosite-sessions/sessions/plugin/rules"
	"github.com/fosite-sessions/sessions/plugin/transfer"
)

// sweepBatch bounds the sessions ended by one transaction of a sweep.
const sweepBatch = 64

const (
	dueSessions = "SELECT sid FROM {s}.sessions WHERE due <= $1 ORDER BY due LIMIT $2"
	// Rows that another host is sweeping are skipped: that host ends them.
	lockSessions = `SELECT sid FROM {s}.sessions WHERE sid = ANY($1::text[]) AND due <= $2
		ORDER BY sid FOR UPDATE SKIP LOCKED`
	nextSession = "SELECT coalesce(min(due), 0) FROM {s}.sessions"
)

func (s endings) EndDue(
	ctx context.Context, sweep logout.Sweep, now time.Time,
) (swept *logout.SweepResult, err error) {
	type found struct{ due, missing []string }
	var f found
	err = s.passingOver(ctx, now, wholeSession, func() (err error) {
		f, err = view(ctx, s.Engine, now, sweep.Validate(), func(t *tx) (f found, err error) {
			asking := rules.Missing{Registered: sweep.Registered}
			if f.due = t.strings(dueSessions, records.Nanos(now), sweep.Limit); sweep.AskRegistered {
				f.due = t.leave(f.due, &asking)
			}
			f.missing = asking.Clients
			return f, nil
		})
		return err
	})
	if err != nil {
		return nil, err
	}
	swept = &logout.SweepResult{MissingClients: f.missing}
	for part := range slices.Chunk(f.due, sweepBatch) {
		err = s.passingOver(ctx, now, wholeSession, func() error {
			return s.endExpired(ctx, part, &sweep, swept, now)
		})
		if err != nil {
			break
		}
	}
	if err == nil {
		err = s.passingOver(ctx, now, rowAlone, func() (err error) {
			swept.PurgeLeft, err = s.purgeEndings(ctx, min(sweep.Limit, purgeBatch), now)
			return err
		})
	}
	if err == nil {
		swept.Next, err = view(ctx, s.Engine, now, nil, func(t *tx) (time.Time, error) {
			return records.Moment(int64(t.number(nextSession))), nil
		})
	}
	if err != nil && swept.Ended > 0 {
		// The ended sessions are reported. The others are still due: the next sweep, which is to start
		// immediately, gets the error again if it persists.
		s.logger.WarnContext(ctx, "sweep did not complete, the next one continues", "ended", swept.Ended,
			"error", err)
		swept.Next, err = now, nil
	}
	if err != nil {
		return nil, err
	}
	return swept, nil
}

// endExpired ends the sessions that are really due. Index entries may be early: those of renewed sessions are
// moved.
func (s endings) endExpired(
	ctx context.Context, sids []string, sweep *logout.Sweep, swept *logout.SweepResult, now time.Time,
) error {
	type part struct {
		logout.Result
		purges []string
	}
	ended, err := scan(ctx, s.Engine, now, planOf("sweep"), func(t *tx) (*part, error) {
		ended := &part{}
		sids := t.strings(lockSessions, sids, records.Nanos(now))
		t.needSessions(sids)
		for _, sid := range sids {
			session := proto.CloneOf(t.session(sid))
			switch {
			case session == nil:
				continue
			case rules.Live(session, now):
				session.IndexedDue = 0
				t.put(transfer.Sessions, sid, session)
				continue
			}
			c := t.end(rules.Expiration(sid, sweep), sid, maxInline)
			if rules.Sum(&ended.Result, &c.Result); c.Purge {
				ended.purges = append(ended.purges, sid)
			}
		}
		return ended, nil
	})
	if err != nil {
		return err
	}
	swept.Ended += ended.SessionsRemoved
	swept.NotificationsQueued += ended.NotificationsQueued
	swept.Sessions = append(swept.Sessions, ended.Ended...)
	s.purgeLater(ended.purges, now)
	return nil
}

const (
	dueEnded   = "SELECT sid FROM {s}.ended WHERE due <= $1 ORDER BY due LIMIT $2"
	dueNotices = "SELECT id FROM {s}.notices WHERE over <= $1 ORDER BY over LIMIT $2"
	dueJobs    = "SELECT id FROM {s}.jobs WHERE due <= $1 ORDER BY due LIMIT $2"
	// Ended sessions with remaining tokens are checked again a day later.
	keptEnded = `SELECT e.sid FROM {s}.ended e WHERE e.sid = ANY($1::text[])
		AND EXISTS (SELECT 1 FROM {s}.grants g WHERE g.sid = e.sid AND g.type <= 5)`
	postponeEnded = "UPDATE {s}.ended SET due = $2 WHERE sid = ANY($1::text[])"
)

// purgeEndings removes ended records without grants to judge, and notifications and jobs that are due for
// purging, at most limit of each, and reports whether some are left.
func (s endings) purgeEndings(ctx context.Context, limit int, now time.Time) (left bool, err error) {
	type due struct{ ended, notices, jobs []string }
	d, err := view(ctx, s.Engine, now, nil, func(t *tx) (due, error) {
		at := records.Nanos(now)
		return due{
			t.strings(dueEnded, at, limit), t.strings(dueNotices, at, limit), t.strings(dueJobs, at, limit),
		}, nil
	})
	if err != nil || len(d.ended)+len(d.notices)+len(d.jobs) == 0 {
		return false, err // the common case: no write, no sync
	}
	return scan(ctx, s.Engine, now, planOf("sweep"), func(t *tx) (left bool, err error) {
		t.need(transfer.Ended, d.ended...)
		t.need(transfer.Notifications, d.notices...)
		t.need(transfer.Jobs, d.jobs...)
		kept := t.strings(keptEnded, d.ended)
		if len(kept) > 0 {
			later := records.Nanos(now.Add(rules.EndedRetention))
			t.extra = append(t.extra, statement{postponeEnded, []any{kept, later}})
		}
		for _, sid := range d.ended {
			if r := t.row(transfer.Ended, sid); !slices.Contains(kept, sid) && r.now != nil {
				t.remove(r)
			}
		}
		for _, id := range d.notices {
			// It may have been retried meanwhile.
			over := at[*records.Notification](t.group, transfer.Notifications, id).GetPurgeAt()
			if over != 0 && over <= records.Nanos(now) {
				t.remove(t.row(transfer.Notifications, id))
			}
		}
		for _, id := range d.jobs {
			t.purgeJob(id)
		}
		return max(len(d.ended), len(d.notices), len(d.jobs)) == limit, nil
	})
}

// purgeJob removes a job that finished long ago, or dates a finished job without a time.
func (t *tx) purgeJob(id string) {
	job := proto.CloneOf(t.job(id))
	if job == nil {
		return
	}
	switch dated, over := rules.DateJob(job, t.now); {
	case dated:
		t.put(transfer.Jobs, id, job)
	case over:
		t.remove(t.row(transfer.Jobs, id))
	}
}
