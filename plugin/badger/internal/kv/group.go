package kv

// Groups: the changes that are committed as one transaction.

import (
	"cmp"
	"math"
	"slices"
	"strings"

	"github.com/google/btree"

	"github.com/fosite-sessions/sessions/plugin/badger/internal/recordpb"
	"github.com/fosite-sessions/sessions/plugin/transfer"
)

// group holds the writes of a transaction's changes so far, over the snapshot at its beginning. Badger's own
// transaction holds them too, but sorts all pending writes for every scan.
type group struct {
	base   Snapshot
	writes map[string]write
	// keys are the keys of writes in order, nil until a scan needs them: most changes only read rows.
	keys *btree.BTreeG[string]
	// gathered are ids for rows shared by the changes.
	gathered []gathered
	size     int
	used     extent
	// limit is the size limit of the transaction.
	limit extent
	// ledger is the store's ledger after the changes so far.
	ledger          *recordpb.Ledger
	recount, queued bool
	// correction is added to the contents.
	correction map[transfer.Kind]transfer.Content
	// before caches rows read from base, which does not change: a change reads the row of a session
	// repeatedly, and the contents need the replaced rows.
	before map[string][]byte
	// room is the largest number of rows that these maps have held.
	room int
	// spare is an empty map for the writes of the next change.
	spare map[string]write
}

const btreeDegree = 16

// newGroup returns an empty group. likely is its expected number of writes: growing a map repeatedly costs
// more than filling it.
func newGroup(base Snapshot, likely int) *group {
	return &group{
		base: base, writes: make(map[string]write, likely),
		before: make(map[string][]byte, likely), limit: extent{math.MaxInt, math.MaxInt},
	}
}

// next returns an empty group that takes over the maps of this one, which must not be used any more. If the
// maps are far larger than this group needed, new ones are made, because clearing a map takes time
// proportional to its size.
func (g *group) next(base Snapshot) *group {
	used := max(len(g.writes), len(g.before))
	room := max(g.room, used)
	if used < room/8 {
		n := newGroup(base, used)
		n.spare = g.spare
		return n
	}
	clear(g.writes)
	clear(g.before)
	return &group{
		base: base, writes: g.writes, before: g.before, room: room, spare: g.spare,
		limit: extent{math.MaxInt, math.MaxInt},
	}
}

// Get implements Reader.
func (g *group) Get(k []byte) ([]byte, error) {
	if w, ok := g.writes[string(k)]; ok {
		return w.value, nil
	}
	if value, known := g.before[string(k)]; known {
		return value, nil
	}
	value, err := g.base.Get(k)
	if err == nil {
		g.before[string(k)] = value
	}
	return value, err
}

// put writes a row of metadata.
func (g *group) put(k, value []byte) { g.writes[string(k)] = write{key: k, value: value} }

// maxGathered bounds the ids in a row, and thereby the work of a change that walks through some rows.
const maxGathered = 64

// putGathered writes the rows shared by the changes. If a row exists, its ids are kept: the id in its key may
// have come back, and only this row leads to the others.
func (g *group) putGathered() error {
	slices.SortFunc(g.gathered, func(a, b gathered) int {
		return cmp.Or(strings.Compare(a.prefix, b.prefix), strings.Compare(a.id, b.id))
	})
	for rest := g.gathered; len(rest) > 0; {
		first, n := rest[0], 1
		k := []byte(first.prefix + first.id)
		before, err := g.Get(k)
		if err != nil {
			return err
		}
		others := slices.Clone(before)
		for ; n < len(rest) && n < maxGathered && rest[n].prefix == first.prefix; n++ {
			if len(others) > 0 {
				others = append(others, 0)
			}
			others = append(others, rest[n].id...)
		}
		g.put(k, others)
		rest = rest[n:]
	}
	return nil
}

// was returns a row as it was before the group.
func (g *group) was(name string) ([]byte, error) {
	if value, known := g.before[name]; known {
		return value, nil
	}
	return g.base.Get([]byte(name))
}

// Scan implements Reader.
func (g *group) Scan(prefix, from []byte, reverse bool, f Visit) error {
	pending := g.under(prefix, from, reverse)
	if len(pending) == 0 {
		return g.base.Scan(prefix, from, reverse, f)
	}
	stopped := false
	// show visits the pending keys up to a limit, in scan direction, and reports whether to continue.
	show := func(limit string, all bool) (bool, error) {
		for len(pending) > 0 && (all || pending[0] == limit || (pending[0] < limit) != reverse) {
			name := pending[0]
			pending = pending[1:]
			w := g.writes[name]
			if w.deleted {
				continue
			}
			goOn, err := f([]byte(name), func() ([]byte, error) { return w.value, nil })
			if err != nil || !goOn {
				stopped = true
				return false, err
			}
		}
		return true, nil
	}
	err := g.base.Scan(prefix, from, reverse, func(k []byte, value func() ([]byte, error)) (bool, error) {
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

// under returns the written keys within a scan's range, in its order.
func (g *group) under(prefix, from []byte, reverse bool) (names []string) {
	if g.keys == nil {
		g.keys = btree.NewOrderedG[string](btreeDegree)
		for name := range g.writes {
			g.keys.ReplaceOrInsert(name)
		}
	}
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

// seekLast returns where a descending scan begins.
func seekLast(prefix, from []byte) []byte {
	if from != nil {
		return from
	}
	// No id contains the byte 0xff, and no time begins with it.
	return append(append([]byte{}, prefix...), 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff)
}

// StepOver implements Reader.
func (g *group) StepOver(err error) error { return g.base.StepOver(err) }
