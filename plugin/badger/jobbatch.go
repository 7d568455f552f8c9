package badger

// The transactions of a job: an ending of many sessions, in bounded parts.

import (
	"bytes"
	"math"

	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/plugin/badger/internal/layout"
	"github.com/fosite-sessions/sessions/plugin/records"
	"github.com/fosite-sessions/sessions/plugin/rules"
)

// Bounds of one transaction of a job. Other calls wait for it, so it takes some milliseconds at most; but
// each costs a sync, which takes as long as the end of many sessions.
const (
	batchSessions = 128
	batchRows     = 512
	batchKeys     = 2048
)

// unbounded stands for no bound: a rehearsal counts a session's rows at once.
const unbounded = math.MaxInt

// jobBatch is what one transaction does of a job. The job goes along indexes and keeps its position in them,
// so that a row that stays is not met again. Position, counts and changes are written together: a crash
// neither skips nor repeats a row.
type jobBatch struct {
	*closing
	job *records.Job
	// marked: rows of dead grants were left behind in this transaction, which does not see its own marks.
	marked bool
	// spent: the transaction has done as much as its bounds allow.
	spent bool
}

// run goes from phase to phase as far as one transaction goes. The job's phase is empty when all is done.
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

// next begins the next phase.
func (s *jobBatch) next() { s.job.Phase, s.job.Cursor = rules.PhaseAfter(s.job.Phase, s.ending), nil }

// did adds to the job's counts.
func (s *jobBatch) did(result *logout.Result) {
	rules.Progress(s.job, result)
}

// owner is the part of an index that is the job's: one subject's, or (empty) all of it.
func (s *jobBatch) owner() []byte {
	if s.ending.All {
		return nil
	}
	return layout.More(s.ending.SubjectID)
}

// ahead calls f for the positions of an index behind the job's cursor, at most limit of them, and reports
// whether that was all there is.
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
		goOn, err := f(position, value)
		return goOn, err
	})
	return all, err
}

// endEach ends the sessions that positions lead to, by their sids, until the transaction has done its share,
// and returns how many. One that cannot be read, not even in the listing, is stepped over: it serves no
// request, and the others are to end.
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

// reached goes on to the next phase after the last row of this one. Otherwise the rest is left to the next
// transaction.
func (s *jobBatch) reached(end bool) {
	if end && !s.spent {
		s.next()
		return
	}
	s.spent = true
}

// sessions ends the sessions that existed when the job began. The index is in the order of creation: those
// created since come after job.Last.
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
	// What follows the owner in the index of a subject's sessions is what the listing of all sessions has as
	// key: the moment of creation and the sid. So a position in either leads to the session's row in the
	// listing.
	listed := func(position []byte) []byte { return position }
	n, err := s.endEach(positions, listed,
		func(position []byte) string { return string(position[min(layout.TimeKeyLength, len(position)):]) })
	s.job.LookedAt += int64(n)
	s.reached(all)
	return err
}

// survivors revokes what has outlived sessions that ended before. A session that ends while the job is under
// way is among them.
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
	// A position in this index is a sid. Where the job walks through all of it, the subject and a 0 come
	// before.
	none := func([]byte) []byte { return nil }
	_, err = s.endEach(positions, none,
		func(position []byte) string { return string(position[bytes.IndexByte(position, 0)+1:]) })
	s.reached(all)
	return err
}

// grants revokes what subjects have without a session, consents among it, or what is left of the consents of
// one session.
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
				// It serves no request, whatever its subject.
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

// purges removes the rows of dead grants that the transactions of the job have left, so that all of them are
// counted when it is done.
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
