package hostadapter

// Operations: what operators do, as package admin serves it.

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// Operations are what an operator does with the sessions, grants, notifications and the backend of an
// Adapter. Package admin serves it over HTTP.
type Operations struct{ adapter *Adapter }

// Operations returns what operators do.
func (a *Adapter) Operations() *Operations { return &Operations{a} }

var _ SessionManagement = (*Operations)(nil)

// QuerySessions is that of the Adapter.
func (o *Operations) QuerySessions(
	ctx context.Context, query ticketstore.SessionQuery,
) (*ticketstore.Page, error) {
	return o.adapter.QuerySessions(ctx, query)
}

// RemoveSessions is that of the Adapter.
func (o *Operations) RemoveSessions(ctx context.Context, removal SessionRemoval) (*logout.Result, error) {
	return o.adapter.RemoveSessions(ctx, removal)
}

// Job returns the progress of a removal of many sessions: it is kept for logout.JobRetention after its end. A
// swap is none, see SwapByID. An unknown id is ticketstore.ErrNotFound.
func (o *Operations) Job(ctx context.Context, id string) (*logout.Job, error) {
	if o.adapter.swapOf(id) != nil { // the store need not be asked, which may wait for the swap
		return nil, fmt.Errorf("hostadapter: job %w: it is a swap", ticketstore.ErrNotFound)
	}
	job, err := o.adapter.config.Backend.Logout().Job(ctx, id)
	if err != nil {
		return nil, fmt.Errorf("hostadapter: reading a job: %w", err)
	}
	return job, nil
}

// BackendName returns what the backend that serves is called, empty where it has no name.
func (o *Operations) BackendName() string { return o.adapter.backends.name() }

// BackendNames returns the names of Config.Swap.Backends that may take over, sorted, and the one that serves.
// Those that were left in a swap are not among them, for a swap wants an empty store. Where one was emptied
// since, Swap takes its name.
func (o *Operations) BackendNames() []string {
	o.adapter.swaps.mu.Lock()
	defer o.adapter.swaps.mu.Unlock()
	names, serving := slices.Sorted(maps.Keys(o.adapter.config.Swap.Backends)), o.BackendName()
	return slices.DeleteFunc(names, func(name string) bool {
		return name != serving && slices.ContainsFunc(o.adapter.pinned.left,
			func(store PinnedStore) bool { return store.Name == name })
	})
}

// Now returns the moment by the clock in use, in UTC.
func (o *Operations) Now() time.Time { return o.adapter.now() }

// RemoteAddr is that of the Adapter.
func (o *Operations) RemoteAddr(r *http.Request) string { return o.adapter.RemoteAddr(r) }

// Logger returns the logger of the Adapter.
func (o *Operations) Logger() *slog.Logger { return o.adapter.config.Logger }
