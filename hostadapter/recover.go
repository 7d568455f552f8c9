package hostadapter

// Start with a backend that was swapped: find the one that serves (rule 12).

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/fosite-sessions/sessions"
	"github.com/fosite-sessions/sessions/plugin/transfer"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// moverOf returns the transfer store of a backend, or nil if it has none.
func moverOf(backend sessions.Backend) transfer.Store {
	if mover, ok := backend.(interface{ Transfer() transfer.Store }); ok {
		return mover.Transfer()
	}
	return nil
}

// openBackend finds the serving backend: the configured one, or the one that a swap put in its place. It
// first repairs the state of an unfinished swap.
func (a *Adapter) openBackend(ctx context.Context) (err error) {
	w := a.newRoute(a.config.Swap.BackendName, a.config.Backend)
	defer func() { w.end(ctx, err == nil) }()
	if err := w.lead(ctx); err != nil {
		return err
	}
	a.pinned.left, a.pinned.serving = w.left, w.serving
	if err := a.checkPin(); err != nil {
		return err
	}
	a.backends = newSwitch(w.serving.Name, w.backend)
	a.config.Backend = a.backends
	return nil
}

// route leads from a backend to the one that serves: each replaced backend names its successor.
type route struct {
	adapter *Adapter
	// opened are the backends opened on the way, by name.
	opened map[string]sessions.Backend
	// left are the replaced stores; serving and backend are the store that was reached.
	left    []PinnedStore
	serving PinnedStore
	backend sessions.Backend
}

// newRoute starts at a backend. If backend is nil it is opened by its name.
func (a *Adapter) newRoute(name string, backend sessions.Backend) *route {
	return &route{
		adapter: a, opened: map[string]sessions.Backend{}, serving: PinnedStore{Name: name}, backend: backend,
	}
}

// end closes the opened backends, except the one that was reached if it is to serve.
func (w *route) end(ctx context.Context, serves bool) {
	for name, backend := range w.opened {
		if serves && name == w.serving.Name {
			w.adapter.keep(backend)
			continue
		}
		if err := backend.Close(); err != nil {
			w.adapter.config.Logger.WarnContext(ctx, "backend failed to close", "backend", name, "error", err)
		}
	}
}

// open opens a backend by its name, once. A successor is opened with the id that its predecessor recorded,
// the first backend with the ids of the pinned stores.
func (w *route) open(ctx context.Context, name string) (sessions.Backend, error) {
	if backend, found := w.opened[name]; found {
		return backend, nil
	}
	f, found := w.adapter.config.Swap.Backends[name]
	if !found {
		return nil, &MissingBackendError{Name: name}
	}
	if len(ticketstore.StoreIDs(ctx)) == 0 {
		ctx = ticketstore.WithStoreIDs(ctx, w.adapter.pinned.wantedIDs()...)
	}
	backend, err := openRetrying(ctx, f)
	if err != nil {
		return nil, fmt.Errorf("open backend %q: %w", name, err)
	}
	w.opened[name] = backend
	return backend, nil
}

// mover opens the transfer store of the backend with a name.
func (w *route) mover(ctx context.Context, name string) (transfer.Store, error) {
	backend, err := w.open(ctx, name)
	if err != nil {
		return nil, err
	}
	if target := moverOf(backend); target != nil {
		return target, nil
	}
	return nil, fmt.Errorf("backend %q does not serve transfer", name)
}

// lead follows successors to the serving backend.
func (w *route) lead(ctx context.Context) (err error) {
	if w.backend == nil {
		if w.backend, err = w.open(ctx, w.serving.Name); err != nil {
			return err
		}
	}
	for passed := []string{w.serving.Name}; ; passed = append(passed, w.serving.Name) {
		name := w.serving.Name
		if w.serving, err = pinnedAs(ctx, name, w.backend); err != nil {
			return err
		}
		store := moverOf(w.backend)
		if store == nil {
			return nil
		}
		follow, err := transfer.Recover(ctx, store, w.mover)
		switch {
		case err != nil:
			return fmt.Errorf("backend %q: %w", name, err)
		case follow == "":
			return nil
		case slices.Contains(passed, follow):
			return fmt.Errorf("backends %q supersede each other", append(passed, follow))
		}
		w.adapter.config.Logger.InfoContext(ctx, "backend was superseded", "backend", name, "by", follow)
		if w.backend, err = w.open(ctx, follow); err != nil {
			return fmt.Errorf("backend %q was superseded: %w", name, err)
		}
		w.left, w.serving = append(w.left, w.serving), PinnedStore{Name: follow}
	}
}

// openRetrying opens a backend, and retries because the process of a killed host may still hold it.
func openRetrying(
	ctx context.Context, open func(ctx context.Context) (sessions.Backend, error),
) (sessions.Backend, error) {
	for deadline := time.Now().Add(openRetryFor); ; {
		backend, err := open(ctx)
		if err == nil || ctx.Err() != nil || time.Now().After(deadline) ||
			errors.Is(err, ticketstore.ErrOtherStore) {
			return backend, err
		}
		select {
		case <-time.After(retryInterval):
		case <-ctx.Done():
			return nil, err
		}
	}
}

// openRetryFor is how long a start retries opening a backend.
const openRetryFor = 10 * time.Second

// keep records a backend that the adapter must close.
func (a *Adapter) keep(backend sessions.Backend) {
	a.swaps.mu.Lock()
	defer a.swaps.mu.Unlock()
	a.swaps.opened = append(a.swaps.opened, backend)
}

// closeOpened closes the backends that the adapter has opened, the latest first.
func (a *Adapter) closeOpened() error {
	a.swaps.mu.Lock()
	opened := a.swaps.opened
	a.swaps.opened = nil
	a.swaps.mu.Unlock()
	var errs []error
	for _, backend := range slices.Backward(opened) {
		errs = append(errs, backend.Close())
	}
	return errors.Join(errs...)
}

// MissingBackendError is the failure of a start, or of following another host's swap: the sessions were, or
// may have been, moved to a backend that Config.Swap.Backends does not name. The backend they were moved from
// must not serve instead.
type MissingBackendError struct {
	// Name is the name of the backend in that swap.
	Name string
}

// Error names the backend.
func (e *MissingBackendError) Error() string {
	return fmt.Sprintf("backend %q is not among Config.Swap.Backends", e.Name)
}
