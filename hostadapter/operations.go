package hostadapter

// Operations: what operators can do, as served by package admin.

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

// Operations manages the sessions, grants, notifications and the backend of an Adapter, for operators.
// Package admin serves it over HTTP.
type Operations struct{ adapter *Adapter }

// Operations returns the operations of the adapter.
func (a *Adapter) Operations() *Operations { return &Operations{a} }

var _ SessionManagement = (*Operations)(nil)

// QuerySessions is Adapter.QuerySessions.
func (o *Operations) QuerySessions(
	ctx context.Context, query ticketstore.SessionQuery,
) (*ticketstore.Page, error) {
	return o.adapter.QuerySessions(ctx, query)
}

// RemoveSessions is Adapter.RemoveSessions.
func (o *Operations) RemoveSessions(ctx context.Context, removal SessionRemoval) (*logout.Result, error) {
	return o.adapter.RemoveSessions(ctx, removal)
}

// Job returns the progress of a removal of many sessions, which is kept for logout.JobRetention after its
// end. It returns ticketstore.ErrNotFound if the id is unknown, or that of a swap: see SwapByID.
func (o *Operations) Job(ctx context.Context, id string) (*logout.Job, error) {
	if o.adapter.swapOf(id) != nil { // avoids a call to the store, which may wait for the swap
		return nil, fmt.Errorf("hostadapter: job %w: it is a swap", ticketstore.ErrNotFound)
	}
	job, err := o.adapter.config.Backend.Logout().Job(ctx, id)
	if err != nil {
		return nil, fmt.Errorf("hostadapter: reading a job: %w", err)
	}
	return job, nil
}

// BackendName returns the name of the serving backend, or "" if it has none.
func (o *Operations) BackendName() string { return o.adapter.backends.name() }

// BackendNames returns the names of Config.Swap.Backends that can be swapped to, sorted, including the
// serving one. Backends that a swap has replaced are left out, because a swap requires an empty target. Swap
// accepts the name of one that was emptied since.
func (o *Operations) BackendNames() []string {
	o.adapter.swaps.mu.Lock()
	defer o.adapter.swaps.mu.Unlock()
	names, serving := slices.Sorted(maps.Keys(o.adapter.config.Swap.Backends)), o.BackendName()
	return slices.DeleteFunc(names, func(name string) bool {
		return name != serving && slices.ContainsFunc(o.adapter.pinned.left,
			func(store PinnedStore) bool { return store.Name == name })
	})
}

// Now returns the current time of Config.Now, in UTC.
func (o *Operations) Now() time.Time { return o.adapter.now() }

// RemoteAddr is Adapter.RemoteAddr.
func (o *Operations) RemoteAddr(r *http.Request) string { return o.adapter.RemoteAddr(r) }

// Logger returns the logger of the Adapter.
func (o *Operations) Logger() *slog.Logger { return o.adapter.config.Logger }
