package badger

import (
	"slices"
	"strings"
	"sync"

	"github.com/google/btree"
)

// emptied are the indexes whose entries go in the order in which they came, or nearly. What was deleted stays in the database until it is
// compacted, and whoever reads such an index from its beginning passes all of it: after a day of work that takes longer than the work itself.
var emptied = [][]byte{
	indexExpiry, indexSubject, indexEndedDue, indexGrantDue, indexOperationAge, indexJobRunning, indexJobAge, indexNoticeDue, indexNoticePurge,
	tableJournal,
}

// emptiedByByte lists them by the first byte of their keys.
var emptiedByByte = func() (lists [256][]string) {
	for _, index := range emptied {
		lists[index[0]] = append(lists[index[0]], string(index))
	}
	return lists
}()

// isEmptied tells whether a key, or a prefix, is of one of them.
func isEmptied(k string) bool {
	if k == "" {
		return false
	}
	for _, index := range emptiedByByte[k[0]] {
		if strings.HasPrefix(k, index) {
			return true
		}
	}
	return false
}

const (
	// worthGap is how many deleted keys in a row are worth to be remembered.
	worthGap = 64
	// maxGaps bounds what is remembered. Beyond it all is forgotten, and found again by whoever passes.
	maxGaps = 1 << 14
	// maxFilled bounds what a lookout writes down. One that has seen more finds nothing any more.
	maxFilled = 1 << 14
)

// gap is a stretch of keys with nothing in it, from the first on and up to, but without, the last. Cut tells of each end whether it is a key
// that came into the stretch later.
type gap struct {
	from, to       string
	cutLow, cutTop bool
}

// gaps remembers stretches of the emptied indexes that are long to read and have nothing in them. It is a memory of reads: to lose it costs
// time alone. That no gap hides an entry rests on the committer, the only writer: it says what it is about to put, which takes that key out of
// every gap, known or being found, before a reader can see it. A gap may be newer than the snapshot of a reader who jumps over it: he misses an
// entry that is gone by now, and where it was moved, he finds it when he looks again. The committer's own snapshot is the newest.
type gaps struct {
	mutex sync.Mutex
	known *btree.BTreeG[gap]
	// putting are the keys that the transaction under way puts.
	putting  []string
	lookouts map[*lookout]struct{}
}

func newGaps() *gaps {
	return &gaps{
		known:    btree.NewG(btreeDegree, func(a, b gap) bool { return a.from < b.from }),
		lookouts: map[*lookout]struct{}{},
	}
}

// lookout is a reader's, who finds gaps. It is made before his snapshot; nil knows and finds none.
type lookout struct {
	gaps *gaps
	// filled are the keys that were put since: the snapshot may not have them.
	filled []string
	late   bool
}

func (g *gaps) lookOut() *lookout {
	g.mutex.Lock()
	defer g.mutex.Unlock()
	l := &lookout{gaps: g, filled: slices.Clone(g.putting)}
	g.lookouts[l] = struct{}{}
	return l
}

func (l *lookout) close() {
	l.gaps.mutex.Lock()
	defer l.gaps.mutex.Unlock()
	delete(l.gaps.lookouts, l)
}

// jump returns the first key from a key on that may be there.
func (l *lookout) jump(from []byte) []byte {
	if l == nil {
		return from
	}
	l.gaps.mutex.Lock()
	defer l.gaps.mutex.Unlock()
	if around, found := l.gaps.around(string(from)); found {
		return []byte(around.to)
	}
	return from
}

// around returns the gap that a key lies in.
func (g *gaps) around(k string) (around gap, found bool) {
	g.known.DescendLessOrEqual(gap{from: k}, func(item gap) bool {
		around, found = item, k < item.to
		return false
	})
	return around, found
}

// found remembers that the snapshot has nothing from one key on up to another.
func (l *lookout) found(from, to []byte) {
	if l == nil {
		return
	}
	g := l.gaps
	g.mutex.Lock()
	defer g.mutex.Unlock()
	if l.late {
		return
	}
	g.add(gap{from: string(from), to: string(to)})
	for _, k := range l.filled { // others were cut out of what was known when they were put
		if k >= string(from) && k < string(to) {
			g.cut(k)
		}
	}
}

// add joins a gap with those that it touches.
func (g *gaps) add(added gap) {
	g.known.DescendLessOrEqual(added, func(item gap) bool {
		if item.to >= added.from && item.from < added.from {
			added.from, added.cutLow = item.from, item.cutLow
			if item.to > added.to {
				added.to, added.cutTop = item.to, item.cutTop
			}
		}
		return false
	})
	var inside []gap
	g.known.AscendGreaterOrEqual(added, func(item gap) bool {
		if item.from > added.to {
			return false
		}
		inside = append(inside, item)
		if item.to > added.to {
			added.to, added.cutTop = item.to, item.cutTop
		}
		return true
	})
	for _, item := range inside {
		g.known.Delete(item)
	}
	g.known.ReplaceOrInsert(added)
	if g.known.Len() > maxGaps {
		g.known.Clear(false)
	}
}

// cut takes a key out of its gap. What is left between two keys that came later is not remembered: entries that come one after another would
// leave as many.
func (g *gaps) cut(k string) {
	around, found := g.around(k)
	if !found {
		return
	}
	g.known.Delete(around)
	if low := (gap{from: around.from, to: k, cutLow: around.cutLow, cutTop: true}); low.from < low.to && !low.cutLow {
		g.known.ReplaceOrInsert(low)
	}
	if top := (gap{from: k + "\x00", to: around.to, cutLow: true, cutTop: around.cutTop}); top.from < top.to && !top.cutTop {
		g.known.ReplaceOrInsert(top)
	}
}

// put is called before the commit of a transaction that puts keys.
func (g *gaps) put(keys []string) {
	g.mutex.Lock()
	defer g.mutex.Unlock()
	g.putting = keys
	for _, k := range keys {
		g.cut(k)
	}
	for l := range g.lookouts {
		if l.late = l.late || len(l.filled)+len(keys) > maxFilled; !l.late {
			l.filled = append(l.filled, keys...)
		}
	}
}

// committed is called after it, with the keys that it has deleted, or without any if it failed. One that lies at the end of a gap joins it.
func (g *gaps) committed(deleted []string) {
	g.mutex.Lock()
	defer g.mutex.Unlock()
	g.putting = nil
	for _, k := range deleted {
		touches := g.known.Has(gap{from: k + "\x00"})
		g.known.DescendLessOrEqual(gap{from: k}, func(item gap) bool {
			touches = touches || item.to == k
			return false
		})
		if touches {
			g.add(gap{from: k, to: k + "\x00"})
		}
	}
}
