package check

// The check of sessions and their dependents: clients, grants, counts and index entries.

import (
	"bytes"
	"errors"
	"iter"

	"github.com/fosite-sessions/sessions/plugin/badger/internal/layout"
	"github.com/fosite-sessions/sessions/plugin/records"
	"github.com/fosite-sessions/sessions/plugin/rules"
)

// rows iterates over a table whose keys begin with a sid, in step with other tables in the same order: a sid
// contains no NUL, so the rest of the key after a NUL does not affect the order.
type rows struct {
	next func() (storedRow, error, bool)
	row  storedRow
	sid  []byte
	err  error
	over bool
}

type storedRow struct{ k, v []byte }

// errStop ends a scan early.
var errStop = errors.New("stop")

// walkRows begins an iteration. stop ends it.
func (c *checker) walkRows(prefix []byte, cut bool) (w *rows, stop func()) {
	next, stop := iter.Pull2(func(yield func(storedRow, error) bool) {
		stopped := false
		err := c.scan(prefix, true, func(k, v []byte) error {
			if stopped = !yield(storedRow{k, v}, nil); stopped {
				return errStop
			}
			return nil
		})
		if err != nil && !stopped {
			yield(storedRow{}, err)
		}
	})
	w = &rows{next: next}
	w.step(len(prefix), cut)
	return w, stop
}

func (w *rows) step(prefix int, cut bool) {
	r, err, more := w.next()
	w.row, w.err, w.over = r, err, !more || err != nil
	if w.over {
		w.sid = nil
		return
	}
	w.sid = r.k[prefix:]
	if cut {
		w.sid, _, _ = bytes.Cut(w.sid, []byte{0})
	}
}

// bySession visits sessions, their clients, ended records and the grants of both, in order of sids.
func (c *checker) bySession() error {
	tables := []struct {
		prefix []byte
		cut    bool
		take   func(o *owner, k, v []byte)
	}{
		{layout.TableSession, false, c.session}, {layout.TableEnded, false, c.ended},
		{layout.TableClientUse, true, c.client}, {layout.IndexGrantSession, true, c.grantOfSession},
	}
	walks := make([]*rows, len(tables))
	for i, t := range tables {
		w, stop := c.walkRows(t.prefix, t.cut)
		defer stop()
		walks[i] = w
	}
	for {
		var sid []byte
		for _, w := range walks {
			if w.err != nil {
				return w.err
			}
			if !w.over && (sid == nil || bytes.Compare(w.sid, sid) < 0) {
				sid = w.sid
			}
		}
		if sid == nil {
			return nil
		}
		o := &owner{sid: bytes.Clone(sid)}
		for i, w := range walks {
			for !w.over && bytes.Equal(w.sid, o.sid) {
				tables[i].take(o, w.row.k, w.row.v)
				w.step(len(tables[i].prefix), tables[i].cut)
			}
		}
	}
}

// owner is a session or its ended record. A damaged row counts as present.
type owner struct {
	sid               []byte
	session           *records.Session
	hasSession, ended bool
}

func (c *checker) session(o *owner, k, v []byte) {
	s := &records.Session{}
	o.hasSession = true
	if !c.record(k, v, s) {
		return
	}
	c.rulef(k, s.IndexedDue == 0 || s.IndexedDue > records.Nanos(rules.Due(s)), "would be found due too late")
	if s.SessionId != string(o.sid) {
		return
	}
	o.session = s
	c.at(s.Renewed)
	c.count("", 1)
	c.balance.wants(layout.Key(layout.TableCookie, s.Key), []byte(s.SessionId))
	c.balance.wants(layout.SessionPosition(layout.IndexSubject, layout.More(s.SubjectId), s), nil)
	c.balance.wants(layout.ExpiryKey(s.IndexedDue, s.SessionId), nil)
	s.Ticket = nil
	c.balance.wants(layout.SessionPosition(layout.IndexListing, nil, s), listed(s))
}

// listed returns the listing row of a session. It is encoded again, because an encoding is not unique.
func listed(s *records.Session) []byte {
	value, _ := canonical.Marshal(s)
	return value
}

func (c *checker) count(client string, by int) {
	if !c.again {
		c.live[client] += by
	}
}

func (c *checker) ended(o *owner, k, v []byte) {
	o.ended = true
	ended := &records.Ended{}
	if !c.record(k, v, ended) {
		return
	}
	c.at(ended.When)
	if o.session != nil && o.session.Expires <= ended.When {
		return // it ends in steps: see byparts.go
	}
	c.togetherf(k, o.hasSession, "judges the grants of a session that is there")
	if ended.Survivors != records.Survivors_SURVIVORS_UNSPECIFIED {
		c.balance.wants(layout.Key(layout.IndexEndedSubject, layout.More(ended.SubjectId), o.sid), nil)
	}
	// Its time in the due index may change, but it has exactly one entry.
	c.balance.wants(layout.Key(layout.IndexEndedDue, layout.TimeKey(0), o.sid), nil)
}

func (c *checker) client(o *owner, k, v []byte) {
	_, id, _ := bytes.Cut(k[len(layout.TableClientUse):], []byte{0})
	use := &records.ClientUse{}
	c.togetherf(k, !o.hasSession, "is of a session that does not exist")
	if !c.record(k, v, use) || o.session == nil || use.Detached {
		return
	}
	c.count(string(id), 1)
	c.balance.wants(layout.SessionPosition(layout.IndexClient, layout.More(string(id)), o.session), nil)
}

// grantOfSession finds tokens that no session judges. The balance checks the grant's index entries.
func (c *checker) grantOfSession(o *owner, k, v []byte) {
	c.entry(k, v)
	ref, ok := records.RefOf(v)
	c.togetherf(k, ok && ref.Type.IsToken() && !o.hasSession && !o.ended,
		"is bound to a session that neither exists nor has left an ended record")
}
