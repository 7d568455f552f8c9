package grantcache

// copies: the contents of a cache for the duration of one stream.

import (
	"slices"
	"sync"
	"sync/atomic"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/plugin/kills"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// overhead is the memory of a copy besides its strings and data, in bytes: its entry and its index
// (TestCopiesUseCountedMemory).
const overhead = 900

// copies are live access and refresh tokens, all from one stream. One lock guards them: hits take it for
// reading, everything else for writing.
type copies struct {
	meter *Meter
	bound int64
	// applied is the position of the last applied kill: the tokens that it named are no longer here.
	applied atomic.Uint64
	// stop ends the stream.
	stop func()

	mu    sync.RWMutex
	ended bool
	why   error                      // they have ended
	byKey map[ticketstore.Key]*entry // of both types: no two tokens share a key
	bySID map[string]*entry          // the first entry of each session
	queue queue
	bytes int64
	// recent holds recent kills for reads in flight: a read that is older than all of them fills nothing.
	recent kills.Ring
	// advanced is closed by the next kill, and at the end. It is nil if nobody waits.
	advanced chan struct{}
}

// entry is a copy, linked into the queue and the list of its session.
type entry struct {
	found grantstore.GetResult
	memo  grantstore.Memo
	bytes int64
	// used is set if there was a hit since the hand passed.
	used                   atomic.Bool
	older, newer           *entry
	beforeInSID, nextInSID *entry
}

func newCopies(position uint64, bound int64, meter *Meter, stop func()) *copies {
	c := &copies{
		meter: meter, bound: bound, stop: stop, recent: kills.Ring{Forgotten: position},
		byKey: map[ticketstore.Key]*entry{}, bySID: map[string]*entry{},
	}
	c.applied.Store(position)
	return c
}

// get returns a copy, or nil if there is none.
func (c *copies) get(ref grantstore.Ref) *grantstore.GetResult {
	c.mu.RLock()
	defer c.mu.RUnlock()
	e := c.of(ref)
	if e == nil {
		return nil
	}
	if !e.used.Load() { // written once, not at each hit: other CPUs read it too
		e.used.Store(true)
	}
	return &e.found
}

// of returns the entry of a token, or nil if there is none. A key with a different type does not match.
func (c *copies) of(ref grantstore.Ref) *entry {
	if e := c.byKey[ref.Key]; e != nil && e.found.Grant.Type == ref.Type {
		return e
	}
	return nil
}

// forget removes a copy.
func (c *copies) forget(ref grantstore.Ref) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.of(ref); e != nil {
		c.remove(e)
	}
}

// fill adds a grant that was found or stored by a call that began at position since. It returns the shared
// copy, or found if nothing was cached.
func (c *copies) fill(found *grantstore.GetResult, since uint64) *grantstore.GetResult {
	e := &entry{found: *found, bytes: sizeOf(&found.Grant)}
	e.found.Memo = &e.memo
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.ended, e.bytes > c.bound, len(found.Related) > 0: // sizeOf does not count Related
		return found
	case c.killedSince(since, &found.Grant):
		c.meter.refusals.Add(1)
		return found
	}
	if old := c.byKey[found.Grant.Key]; old != nil {
		c.remove(old)
	}
	for c.bytes+e.bytes > c.bound {
		c.remove(c.queue.victim())
		c.meter.evictions.Add(1)
	}
	c.add(e)
	c.meter.fills.Add(1)
	return &e.found
}

// sizeOf returns the memory of a copy, in bytes. Its data is held both sealed and as opened by its reader
// (grantstore.Memo), and size classes of the allocator are up to an eighth larger.
func sizeOf(g *grantstore.Grant) int64 {
	return int64(overhead + len(g.Data) + len(g.Data)/8 + grantstore.MemoSize(len(g.Data)) +
		len(g.RequestID) + len(g.SubjectID) + len(g.SessionID) + len(g.ClientID) + len(g.Description))
}

// killedSince reports whether a kill after a position names the grant, or may.
func (c *copies) killedSince(since uint64, g *grantstore.Grant) bool {
	for p := since + 1; p <= c.applied.Load(); p++ {
		kill := c.recent.At(p)
		if kill == nil || kill.All || slices.Contains(kill.Grants, g.Ref) ||
			(g.SessionID != "" && slices.Contains(kill.Sessions, g.SessionID)) {
			return true
		}
	}
	return false
}

// apply removes the copies that a kill names. It reports whether the kill is the next one.
func (c *copies) apply(kill *grantstore.Kill) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if kill.Position != c.applied.Load()+1 {
		return false
	}
	if kill.All {
		c.clear()
	}
	for _, sid := range kill.Sessions {
		for e := c.bySID[sid]; e != nil; e = c.bySID[sid] {
			c.remove(e)
		}
	}
	for _, ref := range kill.Grants {
		if e := c.of(ref); e != nil {
			c.remove(e)
		}
	}
	c.recent.Put(kill)
	c.applied.Store(kill.Position) // after the removal: answers that wait for it may now be returned
	c.meter.kills.Add(1)
	c.wake()
	return true
}

// waitFor returns a channel that is closed by the next kill or at the end, or nil if there is nothing to wait
// for.
func (c *copies) waitFor(position uint64) <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended || c.applied.Load() >= position {
		return nil
	}
	if c.advanced == nil {
		c.advanced = make(chan struct{})
	}
	return c.advanced
}

// end takes all copies out of use and ends their stream. It returns the reason if that was done before.
func (c *copies) end(why error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.ended {
		c.ended, c.why = true, why
		c.clear()
		c.meter.drops.Add(1)
		c.wake()
		c.stop()
	}
	return c.why
}

// wake wakes the waiters. The caller holds the lock, as for all functions below.
func (c *copies) wake() {
	if c.advanced != nil {
		close(c.advanced)
		c.advanced = nil
	}
}

func (c *copies) clear() {
	c.account(-c.bytes, -len(c.byKey))
	clear(c.byKey)
	clear(c.bySID)
	c.queue = queue{}
}

func (c *copies) account(bytes int64, entries int) {
	c.bytes += bytes
	c.meter.bytes.Add(bytes)
	c.meter.entries.Add(int64(entries))
}

func (c *copies) add(e *entry) {
	c.byKey[e.found.Grant.Key] = e
	if sid := e.found.Grant.SessionID; sid != "" {
		if e.nextInSID = c.bySID[sid]; e.nextInSID != nil {
			e.nextInSID.beforeInSID = e
		}
		c.bySID[sid] = e
	}
	c.queue.push(e)
	c.account(e.bytes, 1)
}

func (c *copies) remove(e *entry) {
	g := &e.found.Grant
	delete(c.byKey, g.Key)
	switch {
	case e.beforeInSID != nil:
		e.beforeInSID.nextInSID = e.nextInSID
	case e.nextInSID != nil:
		c.bySID[g.SessionID] = e.nextInSID
	default:
		delete(c.bySID, g.SessionID)
	}
	if e.nextInSID != nil {
		e.nextInSID.beforeInSID = e.beforeInSID
	}
	c.queue.remove(e)
	c.account(-e.bytes, -1)
}

// queue holds the entries in insertion order and selects which one to evict: the oldest without a hit since
// the hand passed it (SIEVE). A hit moves nothing.
type queue struct{ oldest, newest, hand *entry }

func (q *queue) push(e *entry) {
	if e.older = q.newest; e.older != nil {
		e.older.newer = e
	} else {
		q.oldest = e
	}
	q.newest = e
}

func (q *queue) remove(e *entry) {
	if q.hand == e {
		q.hand = e.newer
	}
	if e.older != nil {
		e.older.newer = e.newer
	} else {
		q.oldest = e.newer
	}
	if e.newer != nil {
		e.newer.older = e.older
	} else {
		q.newest = e.older
	}
}

// victim returns the entry to evict. The queue must not be empty.
func (q *queue) victim() *entry {
	e := q.hand
	for {
		if e == nil {
			e = q.oldest
		}
		if !e.used.Load() {
			break
		}
		e.used.Store(false)
		e = e.newer
	}
	q.hand = e
	return e
}
