package kv

// The tombstone cache: ranges of an index with only deleted keys, which scans skip.

import (
	"slices"
	"strings"
	"sync"

	"github.com/google/btree"

	"github.com/fosite-sessions/sessions/plugin/badger/internal/layout"
)

// queueIndexes are the indexes whose entries are deleted in about the order of insertion. Badger keeps the
// tombstones of deleted keys until they are compacted, and a scan from the beginning of such an index reads
// all of them: after a day this takes longer than the actual work.
var queueIndexes = [][]byte{
	layout.IndexExpiry, layout.IndexSubject, layout.IndexEndedDue, layout.IndexGrantDue,
	layout.IndexOperationAge, layout.IndexJobRunning, layout.IndexJobAge, layout.IndexNotificationDue,
	layout.IndexNotificationPurge, layout.TableJournal,
}

// queueIndexesByByte lists them by the first byte of their keys.
var queueIndexesByByte = func() (lists [256][]string) {
	for _, index := range queueIndexes {
		lists[index[0]] = append(lists[index[0]], string(index))
	}
	return lists
}()

// isQueueIndex reports whether a key or prefix belongs to one of them.
func isQueueIndex(k string) bool {
	if k == "" {
		return false
	}
	for _, index := range queueIndexesByByte[k[0]] {
		if strings.HasPrefix(k, index) {
			return true
		}
	}
	return false
}

const (
	// minSpan is the minimum number of consecutive tombstones for a span.
	minSpan = 64
	// maxSpans bounds the cache. Beyond it, all spans are dropped, and later scans find them again.
	maxSpans = 1 << 14
	// maxFilled bounds the keys recorded by an observer. Beyond it, the observer adds nothing more to the
	// cache.
	maxFilled = 1 << 14
)

// span is a range of keys [from, to) without an entry. cutLow and cutTop record whether that end was cut by a
// key that was put later.
type span struct {
	from, to       string
	cutLow, cutTop bool
}

// tombstones is the cache of spans of the queue indexes. It is built from what scans have read, so losing
// it costs only time.
//
// No span hides an entry, because the committer, the only writer, announces the keys that it is about to put
// before the commit. They are then cut out of every span, both of those in the cache and of those that a scan
// is still reading.
//
// A span may be newer than a reader's snapshot, in which an entry deleted since still exists. The reader then
// misses that entry, as it would with a snapshot made a moment later. That is harmless: every reader of these
// indexes looks for due work, does it in its own change, which the committer applies to the newest state, and
// returns. An entry that was moved instead of deleted is found at its new place the next time.
type tombstones struct {
	mutex sync.Mutex
	known *btree.BTreeG[span]
	// putting are the keys that the running transaction puts.
	putting   []string
	observers map[*observer]struct{}
}

func newTombstones() *tombstones {
	return &tombstones{
		known:     btree.NewG(btreeDegree, func(a, b span) bool { return a.from < b.from }),
		observers: map[*observer]struct{}{},
	}
}

// observer is a reader's handle to the cache. It is created before the reader's snapshot, so that it records
// all keys that the snapshot may lack. A nil observer knows and finds no span.
type observer struct {
	cache *tombstones
	// filled are the keys put since: the snapshot may not have them.
	filled []string
	// late: there were more than maxFilled.
	late bool
}

// observe returns an observer. The caller must close it.
func (c *tombstones) observe() *observer {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	l := &observer{cache: c, filled: slices.Clone(c.putting)}
	c.observers[l] = struct{}{}
	return l
}

func (l *observer) close() {
	l.cache.mutex.Lock()
	defer l.cache.mutex.Unlock()
	delete(l.cache.observers, l)
}

// jump returns the first key at or after from that may exist.
func (l *observer) jump(from []byte) []byte {
	if l == nil {
		return from
	}
	l.cache.mutex.Lock()
	defer l.cache.mutex.Unlock()
	if around, found := l.cache.around(string(from)); found {
		return []byte(around.to)
	}
	return from
}

// around returns the span that contains a key.
func (c *tombstones) around(k string) (around span, found bool) {
	c.known.DescendLessOrEqual(span{from: k}, func(item span) bool {
		around, found = item, k < item.to
		return false
	})
	return around, found
}

// found records that the snapshot has no key in [from, to).
func (l *observer) found(from, to []byte) {
	if l == nil {
		return
	}
	g := l.cache
	g.mutex.Lock()
	defer g.mutex.Unlock()
	if l.late {
		return
	}
	g.add(span{from: string(from), to: string(to)})
	for _, k := range l.filled { // other keys were cut out of known spans when they were put
		if k >= string(from) && k < string(to) {
			g.cut(k)
		}
	}
}

// add adds a span, merged with adjacent ones.
func (c *tombstones) add(added span) {
	c.known.DescendLessOrEqual(added, func(item span) bool {
		if item.to >= added.from && item.from < added.from {
			added.from, added.cutLow = item.from, item.cutLow
			if item.to > added.to {
				added.to, added.cutTop = item.to, item.cutTop
			}
		}
		return false
	})
	var inside []span
	c.known.AscendGreaterOrEqual(added, func(item span) bool {
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
		c.known.Delete(item)
	}
	c.known.ReplaceOrInsert(added)
	if c.known.Len() > maxSpans {
		c.known.Clear(false)
	}
}

// cut cuts a key out of its span. A remainder between two keys that were put later is dropped: otherwise
// entries inserted one after another would leave as many spans.
func (c *tombstones) cut(k string) {
	around, found := c.around(k)
	if !found {
		return
	}
	c.known.Delete(around)
	low := span{from: around.from, to: k, cutLow: around.cutLow, cutTop: true}
	if low.from < low.to && !low.cutLow {
		c.known.ReplaceOrInsert(low)
	}
	top := span{from: k + "\x00", to: around.to, cutLow: true, cutTop: around.cutTop}
	if top.from < top.to && !top.cutTop {
		c.known.ReplaceOrInsert(top)
	}
}

// put is called with the keys that a transaction puts, before its commit.
func (c *tombstones) put(keys []string) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	c.putting = keys
	for _, k := range keys {
		c.cut(k)
	}
	for l := range c.observers {
		if l.late = l.late || len(l.filled)+len(keys) > maxFilled; !l.late {
			l.filled = append(l.filled, keys...)
		}
	}
}

// committed is called after a commit with the keys that it deleted, or with none if it failed. A deleted key
// adjacent to a span joins it.
func (c *tombstones) committed(deleted []string) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	c.putting = nil
	for _, k := range deleted {
		touches := c.known.Has(span{from: k + "\x00"})
		c.known.DescendLessOrEqual(span{from: k}, func(item span) bool {
			touches = touches || item.to == k
			return false
		})
		if touches {
			c.add(span{from: k, to: k + "\x00"})
		}
	}
}
