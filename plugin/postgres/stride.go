package postgres

// The strides of a job: an ending of many sessions, in bounded transactions.

import (
	"bytes"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/plugin/records"
	"github.com/fosite-sessions/sessions/plugin/rules"
	"github.com/fosite-sessions/sessions/plugin/transfer"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// Bounds of one transaction of a job: other calls of its committer wait for it.
const (
	strideSessions = 64
	strideGrants   = 512
)

// stride is what one transaction does of a job. The job walks along indexes and remembers its place in them,
// so that what it has dealt with is not met again, also where rows stay; place, counts and changes are
// written together.
type stride struct {
	*tx
	ending *logout.Ending
	job    *records.Job
	limit  int
	// marked: rows of dead grants were left behind in this transaction, which does not see its own marks.
	marked bool
	// spent: the transaction has done its share.
	spent bool
}

// run goes from phase to phase as far as one transaction goes. The job's phase is empty when all is done.
func (s *stride) run() {
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

// reached goes on to the next phase when the last row of this one was dealt with, and otherwise leaves the
// rest to the next transaction.
func (s *stride) reached(end bool) {
	if end {
		s.job.Phase, s.job.Cursor = rules.PhaseAfter(s.job.Phase, s.ending), nil
		return
	}
	s.spent = true
}

func (s *stride) cursor() *ticketstore.Bound {
	if len(s.job.Cursor) == 0 {
		return nil
	}
	return &ticketstore.Bound{Position: s.job.Cursor}
}

// end ends sessions by their sids.
func (s *stride) end(sids []string) {
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

// sessions ends the sessions that existed when the job began. The index is in the order of creation: those
// created since come after job.Last.
func (s *stride) sessions() {
	l := sessionListing(&ticketstore.SessionFilter{SubjectID: s.ending.SubjectID})
	var sids []string
	rows := s.chunk(l, s.cursor(), false, strideSessions)
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
	s.reached(len(rows) < strideSessions)
}

const (
	survivorsAll = "SELECT sid FROM {s}.ended WHERE survivor IS NOT NULL AND sid > $1 ORDER BY sid LIMIT $2"
	survivorsOf  = "SELECT sid FROM {s}.ended WHERE survivor = $3 AND sid > $1 ORDER BY sid LIMIT $2"
)

// survivors revokes what has outlived sessions that ended before.
func (s *stride) survivors() {
	var sids []string
	if s.ending.All {
		sids = s.strings(survivorsAll, string(s.job.GetCursor()), strideSessions)
	} else {
		sids = s.strings(survivorsOf, string(s.job.GetCursor()), strideSessions, s.ending.SubjectID)
	}
	s.end(sids)
	if len(sids) > 0 {
		s.job.Cursor = []byte(sids[len(sids)-1])
	}
	s.reached(len(sids) < strideSessions)
}

// grants revokes what subjects have without a session, consents among it, or what is left of the consents of
// one session.
func (s *stride) grants() {
	c := closing{tx: s.tx, ending: s.ending, limit: s.limit}
	if s.ending.SessionID != "" {
		if len(s.job.ConsentsClients) == 0 {
			s.reached(true)
			return
		}
		if !c.dropConsents(s.job.GetConsentsSubject(), s.job.ConsentsClients[0]) {
			s.job.ConsentsClients = s.job.ConsentsClients[1:]
		}
		rules.Progress(s.job, &c.result)
		s.spent = true
		return
	}
	loose := func(r *row) bool { return rules.RevokesLoose(s.ending, r.ref().Type, grant(r), s.now) }
	l := grantListing(&grantstore.Filter{SubjectID: s.ending.SubjectID})
	rows := s.chunk(l, s.cursor(), false, strideGrants)
	var dropped []*row
	for _, r := range rows {
		s.job.Cursor = positionOf(r)
		if loose(r) {
			dropped = append(dropped, r)
		}
	}
	c.dropFound(dropped, loose)
	rules.Progress(s.job, &c.result)
	s.reached(len(rows) < strideGrants)
}

// purges removes the rows of dead grants that the job has left behind, so that all of them are counted when
// it is done.
func (s *stride) purges() {
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
