package postgres

// The transactions of a job: an ending of many sessions, in bounded steps.

import (
	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/plugin/records"
	"github.com/fosite-sessions/sessions/plugin/rules"
	"github.com/fosite-sessions/sessions/plugin/steps"
	"github.com/fosite-sessions/sessions/plugin/transfer"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// Bounds of one transaction of a job, because other calls of its committer wait for it.
const (
	batchSessions = 64
	batchGrants   = 512
)

// runJob advances a job as far as one transaction can. limit bounds the rows of dead grants, and of consents,
// removed at once.
func (t *tx) runJob(ending *logout.Ending, job *records.Job, limit int) {
	b := steps.JobBatch{Ending: ending, Job: job}
	t.fail(b.Run(jobRows{endingRows{rows{t}, limit}, ending, job}))
}

// jobRows implements steps.JobRows.
type jobRows struct {
	endingRows
	ending *logout.Ending
	job    *records.Job
}

var _ steps.JobRows = jobRows{}

const (
	survivorsAll = "SELECT sid FROM {s}.ended WHERE survivor IS NOT NULL AND sid > $1 ORDER BY sid LIMIT $2"
	survivorsOf  = "SELECT sid FROM {s}.ended WHERE survivor = $3 AND sid > $1 ORDER BY sid LIMIT $2"
)

func (r jobRows) Ahead() (found []steps.Position, all bool, err error) {
	var sids []string
	switch {
	case r.job.Phase == logout.PhaseSessions:
		l := sessionListing(&ticketstore.SessionFilter{SubjectID: r.ending.SubjectID})
		for _, s := range r.chunk(l, behind(r.job.Cursor), false, batchSessions) {
			sids, found = append(sids, s.key), append(found, steps.Position{SID: s.key, At: positionOf(s)})
		}
	case r.ending.All:
		sids = r.strings(survivorsAll, string(r.job.Cursor), batchSessions)
	default:
		sids = r.strings(survivorsOf, string(r.job.Cursor), batchSessions, r.ending.SubjectID)
	}
	if r.job.Phase == logout.PhaseSurvivors {
		for _, sid := range sids {
			found = append(found, steps.Position{SID: sid, At: []byte(sid)})
		}
	}
	r.needSessions(sids)
	return found, len(found) < batchSessions, r.err
}

func (r jobRows) EndAt(p steps.Position) (*steps.Closing, error) {
	return r.end(r.ending, p.SID, r.limit), r.err
}

// Full returns false: Ahead and DropUnbound bound a transaction.
func (r jobRows) Full() bool { return false }

func (r jobRows) DropUnbound() (done logout.Result, all bool, err error) {
	unbound := func(g *row) bool { return rules.RevokesUnbound(r.ending, g.ref().Type, grant(g), r.now) }
	l := grantListing(&grantstore.Filter{SubjectID: r.ending.SubjectID})
	list := r.chunk(l, behind(r.job.Cursor), false, batchGrants)
	var dropped []*row
	for _, g := range list {
		r.job.Cursor = positionOf(g)
		if unbound(g) {
			dropped = append(dropped, g)
		}
	}
	done.GrantsRevoked, done.ConsentsRevoked = r.dropFound(dropped, unbound)
	return done, len(list) < batchGrants, r.err
}

func (r jobRows) PurgeMarked() (revoked int, found bool, err error) {
	const marks = "SELECT sid FROM {s}.purges WHERE operation = $1 ORDER BY sid LIMIT 1"
	for _, sid := range r.strings(marks, r.ending.OperationID) {
		var more bool
		if revoked, more = r.purgeDead(sid, purgeBatch); !more {
			r.remove(r.row(transfer.Purges, sid))
		}
		found = true
	}
	return revoked, found, r.err
}
