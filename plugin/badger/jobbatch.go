package badger

// The transactions of a job: an ending of many sessions, in bounded steps.

import (
	"bytes"
	"math"

	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/plugin/badger/internal/layout"
	"github.com/fosite-sessions/sessions/plugin/records"
	"github.com/fosite-sessions/sessions/plugin/rules"
	"github.com/fosite-sessions/sessions/plugin/steps"
)

// Bounds of one transaction of a job. Other calls wait for it, so it should take at most a few milliseconds;
// but each transaction costs a sync, which takes as long as ending many sessions.
const (
	batchSessions = 128
	batchRows     = 512
	batchKeys     = 2048
)

// unbounded means no bound: a dry run counts all rows of a session at once.
const unbounded = math.MaxInt

// runJob advances the job of an ending as far as one transaction can.
func (c *closing) runJob(job *records.Job) error {
	b := steps.JobBatch{Ending: c.Ending, Job: job}
	return b.Run(jobRows{c, job})
}

// jobRows implements steps.JobRows.
type jobRows struct {
	*closing
	job *records.Job
}

var _ steps.JobRows = jobRows{}

// owner is the part of an index that belongs to the job: that of a subject, or empty for all of it.
func (r jobRows) owner() []byte {
	if r.Ending.All {
		return nil
	}
	return layout.More(r.Ending.SubjectID)
}

// ahead calls f for the positions of an index after the job's cursor, at most limit of them, and reports
// whether the end was reached.
func (r jobRows) ahead(
	prefix []byte, limit int, f func(position []byte, value func() ([]byte, error)) (bool, error),
) (all bool, err error) {
	var from []byte
	if r.job.Cursor != nil {
		from = layout.Key(prefix, r.job.Cursor)
	}
	n := 0
	all = true
	err = r.tx.Scan(prefix, from, false, func(k []byte, value func() ([]byte, error)) (bool, error) {
		position := k[len(prefix):]
		if r.job.Cursor != nil && bytes.Equal(position, r.job.Cursor) {
			return true, nil
		}
		if n == limit {
			all = false
			return false, nil
		}
		n++
		return f(position, value)
	})
	return all, err
}

// Ahead: in the index of a subject's sessions the subject is followed by the key of the listing of all
// sessions, creation and sid, so that a position in either leads to the session's row in the listing. The sid
// of an ended session is preceded by the subject and a 0 if the job walks the whole index.
func (r jobRows) Ahead() (found []steps.Position, all bool, err error) {
	index, sid := layout.IndexEndedSubject, func(at []byte) []byte { return at[bytes.IndexByte(at, 0)+1:] }
	if r.job.Phase == logout.PhaseSessions {
		index = layout.IndexSubject
		sid = func(at []byte) []byte { return at[min(layout.TimeKeyLength, len(at)):] }
		if r.Ending.All {
			index = layout.IndexListing
		}
	}
	all, err = r.ahead(layout.Key(index, r.owner()), batchSessions,
		func(at []byte, _ func() ([]byte, error)) (bool, error) {
			found = append(found, steps.Position{SID: string(sid(at)), At: at})
			return true, nil
		})
	return found, all, err
}

// EndAt skips a session that cannot be read, even from the listing: it must not block the others.
func (r jobRows) EndAt(p steps.Position) (*steps.Closing, error) {
	c := *r.closing
	if r.job.Phase == logout.PhaseSessions {
		c.listed = p.At
	}
	before := r.tx.Wrote
	err := c.run(p.SID)
	if err != nil && r.tx.Wrote == before {
		err = r.tx.StepOver(err)
	}
	return &c.Closing, err
}

func (r jobRows) Full() bool { return r.tx.KeysWritten() > batchKeys || r.tx.Full() }

func (r jobRows) DropUnbound() (done logout.Result, all bool, err error) {
	var rows []storedGrant
	var cursor []byte
	room := r.tx.Share(3)
	all, err = r.ahead(layout.Key(layout.IndexGrantLoose, r.owner()), batchRows,
		func(position []byte, value func() ([]byte, error)) (bool, error) {
			cursor = position
			g, err := followGrant(r.tx, value)
			if layout.IsDamage(err) {
				// A damaged grant serves no request, whatever its subject.
				rows = append(rows, storedGrant{damaged: err,
					entry: layout.Key(layout.IndexGrantLoose, r.owner(), position)})
				return true, nil
			}
			if err != nil || g == nil {
				return err == nil, err
			}
			if rules.RevokesUnbound(r.Ending, g.ref.Type, g.grant, r.Now) {
				rows = append(rows, *g)
				room -= g.removes()
			}
			return room > 0, nil
		})
	if err != nil {
		return done, false, err
	}
	r.job.Cursor = cursor
	done.GrantsRevoked, done.ConsentsRevoked, err = r.drop(rows)
	return done, all && room > 0, err
}

func (r jobRows) PurgeMarked() (revoked int, found bool, err error) {
	var sid string
	_, err = r.ahead(layout.TablePurge, math.MaxInt,
		func(at []byte, value func() ([]byte, error)) (bool, error) {
			whose, err := value()
			if found = err == nil && string(whose) == r.Ending.OperationID; found {
				sid = string(at)
			}
			return !found, err
		})
	if err != nil || !found {
		return 0, false, err
	}
	revoked, _, err = purgeMarked(r.tx, sid, r.Now)
	return revoked, true, err
}
