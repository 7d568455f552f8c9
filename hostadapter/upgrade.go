package hostadapter

// Replacing the backend's program while keeping its data.

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/fosite-sessions/sessions"
	"github.com/fosite-sessions/sessions/plugin/transfer"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// callsTimeout bounds the wait for calls in flight before the program that serves them is closed. Longer
// calls are aborted.
const callsTimeout = 5 * time.Second

// Upgrade replaces the program of the serving backend, on the same data, without a restart of the host. The
// new program is what Config.Swap.Backends opens under the name; this may be the name of the serving backend,
// if its program was replaced on disk. Calls wait while one is closed and the other opened, for a fraction of
// a second. If the new one does not open, or has different data, the old one is opened again, so it must be
// in Config.Swap.Backends too. Upgrade returns the id of a swap, for SwapByID; an upgrade cannot be aborted.
// It returns ticketstore.ErrNotFound for an unknown name, and ErrSwap if the upgrade is not possible.
func (o *Operations) Upgrade(ctx context.Context, name string) (id string, err error) {
	if err := o.adapter.checkName(name); err != nil {
		return "", err
	}
	serving := o.adapter.backends.name()
	if _, found := o.adapter.config.Swap.Backends[serving]; !found {
		return "", fmt.Errorf("%w: %q is not among Backends, so that it could not come back",
			ErrSwap, serving)
	}
	state := o.adapter.newSwap(rand.Text(), name)
	state.Upgrade = true
	if _, err := o.adapter.begin(state); err != nil {
		return "", err
	}
	defer func() {
		if err != nil {
			o.adapter.finishSwap(state, err)
		}
	}()
	before, err := o.adapter.backends.Describe(ctx)
	switch {
	case err != nil:
		return "", fmt.Errorf("hostadapter: asking backend %q: %w", serving, err)
	case before.StoreID == "":
		return "", fmt.Errorf("%w: the data of %q does not outlive its process", ErrSwap, serving)
	}
	go func() { o.adapter.finishSwap(state, o.adapter.runUpgrade(state, before.StoreID)) }()
	return state.ID, nil
}

// runUpgrade replaces the program. Two processes cannot own one store, so for a moment nothing serves.
func (a *Adapter) runUpgrade(state *SwapState, storeID string) error {
	ctx := context.Background()
	a.report(state, transfer.Progress{Phase: transfer.Switching})
	began := time.Now()
	a.backends.hold(callsTimeout)
	if err := a.backends.serving().Close(); err != nil {
		a.config.Logger.WarnContext(ctx, "the replaced backend failed to close",
			"backend", state.From, "error", err)
	}
	next, err := a.openUpgrade(ctx, state.To, storeID)
	name := state.To
	if err != nil {
		name, next = state.From, a.openAgain(ctx, state.From, storeID)
	}
	if next == nil {
		a.backends.release(name, a.backends.serving()) // closed, and the adapter is closing
		return errors.Join(err, errors.New("hostadapter: the server ended before a backend was open again"))
	}
	a.keep(next)
	a.backends.release(name, next)
	a.pinned.serving.Name = name
	a.pinBestEffort(ctx)
	a.describeServing(ctx)
	phase := transfer.Done
	if err != nil {
		phase = transfer.Failed
	}
	a.report(state, transfer.Progress{Phase: phase, Held: time.Since(began)})
	return err
}

// openUpgrade opens a backend that must have the data with that id and be fit to serve.
func (a *Adapter) openUpgrade(ctx context.Context, name, storeID string) (sessions.Backend, error) {
	return a.openFit(ticketstore.WithStoreIDs(ctx, storeID), name,
		func(ctx context.Context, backend sessions.Backend) error {
			description, err := backend.Describe(ctx)
			switch {
			case err != nil:
				return fmt.Errorf("hostadapter: asking backend %q: %w", name, err)
			case description.StoreID != storeID:
				return fmt.Errorf("%w: %q has other data", ErrSwap, name)
			}
			return checkServices(&description)
		})
}

// openAgain opens the former backend, and retries until it is open. It returns nil if the adapter closes
// first.
func (a *Adapter) openAgain(ctx context.Context, name, storeID string) sessions.Backend {
	for {
		backend, err := a.openUpgrade(ctx, name, storeID)
		if err == nil {
			return backend
		}
		a.config.Logger.ErrorContext(ctx, "the serving backend cannot be reopened, retrying",
			"backend", name, "error", err)
		select {
		case <-time.After(retryInterval):
		case <-a.swaps.closing:
			return nil
		}
	}
}
