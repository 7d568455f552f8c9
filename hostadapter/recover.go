package hostadapter

// The start over a backend that was swapped: it follows to the one that serves (rule 12).

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

// moverOf returns what moves a backend, nil if nothing does.
func moverOf(backend sessions.Backend) transfer.Store {
	if mover, ok := backend.(interface{ Transfer() transfer.Store }); ok {
		return mover.Transfer()
	}
	return nil
}

// openBackend finds the backend that serves: the one of the configuration, or what has taken its place in a
// swap. What a swap that came to no end has left is put right first.
func (a *Adapter) openBackend(ctx context.Context) (err error) {
	opened := map[string]sessions.Backend{}
	defer func() {
		for name, backend := range opened {
			if err == nil && name == a.backends.name() {
				a.keep(backend)
				continue
			}
			if closeErr := backend.Close(); closeErr != nil {
				a.config.Logger.WarnContext(ctx, "backend failed to close", "backend", name,
					"error", closeErr)
			}
		}
	}()
	open := func(ctx context.Context, name string) (sessions.Backend, error) {
		if backend, found := opened[name]; found {
			return backend, nil
		}
		f, found := a.config.Swap.Backends[name]
		if !found {
			return nil, &MissingBackendError{Name: name}
		}
		backend, err := openRetrying(ticketstore.WithStoreIDs(ctx, a.pinned.wantedIDs()...), f)
		if err != nil {
			return nil, fmt.Errorf("open backend %q: %w", name, err)
		}
		opened[name] = backend
		return backend, nil
	}
	name, backend := a.config.Swap.BackendName, a.config.Backend
	if backend == nil {
		if backend, err = open(ctx, name); err != nil {
			return err
		}
	}
	for passed := []string{name}; ; passed = append(passed, name) {
		if a.pinned.serving, err = pinnedAs(ctx, name, backend); err != nil {
			return err
		}
		store := moverOf(backend)
		if store == nil {
			break
		}
		follow, err := transfer.Recover(ctx, store,
			func(ctx context.Context, name string) (transfer.Store, error) {
				other, err := open(ctx, name)
				if err != nil {
					return nil, err
				}
				if target := moverOf(other); target != nil {
					return target, nil
				}
				return nil, fmt.Errorf("backend %q does not serve transfer", name)
			})
		if err != nil {
			return fmt.Errorf("backend %q: %w", name, err)
		}
		if follow == "" {
			break
		}
		if slices.Contains(passed, follow) {
			return fmt.Errorf("backends %q supersede each other", append(passed, follow))
		}
		a.config.Logger.InfoContext(ctx, "backend was superseded", "backend", name, "by", follow)
		if backend, err = open(ctx, follow); err != nil {
			return fmt.Errorf("backend %q was superseded: %w", name, err)
		}
		a.pinned.left = append(a.pinned.left, a.pinned.serving)
		name = follow
	}
	if err := a.checkPin(); err != nil {
		return err
	}
	a.backends = newSwitch(name, backend)
	a.config.Backend = a.backends
	return nil
}

// openRetrying opens a backend that the process of a host which was killed may be about to leave.
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

// openRetryFor is how long a start tries to open a backend.
const openRetryFor = 10 * time.Second

// keep notes a backend that is ours to close.
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

// MissingBackendError is the failure of a start: the sessions were moved, or may have been, to a backend in a
// swap, and Config.Swap.Backends does not name it. What they were moved from must not serve in its place.
type MissingBackendError struct {
	// Name is what the backend was called in that swap.
	Name string
}

// Error names the backend.
func (e *MissingBackendError) Error() string {
	return fmt.Sprintf("backend %q is not among Config.Swap.Backends", e.Name)
}
