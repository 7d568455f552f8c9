package memory

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
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

// The tree. A row stands under its kind, one byte, and its key (plugin/proto/sessions/records/v1/records.proto).
// The entries of indexes are made from it, and lead to it. No id has a zero byte; moments are eight bytes that
// sort as the moments do.
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
//	x  kind due key               rows whose time comes
type entry struct {
	name string
	row  *row
}

// row is a row of the store. It is never changed, only replaced: undoing a change is putting the old one back,
// and a copy of the tree is a snapshot.
type row struct {
	kind    transfer.Kind
	key     string
	message proto.Message // nil for a kind whose rows are none
	// data is the row as it crosses in a move: it is summed up and exported as it is.
	data []byte
}

func (s *Store) clear() {
	s.tree = btree.NewG(16, func(a, b entry) bool { return a.name < b.name })
	s.status.Content = map[transfer.Kind]transfer.Content{}
}

// nameOf is where a row stands. In an export it is its position.
func nameOf(kind transfer.Kind, key string) string { return string([]byte{byte(kind)}) + key }

// timed is a moment as a part of a name.
func timed(n int64) string { return string(binary.BigEndian.AppendUint64(nil, uint64(n)^1<<63)) }

// The indexes of which a part is read, and of which all is.
const (
	allSessions  = "l"
	allSurvivors = "e"
	allGrants    = "a\x00"
)

func sessionsOf(subject string) string  { return "u" + subject + "\x00" }
func survivorsOf(subject string) string { return "e" + subject + "\x00" }
func familyOf(requestID string) string  { return "f" + requestID + "\x00" }
func tokensOf(sid string) string        { return "t" + sid + "\x00" }
func clientsOf(sid string) string       { return nameOf(transfer.Clients, sid+"\x00") }
func all(kind transfer.Kind) string     { return nameOf(kind, "") }
func timesOf(kind transfer.Kind) string { return "x" + nameOf(kind, "") }

// entries are the names of the index entries of a row.
func (r *row) entries() (names []string) {
	switch m := r.message.(type) {
	case *records.Session:
		names = []string{"k" + string(m.Key), allSessions + r.position(), sessionsOf(m.SubjectId) + r.position()}
	case *records.Ended:
		if m.Survivors != records.Survivors_SURVIVORS_UNSPECIFIED {
			names = []string{survivorsOf(m.SubjectId) + r.key}
		}
	case *records.Grant:
		kind := r.ref().Type
		if kind.IsToken() && m.RequestId != "" && m.Consumed == 0 {
			names = append(names, familyOf(m.RequestId)+r.key)
		}
		if kind.IsToken() && m.SessionId != "" {
			names = append(names, tokensOf(m.SessionId)+r.key)
		}
		if rules.Listed(kind, m) {
			names = append(names, allGrants+r.position(),
				"as"+m.SessionId+"\x00"+r.position(), "au"+m.SubjectId+"\x00"+r.position())
		}
	case *records.Notification:
		if m.State == string(logout.Pending) {
			names = []string{"q" + m.ClientId + "\x00" + timed(m.Due) + r.key}
		}
	}
	if at := r.due(); at != 0 {
		names = append(names, timesOf(r.kind)+timed(at)+r.key)
	}
	return names
}

// due is when the time of a row comes, 0 for never.
func (r *row) due() int64 {
	switch m := r.message.(type) {
	case *records.Session:
		return records.Nanos(rules.Due(m))
	case *records.Ended:
		return rules.EndedDue(m)
	case *records.Grant:
		if rules.Former(m) {
			return math.MinInt64
		}
		return rules.GrantDue(m)
	case *records.Operation:
		return records.Nanos(records.Moment(m.When).Add(grantstore.OperationRetention))
	case *records.Job:
		return rules.JobDue(m)
	case *records.Notification:
		return m.PurgeAt
	}
	return 0
}

// position is where a session or a grant stands in listings. A part of a hash tells grants of one moment apart
// without giving their keys away.
func (r *row) position() string {
	if s, ok := r.message.(*records.Session); ok {
		return timed(s.Created) + r.key
	}
	serial := sha256.Sum256([]byte(r.key))
	return timed(r.grant().GetCreated()) + string(serial[:8])
}

func (r *row) name() string { return nameOf(r.kind, r.key) }

func (r *row) record() *transfer.Record {
	return &transfer.Record{Kind: r.kind, Key: []byte(r.key), Data: r.data}
}

// at returns a row, nil where there is none.
func (t *tx) at(kind transfer.Kind, key string) *row {
	e, _ := t.tree.Get(entry{name: nameOf(kind, key)})
	return e.row
}

// get returns the message of a row for those who only look at it, nil where there is none.
func get[M proto.Message](t *tx, kind transfer.Kind, key string) (message M) {
	if r := t.at(kind, key); r != nil {
		message, _ = r.message.(M)
	}
	return message
}

func (t *tx) session(sid string) *records.Session {
	return get[*records.Session](t, transfer.Sessions, sid)
}

func (t *tx) use(sid, client string) *records.ClientUse {
	return get[*records.ClientUse](t, transfer.Clients, sid+"\x00"+client)
}

func (t *tx) ended(sid string) *records.Ended { return get[*records.Ended](t, transfer.Ended, sid) }

func (t *tx) operation(id string) *records.Operation {
	return get[*records.Operation](t, transfer.Operations, id)
}

func (t *tx) job(id string) *records.Job { return get[*records.Job](t, transfer.Jobs, id) }

// save writes a row, of a copy: nobody shares memory with a caller. Deterministic is what makes two stores with
// the same records have the same sums.
func (t *tx) save(kind transfer.Kind, key string, message proto.Message) {
	message = proto.Clone(message)
	crossing := message
	if n, ok := message.(*records.Notification); ok { // claims do not move with a store
		n = proto.CloneOf(n)
		n.Due, n.Claimed = 0, false
		crossing = n
	}
	data, err := proto.MarshalOptions{Deterministic: true}.Marshal(crossing)
	if err != nil {
		panic(fmt.Sprintf("a row that was checked cannot be written: %v", err))
	}
	t.replace(nameOf(kind, key), &row{kind, key, message, data})
}

func (t *tx) delete(kind transfer.Kind, key string) { t.replace(nameOf(kind, key), nil) }

// replace puts a row in the place of another one, nil for none.
func (t *tx) replace(name string, r *row) {
	old := t.set(name, r)
	if _, changed := t.before[name]; !changed {
		t.before[name] = old
	}
}

// set is the one place where the tree changes, and so where indexes are kept.
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

// rollback undoes what the change has done so far.
func (t *tx) rollback() {
	for name, old := range t.before {
		t.set(name, old)
	}
	clear(t.before)
}

// commit counts what has changed, and journals it for whoever copies the store.
func (t *tx) commit() {
	for name, old := range t.before {
		now, _ := t.tree.Get(entry{name: name})
		if now.row == old || (now.row != nil && old != nil && bytes.Equal(now.row.data, old.data)) {
			continue
		}
		kind := transfer.Kind(name[0])
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

// scan calls f for the entries of an index, which all start alike, from a bound of what follows on (nil: all),
// until it returns false.
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
		start += "\xff\xff\xff\xff\xff\xff\xff\xff\xff" // no moment and no id begins so
	}
	if reverse {
		t.tree.DescendLessOrEqual(entry{name: start}, visit)
	} else {
		t.tree.AscendGreaterOrEqual(entry{name: start}, visit)
	}
}

// rows returns the rows that an index leads to.
func (t *tx) rows(index string) (list []*row) {
	t.scan(index, nil, false, func(_ string, r *row) bool {
		list = append(list, r)
		return true
	})
	return list
}

// timely returns the rows of a kind whose time has come, the earliest first.
func (t *tx) timely(kind transfer.Kind) (list []*row) {
	t.scan(timesOf(kind), nil, false, func(_ string, r *row) bool {
		if r.due() > records.Nanos(t.now) {
			return false
		}
		list = append(list, r)
		return true
	})
	return list
}

// read returns at most count rows of an index that match, from a bound on.
func (t *tx) read(
	index string, from *ticketstore.Bound, reverse bool, count int, match func(r *row) bool,
) (rows []*row, s *rules.Stretch) {
	s = &rules.Stretch{}
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
