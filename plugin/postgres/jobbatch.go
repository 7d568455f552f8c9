package postgres

// The transactions of a job: an ending of many sessions, in bounded steps.

import (
	"bytes"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/plugin/records"
	"github.com/fosite-sessions/sessions/plugin/rules"
	"github.com/fosite-sessions/sessions/plugin/transfer"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// Bounds of one transaction of a job, because other calls of its committer wait for it.
const (
	batchSessions = 64
	batchGrants   = 512
)

// jobBatch is one transaction of a job. The job walks along indexes and stores its position in them, so that
// it does not meet a remaining row again. Position, counts and changes are written together: a crash neither
// skips nor repeats a row.
type jobBatch struct {
	*tx
	ending *logout.Ending
	job    *records.Job
	limit  int
	// marked: this transaction left rows of dead grants. It does not see its own marks.
	marked bool
	// spent: the transaction has reached its bounds.
	spent bool
}

// run advances through the phases as far as one transaction can. The job's phase is empty when it is done.
func (s *jobBatch) run() {
	for s.job.Phase != "" && !s.spent && s.err == nil {
		switch s.job.Phase {
		case logout.PhaseSessions:
			s.sessions()
		case logout.PhaseSurvivors:
			s.survivors()
		case logout.PhaseGrants:
			s.grants()
		default:
			s.purges()
		}
	}
	if s.job.Phase == "" {
		rules.Finish(s.job)
	}
}

// reached starts the next phase after the last row of this one. Otherwise the next transaction continues.
func (s *jobBatch) reached(end bool) {
	if end {
		s.job.Phase, s.job.Cursor = rules.PhaseAfter(s.job.Phase, s.ending), nil
		return
	}
	s.spent = true
}

// end ends sessions by their sids.
func (s *jobBatch) end(sids []string) {
	s.needSessions(sids)
	done := &logout.Result{}
	for _, sid := range sids {
		c := closing{tx: s.tx, ending: s.ending, limit: s.limit}
		c.run(sid)
		rules.Sum(done, &c.result)
		s.marked = s.marked || c.purge
	}
	rules.Progress(s.job, done)
}

// sessions ends the sessions that existed when the job began. The index is in creation order: later sessions
// come after job.Last.
func (s *jobBatch) sessions() {
	l := sessionListing(&ticketstore.SessionFilter{SubjectID: s.ending.SubjectID})
	var sids []string
	rows := s.chunk(l, behind(s.job.Cursor), false, batchSessions)
	for _, r := range rows {
		position := positionOf(r)
		if bytes.Compare(position, s.job.GetLast()) > 0 {
			rows = nil
			break
		}
		sids = append(sids, r.key)
		s.job.Cursor = position
	}
	s.end(sids)
	s.job.LookedAt += int64(len(sids))
	s.reached(len(rows) < batchSessions)
}

const (
	survivorsAll = "SELECT sid FROM {s}.ended WHERE survivor IS NOT NULL AND sid > $1 ORDER BY sid LIMIT $2"
	survivorsOf  = "SELECT sid FROM {s}.ended WHERE survivor = $3 AND sid > $1 ORDER BY sid LIMIT $2"
)

// survivors revokes the survivors of sessions that ended before.
func (s *jobBatch) survivors() {
	var sids []string
	if s.ending.All {
		sids = s.strings(survivorsAll, string(s.job.GetCursor()), batchSessions)
	} else {
		sids = s.strings(survivorsOf, string(s.job.GetCursor()), batchSessions, s.ending.SubjectID)
	}
	s.end(sids)
	if len(sids) > 0 {
		s.job.Cursor = []byte(sids[len(sids)-1])
	}
	s.reached(len(sids) < batchSessions)
}

// grants revokes the grants that subjects have without a session, including consents, or the remaining
// consents of one session.
func (s *jobBatch) grants() {
	if s.ending.SessionID != "" {
		if len(s.job.ConsentsClients) == 0 {
			s.reached(true)
			return
		}
		c := closing{tx: s.tx, ending: s.ending, limit: s.limit}
		if !c.dropConsents(s.job.GetConsentsSubject(), s.job.ConsentsClients[0]) {
			s.job.ConsentsClients = s.job.ConsentsClients[1:]
		}
		rules.Progress(s.job, &c.result)
		s.spent = true
		return
	}
	unbound := func(r *row) bool { return rules.RevokesUnbound(s.ending, r.ref().Type, grant(r), s.now) }
	l := grantListing(&grantstore.Filter{SubjectID: s.ending.SubjectID})
	rows := s.chunk(l, behind(s.job.Cursor), false, batchGrants)
	var dropped []*row
	for _, r := range rows {
		s.job.Cursor = positionOf(r)
		if unbound(r) {
			dropped = append(dropped, r)
		}
	}
	revoked, consents := s.dropFound(dropped, unbound)
	rules.Progress(s.job, &logout.Result{GrantsRevoked: revoked, ConsentsRevoked: consents})
	s.reached(len(rows) < batchGrants)
}

// purges removes the rows of dead grants left by the job's transactions, so that all are counted when it is
// done.
func (s *jobBatch) purges() {
	if s.marked {
		s.spent = true
		return
	}
	const marks = "SELECT sid FROM {s}.purges WHERE operation = $1 ORDER BY sid LIMIT 1"
	sids := s.strings(marks, s.ending.OperationID)
	if len(sids) == 0 {
		s.reached(true)
		return
	}
	revoked, more := s.purgeDead(sids[0], purgeBatch)
	if !more {
		s.remove(s.row(transfer.Purges, sids[0]))
	}
	rules.Progress(s.job, &logout.Result{GrantsRevoked: revoked})
	s.spent = true
}
