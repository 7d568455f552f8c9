package postgres

// Sweeps: sessions that are over end as expired, what has outlived its use is purged, and jobs that a host
// has left are taken up (rules 8 and 14).

import (
	"context"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/plugin/records"
	"github.com/fosite-sessions/sessions/plugin/rules"
	"github.com/fosite-sessions/sessions/plugin/transfer"
)

// sweptTogether bounds the sessions that one transaction of a sweep ends.
const sweptTogether = 64

const (
	dueSessions = "SELECT sid FROM {s}.sessions WHERE due <= $1 ORDER BY due LIMIT $2"
	// Rows that another host is sweeping are skipped: that host ends them.
	lockSessions = `SELECT sid FROM {s}.sessions WHERE sid = ANY($1::text[])
		ORDER BY sid FOR UPDATE SKIP LOCKED`
	nextSession = "SELECT coalesce(min(due), 0) FROM {s}.sessions"
)

func (s endings) EndDue(
	ctx context.Context, sweep logout.Sweep, now time.Time,
) (swept *logout.SweepResult, err error) {
	if err := sweep.Validate(); err != nil {
		return nil, err
	}
	var due []string
	var asking rules.Missing
	err = s.view(ctx, now, func(t *tx) error {
		asking = rules.Missing{Registered: sweep.Registered}
		if due = t.strings(dueSessions, records.Nanos(now), sweep.Limit); sweep.AskRegistered {
			due = t.leave(due, &asking)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	swept = &logout.SweepResult{MissingClients: asking.Clients}
	for len(due) > 0 && err == nil {
		part := due[:min(len(due), sweptTogether)]
		due = due[len(part):]
		err = s.endExpired(ctx, part, &sweep, swept, now)
	}
	if err == nil {
		swept.PurgeLeft, err = s.purgeEndings(ctx, min(sweep.Limit, purgeBatch), now)
	}
	if err == nil {
		// Not in swept, which a caller that goes takes away.
		var next time.Time
		err = s.view(ctx, now, func(t *tx) error {
			next = records.Moment(int64(t.number(nextSession)))
			return nil
		})
		if err == nil {
			swept.Next = next
		}
	}
	if err != nil && swept.Ended > 0 {
		// What has ended is reported. What has not is still due: the next sweep, which is to come at once,
		// meets the error again if it stays.
		s.logger.WarnContext(ctx, "a sweep did not complete, the next one goes on", "ended", swept.Ended,
			"error", err)
		swept.Next, err = now, nil
	}
	if err != nil {
		return nil, err
	}
	return swept, nil
}

// endExpired ends those of the sessions that are due indeed. The index is early at most: what was renewed
// moves on in it.
func (s endings) endExpired(
	ctx context.Context, sids []string, sweep *logout.Sweep, swept *logout.SweepResult, now time.Time,
) error {
	var total logout.Result
	var left []string
	err := s.scan(ctx, now, planOf("sweep"), func(t *tx) error {
		total, left = logout.Result{}, nil
		sids := t.strings(lockSessions, sids)
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
			c := closing{tx: t, ending: rules.Expiration(sid, sweep), limit: inline}
			c.run(sid)
			if rules.Sum(&total, &c.result); c.purge {
				left = append(left, sid)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	swept.Ended += total.SessionsRemoved
	swept.NotificationsQueued += total.NotificationsQueued
	swept.Sessions = append(swept.Sessions, total.Ended...)
	s.purgeBehind(left, now)
	return nil
}

const (
	dueEnded   = "SELECT sid FROM {s}.ended WHERE due <= $1 ORDER BY due LIMIT $2"
	dueNotices = "SELECT id FROM {s}.notices WHERE over <= $1 ORDER BY over LIMIT $2"
	dueJobs    = "SELECT id FROM {s}.jobs WHERE due <= $1 ORDER BY due LIMIT $2"
	// Ended sessions that have tokens left are looked at again a day later.
	keptEnded = `SELECT e.sid FROM {s}.ended e WHERE e.sid = ANY($1::text[])
		AND EXISTS (SELECT 1 FROM {s}.grants g WHERE g.sid = e.sid AND g.type <= 5)`
	postponeEnded = "UPDATE {s}.ended SET due = $2 WHERE sid = ANY($1::text[])"
)

// purgeEndings removes ended records that judge nothing any more, and notifications and jobs whose time is
// up, at most so many of each, and reports whether it has left any.
func (s endings) purgeEndings(ctx context.Context, limit int, now time.Time) (left bool, err error) {
	var ended, notices, jobs []string
	err = s.view(ctx, now, func(t *tx) error {
		at := records.Nanos(now)
		ended, notices, jobs = t.strings(dueEnded, at, limit), t.strings(dueNotices, at, limit),
			t.strings(dueJobs, at, limit)
		return nil
	})
	if err != nil || len(ended)+len(notices)+len(jobs) == 0 {
		return false, err // most sweeps: no write, no sync
	}
	left = max(len(ended), len(notices), len(jobs)) == limit
	return left, s.scan(ctx, now, planOf("sweep"), func(t *tx) error {
		t.need(transfer.Ended, ended...)
		t.need(transfer.Notifications, notices...)
		t.need(transfer.Jobs, jobs...)
		kept := t.strings(keptEnded, ended)
		for _, sid := range kept {
			t.whole["kept "+sid] = true
		}
		if len(kept) > 0 {
			later := records.Nanos(now.Add(rules.EndedRetention))
			t.extra = append(t.extra, statement{postponeEnded, []any{kept, later}})
		}
		for _, sid := range ended {
			if r := t.row(transfer.Ended, sid); !t.whole["kept "+sid] && r.now != nil {
				t.remove(r)
			}
		}
		for _, id := range notices {
			// It may have been sent again meanwhile.
			over := at[*records.Notification](t.group, transfer.Notifications, id).GetPurgeAt()
			if over != 0 && over <= records.Nanos(now) {
				t.remove(t.row(transfer.Notifications, id))
			}
		}
		for _, id := range jobs {
			t.purgeJob(id)
		}
		return nil
	})
}

// purgeJob removes a job that was done long ago, or gives it its time where it has none.
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
