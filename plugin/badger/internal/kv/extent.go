package kv

// What changes take of a transaction, which Badger bounds.

import (
	"fmt"

	"github.com/dgraph-io/badger/v4"

	"github.com/fosite-sessions/sessions/plugin/badger/internal/layout"
)

// extent is what writes take of a Badger transaction, which bounds both. A commit that goes beyond fails,
// with all that is in it.
type extent struct{ keys, bytes int }

const (
	// entryOverhead is more than Badger adds to a key and its value.
	entryOverhead = 24
	// What the metadata takes of each transaction: the ledger, the contents, a count of doubts.
	metadataKeys  = 8
	metadataBytes = 16 << 10
)

// extentOf is what a transaction of the database takes beside its metadata.
func extentOf(db *badger.DB) extent {
	return extent{keys: int(db.MaxBatchCount()) - metadataKeys, bytes: int(db.MaxBatchSize()) - metadataBytes}
}

func (e extent) and(other extent) extent { return extent{e.keys + other.keys, e.bytes + other.bytes} }

// within reports whether it is less than Badger refuses.
func (e extent) within(most extent) bool { return e.keys < most.keys && e.bytes < most.bytes }

// measure returns what the change's writes take, with their entries in the journal of a move that may be
// under way.
func (t *Tx) measure() (e extent) {
	for name, w := range t.writes {
		e = e.and(extent{1, len(name) + len(w.value) + entryOverhead})
		if layout.KindOf(w.key) != 0 {
			e = e.and(extent{1, len(name) + len(layout.TableJournal) + 8 + entryOverhead})
		}
	}
	for _, s := range t.gathered {
		e = e.and(extent{1, len(s.prefix) + len(s.id) + entryOverhead}) // as if none shared its row
	}
	return e
}

// part is an equal part of it.
func (e extent) part(of int) extent { return extent{e.keys / of, e.bytes / of} }

// Full reports whether the change has taken its part of a transaction: what goes on in steps leaves the rest
// to the next one. The largest step, the end of a session, takes less than the other two thirds.
func (t *Tx) Full() bool { return !t.measure().within(t.most.part(3)) }

// TooLargeError is the error of a change that no transaction takes.
type TooLargeError struct{ takes, most extent }

func (e *TooLargeError) Error() string {
	return fmt.Sprintf("the change takes %d keys and %d bytes, and one transaction at most %d and %d",
		e.takes.keys, e.takes.bytes, e.most.keys, e.most.bytes)
}
