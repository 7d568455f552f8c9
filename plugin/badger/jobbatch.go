package badger

// The transactions of a job: an ending of many sessions, in bounded steps.

import (
	"bytes"
	"math"

	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/plugin/badger/internal/layout"
	"github.com/fosite-sessions/sessions/plugin/records"
	"github.com/fosite-sessions/sessions/plugin/rules"
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

// jobBatch is one transaction of a job. The job walks along indexes and stores its position in them, so that
// it does not meet a remaining row again. Position, counts and changes are written together: a crash neither
// skips nor repeats a row.
type jobBatch struct {
	*closing
	job *records.Job
	// marked: this transaction left rows of dead grants. It does not see its own marks.
	marked bool
	// spent: the transaction has reached its bounds.
	spent bool
}

// run advances through the phases as far as one transaction can. The job's phase is empty when it is done.
func (s *jobBatch) run() error {
	for s.job.Phase != "" && !s.spent {
		var err error
		switch s.job.Phase {
		case logout.PhaseSessions:
			err = s.sessions()
		case logout.PhaseSurvivors:
			err = s.survivors()
		case logout.PhaseGrants:
			err = s.grants()
		default:
			err = s.purges()
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// next starts the next phase.
func (s *jobBatch) next() { s.job.Phase, s.job.Cursor = rules.PhaseAfter(s.job.Phase, s.ending), nil }

// did adds a result to the job's counts.
func (s *jobBatch) did(result *logout.Result) {
	rules.Progress(s.job, result)
}

// owner is the part of an index that belongs to the job: that of a subject, or empty for all of it.
func (s *jobBatch) owner() []byte {
	if s.ending.All {
		return nil
	}
	return layout.More(s.ending.SubjectID)
}

// ahead calls f for the positions of an index after the job's cursor, at most limit of them, and reports
// whether the end was reached.
func (s *jobBatch) ahead(
	prefix []byte, limit int, f func(position []byte, value func() ([]byte, error)) (bool, error),
) (all bool, err error) {
	var from []byte
	if s.job.Cursor != nil {
		from = layout.Key(prefix, s.job.Cursor)
	}
	n := 0
	all = true
	err = s.tx.Scan(prefix, from, false, func(k []byte, value func() ([]byte, error)) (bool, error) {
		position := k[len(prefix):]
		if s.job.Cursor != nil && bytes.Equal(position, s.job.Cursor) {
			return true, nil
		}
		if n == limit {
			all = false
			return false, nil
		}
		n++
		more, err := f(position, value)
		return more, err
	})
	return all, err
}

// endEach ends the sessions at positions, identified by sid, until the transaction is spent, and returns how
// many it processed. A session that cannot be read, even from the listing, is skipped: it serves no request
// and must not block the others.
func (s *jobBatch) endEach(
	positions [][]byte, listed func(position []byte) []byte, sid func(position []byte) string,
) (n int, err error) {
	done := &logout.Result{}
	defer func() { s.did(done) }()
	for _, position := range positions {
		c := *s.closing
		c.listed = listed(position)
		before := s.tx.Wrote
		if err := c.run(sid(position)); err != nil && (s.tx.Wrote > before || s.tx.StepOver(err) != nil) {
			return n, err
		}
		n++
		rules.Sum(done, &c.result)
		s.marked = s.marked || c.purge
		s.job.Cursor = position
		if s.spent = s.tx.KeysWritten() > batchKeys || s.tx.Full(); s.spent {
			break
		}
	}
	return n, nil
}

// reached starts the next phase after the last row of this one. Otherwise the next transaction continues.
func (s *jobBatch) reached(end bool) {
	if end && !s.spent {
		s.next()
		return
	}
	s.spent = true
}

// sessions ends the sessions that existed when the job began. The index is in creation order: later sessions
// come after job.Last.
func (s *jobBatch) sessions() error {
	index := layout.IndexListing
	if !s.ending.All {
		index = layout.IndexSubject
	}
	var positions [][]byte
	all, err := s.ahead(layout.Key(index, s.owner()), batchSessions,
		func(position []byte, _ func() ([]byte, error)) (bool, error) {
			if bytes.Compare(position, s.job.Last) > 0 {
				return false, nil
			}
			positions = append(positions, position)
			return true, nil
		})
	if err != nil {
		return err
	}
	// In the index of a subject's sessions the subject is followed by the key of the listing of all sessions:
	// creation and sid. So a position in either index leads to the session's row in the listing.
	listed := func(position []byte) []byte { return position }
	n, err := s.endEach(positions, listed,
		func(position []byte) string { return string(position[min(layout.TimeKeyLength, len(position)):]) })
	s.job.LookedAt += int64(n)
	s.reached(all)
	return err
}

// survivors revokes the survivors of sessions that ended before. Sessions that end while the job runs are
// included.
func (s *jobBatch) survivors() error {
	var positions [][]byte
	all, err := s.ahead(layout.Key(layout.IndexEndedSubject, s.owner()), batchSessions,
		func(position []byte, _ func() ([]byte, error)) (bool, error) {
			positions = append(positions, position)
			return true, nil
		})
	if err != nil {
		return err
	}
	// A position in this index is a sid, preceded by the subject and a 0 if the job walks the whole index.
	none := func([]byte) []byte { return nil }
	_, err = s.endEach(positions, none,
		func(position []byte) string { return string(position[bytes.IndexByte(position, 0)+1:]) })
	s.reached(all)
	return err
}

// grants revokes the grants that subjects have without a session, including consents, or the remaining
// consents of one session.
func (s *jobBatch) grants() error {
	if s.ending.SessionID != "" {
		return s.leftConsents()
	}
	var rows []storedGrant
	var cursor []byte
	room := s.tx.Share(3)
	all, err := s.ahead(layout.Key(layout.IndexGrantLoose, s.owner()), batchRows,
		func(position []byte, value func() ([]byte, error)) (bool, error) {
			cursor = position
			g, err := followGrant(s.tx, value)
			if layout.IsDamage(err) {
				// A damaged grant serves no request, whatever its subject.
				rows = append(rows, storedGrant{damaged: err,
					entry: layout.Key(layout.IndexGrantLoose, s.owner(), position)})
				return true, nil
			}
			if err != nil || g == nil {
				return err == nil, err
			}
			if rules.RevokesUnbound(s.ending, g.ref.Type, g.grant, s.now) {
				rows = append(rows, *g)
				room -= g.removes()
			}
			return room > 0, nil
		})
	if err != nil {
		return err
	}
	c := *s.closing
	if err := c.drop(rows); err != nil {
		return err
	}
	s.did(&c.result)
	s.job.Cursor = cursor
	s.reached(all && room > 0)
	return nil
}

// leftConsents removes consents that did not fit into the transaction that ended their session.
func (s *jobBatch) leftConsents() error {
	clients := s.job.ConsentsClients
	if len(clients) == 0 {
		s.next()
		return nil
	}
	c := *s.closing
	left, err := c.dropConsents(s.job.ConsentsSubject, clients[0])
	if err != nil {
		return err
	}
	s.did(&c.result)
	s.spent = true
	if !left {
		s.job.ConsentsClients = clients[1:]
	}
	return nil
}

// purges removes the rows of dead grants left by the job's transactions, so that all are counted when it is
// done.
func (s *jobBatch) purges() error {
	if s.marked {
		s.spent = true
		return nil
	}
	var sid string
	_, err := s.ahead(layout.TablePurge, math.MaxInt,
		func(position []byte, value func() ([]byte, error)) (bool, error) {
			whose, err := value()
			if err == nil && string(whose) == s.ending.OperationID {
				sid = string(position)
			}
			return sid == "", err
		})
	if err != nil {
		return err
	}
	if sid == "" {
		s.next()
		return nil
	}
	revoked, _, err := purgeMarked(s.tx, sid, s.now)
	s.did(&logout.Result{GrantsRevoked: revoked})
	s.spent = true
	return err
}
