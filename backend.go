package sessions

// Backend: the three stores that a host needs, and the metrics of a backend.

import (
	"context"
	"slices"
	"time"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// Backend stores sessions, grants and notifications. Implementations are safe for concurrent use.
// plugin.Client and every engine implement it; the conformance suite is plugin/storetest.
type Backend interface {
	// Tickets, Grants and Logout return the three stores over the same data. They are valid until Close.
	Tickets() ticketstore.Store
	Grants() grantstore.Store
	Logout() logout.Store
	// Properties returns the host's properties of the store as a whole. It is valid until Close.
	Properties() ticketstore.Properties
	// Describe describes the backend. It returns an error if the backend cannot be reached.
	Describe(ctx context.Context) (ticketstore.Description, error)
	// Close closes the backend. Later calls return ticketstore.ErrUnavailable. Close is idempotent.
	Close() error
}

// FiguresService is the entry in ticketstore.Description.Services of a backend that implements Measured.
const FiguresService = "figures"

// Measured is implemented by backends that report metrics.
type Measured interface {
	// Figures returns the current figures. It must be cheap: hosts call it every few seconds.
	Figures(ctx context.Context) (Figures, error)
}

// Figures are counters since the backend was opened, and sizes.
type Figures struct {
	// Commits counts durable transactions, Changes the changes in them: a store may commit the changes of
	// many callers in one transaction (group commit).
	Commits, Changes uint64
	// CommitTime is the sum of their durations, each from its first write until it was durable.
	CommitTime time.Duration
	// CommitBuckets counts the commits that took at most CommitBounds[i] and longer than the previous bound.
	CommitBuckets [len(CommitBounds)]uint64
	// GroupBuckets counts the commits of at most GroupBounds[i] changes and more than the previous bound.
	GroupBuckets [len(GroupBounds)]uint64
	// RoundTrips counts database round trips, ConnectionWaits the transactions that waited for a pooled
	// connection, ConnectionWaitTime the sum of these waits. All are zero for an engine without connections.
	RoundTrips, ConnectionWaits uint64
	ConnectionWaitTime          time.Duration
	// DiskUsed is the size of the data in bytes, DiskFree the free space on its disk. Either is -1 if
	// unknown.
	DiskUsed, DiskFree int64
	// Restarts counts the restarts of the backend's process, Waits the calls that waited for a restart. Both
	// are zero for a backend that runs in process.
	Restarts, Waits uint64
}

// CommitBounds are the bounds of Figures.CommitBuckets.
var CommitBounds = [...]time.Duration{
	500 * time.Microsecond, time.Millisecond, 2 * time.Millisecond, 5 * time.Millisecond,
	10 * time.Millisecond, 20 * time.Millisecond, 50 * time.Millisecond, 100 * time.Millisecond,
	200 * time.Millisecond, 500 * time.Millisecond, time.Second, 5 * time.Second,
}

// GroupBounds are the bounds of Figures.GroupBuckets.
var GroupBounds = [...]int{1, 2, 4, 8, 16, 32, 64, 128, 256}

// NoteCommit counts a durable transaction with the given number of changes.
func (f *Figures) NoteCommit(changes int, took time.Duration) {
	f.Commits++
	f.Changes += uint64(changes)
	f.CommitTime += took
	if i, _ := slices.BinarySearch(CommitBounds[:], took); i < len(CommitBounds) {
		f.CommitBuckets[i]++
	}
	if i, _ := slices.BinarySearch(GroupBounds[:], changes); i < len(GroupBounds) {
		f.GroupBuckets[i]++
	}
}
