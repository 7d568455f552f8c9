package badger

import (
	"fmt"

	"github.com/dgraph-io/badger/v4"

	"github.com/fosite-sessions/sessions/plugin/records"
	"github.com/fosite-sessions/sessions/ticketstore"
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

// within reports whether it is less than Badger refuses.
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

// part is that part of it.
func (e extent) part(of int) extent { return extent{e.keys / of, e.bytes / of} }

// full reports whether the change has taken its part of a transaction: what goes on in steps leaves the rest to the next one. The largest
// step, the end of a session, takes less than the other two thirds.
func (t *tx) full() bool { return !t.measure().within(t.most.part(3)) }

// clientsAtOnce is how many of a session's clients its end deals with in one transaction.
func (t *tx) clientsAtOnce(session *records.Session, clients []usedClient) int {
	room := t.most.part(3).bytes
	for i, client := range clients {
		// Its row, its place in the listing, its count, and a notice with five index entries; some of them twice, for the journal.
		room -= 10*(len(client.id)+len(session.SessionId)) + 4*len(session.SubjectId) + 2*len(session.Issuer) + 1<<10
		if room < 0 || i == ticketstore.MaxClients {
			return max(i, 1)
		}
	}
	return len(clients)
}

// grantBytes is more than the removal of a grant takes whose ids are as long as they may be.
const grantBytes = 12 << 10

// removes is what the removal of a grant takes: its row and seven index entries.
func (g *storedGrant) removes() int {
	return 8 * (len(g.grant.GetSubjectId()) + len(g.grant.GetSessionId()) + len(g.grant.GetClientId()) + len(g.grant.GetRequestId()) + 64)
}

// errTooLarge is a change that no transaction takes, which nothing but the change itself can mend.
type errTooLarge struct{ takes, most extent }

func (e *errTooLarge) Error() string {
	return fmt.Sprintf("the change takes %d keys and %d bytes, and one transaction of the database at most %d and %d",
		e.takes.keys, e.takes.bytes, e.most.keys, e.most.bytes)
}
