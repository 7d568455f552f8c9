package memory

// The tree of rows and indexes; counting, journaling and rollback of changes.

import (
	"bytes"
	"fmt"
	"math"
	"strings"

	"github.com/google/btree"
	"google.golang.org/protobuf/proto"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/plugin/records"
	"github.com/fosite-sessions/sessions/plugin/rules"
	"github.com/fosite-sessions/sessions/plugin/transfer"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// The tree. A row's name is its kind, one byte, and its key (plugin/proto/sessions/records/v1/records.proto).
// Index entries are derived from the row and point to it. No id has a zero byte; times are encoded so that
// they sort as bytes.
//
//	kind key                      the row
//	k  key                        session by cookie
//	l  created sid                sessions in order of creation
//	u  subject 0 created sid      ... of a subject
//	e  subject 0 sid              ended sessions that have left survivors
//	f  request id 0 type key      unused tokens of a family
//	t  sid 0 type key             tokens of a session
//	a  created serial             grants in order of creation
//	as sid 0 created serial       ... of a session
//	au subject 0 created serial   ... of a subject
//	q  client 0 due id            pending notifications
//	x  kind due key               rows by due time
type entry struct {
	name string
	row  *row
}

// row is a row of the store. Rows are immutable: rollback puts the old row back, and a copy of the tree is a
// snapshot.
type row struct {
	kind    transfer.Kind
	key     string
	message proto.Message // nil for a kind without messages
	// data is the encoded record as in a move: it is hashed and exported as it is.
	data []byte
}

func (s *Store) clear() {
	s.tree = btree.NewG(16, func(a, b entry) bool { return a.name < b.name })
	s.status.Content = map[transfer.Kind]transfer.Content{}
}

// nameOf returns a row's name, which is its position in an export.
func nameOf(kind transfer.Kind, key string) string { return string([]byte{byte(kind)}) + key }

// Prefixes of indexes that are read.
const (
	allSessions  = "l"
	allSurvivors = "e"
	allGrants    = "a\x00"
)

func all(kind transfer.Kind) string     { return nameOf(kind, "") }
func clientsOf(sid string) string       { return nameOf(transfer.Clients, sid+"\x00") }
func sessionsOf(subject string) string  { return "u" + subject + "\x00" }
func survivorsOf(subject string) string { return "e" + subject + "\x00" }
func familyOf(requestID string) string  { return "f" + requestID + "\x00" }
func tokensOf(sid string) string        { return "t" + sid + "\x00" }
func waiting(client string) string      { return "q" + client + "\x00" }
func timesOf(kind transfer.Kind) string { return "x" + nameOf(kind, "") }

func clientKey(sid, client string) string { return sid + "\x00" + client }

// listing returns the index of the grants that a filter selects.
func listing(f *grantstore.Filter) string {
	switch {
	case f.SessionID != "":
		return "as" + f.SessionID + "\x00"
	case f.SubjectID != "":
		return "au" + f.SubjectID + "\x00"
	}
	return allGrants
}

// entries returns the names of a row's index entries.
func (r *row) entries() (names []string) {
	switch m := r.message.(type) {
	case *records.Session:
		position := string(records.SessionPosition(m))
		names = []string{"k" + string(m.Key), allSessions + position, sessionsOf(m.SubjectId) + position}
	case *records.Ended:
		if m.Survivors != records.Survivors_SURVIVORS_UNSPECIFIED {
			names = []string{survivorsOf(m.SubjectId) + r.key}
		}
	case *records.Grant:
		token := r.ref().Type.IsToken()
		if token && m.RequestId != "" && m.Consumed == 0 {
			names = append(names, familyOf(m.RequestId)+r.key)
		}
		if token && m.SessionId != "" {
			names = append(names, tokensOf(m.SessionId)+r.key)
		}
		if rules.Listed(r.ref().Type, m) {
			position := string(records.GrantPosition(r.ref(), m))
			names = append(names, allGrants+position,
				"as"+m.SessionId+"\x00"+position, "au"+m.SubjectId+"\x00"+position)
		}
	case *records.Notification:
		if m.State == string(logout.Pending) {
			names = []string{waiting(m.ClientId) + string(records.SortKey(m.Due)) + r.key}
		}
	}
	if due := rules.DueOf(r.message); due != 0 {
		names = append(names, timesOf(r.kind)+string(records.SortKey(due))+r.key)
	}
	return names
}

func (r *row) record() *transfer.Record {
	return &transfer.Record{Kind: r.kind, Key: []byte(r.key), Data: r.data}
}

// at returns a row, or nil.
func (t *tx) at(kind transfer.Kind, key string) *row {
	e, _ := t.tree.Get(entry{name: nameOf(kind, key)})
	return e.row
}

// messageOf returns the message of a row (nil: there is none). It must not be changed.
func messageOf[M proto.Message](r *row) (message M) {
	if r != nil {
		message, _ = r.message.(M)
	}
	return message
}

// read returns the message of a row, or nil if there is no row.
func (r *row) read() proto.Message { return messageOf[proto.Message](r) }

func (t *tx) session(sid string) *records.Session {
	return messageOf[*records.Session](t.at(transfer.Sessions, sid))
}

func (t *tx) use(sid, client string) *records.ClientUse {
	return messageOf[*records.ClientUse](t.at(transfer.Clients, clientKey(sid, client)))
}

func (t *tx) ended(sid string) *records.Ended {
	return messageOf[*records.Ended](t.at(transfer.Ended, sid))
}

func (t *tx) operation(id string) *records.Operation {
	return messageOf[*records.Operation](t.at(transfer.Operations, id))
}

func (t *tx) job(id string) *records.Job { return messageOf[*records.Job](t.at(transfer.Jobs, id)) }

// save writes a row from a copy of message: rows share no memory with callers.
func (t *tx) save(kind transfer.Kind, key string, message proto.Message) {
	data, err := records.Cross(proto.Clone(message))
	if err != nil {
		panic(fmt.Sprintf("a row that was checked cannot be written: %v", err))
	}
	t.replace(nameOf(kind, key), &row{kind, key, proto.Clone(message), data})
}

func (t *tx) delete(kind transfer.Kind, key string) { t.replace(nameOf(kind, key), nil) }

// replace replaces a row with r, nil to delete it.
func (t *tx) replace(name string, r *row) {
	old := t.set(name, r)
	if _, changed := t.before[name]; !changed {
		t.before[name] = old
	}
}

// set is the only place that changes the tree, and therefore maintains the indexes.
func (s *Store) set(name string, r *row) (old *row) {
	if e, found := s.tree.Delete(entry{name: name}); found {
		old = e.row
		for _, place := range old.entries() {
			s.tree.Delete(entry{name: place})
		}
	}
	if r != nil {
		s.tree.ReplaceOrInsert(entry{name, r})
		for _, place := range r.entries() {
			s.tree.ReplaceOrInsert(entry{place, r})
		}
	}
	return old
}

// rollback undoes the changes of the transaction.
func (t *tx) rollback() {
	for name, old := range t.before {
		t.set(name, old)
	}
	clear(t.before)
}

// commit counts the changes, journals them during an export, and adds their kill.
func (t *tx) commit() {
	kill := &grantstore.Kill{}
	defer t.kills.Add(kill)
	for name, old := range t.before {
		now, _ := t.tree.Get(entry{name: name})
		if now.row == old || (now.row != nil && old != nil && bytes.Equal(now.row.data, old.data)) {
			continue
		}
		kind := transfer.Kind(name[0])
		if old != nil {
			rules.Kill(kill, kind, old.key, old.read, now.row.read)
		}
		c := t.status.Content[kind]
		if old != nil {
			c.Remove(old.record())
		}
		if now.row != nil {
			c.Add(now.row.record())
		}
		if t.status.Content[kind] = c; c.Count == 0 {
			delete(t.status.Content, kind)
		}
		if rules.Journals(t.status.State) {
			t.journal = append(t.journal, name)
			t.status.Journaled++
			t.status.Left++
		}
	}
}

// scan calls f for the entries of an index, selected by prefix, from a bound on the rest of the name (nil:
// all) until f returns false.
func (t *tx) scan(index string, from *ticketstore.Bound, reverse bool, f func(position string, r *row) bool) {
	visit := func(e entry) bool {
		position, in := strings.CutPrefix(e.name, index)
		passed := from != nil && !from.Inclusive && position == string(from.Position)
		return in && (passed || f(position, e.row))
	}
	start := index
	if from != nil {
		start += string(from.Position)
	} else if reverse {
		start += "\xff\xff\xff\xff\xff\xff\xff\xff\xff" // greater than any time and any id
	}
	if reverse {
		t.tree.DescendLessOrEqual(entry{name: start}, visit)
	} else {
		t.tree.AscendGreaterOrEqual(entry{name: start}, visit)
	}
}

// read returns at most count matching rows of an index, starting at a bound.
func (t *tx) read(
	index string, from *ticketstore.Bound, reverse bool, count int, match func(r *row) bool,
) (rows []*row, s *rules.Scanned) {
	s = &rules.Scanned{}
	t.scan(index, from, reverse, func(position string, r *row) bool {
		switch {
		case !match(r):
			return true
		case s.Rows == count:
			s.More = true
			return false
		case s.Rows == 0:
			s.First = []byte(position)
		}
		rows, s.Rows, s.Last, s.Seen = append(rows, r), s.Rows+1, []byte(position), []byte(position)
		return true
	})
	return rows, s
}

// where returns all matching rows of an index.
func (t *tx) where(index string, match func(r *row) bool) []*row {
	list, _ := t.read(index, nil, false, math.MaxInt, match)
	return list
}

func (t *tx) rows(index string) []*row { return t.where(index, func(*row) bool { return true }) }

// dueRows returns the rows of a kind that are due, earliest first.
func (t *tx) dueRows(kind transfer.Kind) (list []*row) {
	t.scan(timesOf(kind), nil, false, func(_ string, r *row) bool {
		come := rules.DueOf(r.message) <= records.Nanos(t.now)
		if come {
			list = append(list, r)
		}
		return come
	})
	return list
}
