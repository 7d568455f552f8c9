package kv

// The size of changes in a transaction, which Badger bounds.

import (
	"fmt"

	"github.com/dgraph-io/badger/v4"

	"github.com/fosite-sessions/sessions/plugin/badger/internal/layout"
)

// extent is the size of writes in a Badger transaction, which bounds both keys and bytes. A commit beyond the
// bounds fails as a whole.
type extent struct{ keys, bytes int }

const (
	// entryOverhead exceeds what Badger adds to a key and its value.
	entryOverhead = 24
	// The share of the metadata in each transaction: the ledger, the contents, a recount marker.
	metadataKeys  = 8
	metadataBytes = 16 << 10
)

// extentOf returns the maximum size of a transaction without its metadata.
func extentOf(db *badger.DB) extent {
	return extent{keys: int(db.MaxBatchCount()) - metadataKeys, bytes: int(db.MaxBatchSize()) - metadataBytes}
}

func (e extent) plus(other extent) extent { return extent{e.keys + other.keys, e.bytes + other.bytes} }

// within reports whether e is below limit, at which Badger refuses a transaction.
func (e extent) within(limit extent) bool { return e.keys < limit.keys && e.bytes < limit.bytes }

// measure returns the size of the change's writes, including journal entries, since a move may be in
// progress.
func (t *Tx) measure() (e extent) {
	for name, w := range t.writes {
		e = e.plus(extent{1, len(name) + len(w.value) + entryOverhead})
		if layout.KindOf(w.key) != 0 {
			e = e.plus(extent{1, len(name) + len(layout.TableJournal) + 8 + entryOverhead})
		}
	}
	for _, s := range t.gathered {
		e = e.plus(extent{1, len(s.prefix) + len(s.id) + entryOverhead}) // as if none shared its row
	}
	return e
}

// dividedBy divides e by of.
func (e extent) dividedBy(of int) extent { return extent{e.keys / of, e.bytes / of} }

// Full reports whether the change has used its third of a transaction: work done in steps leaves the rest to
// the next transaction. The largest step, the end of a session, fits into the other two thirds.
func (t *Tx) Full() bool { return !t.measure().within(t.limit.dividedBy(3)) }

// TooLargeError is the error of a change that exceeds the size of a transaction.
type TooLargeError struct{ size, limit extent }

func (e *TooLargeError) Error() string {
	return fmt.Sprintf("the change takes %d keys and %d bytes, and one transaction at most %d and %d",
		e.size.keys, e.size.bytes, e.limit.keys, e.limit.bytes)
}
