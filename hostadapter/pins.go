package hostadapter

// Pins: which stores a host may serve, kept across its restarts (rule 11).

import (
	"context"
	"fmt"
	"slices"

	"github.com/fosite-sessions/sessions"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// PinnedStore is a store that a host knows by its id.
type PinnedStore struct {
	// Name is what the host calls it, see Config.Swap.BackendName.
	Name string `json:"name"`
	// StoreID is its ticketstore.Description.StoreID.
	StoreID string `json:"store_id"`
	// Left: another one has taken its place in a swap. It may not serve any more, but a host that starts with
	// it is led to the one that does.
	Left bool `json:"left,omitempty"`
}

// Pins keep the ids of the stores that may serve, outside of the stores and across restarts of the host. A
// start with another store is refused, and so is one with an empty folder where a volume is not mounted: it
// would serve as if no user were signed in. A swap pins the new store before its switch, and marks the old
// one as left after it.
//
// The stores themselves are to be opened with the ids of all that is pinned (ticketstore.WithStoreIDs), so
// that none is made by mistake. The functions of Config.Swap.Backends get a context that has the ids wherever
// they are known.
type Pins interface {
	// Pinned returns what Pin was given last, nothing before the first time.
	Pinned(ctx context.Context) ([]PinnedStore, error)
	// Pin keeps these stores in the place of those that were pinned. They are on disk when it returns.
	Pin(ctx context.Context, stores []PinnedStore) error
}

// pinned is what the adapter knows of its stores.
type pinned struct {
	// left are those that led to the one that serves, before it.
	left    []PinnedStore
	serving PinnedStore
	// kept is what Config.Pins was given last.
	kept []PinnedStore
}

// wantedIDs returns the ids of which an opened store must have one, none if nothing is pinned.
func (p *pinned) wantedIDs() (ids []string) {
	for _, store := range p.kept {
		if store.StoreID != "" {
			ids = append(ids, store.StoreID)
		}
	}
	return ids
}

// loadPins reads what is pinned.
func (a *Adapter) loadPins(ctx context.Context) (err error) {
	if a.config.Pins == nil {
		return nil
	}
	if a.pinned.kept, err = a.config.Pins.Pinned(ctx); err != nil {
		return fmt.Errorf("reading which stores are pinned: %w", err)
	}
	return nil
}

// checkPin refuses a store that must not serve: none of those that are pinned, or one that was left. One that
// has taken the place of a pinned one may, for another host may have swapped it. A pin without an id is of
// data that did not outlive its process: any other store is as good.
func (a *Adapter) checkPin() error {
	if len(a.pinned.kept) == 0 {
		return nil
	}
	var wanted []string
	way := append(slices.Clone(a.pinned.left), a.pinned.serving)
	for _, store := range a.pinned.kept {
		if store.Left {
			continue
		}
		is := func(other PinnedStore) bool { return other.StoreID == store.StoreID }
		if store.StoreID == "" || slices.ContainsFunc(way, is) {
			return nil
		}
		wanted = append(wanted, store.StoreID)
	}
	return &ticketstore.OtherStoreError{
		Place: fmt.Sprintf("backend %q", a.pinned.serving.Name), Wanted: wanted,
		Found: a.pinned.serving.StoreID,
	}
}

// pin pins the stores as they are now, and next beside the one that serves, if there is one.
func (a *Adapter) pin(ctx context.Context, next ...PinnedStore) error {
	if a.config.Pins == nil {
		return nil
	}
	var stores []PinnedStore
	for _, store := range a.pinned.left {
		store.Left = true
		stores = append(stores, store)
	}
	stores = append(append(stores, a.pinned.serving), next...)
	if slices.Equal(stores, a.pinned.kept) {
		return nil
	}
	if err := a.config.Pins.Pin(ctx, stores); err != nil {
		return fmt.Errorf("pinning the stores: %w", err)
	}
	a.pinned.kept = stores
	return nil
}

// pinBestEffort is pin for what has happened already. The next start puts right what it could not.
func (a *Adapter) pinBestEffort(ctx context.Context) {
	if err := a.pin(ctx); err != nil {
		a.config.Logger.ErrorContext(ctx,
			"the ids of the stores that may serve could not be saved", "error", err)
	}
}

// pinnedAs asks a store for its id.
func pinnedAs(ctx context.Context, name string, backend sessions.Backend) (PinnedStore, error) {
	description, err := backend.Describe(ctx)
	if err != nil {
		return PinnedStore{}, fmt.Errorf("asking backend %q what it is: %w", name, err)
	}
	return PinnedStore{Name: name, StoreID: description.StoreID}, nil
}
