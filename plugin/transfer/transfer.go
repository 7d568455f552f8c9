package transfer

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"

	"github.com/fosite-sessions/sessions/ticketstore"
)

// Service is the name under which a backend's description says that it can be moved.
const Service = "transfer"

// RecordVersion is the version of the records that cross, as plugin/proto/sessions/records/v1/records.proto
// says it.
const RecordVersion = 2

// Bounds of a batch: a source ends one at the first that is reached.
const (
	MaxBatchRecords = 500
	MaxBatchBytes   = 1 << 20
)

// Sentinel errors. They keep their identity across the plugin's process boundary.
var (
	// ErrFenced: the store takes no writes because another is about to take its place. Nothing was written:
	// ask the other one, or this one again when the move was given up. It is a ticketstore.ErrUnavailable to
	// those who cannot.
	ErrFenced = fmt.Errorf("%w: it is being replaced", ticketstore.ErrUnavailable)
	// ErrState: the store is in no state for that.
	ErrState = errors.New("the store's state does not allow it")
	// ErrNotEmpty: the store holds records already and cannot become a target.
	ErrNotEmpty = errors.New("the store is not empty")
	// ErrOlder: the target does not know all that the source may hold.
	ErrOlder = errors.New("the target is of an older version")
	// ErrJournal: so much has changed that the journal was given up. The move must begin anew.
	ErrJournal = errors.New("the journal of changes was given up")
)

// State is what a store is in a move.
type State string

// The states. A store that was never part of a move is Active.
const (
	Active     State = "active"
	Exporting  State = "exporting"  // active, and a source: changes are journaled
	Fenced     State = "fenced"     // a source that takes no writes
	Superseded State = "superseded" // a source whose target has taken its place
	Importing  State = "importing"  // a target that is being filled: it serves nothing else
	Abandoned  State = "abandoned"  // a target that was never completed: the next import empties it
)

// Kind is a kind of records. The numbers are part of the protocol and of backups.
type Kind uint8

// The kinds, in the order in which Export sends them.
const (
	Sessions      Kind = 1 // by sid
	Clients       Kind = 2 // the use of a session by a client, by sid, NUL, client id
	Ended         Kind = 3 // what judges the grants of a session that is over, by sid
	Grants        Kind = 4 // by type byte and key
	Operations    Kind = 5 // answers to operations, by operation id
	Jobs          Kind = 6 // endings under way, by operation id
	Purges        Kind = 7 // sessions with rows of dead grants, by sid
	Notifications Kind = 8 // by id
	Properties    Kind = 9 // by name
)

// Kinds are all of them, in order.
var Kinds = []Kind{Sessions, Clients, Ended, Grants, Operations, Jobs, Purges, Notifications, Properties}

// String names the kind.
func (k Kind) String() string {
	names := [...]string{
		"?", "sessions", "clients", "ended", "grants", "operations", "jobs", "purges", "notifications",
		"properties",
	}
	if int(k) >= len(names) {
		k = 0
	}
	return names[k]
}

// Record is one row in a move.
type Record struct {
	Kind Kind
	Key  []byte
	// Data is the row, nil and Deleted when it is gone.
	Data    []byte
	Deleted bool
}

// Sum is the record's part in the sum of its kind: two stores with the same records have the same sums,
// whatever the order in which they were written.
func (r *Record) Sum() uint64 {
	head := make([]byte, 0, 64)
	head = append(head, byte(r.Kind))
	head = binary.BigEndian.AppendUint32(head, uint32(len(r.Key)))
	head = append(head, r.Key...)
	hash := sha256.New()
	_, _ = hash.Write(head)
	_, _ = hash.Write(r.Data)
	var sum [sha256.Size]byte
	return binary.BigEndian.Uint64(hash.Sum(sum[:0]))
}

// Content counts the records of a kind and sums them up.
type Content struct {
	Count int64
	Sum   uint64
}

// Add counts a record in, Remove out. Sums wrap around.
func (c *Content) Add(r *Record) { c.Count++; c.Sum += r.Sum() }

// Remove is the reverse of Add.
func (c *Content) Remove(r *Record) { c.Count--; c.Sum -= r.Sum() }

// Status is what a store says of itself and of the move that it is, or was last, part of.
type Status struct {
	State State
	// ID is the move's, Peer the name that the host calls the other store by. Both are empty before the first
	// move.
	ID   string
	Peer string
	// Origin is the id of the move that filled the store: it became Active under it, whatever has come since.
	// Empty when it was none.
	Origin string
	// Content has an entry for each kind with records, exact in the moment of the answer.
	Content map[Kind]Content
	// Journaled is the number of the latest entry of the journal, and Left how many entries nobody has
	// acknowledged.
	Journaled uint64
	Left      uint64
	// RecordVersion is the version of the records that the store writes and reads. A target must have its
	// source's, or a later one.
	RecordVersion uint32
}

// Records is how many records the store holds.
func (s *Status) Records() (n int64) {
	for _, c := range s.Content {
		n += c.Count
	}
	return n
}

// Transition asks a store to become something else.
type Transition struct {
	To State
	// ID is the move's. Steps under another id than that of the move that is under way are ErrState.
	ID string
	// Peer is the name of the other store. Exporting, Fenced and Superseded need it.
	Peer string
}

// Batch is some rows of an export.
type Batch struct {
	Records []Record
	// Position is where to go on after them.
	Position []byte
}

// Changes is what the journal names.
type Changes struct {
	// Records are the rows as they are now, each once.
	Records []Record
	// Through is the number of the last journal entry among them: ask on from there, which acknowledges them.
	Through uint64
	// Left is how many entries come after.
	Left uint64
}

// Store is a store that can be moved. Implementations are safe for concurrent use. Every method may return
// ErrUnavailable.
type Store interface {
	// Status says what the store is.
	Status(ctx context.Context) (*Status, error)

	// Become changes the state, durably. A change that was made before, under the same id, succeeds again.
	// The possible ones are those of the package's comment, and back: Exporting and Fenced to Active under
	// their id, Importing to Abandoned. Others are ErrState, and Importing for a store that holds something
	// is ErrNotEmpty, unless it was a target before and never completed: that is emptied first.
	Become(ctx context.Context, turn Transition) error

	// Export returns the rows after a position (nil: all) in batches, kind by kind, from one snapshot. It
	// ends with the first error.
	Export(ctx context.Context, after []byte) iter.Seq2[*Batch, error]

	// Changes returns what at most limit journal entries after the given number name, and acknowledges those
	// up to it: they are deleted. Without an export under that id it is ErrState, and ErrJournal when the
	// journal has grown too long.
	Changes(ctx context.Context, id string, after uint64, limit int) (*Changes, error)

	// Import writes records into a store that is Importing under that id, durably before it returns, in the
	// order in which they come: a record replaces what has its key. Claims of notifications are dropped. It stops
	// at the first error that batches yields and returns it; the batches before it stay written. Writing a
	// batch again does no harm.
	Import(ctx context.Context, id string, batches iter.Seq2[[]Record, error]) error
}
