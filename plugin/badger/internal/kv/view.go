package kv

// Views: the database behind its newest commit, which readers share.

import (
	"sync"

	"github.com/dgraph-io/badger/v4"
)

// A transaction that Badger is asked for waits until every commit that has begun is synced, and is counted in
// and out through a channel. A read need not wait: what was acknowledged before it began is in the view.

// view is the database behind a commit. Readers share its transaction: Get and NewIterator of one that is
// read-only change nothing but an atomic count.
type view struct {
	txn *badger.Txn
	// used counts the readers, and is one more while the view is the newest.
	used int
}

// views has the newest view. What belongs to it, the state of the store and its kills, is published under the
// same lock (publish): who is told of a kill and then reads sees its commit, and who has read a commit and
// then asks for the position finds its kill there (rule 15).
type views struct {
	mutex  sync.Mutex
	newest *view
}

// newViews returns views that begin with a transaction, which becomes theirs.
func newViews(txn *badger.Txn) views { return views{newest: &view{txn: txn, used: 1}} }

// take returns the newest view. Give it back.
func (s *views) take() *view {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.newest.used++
	return s.newest
}

// give gives a view back. The last one to do so discards it: compactions keep the rows of a view in use.
func (s *views) give(v *view) {
	s.mutex.Lock()
	v.used--
	unused := v.used == 0
	s.mutex.Unlock()
	if unused {
		v.txn.Discard()
	}
}

// publish makes a transaction the newest view, and calls along before anybody can take it.
func (s *views) publish(txn *badger.Txn, along func()) {
	s.mutex.Lock()
	before := s.newest
	s.newest = &view{txn: txn, used: 1}
	along()
	s.mutex.Unlock()
	s.give(before)
}

// close gives the newest view back. No reader takes one any more.
func (s *views) close() { s.give(s.newest) }
