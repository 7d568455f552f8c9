package badger

import (
	"fmt"

	"github.com/dgraph-io/badger/v4"
)

// extent is what writes take of a Badger transaction, which bounds both. A commit that goes beyond fails, with all that is in it.
type extent struct{ keys, bytes int }

const (
	// entryOverhead is more than Badger adds to a key and its value.
	entryOverhead = 24
	// What the books write in each transaction: the ledger, the contents, a count of doubts.
	bookKeys  = 8
	bookBytes = 16 << 10
)

// extentOf is what a transaction of the database takes beside the books.
func extentOf(db *badger.DB) extent {
	return extent{keys: int(db.MaxBatchCount()) - bookKeys, bytes: int(db.MaxBatchSize()) - bookBytes}
}

func (e extent) and(other extent) extent { return extent{e.keys + other.keys, e.bytes + other.bytes} }

// within tells whether it is less than Badger refuses.
func (e extent) within(most extent) bool { return e.keys < most.keys && e.bytes < most.bytes }

// measure returns what the change's writes take, with their entries in the journal of a move that may be under way.
func (t *tx) measure() (e extent) {
	for name, w := range t.writes {
		e = e.and(extent{1, len(name) + len(w.value) + entryOverhead})
		if kindOf([]byte(name)) != 0 {
			e = e.and(extent{1, len(name) + len(tableJournal) + 8 + entryOverhead})
		}
	}
	return e
}

// errTooLarge is a change that no transaction takes, which nothing but the change itself can mend.
type errTooLarge struct{ takes, most extent }

func (e *errTooLarge) Error() string {
	return fmt.Sprintf("the change takes %d keys and %d bytes, and one transaction of the database at most %d and %d",
		e.takes.keys, e.takes.bytes, e.most.keys, e.most.bytes)
}
