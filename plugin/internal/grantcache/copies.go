package grantcache

// copies: what a cache holds for as long as one stream lasts.

import (
	"slices"
	"sync"
	"sync/atomic"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/plugin/kills"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// overhead is what a copy takes besides its texts and its data, in bytes: its entry and its index
// (TestCopiesTakeWhatIsCounted).
const overhead = 900

// copies are live access and refresh tokens, all of one stream. One lock guards them: hits read, the rest
// writes.
type copies struct {
	meter *Meter
	bound int64
	// applied is the position of the last kill that was told: what it names is gone from here.
	applied atomic.Uint64
	// stop ends the stream.
	stop func()

	mu    sync.RWMutex
	ended bool
	why   error                      // they were ended
	byKey map[ticketstore.Key]*entry // of either type: no two tokens have a key
	bySID map[string]*entry          // the first of each session's
	queue queue
	bytes int64
	// recent are kept for reads on their way: one that took longer fills nothing.
	recent kills.Ring
	// advanced is closed by the next kill, and at the end; nil while nobody waits.
	advanced chan struct{}
}

// entry is a copy, in the queue of all and in the list of its session.
type entry struct {
	found grantstore.GetResult
	memo  grantstore.Memo
	bytes int64
	// used: there was a hit since the queue looked last.
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

// get returns a copy, nil where there is none.
func (c *copies) get(ref grantstore.Ref) *grantstore.GetResult {
	c.mu.RLock()
	defer c.mu.RUnlock()
	e := c.of(ref)
	if e == nil {
		return nil
	}
	if !e.used.Load() { // written once, not at each hit: other processors read it too
		e.used.Store(true)
	}
	return &e.found
}

// of returns the entry of a token, nil where there is none. A refresh token that is asked for as an access
// token is none.
func (c *copies) of(ref grantstore.Ref) *entry {
	if e := c.byKey[ref.Key]; e != nil && e.found.Grant.Type == ref.Type {
		return e
	}
	return nil
}

// forget takes a copy out.
func (c *copies) forget(ref grantstore.Ref) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.of(ref); e != nil {
		c.remove(e)
	}
}

// fill takes what a call has found, or stored, that began at a position. It returns what is shared from then
// on, or what was found where that is not kept.
func (c *copies) fill(found *grantstore.GetResult, since uint64) *grantstore.GetResult {
	e := &entry{found: *found, bytes: sizeOf(&found.Grant)}
	e.found.Memo = &e.memo
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.ended, e.bytes > c.bound, len(found.Related) > 0: // which no copied token has, nor sizeOf counts
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

// sizeOf is what a copy of a grant takes, in bytes. Its data is held sealed and as its reader has opened it
// (grantstore.Memo), and memory is given out in sizes that are up to an eighth larger.
func sizeOf(g *grantstore.Grant) int64 {
	return int64(overhead + len(g.Data) + len(g.Data)/8 + grantstore.MemoSize(len(g.Data)) +
		len(g.RequestID) + len(g.SubjectID) + len(g.SessionID) + len(g.ClientID) + len(g.Description))
}

// killedSince reports whether a kill behind a position names the grant, or may.
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

// apply takes out what a kill names. It reports whether the kill is the next one.
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
	c.applied.Store(kill.Position) // what it names is gone: answers that wait for it may be handed on
	c.meter.kills.Add(1)
	c.wake()
	return true
}

// waitFor returns what is closed by the next kill or at the end, nil if nothing is to be waited for.
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

// end takes all copies out of use, and ends their stream. It returns why that was done first.
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

// wake must be called with the lock held, as all that follow.
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

// queue has the entries in the order in which they came, and says which goes for want of room: the oldest
// that had no hit since the hand passed it (SIEVE). A hit moves nothing.
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

// victim must not be asked of an empty queue.
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
