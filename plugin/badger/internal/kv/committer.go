package kv

// The committer: group commit of changes, one transaction and one sync for all that are waiting.

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/dgraph-io/badger/v4"

	"github.com/fosite-sessions/sessions/plugin/badger/internal/disk"
	"github.com/fosite-sessions/sessions/plugin/kills"
	"github.com/fosite-sessions/sessions/plugin/spans"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// Bounds of a transaction that is to take one more change. What Badger itself takes is measured: see extent.
const (
	maxGroup      = 512
	maxGroupKeys  = 20_000
	maxGroupBytes = 4 << 20
)

// committer applies changes one after another, as many as are waiting in one transaction, and so with one
// sync of the disk. It is the database's only writer. Each change is answered alone: one that fails leaves no
// trace in the transaction of its neighbours.
//
// Users wait for some changes. The others, such as the ends of sessions that fell due, are background changes
// with a queue of their own: each transaction takes what users wait for first, and then some of the
// background, so that neither queue starves the other.
type committer struct {
	db         *badger.DB
	metadata   metadata
	recent     *recent
	changes    chan *Change
	background chan *Change
	stopped    chan struct{}
	// most bounds the changes of one transaction.
	most int
	// takes is what a transaction may take.
	takes extent
	// held is a change that did not fit into the transaction before, last the group of that transaction.
	held       *Change
	last       *group
	damages    *damages
	tombstones *tombstones
	space      *disk.Space
	// commits counts the transactions.
	commits atomic.Uint64
	// queued counts the transactions in which notifications fell due. It is raised after each.
	queued atomic.Uint64
	kills  kills.Log
	// doubts wakes tendContents, which counts the contents again.
	doubts  chan struct{}
	failure *failure
	meter   meter
	views   views
	// sync commits a transaction, for tests to hold or fail.
	sync func(txn *badger.Txn) error
	// witness is asked whether the file system can still be written, "" where opening a file shows it.
	witness string
}

// Change is what a transaction takes of one caller.
type Change struct {
	// Apply may be called a second time, with another tx, when the change did not fit into the transaction of
	// its neighbours.
	Apply func(tx *Tx) error
	// Moves: the change is part of moving the store, which no state of it forbids.
	Moves bool
	// Background: no user waits for it.
	Background bool
	// Spare: it may use the room on the disk that is kept free.
	Spare bool
	err   error
	done  chan struct{}
	// spans are those of the call, nil where it is not traced; asked is then when it came.
	spans *spans.Recorder
	asked time.Time
	// taken by the committer, to apply it, or back by its caller, who gave up before that.
	taken atomic.Bool
	// held: it did not fit into the transaction before. The committer's alone.
	held bool
}

// newCommitter starts the committer of a database. recent is what its cache of rows takes, in bytes.
func newCommitter(
	db *badger.DB, damages *damages, space *disk.Space, failure *failure, recent int64,
) (*committer, error) {
	c := &committer{
		db: db, most: maxGroup, stopped: make(chan struct{}),
		changes: make(chan *Change, maxGroup), background: make(chan *Change, maxGroup),
		takes: extentOf(db), last: newGroup(Snapshot{}, 0),
		damages: damages, tombstones: newTombstones(), space: space, failure: failure,
		doubts: make(chan struct{}, 1), sync: (*badger.Txn).Commit,
	}
	if err := c.metadata.open(db); err != nil {
		return nil, err
	}
	now := db.NewTransaction(false)
	c.views = newViews(now)
	c.recent = newRecent(recent, now.ReadTs())
	go c.run()
	return c, nil
}

// close applies what is waiting and ends. do must not be called afterwards: DB.gate sees to it.
func (c *committer) close() {
	close(c.changes)
	close(c.background)
	<-c.stopped
	c.kills.Close()
	c.views.close()
}

// do has the change applied and waits until it is durable. A caller that gives up before the change is begun
// takes it back; later it waits for its end, which is near: nothing writes to what the change tells its
// caller once do has returned.
func (c *committer) do(ctx context.Context, ch *Change) error {
	ch.done = make(chan struct{})
	if ch.spans = spans.FromContext(ctx); ch.spans != nil {
		ch.asked = time.Now()
	}
	queue := c.changes
	if ch.Background {
		queue = c.background
	}
	select {
	case queue <- ch:
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case <-ch.done:
		return ch.err
	case <-ctx.Done():
		if ch.taken.CompareAndSwap(false, true) {
			return ctx.Err()
		}
		<-ch.done
		return ch.err
	}
}

func (c *committer) run() {
	defer close(c.stopped)
	for changes, background := c.changes, c.background; changes != nil || background != nil; {
		var first *Change
		select {
		case first = <-changes:
			if first == nil {
				changes = nil // closed and drained
			}
		case first = <-background:
			if first == nil {
				background = nil
			}
		}
		for first != nil {
			c.commit(first)
			first, c.held = c.held, nil
		}
	}
}

// commit applies first and whatever else is waiting.
func (c *committer) commit(first *Change) {
	at := times{began: time.Now()}
	observer := c.tombstones.observe()
	defer observer.close()
	base := c.views.take()
	defer c.views.give(base)
	g := c.last.next(Snapshot{txn: base.txn, damages: c.damages, tombstones: observer, recent: c.recent})
	c.last = g
	g.ledger, g.most = c.metadata.ledger.Load(), c.takes
	room := c.space.Look()
	changes := c.gather(g, first, room)
	at.applied = time.Now()
	// of what is done in the background, and of the commit before: its rows were just read
	err := c.failure.err()
	if err == nil {
		err = unavailable("commit", c.write(g, room))
	}
	at.durable = time.Now()
	if err == nil && len(g.writes) > 0 {
		c.meter.committed(len(changes), at.durable.Sub(at.applied))
	}
	at.trace(changes)
	finish(changes, err)
}

// gather applies first and whatever else is waiting to a group, as long as that has room, and returns them.
func (c *committer) gather(g *group, first *Change, room disk.Room) (changes []*Change) {
	var used quota
	for next := first; next != nil; {
		if !next.held && !next.taken.CompareAndSwap(false, true) {
			next = c.waiting(&used) // its caller has given up
			continue
		}
		keys, fits := c.join(g, next, room)
		if !fits {
			next.held, c.held = true, next // applied again, to the next transaction
			return changes
		}
		changes = append(changes, next)
		used.add(next, keys)
		next = nil
		if len(changes) < c.most && len(g.writes) < maxGroupKeys && g.size < maxGroupBytes &&
			g.takes.bytes < c.takes.bytes/2 {
			next = c.waiting(&used)
		}
	}
	return changes
}

// join applies a change to a group, and returns how many keys it has written and whether it fits beside the
// others. One that fails leaves no trace.
func (c *committer) join(g *group, ch *Change, room disk.Room) (keys int, fits bool) {
	t := newTx(g)
	defer t.done()
	ch.err = Admitted(g.ledger, ch.Moves)
	if ch.err == nil && !ch.Spare {
		ch.err = room.Refuses()
	}
	if ch.err == nil {
		ch.err = ch.Apply(t)
	}
	takes := t.measure()
	if ch.err == nil && len(t.writes) > 0 {
		if !takes.within(c.takes) {
			ch.err = &TooLargeError{takes, c.takes}
		} else if !takes.and(g.takes).within(c.takes) {
			return 0, false
		}
	}
	if ch.err == nil {
		t.join(takes)
	}
	return len(t.writes), true
}

// write makes the changes of a group durable.
func (c *committer) write(g *group, room disk.Room) error {
	if len(g.writes) == 0 && g.ledger == c.metadata.ledger.Load() {
		return nil
	}
	if err := room.RefusesAll(g.size); err != nil {
		return err
	}
	next, err := c.metadata.add(g)
	if err != nil {
		return err
	}
	txn := c.db.NewTransaction(true)
	defer txn.Discard()
	var put, deleted []string // of the drained indexes
	for name, w := range g.writes {
		var err error
		touched := &put
		if w.deleted {
			touched = &deleted
			err = txn.Delete(w.key)
		} else {
			err = txn.Set(w.key, w.value)
		}
		if err != nil {
			return fmt.Errorf("%d bytes under %d keys: %w", g.size, len(g.writes), err)
		}
		if isDrained(name) {
			*touched = append(*touched, name)
		}
	}
	c.tombstones.put(put)
	if err := c.settle(txn, next); err != nil {
		c.tombstones.committed(nil)
		return err
	}
	c.tombstones.committed(deleted)
	c.recent.committed(g.writes, txn.ReadTs(), txn.ReadTs()+1)
	c.commits.Add(1)
	if g.queued {
		c.queued.Add(1)
	}
	if g.recount {
		c.doubt()
	}
	return nil
}

// settle commits a transaction, and shows it to readers once it is known to have succeeded, along with what
// it kills.
func (c *committer) settle(txn *badger.Txn, next *update) error {
	err := c.sync(txn)
	if err != nil && !errors.Is(err, badger.ErrTxnTooBig) { // which is refused before anything was written
		c.failure.note("commit", err)
	}
	if err == nil {
		c.checkWritable()
	}
	// Badger does not return, but only logs, a failed sync of the value log.
	if failed := c.failure.err(); failed != nil {
		return failed
	}
	if err == nil {
		c.views.publish(c.db.NewTransaction(false), func() {
			c.metadata.publish(next)
			c.kills.Add(next.kill)
		})
	}
	return err
}

// checkWritable notes a failure of the file system that the sync has not reported: on ext4 (Linux 6.18) a
// sync that waits for the journal when the file system meets an error may succeed although its transaction
// was given up. What asks the journal for a place is refused from before that on. (What opens a file for
// writing is refused a little later; setting a time of a file is refused as early, but writes, which was seen
// to slow sign-ins down.)
func (c *committer) checkWritable() {
	options := c.db.Opts()
	if !options.SyncWrites {
		return
	}
	var err error
	if c.witness != "" {
		err = disk.AskWitness(c.witness)
	} else {
		err = disk.TryOpen(filepath.Join(options.Dir, disk.MarkerFile))
	}
	if errors.Is(err, syscall.EROFS) || errors.Is(err, syscall.EIO) {
		c.failure.note("commit", err)
	}
}

// finish answers a group. A change that has failed by itself keeps its own error, unless the group was not
// written: it may have failed for what another one would have changed.
func finish(changes []*Change, err error) {
	for _, ch := range changes {
		if err != nil {
			ch.err = err
		}
		close(ch.done)
	}
}

// unavailable makes an error of the database ErrUnavailable.
func unavailable(doing string, err error) error {
	if err == nil || errors.Is(err, ticketstore.ErrUnavailable) {
		return err
	}
	return fmt.Errorf("%w: %s: %w", ticketstore.ErrUnavailable, doing, err)
}
