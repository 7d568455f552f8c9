package hostadapter

// Pins: the stores that a host may serve, recorded across its restarts (rule 11).

import (
	"context"
	"fmt"
	"slices"

	"github.com/fosite-sessions/sessions"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// PinnedStore identifies a store that a host has served.
type PinnedStore struct {
	// Name is the host's name for the store, see Config.Swap.BackendName.
	Name string `json:"name"`
	// StoreID is its ticketstore.Description.StoreID.
	StoreID string `json:"store_id"`
	// Left is set after a swap has replaced the store. It must not serve again, but a host that starts with
	// it follows to the one that serves.
	Left bool `json:"left,omitempty"`
}

// Pins record the ids of the stores that may serve, outside of the stores and across restarts of the host. A
// start with a different store is refused, and so is a start with an empty folder where a volume is not
// mounted: it would serve as if no user were signed in. A swap pins the new store before its switch, and
// marks the old one as left after it.
//
// Open the stores themselves with the ids of all pinned stores (ticketstore.WithStoreIDs), so that none is
// created by mistake. The functions of Config.Swap.Backends get a context with the ids, if they are known.
type Pins interface {
	// Pinned returns the stores of the last call of Pin, none before the first.
	Pinned(ctx context.Context) ([]PinnedStore, error)
	// Pin replaces the pinned stores. They are durable when it returns.
	Pin(ctx context.Context, stores []PinnedStore) error
}

// pinned is the adapter's state of its stores.
type pinned struct {
	// left are the replaced stores that led to the serving one.
	left    []PinnedStore
	serving PinnedStore
	// kept are the stores of the last call of Config.Pins.Pin.
	kept []PinnedStore
}

// wantedIDs returns the ids of which an opened store must have one, or none if nothing is pinned.
func (p *pinned) wantedIDs() (ids []string) {
	for _, store := range p.kept {
		if store.StoreID != "" {
			ids = append(ids, store.StoreID)
		}
	}
	return ids
}

// loadPins reads the pinned stores.
func (a *Adapter) loadPins(ctx context.Context) (err error) {
	if a.config.Pins == nil {
		return nil
	}
	if a.pinned.kept, err = a.config.Pins.Pinned(ctx); err != nil {
		return fmt.Errorf("reading which stores are pinned: %w", err)
	}
	return nil
}

// checkPin refuses a store that must not serve: one that is not pinned, or one that was left. A successor of
// a pinned store may serve, because another host may have swapped it. A pin without an id is of data that did
// not outlive its process: any other store is as good.
func (a *Adapter) checkPin() error {
	if len(a.pinned.kept) == 0 {
		return nil
	}
	var wanted []string
	route := append(slices.Clone(a.pinned.left), a.pinned.serving)
	for _, store := range a.pinned.kept {
		if store.Left {
			continue
		}
		is := func(other PinnedStore) bool { return other.StoreID == store.StoreID }
		if store.StoreID == "" || slices.ContainsFunc(route, is) {
			return nil
		}
		wanted = append(wanted, store.StoreID)
	}
	return &ticketstore.OtherStoreError{
		Place: fmt.Sprintf("backend %q", a.pinned.serving.Name), Wanted: wanted,
		Found: a.pinned.serving.StoreID,
	}
}

// pin pins the current stores, and also next if it is given.
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

// pinBestEffort is pin after the fact: a failure is logged, and the next start repairs it.
func (a *Adapter) pinBestEffort(ctx context.Context) {
	if err := a.pin(ctx); err != nil {
		a.config.Logger.ErrorContext(ctx,
			"the ids of the stores that may serve could not be saved", "error", err)
	}
}

// pinnedAs reads the id of a store.
func pinnedAs(ctx context.Context, name string, backend sessions.Backend) (PinnedStore, error) {
	description, err := backend.Describe(ctx)
	if err != nil {
		return PinnedStore{}, fmt.Errorf("asking backend %q what it is: %w", name, err)
	}
	return PinnedStore{Name: name, StoreID: description.StoreID}, nil
}
