package badger

import (
	"bytes"
	"math"
	"time"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/plugin/records"
)

// Bounds of one transaction of a job. Other calls wait for it, so it takes some milliseconds at most; but each costs a sync, which takes as
// long as the end of many sessions.
const (
	strideSessions = 128
	strideRows     = 512
	strideKeys     = 2048
)

// maxRehearsed stands for no bound: a rehearsal counts a session's rows at once.
const maxRehearsed = math.MaxInt

// clockSkew is how far the clocks of hosts that share a store may be apart.
const clockSkew = time.Minute

// stride is what one transaction does of a job. The job walks along indexes and remembers its place in them, so that what it has dealt with
// is not met again, also where rows stay; place, counts and changes are written together.
type stride struct {
	*closing
	job *records.Job
	// begunBy leaves grants without a session alone that were created later. Zero means none is.
	begunBy time.Time
	// marked: rows of dead grants were left behind in this transaction, which does not see its own marks.
	marked bool
	// spent: the transaction has done its share.
	spent bool
}

// run goes from phase to phase as far as one transaction goes. The job's phase is empty when all is done.
func (s *stride) run() error {
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

// next begins another phase.
func (s *stride) next(phase string) { s.job.Phase, s.job.Cursor = phase, nil }

// did adds to the job's counts.
func (s *stride) did(result *logout.Result) {
	total := records.ResultOf(s.job.Done)
	sum(total, result)
	s.job.Done = records.FromResult(total)
}

// owner is the part of an index that is the job's: one subject's, or (empty) all of it.
func (s *stride) owner() []byte {
	if s.ending.All {
		return nil
	}
	return more(s.ending.SubjectID)
}

// ahead calls f for the positions of an index behind the job's cursor, at most limit of them, and tells whether that was all there is.
func (s *stride) ahead(
	prefix []byte, limit int, f func(position []byte, value func() ([]byte, error)) (bool, error),
) (all bool, err error) {
	var from []byte
	if s.job.Cursor != nil {
		from = key(prefix, s.job.Cursor)
	}
	n := 0
	all = true
	err = s.tx.scan(prefix, from, false, func(k []byte, value func() ([]byte, error)) (bool, error) {
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

// endEach ends the sessions that positions lead to, by their sids, until the transaction has done its share, and returns how many. One that
// nobody can read, not even in the listing, is stepped over: it is of no use to anybody, and the others are to end.
func (s *stride) endEach(positions [][]byte, listed func(position []byte) []byte, sid func(position []byte) string) (n int, err error) {
	done := &logout.Result{}
	defer func() { s.did(done) }()
	for _, position := range positions {
		c := *s.closing
		c.listed = listed(position)
		before := s.tx.wrote
		if err := c.run(sid(position)); err != nil && (s.tx.wrote > before || s.tx.stepOver(err) != nil) {
			return n, err
		}
		n++
		sum(done, &c.result)
		s.marked = s.marked || c.purge
		s.job.Cursor = position
		if s.spent = len(s.tx.writes) > strideKeys || s.tx.full(); s.spent {
			break
		}
	}
	return n, nil
}

// reached goes on to another phase when the last row of this one was dealt with, and otherwise leaves the rest to the next transaction.
func (s *stride) reached(end bool, phase string) {
	if end && !s.spent {
		s.next(phase)
		return
	}
	s.spent = true
}

// sessions ends those that were there when the job began: the order is that of their creation, so that those that came since are behind.
func (s *stride) sessions() error {
	index := indexListing
	if !s.ending.All {
		index = indexSubject
	}
	var positions [][]byte
	all, err := s.ahead(key(index, s.owner()), strideSessions, func(position []byte, _ func() ([]byte, error)) (bool, error) {
		if bytes.Compare(position, s.job.Last) > 0 {
			return false, nil
		}
		positions = append(positions, position)
		return true, nil
	})
	if err != nil {
		return err
	}
	// A position is one in the listing, whosever it is.
	listed := func(position []byte) []byte { return position }
	n, err := s.endEach(positions, listed, func(position []byte) string { return string(position[min(timeKeyLength, len(position)):]) })
	s.job.LookedAt += int64(n)
	s.reached(all, logout.PhaseSurvivors)
	return err
}

// survivors revokes what has outlived sessions that ended before. A session that ends while the job is under way is among them.
func (s *stride) survivors() error {
	if s.lenient() {
		s.next(logout.PhaseGrants)
		return nil
	}
	var positions [][]byte
	all, err := s.ahead(key(indexEndedSubject, s.owner()), strideSessions,
		func(position []byte, _ func() ([]byte, error)) (bool, error) {
			positions = append(positions, position)
			return true, nil
		})
	if err != nil {
		return err
	}
	// A position is a sid, behind the subject's name where the index is not one subject's.
	none := func([]byte) []byte { return nil }
	_, err = s.endEach(positions, none, func(position []byte) string { return string(position[bytes.IndexByte(position, 0)+1:]) })
	s.reached(all, logout.PhaseGrants)
	return err
}

// grants revokes what subjects have without a session, consents among it, or what is left of the consents of one session.
func (s *stride) grants() error {
	if s.ending.SessionID != "" {
		return s.leftConsents()
	}
	if s.ending.KeepTokens && s.ending.KeepConsents {
		s.next(logout.PhasePurge)
		return nil
	}
	var rows []storedGrant
	var cursor []byte
	room := s.tx.most.part(3).bytes
	all, err := s.ahead(key(indexGrantLoose, s.owner()), strideRows,
		func(position []byte, value func() ([]byte, error)) (bool, error) {
			cursor = position
			g, err := followGrant(s.tx, value)
			if isDamage(err) {
				// It is of use to nobody, whosever it is.
				rows = append(rows, storedGrant{damaged: err, entry: key(indexGrantLoose, s.owner(), position)})
				return true, nil
			}
			if err != nil || g == nil {
				return err == nil, err
			}
			if s.wants(g) {
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
	s.reached(all && room > 0, logout.PhasePurge)
	return nil
}

// wants tells whether the job revokes a grant that no session judges.
func (s *stride) wants(g *storedGrant) bool {
	switch {
	case !s.named(g.grant.GetClientId()):
		return false
	case !s.begunBy.IsZero() && records.Moment(g.grant.GetCreated()).After(s.begunBy):
		return false
	case g.ref.Type == grantstore.UserConsent:
		return !s.ending.KeepConsents
	}
	return g.ref.Type.IsToken() && !s.ending.KeepTokens
}

// leftConsents removes consents that did not fit into the transaction that ended their session.
func (s *stride) leftConsents() error {
	clients := s.job.ConsentsClients
	if len(clients) == 0 {
		s.next(logout.PhasePurge)
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

// purges removes the rows of dead grants that the job has left behind, so that all of them are counted when it is done.
func (s *stride) purges() error {
	if s.marked {
		s.spent = true
		return nil
	}
	var sid string
	_, err := s.ahead(tablePurge, math.MaxInt, func(position []byte, value func() ([]byte, error)) (bool, error) {
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
		s.next("")
		return nil
	}
	revoked, _, err := s.tx.purgeMarked(sid, s.now)
	s.did(&logout.Result{GrantsRevoked: revoked})
	s.spent = true
	return err
}
