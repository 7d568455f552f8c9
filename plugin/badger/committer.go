package badger

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/dgraph-io/badger/v4"

	"github.com/fosite-sessions/sessions/ticketstore"
)

// Bounds of a transaction that is to take one more change. What Badger takes is measured: see extent.
const (
	maxGroup      = 512
	maxGroupKeys  = 20_000
	maxGroupBytes = 4 << 20
)

// Bounds of what a transaction takes of the changes that nobody waits for, in keys; one change may go beyond. Whoever waits does so for the
// transaction under way and for his own: with somebody waiting there is less room beside him.
const (
	behindKeys       = 1024
	behindKeysBeside = 128
)

// committer applies changes one after another, as many as are waiting in one transaction, and so with one sync of the disk. It is the
// database's only writer. Each change is answered alone: one that fails leaves no trace in the transaction of its neighbours.
//
// Users wait for some changes. The others, such as the ends of sessions that fell due, stand in a line of their own, behind: each transaction
// takes what is asked of the first line, and some of the second, so that neither keeps the other waiting.
type committer struct {
	db      *badger.DB
	books   books
	changes chan *change
	behind  chan *change
	stopped chan struct{}
	// most bounds the changes of one transaction.
	most int
	// takes is what a transaction may take, held a change that did not fit into the one before.
	takes   extent
	held    *change
	damages *damages
	gaps    *gaps
	space   *space
	// commits counts the transactions.
	commits atomic.Uint64
	// queued counts the transactions in which notices fell due. It is raised after each.
	queued atomic.Uint64
	// doubts wakes whoever counts the contents anew.
	doubts  chan struct{}
	failure *failure
	// settled is the newest read timestamp whose commits have all succeeded; committing is held while there is one that may yet fail.
	settled    atomic.Uint64
	committing sync.RWMutex
	// witness is asked whether the file system can still be written, "" where opening a file tells.
	witness string
}

type change struct {
	// apply may be called a second time, with another tx, when the change did not fit into the transaction of its neighbours.
	apply func(tx *tx) error
	// moves: the change is part of moving the store, which no state of it forbids.
	moves bool
	// behind: no user waits for it.
	behind bool
	// spare: it may use the room on the disk that is kept free.
	spare bool
	err   error
	done  chan struct{}
	// taken by the committer, to apply it, or back by its caller, who gave up before that.
	taken atomic.Bool
	// held: it did not fit into the transaction before. The committer's alone.
	held bool
}

func newCommitter(db *badger.DB, damages *damages, space *space, failure *failure) (*committer, error) {
	c := &committer{
		db: db, changes: make(chan *change, maxGroup), behind: make(chan *change, maxGroup), stopped: make(chan struct{}), most: maxGroup,
		takes:   extentOf(db),
		damages: damages, gaps: newGaps(), space: space, doubts: make(chan struct{}, 1), failure: failure,
	}
	if err := c.books.open(db); err != nil {
		return nil, err
	}
	now := db.NewTransaction(false)
	c.settled.Store(now.ReadTs())
	now.Discard()
	go c.run()
	return c, nil
}

// close applies what is waiting and ends. Nobody may call do afterwards: Engine.gate sees to it.
func (c *committer) close() {
	close(c.changes)
	close(c.behind)
	<-c.stopped
}

// do has the change applied and waits until it is durable. A caller who gives up before the change is begun takes it back; later he waits
// for its end, which is near: what the change tells its caller is his alone once do has returned.
func (c *committer) do(ctx context.Context, ch *change) error {
	ch.done = make(chan struct{})
	line := c.changes
	if ch.behind {
		line = c.behind
	}
	select {
	case line <- ch:
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
	for changes, behind := c.changes, c.behind; changes != nil || behind != nil; {
		var first *change
		select {
		case first = <-changes:
			if first == nil {
				changes = nil // closed and drained
			}
		case first = <-behind:
			if first == nil {
				behind = nil
			}
		}
		for first != nil {
			c.commit(first)
			first, c.held = c.held, nil
		}
	}
}

// commit applies first and whatever else is waiting.
func (c *committer) commit(first *change) {
	gaps := c.gaps.lookOut()
	defer gaps.close()
	base := c.db.NewTransaction(false)
	defer base.Discard()
	g := newGroup(snapshot{txn: base, damages: c.damages, gaps: gaps})
	g.ledger, g.most = c.books.ledger.Load(), c.takes
	disk := c.space.look()
	changes := c.gather(g, first, disk)
	err := c.failure.err() // of what is done in the background, and of the commit before: its rows were just read
	if err == nil {
		err = unavailable("commit", c.write(g, disk))
	}
	finish(changes, err)
}

// gather applies first and whatever else is waiting to a group, as long as that has room, and returns them.
func (c *committer) gather(g *group, first *change, disk diskRoom) (changes []*change) {
	var room room
	for next := first; next != nil; {
		if !next.held && !next.taken.CompareAndSwap(false, true) {
			next = c.waiting(&room) // its caller has given up
			continue
		}
		keys, fits := c.join(g, next, disk)
		if !fits {
			next.held, c.held = true, next // applied anew to the next transaction
			return changes
		}
		changes = append(changes, next)
		room.took(next, keys)
		next = nil
		if len(changes) < c.most && len(g.writes) < maxGroupKeys && g.size < maxGroupBytes && g.takes.bytes < c.takes.bytes/2 {
			next = c.waiting(&room)
		}
	}
	return changes
}

// join applies a change to a group, and returns how many keys it has written and whether it fits beside the others. One that
// fails leaves no trace.
func (c *committer) join(g *group, ch *change, disk diskRoom) (keys int, fits bool) {
	t := &tx{group: g, writes: map[string]write{}}
	ch.err = admitted(g.ledger, ch.moves)
	if ch.err == nil && !ch.spare {
		ch.err = disk.refuses()
	}
	if ch.err == nil {
		ch.err = ch.apply(t)
	}
	takes := t.measure()
	if ch.err == nil && len(t.writes) > 0 {
		if !takes.within(c.takes) {
			ch.err = &errTooLarge{takes, c.takes}
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
func (c *committer) write(g *group, disk diskRoom) error {
	if len(g.writes) == 0 && g.ledger == c.books.ledger.Load() {
		return nil
	}
	if err := disk.refusesAll(g.size); err != nil {
		return err
	}
	entry, err := c.books.enter(g)
	if err != nil {
		return err
	}
	txn := c.db.NewTransaction(true)
	defer txn.Discard()
	var put, deleted []string // of the emptied indexes
	for name, w := range g.writes {
		var err error
		touched := &put
		if w.deleted {
			touched = &deleted
			err = txn.Delete([]byte(name))
		} else {
			err = txn.Set([]byte(name), w.value)
		}
		if err != nil {
			return fmt.Errorf("%d bytes under %d keys: %w", g.size, len(g.writes), err)
		}
		if isEmptied(name) {
			*touched = append(*touched, name)
		}
	}
	c.gaps.put(put)
	if err := c.settle(txn); err != nil {
		c.gaps.committed(nil)
		return err
	}
	c.gaps.committed(deleted)
	c.commits.Add(1)
	c.books.close(entry)
	if g.queued {
		c.queued.Add(1)
	}
	if g.recount {
		c.doubt()
	}
	return nil
}

// settle commits a transaction and notes the outcome before anybody who reads may answer with it. Badger shows the rows to readers when the
// sync has ended, however it did.
func (c *committer) settle(txn *badger.Txn) error {
	c.committing.Lock()
	defer c.committing.Unlock()
	err := txn.Commit()
	if err != nil && !errors.Is(err, badger.ErrTxnTooBig) { // which is refused before anything was written
		c.failure.note("commit", err)
	}
	if err == nil {
		c.checkWritable()
	}
	// Of a failed sync of the value log Badger tells its log alone.
	if failed := c.failure.err(); failed != nil {
		return failed
	}
	c.settled.Store(txn.ReadTs() + 1)
	return err
}

// checkWritable notes a failure of the file system that the sync has not told of: on ext4 (Linux 6.18) a sync that waits for
// the journal when the file system meets an error may succeed although its transaction was given up. What asks the journal
// for a place is refused from before that on. (What opens a file for writing is refused a little later; setting a time of a
// file is refused as early, but writes, which was seen to slow sign-ins down.)
func (c *committer) checkWritable() {
	options := c.db.Opts()
	if !options.SyncWrites {
		return
	}
	var err error
	if c.witness != "" {
		err = askWitness(c.witness)
	} else {
		var file int
		file, err = syscall.Open(filepath.Join(options.Dir, markerFile), syscall.O_RDWR|syscall.O_CLOEXEC, 0)
		if err == nil {
			_ = syscall.Close(file)
		}
	}
	if errors.Is(err, syscall.EROFS) || errors.Is(err, syscall.EIO) {
		c.failure.note("commit", err)
	}
}

// awaitOutcome returns when it is known what became of all commits that a snapshot has in it.
func (c *committer) awaitOutcome(readTs uint64) {
	if c.settled.Load() >= readTs {
		return
	}
	c.committing.RLock()
	defer c.committing.RUnlock()
}

// room is what a transaction has taken of the line behind, in keys, and whether it holds anything that somebody waits for.
type room struct {
	behind int
	beside bool
}

func (r *room) took(ch *change, keys int) {
	if ch.behind {
		r.behind += keys
	} else {
		r.beside = true
	}
}

// left reports whether there is room for more of the line behind.
func (r *room) left() bool {
	if r.beside {
		return r.behind < behindKeysBeside
	}
	return r.behind < behindKeys
}

// waiting returns the next change if one is there, rather one that somebody waits for.
func (c *committer) waiting(room *room) *change {
	// nil from a line once it is closed and drained
	select {
	case ch := <-c.changes:
		if ch != nil {
			return ch
		}
	default:
	}
	if !room.left() {
		return nil
	}
	select {
	case ch := <-c.behind:
		return ch
	default:
		return nil
	}
}

// finish answers a group. A change that had failed by itself keeps its own error, unless the group was not written: it may have failed for
// what another one would have changed.
func finish(changes []*change, err error) {
	for _, ch := range changes {
		if err != nil {
			ch.err = err
		}
		close(ch.done)
	}
}

func unavailable(doing string, err error) error {
	if err == nil || errors.Is(err, ticketstore.ErrUnavailable) {
		return err
	}
	return fmt.Errorf("%w: %s: %w", ticketstore.ErrUnavailable, doing, err)
}
