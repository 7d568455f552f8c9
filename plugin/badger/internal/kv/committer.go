package kv

// The committer: group commit, with one transaction and one sync for all waiting changes.

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

// Bounds of a transaction, beyond which it takes no more changes. Badger's own limits are measured: see
// extent.
const (
	maxGroup      = 512
	maxGroupKeys  = 20_000
	maxGroupBytes = 4 << 20
)

// committer applies changes one after another and commits all that are waiting as one transaction with one
// sync of the disk. It is the database's only writer. Each change gets its own result: a failed change leaves
// no trace in its group.
//
// Background changes, such as ends of expired sessions, have no waiting user and a queue of their own: each
// transaction first takes the changes that users wait for and then some background changes, so that neither
// queue starves.
type committer struct {
	db         *badger.DB
	metadata   metadata
	recent     *recent
	changes    chan *Change
	background chan *Change
	stopped    chan struct{}
	// maxChanges bounds the changes of one transaction.
	maxChanges int
	// limit is the size limit of a transaction.
	limit extent
	// held is a change that did not fit into the previous transaction, last the group of that transaction.
	held       *Change
	last       *group
	damages    *damages
	tombstones *tombstones
	space      *disk.Space
	// commits counts the transactions.
	commits atomic.Uint64
	// queued counts the transactions that made notifications due. It is incremented after each.
	queued atomic.Uint64
	kills  kills.Log
	// recounts wakes tendContents to recount the contents.
	recounts chan struct{}
	failure  *failure
	meter    meter
	views    views
	// sync commits a transaction. Tests replace it to delay or fail commits.
	sync func(txn *badger.Txn) error
	// witness is a file used to check that the file system is still writable, "" if opening a file shows it.
	witness string
}

// Change is one caller's part of a transaction.
type Change struct {
	// Apply may be called again with a different tx if the change did not fit into its group.
	Apply func(tx *Tx) error
	// Moves: the change is a step of a move, allowed in every state of the store.
	Moves bool
	// Background: no user waits for the change.
	Background bool
	// UseReserve: the change may use the disk space reserve.
	UseReserve bool
	err        error
	done       chan struct{}
	// spans are those of the call, nil if it is not traced; asked is when the call came.
	spans *spans.Recorder
	asked time.Time
	// taken is set by the committer to apply the change, or by a caller that gives up before that.
	taken atomic.Bool
	// held: the change did not fit into the previous transaction. Used by the committer only.
	held bool
}

// newCommitter starts the committer of a database. recent is the size of its cache of rows in bytes.
func newCommitter(
	db *badger.DB, damages *damages, space *disk.Space, failure *failure, recent int64,
) (*committer, error) {
	c := &committer{
		db: db, maxChanges: maxGroup, stopped: make(chan struct{}),
		changes: make(chan *Change, maxGroup), background: make(chan *Change, maxGroup),
		limit: extentOf(db), last: newGroup(Snapshot{}, 0),
		damages: damages, tombstones: newTombstones(), space: space, failure: failure,
		recounts: make(chan struct{}, 1), sync: (*badger.Txn).Commit,
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

// close applies the waiting changes and stops. do must not be called afterwards, which DB.gate ensures.
func (c *committer) close() {
	close(c.changes)
	close(c.background)
	<-c.stopped
	c.kills.Close()
	c.views.close()
}

// do submits a change and waits until it is durable. If the caller gives up before the change has started,
// the change is withdrawn; if later, do still waits for its end, which is near: after do has returned,
// nothing may write to the variables that the change captures.
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

// commit commits first along with other waiting changes.
func (c *committer) commit(first *Change) {
	at := times{began: time.Now()}
	observer := c.tombstones.observe()
	defer observer.close()
	base := c.views.take()
	defer c.views.give(base)
	g := c.last.next(Snapshot{txn: base.txn, damages: c.damages, tombstones: observer, recent: c.recent})
	c.last = g
	g.ledger, g.limit = c.metadata.ledger.Load(), c.limit
	room := c.space.Look()
	changes := c.gather(g, first, room)
	at.applied = time.Now()
	// A failure of background work, or of the previous commit, whose rows the changes have read.
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

// gather applies first and other waiting changes to a group, as long as it has room, and returns them.
func (c *committer) gather(g *group, first *Change, room disk.Room) (changes []*Change) {
	var used quota
	for next := first; next != nil; {
		if !next.held && !next.taken.CompareAndSwap(false, true) {
			next = c.waiting(&used) // withdrawn by its caller
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
		if len(changes) < c.maxChanges && len(g.writes) < maxGroupKeys && g.size < maxGroupBytes &&
			g.used.bytes < c.limit.bytes/2 {
			next = c.waiting(&used)
		}
	}
	return changes
}

// join applies a change to a group. It returns how many keys the change has written, and whether it fits. A
// failed change leaves no trace.
func (c *committer) join(g *group, ch *Change, room disk.Room) (keys int, fits bool) {
	t := newTx(g)
	defer t.done()
	ch.err = Admitted(g.ledger, ch.Moves)
	if ch.err == nil && !ch.UseReserve {
		ch.err = room.Refuses()
	}
	if ch.err == nil {
		ch.err = ch.Apply(t)
	}
	size := t.measure()
	if ch.err == nil && len(t.writes) > 0 {
		if !size.within(c.limit) {
			ch.err = &TooLargeError{size, c.limit}
		} else if !size.plus(g.used).within(c.limit) {
			return 0, false
		}
	}
	if ch.err == nil {
		t.join(size)
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
	var put, deleted []string // keys of the queue indexes
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
		if isQueueIndex(name) {
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
		c.requestRecount()
	}
	return nil
}

// settle commits a transaction and, if that succeeded, publishes it to readers along with its kills.
func (c *committer) settle(txn *badger.Txn, next *update) error {
	err := c.sync(txn)
	if err != nil && !errors.Is(err, badger.ErrTxnTooBig) { // nothing was written
		c.failure.note("commit", err)
	}
	if err == nil {
		c.checkWritable()
	}
	// Badger does not return a failed sync of the value log but only logs it.
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

// checkWritable detects a failure of the file system that the sync did not report: on ext4 (Linux 6.18) a
// sync that waits for the journal when the file system meets an error may succeed although its transaction
// was aborted. Operations that start a journal transaction fail from before that on. (Opening a file for
// writing fails a little later; setting a file's time fails as early, but writes, which slowed down sign-ins
// in a measurement.)
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

// finish completes the changes of a group. A change that failed by itself keeps its own error, unless the
// group was not written: its failure may depend on the writes of others.
func finish(changes []*Change, err error) {
	for _, ch := range changes {
		if err != nil {
			ch.err = err
		}
		close(ch.done)
	}
}

// unavailable converts an error of the database to ErrUnavailable.
func unavailable(doing string, err error) error {
	if err == nil || errors.Is(err, ticketstore.ErrUnavailable) {
		return err
	}
	return fmt.Errorf("%w: %s: %w", ticketstore.ErrUnavailable, doing, err)
}
