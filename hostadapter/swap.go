package hostadapter

// Swapping the backend at run time (rule 12).

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"sync"
	"time"

	"github.com/fosite-sessions/sessions"
	"github.com/fosite-sessions/sessions/plugin/transfer"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// ErrSwap means that a swap is not possible: the target serves already, is not empty, or cannot be moved to;
// other hosts could not follow; or a swap is already running, here or on another host. The text says which.
var ErrSwap = errors.New("hostadapter: the backend cannot be swapped")

var errElsewhere = fmt.Errorf("%w: another host makes the swap: abort it there, before its switch",
	ErrSwap)

const (
	// openTimeout bounds opening the target of a swap.
	openTimeout = 45 * time.Second
	// beginTimeout bounds the wait for the begin of a swap, which pending writes of a disconnected host
	// delay.
	beginTimeout = 5 * time.Second
	// openAttempts bounds the attempts to open a backend that another host has open, openPause the pause
	// between them.
	openAttempts, openPause = 3, time.Second
	// quietTimeout bounds the wait for deliveries in flight before a switch: those not settled by then are
	// repeated.
	quietTimeout = 20 * time.Second
	// leaveTimeout bounds the wait for calls in flight on a replaced backend.
	leaveTimeout = time.Minute
	// retryInterval is the interval between checks whether a backend that could not be reached has taken
	// over.
	retryInterval = time.Second
	// keptSwaps is how many swaps are kept in memory.
	keptSwaps = 100
)

// Swap moves all data to an empty backend of Config.Swap.Backends, without interrupting the service (rule
// 12). If the backends are shared, the other hosts follow (rule 14): they need the target in their
// configuration under the same name. It returns the id of the swap, which continues in the background:
// SwapByID reports its progress, AbortSwap aborts it before the switch. ctx bounds the start only. It returns
// ticketstore.ErrNotFound for an unknown name, and ErrSwap if the swap is not possible or the target does not
// open.
func (o *Operations) Swap(ctx context.Context, name string) (id string, err error) {
	if err := o.adapter.checkName(name); err != nil {
		return "", err
	}
	if name == o.adapter.backends.name() {
		return "", fmt.Errorf("%w: %q serves already", ErrSwap, name)
	}
	state := o.adapter.newSwap(rand.Text(), name)
	running, err := o.adapter.begin(state)
	if err != nil {
		return "", err
	}
	defer func() {
		if err != nil {
			o.adapter.finishSwap(state, err)
		}
	}()
	source := moverOf(o.adapter.backends.serving())
	if source == nil {
		return "", fmt.Errorf("%w: %q does not serve transfer", ErrSwap, state.From)
	}
	status, err := free(ctx, source, state.From)
	if err != nil {
		return "", err
	}
	target, err := o.adapter.openTargetAlone(ctx, name, func() error {
		_, err := free(ctx, source, state.From)
		return err
	})
	if err != nil {
		return "", err
	}
	description, err := target.Describe(ctx)
	if err != nil {
		err = fmt.Errorf("hostadapter: asking backend %q what it is: %w", name, err)
	} else if others := status.Alone(); others != nil && !description.Shared {
		// The source checks again when the move begins, and in the transaction of its fence.
		err = fmt.Errorf("%w: of %q %w: they cannot follow to %q, which hosts do not share: stop them first",
			ErrSwap, state.From, others, name)
	}
	if err != nil {
		return "", errors.Join(err, target.Close())
	}
	next := PinnedStore{Name: name, StoreID: description.StoreID}
	begun := make(chan struct{})
	reportBegin := sync.OnceFunc(func() { close(begun) })
	move := &transfer.Move{
		Source: source, Target: moverOf(target), ID: state.ID, SourceName: state.From, TargetName: name,
		TargetStore: next.StoreID, Followed: description.Shared,
		Report: func(p transfer.Progress) {
			o.adapter.report(state, p)
			if p.Phase != transfer.Preparing {
				reportBegin()
			}
		},
	}
	go func() { o.adapter.finishSwap(state, o.adapter.runSwap(running, move, target, next)) }()
	select { // once it has begun, the other hosts learn of it through the store
	case <-begun:
	case <-time.After(beginTimeout):
	case <-ctx.Done():
	}
	return state.ID, nil
}

// free returns the status of a source, or an error if another host moves or has moved it. It first ends a
// move that was lost with its host.
func free(ctx context.Context, source transfer.Store, name string) (*transfer.Status, error) {
	status, err := source.Status(ctx)
	if err == nil {
		var ended bool
		if ended, err = transfer.EndLost(ctx, source, status); ended {
			status, err = source.Status(ctx)
		}
	}
	switch {
	case err != nil:
		return nil, fmt.Errorf("hostadapter: asking backend %q: %w", name, err)
	case status.State != transfer.Active:
		return nil, fmt.Errorf("%w: another host swaps %q to %q: wait for its end", ErrSwap, name,
			status.Peer)
	}
	return status, nil
}

// checkName returns an error for a name that is not in Config.Swap.Backends.
func (a *Adapter) checkName(name string) error {
	if err := ticketstore.CheckID("backend", name); err != nil {
		return err
	}
	if _, found := a.config.Swap.Backends[name]; !found {
		return fmt.Errorf("%w: backend %q is not configured", ticketstore.ErrNotFound, name)
	}
	return nil
}

// openFit opens a backend by name, and closes it again if it is not fit for its purpose.
func (a *Adapter) openFit(
	ctx context.Context, name string, fit func(ctx context.Context, backend sessions.Backend) error,
) (sessions.Backend, error) {
	ctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	backend, err := a.config.Swap.Backends[name](ctx)
	if err != nil {
		return nil, fmt.Errorf("%w: %q does not open: %w", ErrSwap, name, err)
	}
	if err := fit(ctx, backend); err != nil {
		return nil, errors.Join(err, backend.Close())
	}
	return backend, nil
}

// openTargetAlone is openTarget with retries if another host has the backend open: two hosts that begin a
// swap to it at the same time may find each other there. It gives up if the other host swaps, because then
// this host follows.
func (a *Adapter) openTargetAlone(
	ctx context.Context, name string, free func() error,
) (target sessions.Backend, err error) {
	for attempt := 1; ; attempt++ {
		target, err = a.openTarget(ctx, name)
		if !errors.Is(err, transfer.ErrHosts) || attempt == openAttempts {
			return target, err
		}
		select {
		case <-time.After(mathrand.N(openPause)): //nolint:gosec // a pause is not a secret
		case <-ctx.Done():
			return nil, err
		}
		if err := free(); err != nil {
			return nil, err
		}
	}
}

// openTarget opens the backend and checks whether it can become a target, so that the caller gets the error
// directly.
func (a *Adapter) openTarget(ctx context.Context, name string) (sessions.Backend, error) {
	return a.openFit(ctx, name, func(ctx context.Context, target sessions.Backend) error {
		mover := moverOf(target)
		if mover == nil {
			return fmt.Errorf("%w: %q does not serve transfer", ErrSwap, name)
		}
		status, err := mover.Status(ctx)
		switch {
		case err != nil:
			return fmt.Errorf("hostadapter: asking backend %q: %w", name, err)
		case status.State == transfer.Abandoned:
			return nil // left by an unfinished swap
		case status.State != transfer.Active && status.State != transfer.Importing:
			return fmt.Errorf("%w: %q is %s, and what it holds is older: a swap wants an empty one", ErrSwap,
				name, status.State)
		case status.Alone() != nil:
			return fmt.Errorf("%w: of %q %w: stop them first", ErrSwap, name, status.Alone())
		case status.State == transfer.Importing:
			return nil // also left by an unfinished swap
		case status.Records() > 0:
			issuer, err := target.Properties().Property(ctx, issuerProperty)
			if err == nil && issuer != nil && !a.servesIssuer(string(issuer)) {
				return fmt.Errorf("%w: %q: %w", ErrSwap, name, a.otherIssuer(string(issuer)))
			}
			return fmt.Errorf("%w: %q is not empty, it holds %d records", ErrSwap, name, status.Records())
		}
		return nil
	})
}

// runSwap moves everything and switches. On an error the old backend keeps serving.
func (a *Adapter) runSwap(
	ctx context.Context, move *transfer.Move, target sessions.Backend, next PinnedStore,
) error {
	resume := func() {}
	defer func() { resume() }()
	// The switch would lose pending claims, and their notifications would be sent twice: let deliveries in
	// flight finish.
	move.BeforeFence = func(ctx context.Context) (err error) {
		if err := a.pin(ctx, next); err != nil {
			return err
		}
		bounded, cancel := context.WithTimeout(ctx, quietTimeout)
		defer cancel()
		if resume, err = a.dispatcher.Pause(bounded); err != nil && ctx.Err() == nil {
			a.config.Logger.WarnContext(ctx,
				"deliveries under way did not end before the switch: some may be sent again")
		}
		return ctx.Err()
	}
	traced, span := a.tracing.start(ctx, "swap")
	err := move.Run(traced)
	end(span, err)
	if errors.Is(err, transfer.ErrUndecided) {
		err = a.decide(ctx, move)
	}
	if err != nil {
		a.backends.lifted()
		if !errors.Is(err, transfer.ErrUndecided) {
			a.pinBestEffort(context.WithoutCancel(ctx))
		}
		return errors.Join(err, target.Close())
	}
	a.keep(target)
	old := a.takeOver(target, next, a.pinned.serving)
	resume()
	a.retire(context.WithoutCancel(ctx), old)
	return nil
}

// takeOver makes a backend serve in place of the current one, which is the first of left. It returns the
// current one.
func (a *Adapter) takeOver(backend sessions.Backend, next PinnedStore, left ...PinnedStore) *switchedBackend {
	old := a.backends.replace(next.Name, backend)
	a.swaps.mu.Lock() // BackendNames reads it
	defer a.swaps.mu.Unlock()
	a.pinned.left, a.pinned.serving = append(a.pinned.left, left...), next
	return old
}

// retire pins the serving store, and closes the replaced backend once no call is in flight on it.
func (a *Adapter) retire(ctx context.Context, old *switchedBackend) {
	a.pinBestEffort(ctx)
	a.describeServing(ctx)
	select {
	case <-old.left:
	case <-time.After(leaveTimeout):
	}
	if err := old.Close(); err != nil {
		a.config.Logger.WarnContext(ctx, "the replaced backend failed to close",
			"backend", old.name, "error", err)
	}
}

// decide polls until it is known whether the target has taken over. Writes are refused meanwhile.
func (a *Adapter) decide(ctx context.Context, move *transfer.Move) error {
	for {
		follow, err := transfer.Recover(context.WithoutCancel(ctx), move.Source,
			func(context.Context, string) (transfer.Store, error) { return move.Target, nil })
		switch {
		case err == nil && follow != "":
			return nil
		case err == nil:
			return errors.New("hostadapter: the other backend did not take over")
		}
		a.config.Logger.ErrorContext(ctx, "the serving backend is unknown, retrying", "error", err)
		select {
		case <-time.After(retryInterval):
		case <-ctx.Done():
			return transfer.ErrUndecided // the next start finds out
		}
	}
}
