package badger

import (
	"errors"
	"math"
	"strings"

	"github.com/dgraph-io/badger/v4"
	"github.com/google/btree"

	"github.com/fosite-sessions/sessions/plugin/badger/internal/recordpb"
	"github.com/fosite-sessions/sessions/plugin/transfer"
)

// reader is what judging and listing need: a snapshot, or a change in the making.
type reader interface {
	// get returns nil where there is nothing.
	get(k []byte) ([]byte, error)
	// scan calls f for each key that starts with prefix, from the key from on (nil: from the prefix's end of that direction), in descending
	// order when reverse. The key is f's to keep; value reads its value. It stops when f returns false.
	scan(prefix, from []byte, reverse bool, f visit) error
	// stepOver tells the log of a damaged row, and is nil then. Other errors it returns.
	stepOver(err error) error
}

type visit func(k []byte, value func() ([]byte, error)) (goOn bool, err error)

// tx is one change in the making. It reads what it has written itself, but scans what earlier changes have written only: look first,
// then write. Its writes join the group when the change has succeeded.
type tx struct {
	*group
	writes map[string]write
	// wrote counts the writes.
	wrote int
	// ledger replaces the group's when the change joins it.
	ledger *recordpb.Ledger
	// recount: rows were taken away of which nobody knows what they added to the contents.
	recount bool
	// queued: a notice falls due that may be earlier than others.
	queued bool
}

type write struct {
	value   []byte
	deleted bool
}

func (t *tx) get(k []byte) ([]byte, error) {
	if w, ok := t.writes[string(k)]; ok {
		return w.value, nil
	}
	return t.group.get(k)
}

// put writes a value, which may be empty but is never nil in what get returns.
func (t *tx) put(k, value []byte) {
	if value == nil {
		value = []byte{}
	}
	t.wrote++
	t.writes[string(k)] = write{value: value}
}

func (t *tx) delete(k []byte) {
	t.wrote++
	t.writes[string(k)] = write{deleted: true}
}

// reset forgets what the change has written so far.
func (t *tx) reset() { clear(t.writes) }

// takes is what measure returned of it.
func (t *tx) join(takes extent) {
	t.takes = t.takes.and(takes)
	for name, w := range t.writes {
		if _, again := t.group.writes[name]; !again {
			t.keys.ReplaceOrInsert(name)
		}
		t.group.writes[name] = w
		t.size += len(name) + len(w.value)
	}
	if t.ledger != nil {
		t.group.ledger = t.ledger
	}
	t.group.recount = t.group.recount || t.recount
	t.group.queued = t.group.queued || t.queued
}

// part returns a change of its own in the same group: what it writes is seen by the scans of the parts that come after its join.
func (t *tx) part() *tx { return &tx{group: t.group, writes: map[string]write{}} }

// group is what the changes of one transaction have written so far, over the snapshot that it began with. Badger's own transaction could
// tell as much, but sorts all of its pending writes for every scan.
type group struct {
	base   snapshot
	writes map[string]write
	keys   *btree.BTreeG[string]
	size   int
	takes  extent
	// most is what the transaction may take.
	most extent
	// ledger is the store's as the changes so far leave it.
	ledger          *recordpb.Ledger
	recount, queued bool
	// correction is what is to be added to the contents.
	correction map[transfer.Kind]transfer.Content
	// before remembers rows that were read from base, for the contents.
	before map[string][]byte
}

const btreeDegree = 16

func newGroup(base snapshot) *group {
	return &group{
		base: base, writes: map[string]write{}, keys: btree.NewOrderedG[string](btreeDegree), before: map[string][]byte{},
		most: extent{math.MaxInt, math.MaxInt},
	}
}

func (g *group) get(k []byte) ([]byte, error) {
	if w, ok := g.writes[string(k)]; ok {
		return w.value, nil
	}
	value, err := g.base.get(k)
	if err == nil && kindOf(k) != 0 {
		g.before[string(k)] = value
	}
	return value, err
}

// was returns a row as it was before the group.
func (g *group) was(name string) ([]byte, error) {
	if value, known := g.before[name]; known {
		return value, nil
	}
	return g.base.get([]byte(name))
}

//nolint:unparam // a reader has it
func (g *group) scan(prefix, from []byte, reverse bool, f visit) error {
	pending := g.under(prefix, from, reverse)
	if len(pending) == 0 {
		return g.base.scan(prefix, from, reverse, f)
	}
	stopped := false
	// show shows the pending keys up to, or as far back as, a limit, and tells whether to go on.
	show := func(limit string, all bool) (bool, error) {
		for len(pending) > 0 && (all || pending[0] == limit || (pending[0] < limit) != reverse) {
			name := pending[0]
			pending = pending[1:]
			w := g.writes[name]
			if w.deleted {
				continue
			}
			if goOn, err := f([]byte(name), func() ([]byte, error) { return w.value, nil }); err != nil || !goOn {
				stopped = true
				return false, err
			}
		}
		return true, nil
	}
	err := g.base.scan(prefix, from, reverse, func(k []byte, value func() ([]byte, error)) (bool, error) {
		name := string(k)
		if goOn, err := show(name, false); err != nil || !goOn {
			return false, err
		}
		if _, replaced := g.writes[name]; replaced {
			return true, nil
		}
		goOn, err := f(k, value)
		stopped = !goOn
		return goOn, err
	})
	if err != nil || stopped {
		return err
	}
	_, err = show("", true)
	return err
}

// under returns the written keys that a scan would meet, in its order.
func (g *group) under(prefix, from []byte, reverse bool) (names []string) {
	p := string(prefix)
	collect := func(name string) bool {
		if !strings.HasPrefix(name, p) {
			return false
		}
		names = append(names, name)
		return true
	}
	switch {
	case !reverse && from != nil:
		g.keys.AscendGreaterOrEqual(string(from), collect)
	case !reverse:
		g.keys.AscendGreaterOrEqual(p, collect)
	default:
		g.keys.DescendLessOrEqual(string(seekLast(prefix, from)), collect)
	}
	return names
}

// seekLast is where a scan in descending order begins.
func seekLast(prefix, from []byte) []byte {
	if from != nil {
		return from
	}
	// No id has a byte 0xff, and no moment begins with one.
	return append(append([]byte{}, prefix...), 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff)
}

// snapshot is the database as it was at a moment. ended, where there is one, says why a scan is to stop: its caller has gone, or the engine
// closes.
type snapshot struct {
	txn     *badger.Txn
	ended   func() error
	damages *damages
	// queued is what the committer's count of that name was before.
	queued uint64
	// gaps is what it knows and finds of the emptied indexes.
	gaps *lookout
}

// scanPatience is how many rows a scan reads before it asks whether it is still wanted.
const scanPatience = 256

func (s snapshot) get(k []byte) ([]byte, error) {
	item, err := s.txn.Get(k)
	if errors.Is(err, badger.ErrKeyNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, unavailable("read", err)
	}
	value, err := item.ValueCopy([]byte{})
	return value, unavailable("read", err)
}

func (s snapshot) scan(prefix, from []byte, reverse bool, f visit) error {
	if from == nil && !reverse {
		from = prefix
	}
	if s.gaps != nil && !reverse && isEmptied(string(prefix)) {
		return s.scanEmptied(prefix, from, f)
	}
	// Values lie beside their keys, so nothing is gained by reading them ahead, which costs a goroutine for each.
	it := s.txn.NewIterator(badger.IteratorOptions{Reverse: reverse, Prefix: prefix})
	defer it.Close()
	if reverse {
		from = seekLast(prefix, from)
	}
	n := 0
	for it.Seek(from); it.ValidForPrefix(prefix); it.Next() {
		if n++; n%scanPatience == 0 && s.ended != nil {
			if err := s.ended(); err != nil {
				return err
			}
		}
		item := it.Item()
		goOn, err := f(item.KeyCopy(nil), func() ([]byte, error) {
			value, err := item.ValueCopy([]byte{})
			return value, unavailable("read", err)
		})
		if err != nil || !goOn {
			return err
		}
	}
	return nil
}

func firstKey(r reader, prefix, from []byte) (first []byte, err error) {
	err = r.scan(prefix, from, false, func(k []byte, _ func() ([]byte, error)) (bool, error) {
		first = k
		return false, nil
	})
	return first, err
}
