package hostadapter

// Following a swap by another host to the backend that replaces theirs (rules 12 and 14).

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/fosite-sessions/sessions/plugin/transfer"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// lostEvery is how often a host checks for a move that was abandoned by a different host.
const lostEvery = 5 * time.Second

// followSwaps checks, each time that a fence has refused a call, whether another host is swapping. It returns
// when the adapter closes.
func (a *Adapter) followSwaps() {
	for {
		select {
		case <-a.backends.fenced:
			a.followSwap()
		case <-time.After(lostEvery):
			if a.description.Load().Shared {
				a.endLostMove()
			}
		case <-a.swaps.closing:
			return
		}
	}
}

// endLostMove stops the journal of a store whose move was lost with its host.
func (a *Adapter) endLostMove() {
	store := a.movableStore()
	if store == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), statusTimeout)
	defer cancel()
	status, err := store.Status(ctx)
	if err != nil {
		return // retried after lostEvery
	}
	if ended, _ := transfer.EndLost(ctx, store, status); ended { // false if another host was first
		a.config.Logger.WarnContext(ctx, "the swap of a lost host was aborted", "swap", status.ID,
			"to", status.Peer)
	}
}

// movableStore returns the serving store, or nil if it cannot be moved or this host is moving it.
func (a *Adapter) movableStore() transfer.Store {
	a.swaps.mu.Lock()
	defer a.swaps.mu.Unlock()
	if a.swaps.running != nil {
		return nil
	}
	return moverOf(a.backends.serving())
}

// followSwap switches to the backend to which another host has moved the data. Calls wait until then.
func (a *Adapter) followSwap() {
	state := a.fence()
	if state == nil {
		return
	}
	running, err := a.begin(state)
	if err != nil {
		return // the end of the running swap triggers this again
	}
	began := time.Now()
	a.report(state, transfer.Progress{Phase: transfer.Switching})
	for {
		old, err := a.switchToServing(running)
		if err == nil && old == nil {
			a.backends.lifted()
			a.report(state, transfer.Progress{Phase: transfer.Aborted, Held: time.Since(began)})
			a.finishSwap(state, errors.New("hostadapter: the swap of another host was given up"))
			return
		}
		if err == nil {
			a.report(state, transfer.Progress{Phase: transfer.Done, Held: time.Since(began)})
			a.retire(context.WithoutCancel(running), old)
			a.finishSwap(state, nil)
			return
		}
		if running.Err() == nil {
			a.cannotFollow(state, err)
		}
		if !a.sleep(retryInterval) {
			a.finishSwap(state, err)
			return
		}
	}
}

// fence returns the swap of another host that has fenced the serving backend, or nil if there is none.
func (a *Adapter) fence() *SwapState {
	store := a.movableStore()
	if store == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), statusTimeout)
	defer cancel()
	status, err := store.Status(ctx)
	switch {
	case err != nil:
		if a.sleep(firstFollowPause) {
			a.backends.lifted() // the waiting calls are retried
		}
		return nil
	case status.State != transfer.Fenced && status.State != transfer.Superseded:
		a.backends.lifted()
		return nil
	}
	state := a.newSwap(status.ID, status.Peer)
	state.Followed = true
	return state
}

// switchToServing switches to the backend that serves now and returns the replaced one, or nil if that still
// serves.
func (a *Adapter) switchToServing(ctx context.Context) (old *switchedBackend, err error) {
	ctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	w := a.newRoute(a.backends.name(), a.backends.serving())
	defer func() { w.end(ctx, old != nil) }()
	if err := w.lead(ctx); err != nil || len(w.left) == 0 {
		return nil, err
	}
	description, err := w.backend.Describe(ctx)
	if err != nil {
		return nil, fmt.Errorf("asking backend %q what it is: %w", w.serving.Name, err)
	}
	if err := checkServices(&description); err != nil {
		return nil, err
	}
	return a.takeOver(w.backend, w.serving, w.left...), nil
}

// cannotFollow records why this host cannot follow, and logs the reason when it changes. If only a different
// configuration helps, all calls fail with the reason: waiting would be in vain.
func (a *Adapter) cannotFollow(state *SwapState, err error) {
	var missing *MissingBackendError
	final := errors.As(err, &missing) || errors.Is(err, transfer.ErrNotSuccessor) ||
		errors.Is(err, ticketstore.ErrOtherStore)
	advice := "trying again"
	if final {
		advice = "configure it as at the other hosts, and start this one again"
	}
	problem := fmt.Errorf("another host has swapped %q to %q, and this one cannot follow: %w: %s",
		state.From, state.To, err, advice)
	if before := a.backends.trouble(); before == nil || before.Error() != problem.Error() {
		a.config.Logger.ErrorContext(context.Background(), "this host cannot follow a swap",
			"swap", state.ID, "from", state.From, "to", state.To, "error", problem)
	}
	a.backends.cannotFollow(problem, final)
}

// swapElsewhere returns a swap by another host, as far as the store records it; its start is known if it was
// recorded as a followed job. If there is none it returns ticketstore.ErrNotFound.
func (a *Adapter) swapElsewhere(ctx context.Context, id string) (*SwapState, error) {
	unknown := fmt.Errorf("swap: %w", ticketstore.ErrNotFound)
	store := moverOf(a.backends.serving())
	if store == nil || !a.description.Load().Shared {
		return nil, unknown
	}
	ctx, cancel := context.WithTimeout(ctx, statusTimeout)
	defer cancel()
	status, err := store.Status(ctx)
	if err != nil {
		return nil, fmt.Errorf("swap: asking backend %q: %w", a.backends.name(), late(err))
	}
	if status.ID != id {
		return nil, unknown
	}
	state := a.newSwap(id, status.Peer)
	state.Followed, state.Progress.Total = true, -1
	switch status.State {
	case transfer.Exporting:
		state.Progress.Phase = transfer.Copying
	case transfer.Fenced, transfer.Superseded: // this host will follow
		state.Progress.Phase = transfer.Switching
		return state, nil
	default:
		return nil, unknown
	}
	_, jobs, _ := a.followed(ctx)
	for _, job := range jobs {
		if job.Job == id && !job.Began.IsZero() {
			state.Started = job.Began
		}
	}
	return state, nil
}

// following describes the swap by another host that this host is following, or "" if there is none.
func (a *Adapter) following() string {
	state := a.runningSwap()
	if state != nil && state.Followed && state.Progress.Phase == transfer.Switching {
		return fmt.Sprintf("another host swaps %q to %q, and this one follows: calls wait", state.From,
			state.To)
	}
	return ""
}
