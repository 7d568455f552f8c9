package kv

// Supervision of compactions: every table that a compaction writes must be complete.

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"time"

	"github.com/dgraph-io/badger/v4"

	"github.com/fosite-sessions/sessions/plugin/badger/internal/folder"
)

// compactions verifies that Badger's compactions have written what they logged.
//
// Badger (4.9.6) drops the error of a table that a compaction cannot write: it continues without that table,
// records the others in its manifest, and deletes the old ones. So one failed sync, or a limit on open files
// or on file sizes, silently loses the rows of that table. Therefore an iterator keeps a compaction's old
// tables from being deleted while it writes, and when it is done, its new tables must have as many keys as it
// logged for each. If not, the database has failed: the old tables stay, and the next Open removes the
// compaction's changes from the manifest (finished).
type compactions struct {
	failure *failure
	note    folder.Note
	ready   chan struct{} // closed when db is set

	mutex sync.Mutex
	db    *badger.DB
	// txn is used to create iterators: a new transaction waits for commits, which may wait for a compaction.
	txn   *badger.Txn
	work  map[int]*compaction
	taken map[uint64]bool // tables already counted for a compaction
	// held: DB.shut holds all tables, because the database is about to be closed.
	held bool
}

// compaction is a running compaction.
type compaction struct {
	held   *badger.Iterator
	before map[uint64]bool
	// keys are the key counts of the tables that it writes.
	keys []uint64
}

func newCompactions(failure *failure) *compactions {
	return &compactions{
		failure: failure, ready: make(chan struct{}), work: map[int]*compaction{}, taken: map[uint64]bool{},
	}
}

// renewEvery is the interval at which the transaction is replaced: compactions keep rows that were replaced
// after it began.
const renewEvery = time.Second

// watch unblocks compactions, which wait for the database.
func (c *compactions) watch(db *badger.DB) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	c.db, c.txn = db, db.NewTransaction(false)
	close(c.ready)
}

// open opens the database and watches it. If opening fails midway, a compaction may wait for a database that
// never opens: it stays blocked until the process ends.
func (c *compactions) open(options badger.Options) (*badger.DB, error) {
	var db *badger.DB
	var err error
	opened := make(chan struct{})
	go func() {
		defer close(opened)
		if db, err = folder.OpenReleased(options); err == nil {
			c.watch(db)
		}
	}()
	select {
	case <-opened:
		return db, err
	case <-c.failure.happened:
	}
	select {
	case <-opened:
		return db, err
	case <-time.After(abandonTimeout):
		return nil, c.failure.err()
	}
}

// renew replaces the transaction periodically until the context ends.
func (c *compactions) renew(ctx context.Context) {
	every(ctx, renewEvery, func() {
		next := c.db.NewTransaction(false)
		c.mutex.Lock()
		if len(c.work) == 0 {
			c.txn, next = next, c.txn
		}
		c.mutex.Unlock()
		next.Discard()
	})
}

// writes records that a compaction is about to write a table.
func (c *compactions) writes(id int, keys uint64) {
	<-c.ready // without the database nothing keeps the old tables
	c.mutex.Lock()
	work := c.work[id]
	if work == nil {
		if err := c.note.Begin(); err != nil {
			c.mutex.Unlock()
			c.failure.note("compacting the database", err)
			select {} // block: otherwise the compaction would continue without this table
		}
	}
	defer c.mutex.Unlock()
	if work == nil {
		work = &compaction{before: map[uint64]bool{}}
		for _, t := range c.db.Tables() {
			work.before[t.ID] = true
		}
		c.work[id] = work
	}
	if keys > 0 {
		work.keys = append(work.keys, keys)
	}
	if c.held || c.db.IsClosed() {
		return
	}
	// The newest iterator is sufficient, and an old one keeps memory tables from being freed.
	held := work.held
	work.held = c.txn.NewIterator(badger.IteratorOptions{})
	if held != nil {
		held.Close()
	}
}

// done verifies the tables of a finished compaction.
func (c *compactions) done(id int) {
	c.mutex.Lock()
	work := c.work[id]
	lost := 0
	if work != nil {
		lost = c.missing(work)
	}
	if work == nil || lost > 0 {
		c.mutex.Unlock()
		if lost > 0 {
			c.failure.note("compacting the database",
				fmt.Errorf("%d of its tables could not be written: %w", lost, errTableLost))
			runtime.Goexit()
		}
		return
	}
	defer c.mutex.Unlock()
	delete(c.work, id)
	if len(c.work) == 0 {
		clear(c.taken)
		if c.failure.err() == nil {
			c.note.End()
		}
	}
	if work.held != nil {
		work.held.Close()
	}
}

var errTableLost = errors.New("the disk, or a bound on open files or on the size of a file, is the cause")

// missing returns how many of the compaction's tables do not exist.
func (c *compactions) missing(work *compaction) (n int) {
	found := map[uint64][]uint64{} // table ids by number of keys
	for _, t := range c.db.Tables() {
		if !work.before[t.ID] && !c.taken[t.ID] {
			found[uint64(t.KeyCount)] = append(found[uint64(t.KeyCount)], t.ID)
		}
	}
	for _, keys := range work.keys {
		ids := found[keys]
		if len(ids) == 0 {
			n++
			continue
		}
		c.taken[ids[0]], found[keys] = true, ids[1:]
	}
	return n
}

// hold keeps all tables until release, for compactions that run while the database is closed.
func (c *compactions) hold() (release func()) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	c.held = true
	held := c.txn.NewIterator(badger.IteratorOptions{})
	return held.Close
}
