package sessions

// Backend: the three stores that a host needs, as one, and what a backend measures of itself.

import (
	"context"
	"slices"
	"time"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// Backend keeps sessions, grants and notifications. Implementations are safe for concurrent use. A
// plugin.Client is one, and so is every engine; whether an implementation is right is decided by
// plugin/storetest.
type Backend interface {
	// Tickets, Grants and Logout return the three stores over the same data. They are good until Close.
	Tickets() ticketstore.Store
	Grants() grantstore.Store
	Logout() logout.Store
	// Properties returns what the host keeps in the store about the store. It is good until Close.
	Properties() ticketstore.Properties
	// Describe says what the backend is, and fails when it cannot be reached.
	Describe(ctx context.Context) (ticketstore.Description, error)
	// Close ends the backend. Calls that come later are ticketstore.ErrUnavailable. It may be called again.
	Close() error
}

// FiguresService names, among those of a backend's description, that it is Measured.
const FiguresService = "figures"

// Measured is a backend that measures itself.
type Measured interface {
	// Figures returns the figures of this moment. It costs little: hosts ask every few seconds.
	Figures(ctx context.Context) (Figures, error)
}

// Figures are counts since the backend was opened, and sizes.
type Figures struct {
	// Commits counts the durable transactions, Changes what was in them: a store may commit the changes of
	// many callers at once.
	Commits, Changes uint64
	// CommitTime is how long they took in all, each from its first write until it was durable.
	CommitTime time.Duration
	// CommitBuckets counts the commits that took at most CommitBounds[i] and longer than the bound before.
	CommitBuckets [len(CommitBounds)]uint64
	// GroupBuckets counts the commits of at most GroupBounds[i] changes and more than the bound before.
	GroupBuckets [len(GroupBounds)]uint64
	// RoundTrips counts how often a database was asked over a connection, ConnectionWaits how often a
	// transaction waited for a connection, ConnectionWaitTime how long these did in all. All are zero where
	// the engine has no connections.
	RoundTrips, ConnectionWaits uint64
	ConnectionWaitTime          time.Duration
	// DiskUsed and DiskFree are bytes: those of the data, and those left on its disk. They are -1 where that
	// is not known.
	DiskUsed, DiskFree int64
	// Restarts counts how often the process of the backend was replaced, Waits the calls that waited for
	// that. Both are zero for a backend without a process.
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

// NoteCommit counts a durable transaction of so many changes.
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
