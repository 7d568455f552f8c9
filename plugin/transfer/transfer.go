package transfer

// Records, states and stores of a move.

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"strings"
	"time"

	"github.com/fosite-sessions/sessions/ticketstore"
)

// Service is the service in the description of a backend that can be moved.
const Service = "transfer"

// RecordVersion is the version of the records of plugin/proto/sessions/records/v1/records.proto.
const RecordVersion = 2

// Bounds of a batch: it ends at the first that is reached.
const (
	MaxBatchRecords = 500
	MaxBatchBytes   = 1 << 20
)

// Sentinel errors. They keep their identity across the plugin's process boundary.
var (
	// ErrFenced: the store takes no writes, and a shared one answers no reads, because another is about to
	// replace it, or has. Nothing was written: repeat the call on the other store, or on this one when the
	// move was aborted. It is also a ticketstore.ErrUnavailable.
	ErrFenced = fmt.Errorf("%w: it is being replaced", ticketstore.ErrUnavailable)
	// ErrState: the store's state does not allow that.
	ErrState = errors.New("the store's state does not allow it")
	// ErrNotEmpty: the store holds records already and cannot become a target.
	ErrNotEmpty = errors.New("the store is not empty")
	// ErrOlder: the target does not know all records that the source may hold.
	ErrOlder = errors.New("the target is of an older version")
	// ErrHosts: other hosts have the store open, which cannot follow a move to a store that is not shared,
	// and are not told that one is filled. Status.Alone names them.
	ErrHosts = errors.New("other hosts have the store open")
	// ErrJournal: the journal grew too long and was dropped. The move must start again.
	ErrJournal = errors.New("the journal of changes grew too long and was dropped")
)

// State is the role of a store in a move.
type State string

// The states. A store that was never part of a move is Active.
const (
	Active     State = "active"
	Exporting  State = "exporting"  // active, and a source: changes are journaled
	Fenced     State = "fenced"     // a source that takes no writes, and answers no reads if it is shared
	Superseded State = "superseded" // a source that its target has replaced
	Importing  State = "importing"  // a target that is being filled: it serves nothing
	Abandoned  State = "abandoned"  // a target that was never completed: the next import empties it
)

// Kind is a kind of records. The numbers are part of the protocol and of backups.
type Kind uint8

// The kinds, in the order in which Export sends them.
const (
	Sessions      Kind = 1 // by sid
	Clients       Kind = 2 // the use of a session by a client, by sid, NUL, client id
	Ended         Kind = 3 // ended records, by sid
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
	// Data is the record, nil when it is Deleted.
	Data    []byte
	Deleted bool
}

// Sum is the record's part in the sum of its kind. Two stores with the same records have the same sums, in
// whatever order they were written.
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

// Content is the count of the records of a kind and the sum of their hashes.
type Content struct {
	Count int64
	Sum   uint64
}

// Add adds a record. Sums wrap around.
func (c *Content) Add(r *Record) { c.Count++; c.Sum += r.Sum() }

// Remove is the reverse of Add.
func (c *Content) Remove(r *Record) { c.Count--; c.Sum -= r.Sum() }

// Status is the state of a store and of its present or latest move.
type Status struct {
	State State
	// ID is the move's, Peer the host's name of the other store. Both are empty before the first move.
	ID   string
	Peer string
	// PeerStore is the ticketstore.Description.StoreID of the other store, empty where it is not known.
	PeerStore string
	// Silent is how long ago the host that moves a shared store has made its last step, by the store's clock.
	// It is 0 where no move is under way.
	Silent time.Duration
	// Origin is the id of the move that filled the store, also after later moves. Empty when no move did.
	Origin string
	// Content has an entry for each kind with records, from one snapshot.
	Content map[Kind]Content
	// Journaled is the number of the latest entry of the journal, and Left how many entries are not
	// acknowledged.
	Journaled uint64
	Left      uint64
	// RecordVersion is the version of the records that the store writes and reads. A target must have its
	// source's version or a later one.
	RecordVersion uint32
	// Others are the other hosts that have a shared store open, at most ticketstore.MaxHosts. A host that has
	// said nothing for long is not among them.
	Others []ticketstore.Host
}

// How long the host that carries out a move may say nothing. One that copies says something every signEvery,
// unless it waits for its target (retryTimeout) or for deliveries under way (Move.BeforeFence). Between fence
// and switch it does so all the time, and is bounded by DefaultSwitchTimeout.
const (
	copyPatience   = 45 * time.Second
	switchPatience = DefaultSwitchTimeout + time.Second
)

// Moving reports whether another host carries out the move of a source: one of Others has said something
// lately. Otherwise that host was lost, and Recover ends the move.
func (s *Status) Moving() bool {
	if len(s.Others) == 0 {
		return false
	}
	return s.State == Exporting && s.Silent < copyPatience || s.State == Fenced && s.Silent < switchPatience
}

// namedHosts is how many hosts an error names.
const namedHosts = 16

// Alone returns an ErrHosts that names the other hosts, nil where there are none.
func (s *Status) Alone() error {
	if len(s.Others) == 0 {
		return nil
	}
	var names []string
	for _, host := range s.Others[:min(len(s.Others), namedHosts)] {
		names = append(names, fmt.Sprintf("%s (version %s, last beat %s)", host.Name, host.Version,
			host.Beat.UTC().Format(time.RFC3339)))
	}
	if more := len(s.Others) - len(names); more > 0 {
		names = append(names, fmt.Sprintf("%d more", more))
	}
	return fmt.Errorf("%w: %s", ErrHosts, strings.Join(names, ", "))
}

// Records is how many records the store holds.
func (s *Status) Records() (n int64) {
	for _, c := range s.Content {
		n += c.Count
	}
	return n
}

// Transition is one step of a move: a change of state.
type Transition struct {
	To State
	// ID is the move's. Steps under another id than that of the move that is under way are ErrState.
	ID string
	// Peer is the name of the other store. Exporting, Fenced and Superseded need it. PeerStore is its
	// ticketstore.Description.StoreID: what follows opens no other store under that name.
	Peer      string
	PeerStore string
	// Followed: the other store is shared, so that the other hosts of a source follow there. Exporting and
	// Fenced are allowed while there are any.
	Followed bool
}

// Batch is a part of an export.
type Batch struct {
	Records []Record
	// Position is where to continue after them.
	Position []byte
}

// Batcher cuts the rows of an export into batches, for what Store.Export returns.
type Batcher struct {
	yield   func(*Batch, error) bool
	batch   Batch
	size    int
	stopped bool
}

// NewBatcher returns one that hands its batches to yield.
func NewBatcher(yield func(*Batch, error) bool) *Batcher { return &Batcher{yield: yield} }

// Add adds a row, and reports whether more are wanted.
func (b *Batcher) Add(r *Record) bool {
	b.batch.Records = append(b.batch.Records, *r)
	b.batch.Position = append([]byte{byte(r.Kind)}, r.Key...)
	b.size += len(r.Key) + len(r.Data)
	return (len(b.batch.Records) < MaxBatchRecords && b.size < MaxBatchBytes) || b.flush()
}

// End hands over what is left or, where the export has failed, the error. Nothing follows where no more was
// wanted.
func (b *Batcher) End(err error) {
	switch {
	case b.stopped:
	case err != nil:
		b.yield(nil, err)
	default:
		b.flush()
	}
}

func (b *Batcher) flush() bool {
	if len(b.batch.Records) > 0 {
		full := b.batch
		b.batch, b.size = Batch{}, 0
		b.stopped = !b.yield(&full, nil)
	}
	return !b.stopped
}

// Changes are the rows that the journal names.
type Changes struct {
	// Records are the present rows, each once.
	Records []Record
	// Through is the number of the last journal entry among them. The next call passes it as after, which
	// acknowledges them.
	Through uint64
	// Left is how many entries come after.
	Left uint64
}

// Store is a store that can be moved. Implementations are safe for concurrent use. Every method may return
// ErrUnavailable.
type Store interface {
	// Status returns the store's state.
	Status(ctx context.Context) (*Status, error)

	// Become changes the state, durably. A change that was made before, under the same id, succeeds again.
	// Possible changes are those of the package comment, and back: Exporting and Fenced to Active under their
	// id, Importing to Abandoned. Others are ErrState. Importing is ErrNotEmpty for a store with records,
	// unless it is the target of a move that never completed: it is emptied first. While other hosts have the
	// store open, Importing is ErrHosts unless it is Abandoned, and so are Exporting and Fenced unless the
	// turn is Followed: a host that opens it is seen by the transaction that makes the state, or sees the
	// state.
	Become(ctx context.Context, turn Transition) error

	// Export returns the rows after a position (nil: all) in batches, kind by kind, from one snapshot. It
	// ends with the first error.
	Export(ctx context.Context, after []byte) iter.Seq2[*Batch, error]

	// Changes returns the rows of at most limit journal entries after the given number, and deletes the
	// entries up to it. Without an export under that id it is ErrState, and ErrJournal when the journal has
	// grown too long.
	Changes(ctx context.Context, id string, after uint64, limit int) (*Changes, error)

	// Import writes records into a store that is Importing under that id, durably before it returns, in their
	// order: a record replaces the one with its key. Claims of notifications are dropped. It stops at the
	// first error of batches and returns it; the batches before it stay written. Writing a batch again is
	// safe.
	Import(ctx context.Context, id string, batches iter.Seq2[[]Record, error]) error
}
