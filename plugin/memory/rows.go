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

// The tree. A row stands under its kind, one byte, and its key (plugin/proto/sessions/records/v1/records.proto). The entries of indexes are
// made from it, and lead to it. No id has a zero byte; moments are eight bytes that sort as the moments do.
//
//	kind key                      the row
//	k  key                        session by cookie
//	l  created sid                sessions in order of creation
//	u  subject 0 created sid      ... of a subject
//	e  subject 0 sid              ended sessions of a subject that have left survivors
//	f  request id 0 type key      unused tokens of a family
//	t  sid 0 type key             tokens of a session
//	a  created serial             grants in order of creation
//	as sid 0 created serial       ... of a session
//	au subject 0 created serial   ... of a subject
//	q  client 0 due id            pending notifications of a client
//	x  kind due key               when a row is to be looked at
type entry struct {
	name string
	row  *row
}

// row is a row of the store. It is never changed, only replaced: undoing a change is putting the old one back, and a copy of the tree is a
// snapshot.
type row struct {
	kind    transfer.Kind
	key     string
	message proto.Message // nil for a kind whose rows are none
	// data is the row as it crosses in a move, so that counts and sums can be kept, and rows exported, without writing messages anew.
	data []byte
}

const treeDegree = 16

func (s *Store) clear() {
	s.tree = btree.NewG(treeDegree, func(a, b entry) bool { return a.name < b.name })
	s.status.Content = map[transfer.Kind]transfer.Content{}
}

// nameOf is where a row stands. In an export it is its position.
func nameOf(kind transfer.Kind, key string) string { return string([]byte{byte(kind)}) + key }

// timed is a moment as a part of a name.
func timed(n int64) string { return string(binary.BigEndian.AppendUint64(nil, uint64(n)^1<<63)) }

// ref is what the key of a grant's row names.
func (r *row) ref() grantstore.Ref {
	ref, _ := records.RefOf(r.key)
	return ref
}

// position is where a session or a grant stands in listings. A part of a hash tells grants of one moment apart without giving their keys away.
func (r *row) position() string {
	switch m := r.message.(type) {
	case *records.Session:
		return timed(m.GetCreated()) + r.key
	case *records.Grant:
		serial := sha256.Sum256([]byte(r.key))
		return timed(m.GetCreated()) + string(serial[:8])
	}
	return ""
}

// entries are the names of the index entries of a row.
func (r *row) entries() (names []string) {
	switch m := r.message.(type) {
	case *records.Session:
		position := r.position()
		names = []string{"k" + string(m.GetKey()), "l" + position, "u" + m.GetSubjectId() + "\x00" + position}
	case *records.Ended:
		if m.GetSurvivors() != 0 {
			names = []string{"e" + m.GetSubjectId() + "\x00" + r.key}
		}
	case *records.Grant:
		names = r.grantEntries(m)
	case *records.Notification:
		if m.GetState() == string(logout.Pending) {
			names = []string{"q" + m.GetClientId() + "\x00" + timed(m.GetDue()) + r.key}
		}
	}
	if due := dueOf(r.message); due != 0 {
		names = append(names, "x"+nameOf(r.kind, timed(due)+r.key))
	}
	return names
}

func (r *row) grantEntries(g *records.Grant) (names []string) {
	token := r.ref().Type.IsToken()
	if token && g.GetRequestId() != "" && g.GetConsumed() == 0 {
		names = append(names, "f"+g.GetRequestId()+"\x00"+r.key)
	}
	if token && g.GetSessionId() != "" {
		names = append(names, "t"+g.GetSessionId()+"\x00"+r.key)
	}
	if rules.Listed(r.ref().Type, g) {
		position := r.position()
		names = append(names, "a\x00"+position,
			"as"+g.GetSessionId()+"\x00"+position, "au"+g.GetSubjectId()+"\x00"+position)
	}
	return names
}

// dueOf is when a row is to be looked at because its time may be up, 0 for never.
func dueOf(message proto.Message) int64 {
	switch m := message.(type) {
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
		return records.Nanos(records.Moment(m.GetWhen()).Add(grantstore.OperationRetention))
	case *records.Job:
		return rules.JobDue(m)
	case *records.Notification:
		return m.GetPurgeAt()
	}
	return 0
}

// get returns the message of a row, for those who only look at it, nil where there is none.
func get[M proto.Message](t *tx, kind transfer.Kind, key string) (message M) {
	if e, found := t.tree.Get(entry{name: nameOf(kind, key)}); found {
		message, _ = e.row.message.(M)
	}
	return message
}

func (t *tx) session(sid string) *records.Session {
	return get[*records.Session](t, transfer.Sessions, sid)
}

func (t *tx) ended(sid string) *records.Ended { return get[*records.Ended](t, transfer.Ended, sid) }

func (t *tx) use(sid, client string) *records.ClientUse {
	return get[*records.ClientUse](t, transfer.Clients, sid+"\x00"+client)
}

func (t *tx) grant(ref grantstore.Ref) *records.Grant {
	return get[*records.Grant](t, transfer.Grants, string(records.RefBytes(ref)))
}

func (t *tx) notification(id string) *records.Notification {
	return get[*records.Notification](t, transfer.Notifications, id)
}

func (t *tx) operation(id string) *records.Operation {
	return get[*records.Operation](t, transfer.Operations, id)
}

// save writes a row, of a copy: nobody shares memory with a caller. Deterministic is what makes two stores with the same records have the same
// sums.
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
	t.put(&row{kind, key, message, data})
}

func (t *tx) saveUse(sid, client string, use *records.ClientUse) {
	t.save(transfer.Clients, sid+"\x00"+client, use)
}

func (t *tx) put(r *row) { t.replace(nameOf(r.kind, r.key), r) }

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
	if e, found := s.tree.Get(entry{name: name}); found {
		old = e.row
		s.tree.Delete(e)
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

func (r *row) record() *transfer.Record {
	return &transfer.Record{Kind: r.kind, Key: []byte(r.key), Data: r.data}
}

// scan calls f for the entries that start with a prefix, from a bound of what follows the prefix on (nil: all), until it returns false.
func (t *tx) scan(prefix string, from *ticketstore.Bound, reverse bool, f func(position string, r *row) bool) {
	visit := func(e entry) bool {
		position, under := strings.CutPrefix(e.name, prefix)
		if under && from != nil && !from.Inclusive && position == string(from.Position) {
			return true
		}
		return under && f(position, e.row)
	}
	start := prefix
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

// rows returns the rows of the entries that start with a prefix.
func (t *tx) rows(prefix string) (list []*row) {
	t.scan(prefix, nil, false, func(_ string, r *row) bool {
		list = append(list, r)
		return true
	})
	return list
}

// due returns the rows of a kind that are to be looked at by now, the earliest first.
func (t *tx) due(kind transfer.Kind) (list []*row) {
	t.scan("x"+nameOf(kind, ""), nil, false, func(position string, r *row) bool {
		if position > timed(records.Nanos(t.now))+"\xff" {
			return false
		}
		list = append(list, r)
		return true
	})
	return list
}
