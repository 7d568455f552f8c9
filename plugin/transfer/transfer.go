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
const RecordVersion = 3

// Bounds of a batch, which ends at the first one reached.
const (
	MaxBatchRecords = 500
	MaxBatchBytes   = 1 << 20
)

// Sentinel errors. errors.Is works on them across the plugin's process boundary.
var (
	// ErrFenced means that the store takes no writes, and if shared answers no reads, because it is being or
	// was replaced. Nothing was written: retry the call on the other store, or on this one if the move was
	// aborted. It is also a ticketstore.ErrUnavailable.
	ErrFenced = fmt.Errorf("%w: it is being replaced", ticketstore.ErrUnavailable)
	// ErrState means that the store's state does not allow the step.
	ErrState = errors.New("the store's state does not allow it")
	// ErrNotEmpty means that the store holds records and cannot become a target.
	ErrNotEmpty = errors.New("the store is not empty")
	// ErrOlder means that the target does not support all records that the source may hold.
	ErrOlder = errors.New("the target is of an older version")
	// ErrHosts means that other hosts have the store open. They cannot follow to a store that is not shared,
	// and do not learn that a store is being filled. Status.Alone names them.
	ErrHosts = errors.New("other hosts have the store open")
	// ErrJournal means that the journal grew too long and was dropped. The move must start again.
	ErrJournal = errors.New("the journal of changes grew too long and was dropped")
)

// State is the role of a store in a move.
type State string

// The states. A store that was never part of a move is Active.
const (
	Active     State = "active"
	Exporting  State = "exporting"  // an active source: changes are journaled
	Fenced     State = "fenced"     // a source that takes no writes and, if shared, answers no reads
	Superseded State = "superseded" // a source replaced by its target
	Importing  State = "importing"  // a target that is being filled: it answers nothing else
	Abandoned  State = "abandoned"  // a target never completed: the next import empties it
)

// Kind is a kind of records. The numbers are part of the protocol and of backups.
type Kind uint8

// The kinds, in the order in which Export sends them.
const (
	Sessions      Kind = 1 // by sid
	Clients       Kind = 2 // use of a session by a client, by sid, NUL, client id
	Ended         Kind = 3 // ended records, by sid
	Grants        Kind = 4 // by type byte and key
	Operations    Kind = 5 // answers to operations, by operation id
	Jobs          Kind = 6 // unfinished and recent endings, by operation id
	Purges        Kind = 7 // sessions with rows of dead grants, by sid
	Notifications Kind = 8 // by id
	Properties    Kind = 9 // by name
)

// Kinds are all kinds, in order.
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
	// Data is the encoded record, nil if Deleted.
	Data    []byte
	Deleted bool
}

// Sum returns the record's hash, its part in the sum of its kind. Two stores with the same records have the
// same sums, regardless of the order of writes.
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

// Status is the state of a store and of its current or latest move.
type Status struct {
	State State
	// ID is the move's id, Peer the host's name of the other store. Both are empty before the first move.
	ID   string
	Peer string
	// PeerStore is the ticketstore.Description.StoreID of the other store, empty if unknown.
	PeerStore string
	// Silent is the time since the last step of the host that moves a shared store, by the store's clock, or
	// 0 if no move is in progress.
	Silent time.Duration
	// Origin is the id of the move that filled the store, kept during later moves. Empty if there was none.
	Origin string
	// Content has an entry for each kind with records, from one snapshot.
	Content map[Kind]Content
	// Journaled is the number of the latest journal entry, Left the number of unacknowledged entries.
	Journaled uint64
	Left      uint64
	// RecordVersion is the version of the records that the store reads and writes. A target must have its
	// source's version or a later one.
	RecordVersion uint32
	// Others are the other hosts that have a shared store open, at most ticketstore.MaxHosts. Hosts without a
	// recent heartbeat are excluded.
	Others []ticketstore.Host
}

// How long the host that runs a move may be silent. While copying it sends a sign of life every signEvery,
// unless it waits for its target (retryTimeout) or for deliveries in flight (Move.BeforeFence). Between fence
// and switch it does so all the time, bounded by DefaultSwitchTimeout.
const (
	copyPatience   = 45 * time.Second
	switchPatience = DefaultSwitchTimeout + time.Second
)

// Moving reports whether another host is running the move of a source: one of Others has sent a recent sign
// of life. If none has, that host was lost, and Recover ends the move.
func (s *Status) Moving() bool {
	if len(s.Others) == 0 {
		return false
	}
	return s.State == Exporting && s.Silent < copyPatience || s.State == Fenced && s.Silent < switchPatience
}

// namedHosts is the maximum number of hosts named in an error.
const namedHosts = 16

// Alone returns an ErrHosts that names the other hosts, or nil if there are none.
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

// Records returns the number of records in the store.
func (s *Status) Records() (n int64) {
	for _, c := range s.Content {
		n += c.Count
	}
	return n
}

// Transition is one step of a move: a change of state.
type Transition struct {
	To State
	// ID is the move's id. A step with a different id than the current move's is ErrState.
	ID string
	// Peer is the name of the other store, required for Exporting, Fenced and Superseded. PeerStore is its
	// ticketstore.Description.StoreID, so that followers open no other store under that name.
	Peer      string
	PeerStore string
	// Followed means that the other store is shared, so that the other hosts of a source can follow.
	// Exporting and Fenced are then allowed even if there are any.
	Followed bool
}

// Batch is a batch of exported records.
type Batch struct {
	Records []Record
	// Position is where to continue after the batch.
	Position []byte
}

// Batcher groups the rows of an export into batches, for implementations of Store.Export.
type Batcher struct {
	yield   func(*Batch, error) bool
	batch   Batch
	size    int
	stopped bool
}

// NewBatcher returns a Batcher that passes its batches to yield.
func NewBatcher(yield func(*Batch, error) bool) *Batcher { return &Batcher{yield: yield} }

// Add adds a row and reports whether to continue.
func (b *Batcher) Add(r *Record) bool {
	b.batch.Records = append(b.batch.Records, *r)
	b.batch.Position = append([]byte{byte(r.Kind)}, r.Key...)
	b.size += len(r.Key) + len(r.Data)
	return (len(b.batch.Records) < MaxBatchRecords && b.size < MaxBatchBytes) || b.flush()
}

// End yields the remaining batch or, if the export failed, the error. It does nothing if yield has returned
// false.
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

// Changes are the rows named by journal entries.
type Changes struct {
	// Records are the current rows, each once.
	Records []Record
	// Through is the number of the last journal entry covered. Passing it as after to the next call
	// acknowledges the entries up to it.
	Through uint64
	// Left is the number of entries after Through.
	Left uint64
}

// Store is a store that can be moved. Implementations are safe for concurrent use. Every method may return
// ErrUnavailable.
type Store interface {
	// Status returns the store's state.
	Status(ctx context.Context) (*Status, error)

	// Become changes the state durably. Repeating a change under the same id succeeds. The allowed changes
	// are those of the package comment and their reversals: Exporting and Fenced to Active under their id,
	// Importing to Abandoned. Others return ErrState. Importing returns ErrNotEmpty for a store with records,
	// unless it is the target of an incomplete move, which is emptied first. While other hosts have the store
	// open, Importing returns ErrHosts unless the store is Abandoned, and so do Exporting and Fenced unless
	// the transition is Followed; the transaction that changes the state sees each host that has opened the
	// store, or the host sees the new state.
	Become(ctx context.Context, turn Transition) error

	// Export returns the rows after a position (nil: all) in batches, kind by kind, from one snapshot. It
	// ends with the first error.
	Export(ctx context.Context, after []byte) iter.Seq2[*Batch, error]

	// Changes returns the rows of at most limit journal entries after the given number, and deletes the
	// entries up to it. It returns ErrState if there is no export under that id, and ErrJournal if the
	// journal grew too long.
	Changes(ctx context.Context, id string, after uint64, limit int) (*Changes, error)

	// Import writes records in order, durably before it returns, into a store that is Importing under that
	// id: a record replaces the one with its key. Claims of notifications are dropped. It returns the first
	// error of batches; the batches before it stay written. Importing a batch again is safe.
	Import(ctx context.Context, id string, batches iter.Seq2[[]Record, error]) error
}
