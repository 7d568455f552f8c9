package kv

// Views: the database as of its newest commit, shared by readers.

import (
	"sync"

	"github.com/dgraph-io/badger/v4"
)

// A new Badger transaction waits until every commit that has begun is synced, and is registered and
// deregistered through a channel. A read need not wait: the view includes everything acknowledged before the
// read began.

// view is the database after a commit. Readers share its transaction: Get and NewIterator of a read-only
// transaction change nothing but an atomic counter.
type view struct {
	txn *badger.Txn
	// used counts the readers, plus one while the view is the newest.
	used int
}

// views holds the newest view. The store's state and kills of that commit are published under the same lock
// (publish): a caller that receives a kill and then reads sees its commit, and a caller that has read a
// commit and then reads the position finds its kill included (rule 15).
type views struct {
	mutex  sync.Mutex
	newest *view
}

// newViews returns views that begin with a transaction and take ownership of it.
func newViews(txn *badger.Txn) views { return views{newest: &view{txn: txn, used: 1}} }

// take returns the newest view. The caller must give it back.
func (s *views) take() *view {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.newest.used++
	return s.newest
}

// give returns a view. The last reader to do so discards it: compactions keep the rows of a view in use.
func (s *views) give(v *view) {
	s.mutex.Lock()
	v.used--
	unused := v.used == 0
	s.mutex.Unlock()
	if unused {
		v.txn.Discard()
	}
}

// publish makes a transaction the newest view, and calls along before the view can be taken.
func (s *views) publish(txn *badger.Txn, along func()) {
	s.mutex.Lock()
	before := s.newest
	s.newest = &view{txn: txn, used: 1}
	along()
	s.mutex.Unlock()
	s.give(before)
}

// close gives the newest view back. No reader may take one afterwards.
func (s *views) close() { s.give(s.newest) }
