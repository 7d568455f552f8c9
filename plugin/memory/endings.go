package memory

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/fosite-sessions/sessions/plugin/rules"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/plugin/records"
	"github.com/fosite-sessions/sessions/plugin/transfer"
	"github.com/fosite-sessions/sessions/ticketstore"
)

type endings struct{ s *Store }

var _ logout.Store = endings{}

// clockSkew is how far the clocks of hosts that share a store may be apart.
const clockSkew = time.Minute

// End does all at once. What takes a database several transactions, and a job that a crash cannot lose, takes this one none: its job
// is done when anybody can see it.
func (s endings) End(ctx context.Context, ending *logout.Ending, now time.Time) (result *logout.Result, err error) {
	if err := ending.Validate(); err != nil {
		return nil, err
	}
	if ending.DryRun {
		err = s.s.rehearse(ctx, func(t *tx) { result = records.ResultOf(t.endAll(t.newJob(ending, now), ending).GetDone()) })
		return result, err
	}
	err = s.s.change(ctx, func(t *tx) error {
		if result = t.recall(ending.OperationID); result != nil {
			return nil
		}
		job := t.endAll(t.newJob(ending, now), ending)
		job.Finished = records.Nanos(now)
		if result = records.ResultOf(job.GetDone()); ending.SessionID != "" {
			t.save(transfer.Operations, ending.OperationID, &records.Operation{When: records.Nanos(now), Ending: job.GetDone()})
			return nil
		}
		t.save(transfer.Jobs, ending.OperationID, job)
		result = t.recall(ending.OperationID)
		return nil
	})
	return result, err
}

// recall returns the answer to an operation that is done, nil if it is not.
func (t *tx) recall(id string) *logout.Result {
	if operation := load[records.Operation](t, transfer.Operations, id); operation != nil {
		return records.ResultOf(operation.GetEnding())
	}
	job := load[records.Job](t, transfer.Jobs, id)
	switch {
	case job == nil:
		return nil
	case job.GetAll():
		return &logout.Result{JobID: id}
	}
	return records.ResultOf(job.GetDone())
}

func (t *tx) newJob(ending *logout.Ending, now time.Time) *records.Job {
	job := records.FromEnding(ending, now)
	job.Phase = logout.PhaseSessions
	if sessions := t.sessionsOf(ending); len(sessions) > 0 {
		job.Last = []byte(sessionPosition(sessions[len(sessions)-1]))
	}
	return job
}

// sessionsOf returns those that an ending without a sid is about, the oldest first.
func (t *tx) sessionsOf(ending *logout.Ending) []*records.Session {
	return t.sessionsWhere(func(s *records.Session) bool { return ending.All || s.GetSubjectId() == ending.SubjectID })
}

// resume goes on with the jobs and the purges that another store has left, from the phase that they are at.
func (t *tx) resume() {
	for _, id := range t.keys(transfer.Jobs) {
		if job := load[records.Job](t, transfer.Jobs, id); job.GetPhase() != "" {
			t.save(transfer.Jobs, id, t.endAll(job, records.EndingOf(id, job)))
		}
	}
	for _, sid := range t.keys(transfer.Purges) {
		t.purgeMarked(sid, time.Time{})
	}
}

// endAll goes through the phases of a job, from the one that it is at, and returns it done.
func (t *tx) endAll(job *records.Job, ending *logout.Ending) *records.Job {
	now, total := records.Moment(job.GetNow()), records.ResultOf(job.GetDone())
	for job.Phase != "" {
		switch job.Phase {
		case logout.PhaseSessions:
			n := t.endSessions(ending, string(job.GetLast()), now, total)
			job.LookedAt += n
			job.Total = max(job.Total, job.LookedAt)
			job.Phase = logout.PhaseSurvivors
		case logout.PhaseSurvivors:
			for _, sid := range t.keys(transfer.Ended) {
				if ended := t.ended(sid); ending.SessionID == "" && (ending.All || ended.GetSubjectId() == ending.SubjectID) {
					sum(total, t.end(ending, sid, now))
				}
			}
			job.Phase = logout.PhaseGrants
		case logout.PhaseGrants:
			t.endLoose(job, ending, now, total)
			job.Phase = logout.PhasePurge
		default:
			for _, sid := range t.keys(transfer.Purges) {
				if string(t.tables[transfer.Purges][sid].data) == ending.OperationID {
					total.GrantsRevoked += t.purgeMarked(sid, now)
				}
			}
			job.Phase = ""
		}
	}
	job.Done, job.Cursor, job.Last, job.Error = records.FromResult(total), nil, nil, ""
	job.ConsentsClients = nil
	return job
}

// endSessions ends those that were there when the job began, and returns how many it has looked at.
func (t *tx) endSessions(ending *logout.Ending, last string, now time.Time, total *logout.Result) (n int64) {
	if ending.SessionID != "" {
		sum(total, t.end(ending, ending.SessionID, now))
		return 1
	}
	for _, session := range t.sessionsOf(ending) {
		if sessionPosition(session) <= last {
			n++
			sum(total, t.end(ending, session.GetSessionId(), now))
		}
	}
	return n
}

// endLoose revokes what subjects have without a session, consents among it; of one session, what is left of the consents to its clients.
func (t *tx) endLoose(job *records.Job, ending *logout.Ending, now time.Time, total *logout.Result) {
	c := &closing{tx: t, ending: ending, now: now}
	if ending.SessionID != "" {
		for _, client := range job.GetConsentsClients() {
			c.dropConsents(job.GetConsentsSubject(), client)
		}
		sum(total, c.result)
		return
	}
	for _, g := range t.grantsWhere(func(kind grantstore.Type, g *records.Grant) bool {
		consent := kind == grantstore.UserConsent
		switch {
		case g.GetSubjectId() == "", !ending.All && g.GetSubjectId() != ending.SubjectID, !c.named(g.GetClientId()), g.GetConsumed() != 0,
			records.Moment(g.GetCreated()).After(now.Add(clockSkew)): // what came while the job was under way is not its business
			return false
		case consent:
			return !ending.KeepConsents
		}
		return kind.IsToken() && g.GetSessionId() == "" && !ending.KeepTokens
	}) {
		grantsRevoked, consents := t.drop(g, now)
		total.GrantsRevoked += grantsRevoked
		total.ConsentsRevoked += consents
	}
}

// purgeMarked removes rows of dead grants that an ending has left behind.
func (t *tx) purgeMarked(sid string, now time.Time) (revoked int) {
	c := &closing{tx: t, now: now}
	c.purgeDead(sid)
	t.delete(transfer.Purges, sid)
	return c.result.GrantsRevoked
}

// sum adds a result to a total, in which each client left alone stands once.
func sum(total *logout.Result, result logout.Result) {
	total.Add(result)
	total.Ended = append(total.Ended, result.Ended...)
	total.Ended = total.Ended[:min(len(total.Ended), logout.MaxEnded)]
	total.ClientsLeftAlone = append(total.ClientsLeftAlone, result.ClientsLeftAlone...)
	slices.Sort(total.ClientsLeftAlone)
	total.ClientsLeftAlone = slices.Compact(total.ClientsLeftAlone)
}

func (s endings) Job(ctx context.Context, id string) (found *logout.Job, err error) {
	if err := ticketstore.CheckID("id", id); err != nil {
		return nil, err
	}
	err = s.s.view(ctx, func(t *tx) error {
		job := load[records.Job](t, transfer.Jobs, id)
		if job == nil {
			return fmt.Errorf("job: %w", ticketstore.ErrNotFound)
		}
		found = records.JobOf(id, job)
		return nil
	})
	return found, err
}

func (s endings) EndDue(ctx context.Context, sweep logout.Sweep, now time.Time) (swept *logout.SweepResult, err error) {
	if sweep.Limit <= 0 {
		return nil, ticketstore.Invalidf("limit", "is not positive")
	}
	err = s.s.change(ctx, func(t *tx) error {
		due := t.sessionsWhere(func(s *records.Session) bool { return !rules.Live(s, now) })
		slices.SortStableFunc(due, func(a, b *records.Session) int { return rules.Due(a).Compare(rules.Due(b)) })
		swept = &logout.SweepResult{}
		for _, session := range due[:min(len(due), sweep.Limit)] {
			result := t.end(&logout.Ending{
				SessionID: session.GetSessionId(), Reason: logout.SessionExpiration, KeepConsents: true, KeepOffline: sweep.KeepOffline,
				SkipNotification: sweep.SkipNotification, CoordinatedOnly: sweep.CoordinatedOnly,
			}, session.GetSessionId(), now)
			swept.Ended += result.SessionsRemoved
			swept.NotificationsQueued += result.NotificationsQueued
			swept.Sessions = append(swept.Sessions, result.Ended...)
		}
		t.purge(now)
		for _, session := range t.sessionsWhere(func(*records.Session) bool { return true }) {
			if at := rules.Due(session); swept.Next.IsZero() || at.Before(swept.Next) {
				swept.Next = at
			}
		}
		return nil
	})
	return swept, err
}

// endedRetention is how long an ended record is kept at least.
const endedRetention = 24 * time.Hour

// purge removes ended records that judge nothing any more, and notices and jobs whose time is up. A job that another store has finished
// without knowing the time gets it here.
func (t *tx) purge(now time.Time) {
	for _, sid := range t.keys(transfer.Ended) {
		judges := func(kind grantstore.Type, g *records.Grant) bool { return kind.IsToken() && g.GetSessionId() == sid }
		if !now.Before(records.Moment(t.ended(sid).GetWhen()).Add(endedRetention)) && len(t.grantsWhere(judges)) == 0 {
			t.delete(transfer.Ended, sid)
		}
	}
	var old []string
	scan(t, transfer.Notifications, func(id string, n *records.Notification) {
		if at := n.GetPurgeAt(); at != 0 && at <= records.Nanos(now) {
			old = append(old, id)
		}
	})
	for _, id := range old {
		t.delete(transfer.Notifications, id)
	}
	for _, id := range t.keys(transfer.Jobs) {
		switch job := load[records.Job](t, transfer.Jobs, id); {
		case job.GetPhase() != "":
		case job.GetFinished() == 0:
			job.Finished = records.Nanos(now)
			t.save(transfer.Jobs, id, job)
		case !now.Before(records.Moment(job.GetFinished()).Add(logout.JobRetention)):
			t.delete(transfer.Jobs, id)
		}
	}
}

// noticesWhere returns the notices that match, in the order of their queueing.
func (t *tx) noticesWhere(f *logout.NotificationFilter) (rows []entry[*logout.Notification]) {
	scan(t, transfer.Notifications, func(id string, row *records.Notification) {
		n := records.NotificationOf(id, row)
		if (f.State == "" || n.State == f.State) && (f.ClientID == "" || n.ClientID == f.ClientID) &&
			(f.SessionID == "" || n.SessionID == f.SessionID) {
			rows = append(rows, entry[*logout.Notification]{id, n})
		}
	})
	slices.SortFunc(rows, func(a, b entry[*logout.Notification]) int { return strings.Compare(a.position, b.position) })
	return rows
}
