package hostadapter

// A swap that another host makes: this one follows to the backend that replaces their own (rules 12 and 14).

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/fosite-sessions/sessions/plugin/transfer"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// lostEvery is how often a host looks whether another one has left a move that nobody goes on with.
const lostEvery = 5 * time.Second

// followSwaps looks, each time that a fence has refused a call, whether another host has made it. It returns
// when the host ends.
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

// endLostMove has a store journal no more whose move was lost with its host.
func (a *Adapter) endLostMove() {
	store := a.unmoved()
	if store == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), statusTimeout)
	defer cancel()
	status, err := store.Status(ctx)
	if err != nil {
		return // it is asked again
	}
	if ended, _ := transfer.EndLost(ctx, store, status); ended { // or another host was faster
		a.config.Logger.WarnContext(ctx, "the swap of another host was lost, and is ended", "swap", status.ID,
			"to", status.Peer)
	}
}

// unmoved returns the store that serves, nil where it cannot be moved, or this host moves it.
func (a *Adapter) unmoved() transfer.Store {
	a.swaps.mu.Lock()
	defer a.swaps.mu.Unlock()
	if a.swaps.running != nil {
		return nil
	}
	return moverOf(a.backends.serving())
}

// followSwap goes where another host has moved what the backend holds. Calls wait until then.
func (a *Adapter) followSwap() {
	state := a.fence()
	if state == nil {
		return
	}
	running, err := a.begin(state)
	if err != nil {
		return // the end of the swap that runs here wakes this again
	}
	began := time.Now()
	a.report(state, transfer.Progress{Phase: transfer.Switching})
	for {
		old, err := a.reach(running)
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
		if !a.waits(retryInterval) {
			a.finishSwap(state, err)
			return
		}
	}
}

// fence returns the swap of another host whose fence stands before the backend that serves, nil where there
// is none.
func (a *Adapter) fence() *SwapState {
	store := a.unmoved()
	if store == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), statusTimeout)
	defer cancel()
	status, err := store.Status(ctx)
	switch {
	case err != nil:
		if a.waits(firstFollowPause) {
			a.backends.lifted() // the calls that wait ask again
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

// reach goes to the backend that serves and puts it in the place of the one that did, which it returns: nil
// where that serves still.
func (a *Adapter) reach(ctx context.Context) (old *switchedBackend, err error) {
	ctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	w := a.newWay(a.backends.name(), a.backends.serving())
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

// cannotFollow notes why this host does not follow, and logs it when it changes. What nothing but another
// configuration mends is the answer to all calls: waiting would not help them.
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

// swapElsewhere is a swap that another host makes, as far as the store tells of it, and where it was noted
// when it began. Where there is none, or no other host, that is ticketstore.ErrNotFound.
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
	case transfer.Fenced, transfer.Superseded: // this host is about to follow
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

// following says that this host follows another one's swap, empty where it does not.
func (a *Adapter) following() string {
	a.swaps.mu.Lock()
	defer a.swaps.mu.Unlock()
	if len(a.swaps.known) == 0 {
		return ""
	}
	state := a.swaps.known[len(a.swaps.known)-1]
	if state.Followed && state.Progress.Phase == transfer.Switching && state.Finished.IsZero() {
		return fmt.Sprintf("another host swaps %q to %q, and this one follows: calls wait", state.From,
			state.To)
	}
	return ""
}
