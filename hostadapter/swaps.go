package hostadapter

// Running and finished swaps: one at a time, their progress and their outcome.

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/fosite-sessions/sessions"
	"github.com/fosite-sessions/sessions/plugin/transfer"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// SwapState is the progress of a swap.
type SwapState struct {
	ID       string
	From, To string
	// Upgrade: a different program was to serve the same data.
	Upgrade bool
	// Followed: another host makes the swap, under the same ID, and this one follows. This host sees only the
	// switch; before it Progress.Total is -1.
	Followed bool
	Started  time.Time
	// Finished is zero while the swap runs; Err is why it failed or was aborted.
	Finished time.Time
	Err      error
	Progress transfer.Progress
	// Rate is the number of records copied per second, so far or in total.
	Rate float64
}

// Left returns how many records and changes are still to be copied.
func (s *SwapState) Left() int64 {
	return max(0, s.Progress.Total-s.Progress.Copied) + int64(min(s.Progress.Left, math.MaxInt32))
}

// swaps holds the known swaps. It allows one swap or one backup at a time.
type swaps struct {
	mu      sync.Mutex
	running context.CancelFunc // nil if no swap is running
	backup  context.CancelFunc // nil if no backup is running
	// endCount cancels a count of sealed records and waits for its end. It is nil before the first count.
	endCount func()
	// closing is closed when the adapter closes.
	closing chan struct{}
	ended   sync.WaitGroup
	known   []*SwapState
	opened  []sessions.Backend // by the adapter, which closes them
}

// closed reports whether the adapter is closing.
func (s *swaps) closed() bool {
	select {
	case <-s.closing:
		return true
	default:
		return false
	}
}

// newSwap returns the state of a swap that begins.
func (a *Adapter) newSwap(id, name string) *SwapState {
	return &SwapState{
		ID: id, From: a.backends.name(), To: name, Started: a.now(),
		Progress: transfer.Progress{Phase: transfer.Preparing},
	}
}

// begin reserves the single swap slot until finishSwap. A running backup blocks a swap started by this host;
// a swap started by another host cancels the backup.
func (a *Adapter) begin(state *SwapState) (context.Context, error) {
	s := &a.swaps
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closed():
		return nil, fmt.Errorf("%w: the server ends", ticketstore.ErrUnavailable)
	case s.running != nil:
		return nil, fmt.Errorf("%w: another swap is under way", ErrSwap)
	case s.backup != nil && !state.Followed:
		return nil, fmt.Errorf("%w: a backup is being taken", ErrSwap)
	case s.backup != nil:
		s.backup()
	}
	if s.endCount != nil {
		s.endCount()
	}
	running, cancel := context.WithCancel(context.Background())
	s.running = cancel
	s.ended.Add(1)
	s.known = append(s.known, state)
	s.known = s.known[max(0, len(s.known)-keptSwaps):]
	return running, nil
}

func (a *Adapter) report(state *SwapState, p transfer.Progress) {
	a.swaps.mu.Lock()
	before := state.Progress.Phase
	state.Progress = p
	if seconds := a.now().Sub(state.Started).Seconds(); p.Phase == transfer.Copying && seconds > 0 {
		state.Rate = float64(p.Copied) / seconds
	}
	a.swaps.mu.Unlock()
	if before != p.Phase {
		a.config.Logger.InfoContext(context.Background(), "swap", "swap", state.ID, "from", state.From,
			"to", state.To, "phase", p.Phase,
			"records", p.Total, "copied", p.Copied, "changed", p.Changed, "held", p.Held.String())
	}
}

func (a *Adapter) finishSwap(state *SwapState, err error) {
	defer a.swaps.ended.Done()
	a.swaps.mu.Lock()
	a.swaps.running()
	a.swaps.running = nil
	state.Finished, state.Err = a.now(), err
	level, aborted := slog.LevelError, state.Progress.Phase == transfer.Aborted
	switch {
	case aborted:
		level = slog.LevelWarn
	case err != nil:
		state.Progress.Phase = transfer.Failed
	}
	a.swaps.mu.Unlock()
	a.backends.wake() // check for swaps by other hosts, which were ignored meanwhile
	if err != nil {
		a.config.Logger.Log(context.Background(), level, "backend was not swapped", "swap", state.ID, "from",
			state.From, "to", state.To,
			"aborted", aborted, "error", err)
	}
}

// SwapByID returns the progress of a swap. Swaps are kept in memory until the adapter closes; for a swap by
// another host, the store only tells that it is running, until its switch. It returns ticketstore.ErrNotFound
// if the id is unknown.
func (o *Operations) SwapByID(ctx context.Context, id string) (*SwapState, error) {
	if state := o.adapter.swapOf(id); state != nil {
		return state, nil
	}
	elsewhere, err := o.adapter.swapElsewhere(ctx, id)
	// This host may have begun to follow it meanwhile: then the store that was asked may be closed, and its
	// successor has no record of the swap.
	if state := o.adapter.swapOf(id); state != nil {
		return state, nil
	}
	return elsewhere, err
}

// swapOf returns a swap that this host makes, made or follows, or nil.
func (a *Adapter) swapOf(id string) *SwapState {
	a.swaps.mu.Lock()
	defer a.swaps.mu.Unlock()
	if at := a.swaps.find(id); at >= 0 {
		found := *a.swaps.known[at]
		return &found
	}
	return nil
}

// runningSwap returns the swap that this host makes or follows now, or nil.
func (a *Adapter) runningSwap() *SwapState {
	a.swaps.mu.Lock()
	defer a.swaps.mu.Unlock()
	known := a.swaps.known
	if len(known) == 0 || !known[len(known)-1].Finished.IsZero() {
		return nil
	}
	running := *known[len(known)-1]
	return &running
}

// find returns the index of a swap, or -1. The caller holds mu.
func (s *swaps) find(id string) int {
	return slices.IndexFunc(s.known, func(state *SwapState) bool { return state.ID == id })
}

// AbortSwap aborts a swap that has not reached its switch: the serving backend stays unchanged. SwapByID
// reports the outcome. It returns ErrSwap if the swap has reached its switch or is over, is an upgrade, or is
// made by another host, and ticketstore.ErrNotFound if the id is unknown.
func (o *Operations) AbortSwap(ctx context.Context, id string) error {
	if _, err := o.SwapByID(ctx, id); err != nil {
		return err
	}
	o.adapter.swaps.mu.Lock()
	defer o.adapter.swaps.mu.Unlock()
	at := o.adapter.swaps.find(id)
	if at < 0 {
		return errElsewhere // known from the store only
	}
	switch known := o.adapter.swaps.known[at]; {
	case !known.Finished.IsZero():
		return fmt.Errorf("%w: the swap is over, and %q serves", ErrSwap, o.adapter.backends.name())
	case known.Followed:
		return errElsewhere
	case known.Upgrade:
		return fmt.Errorf("%w: an upgrade cannot be aborted", ErrSwap)
	case known.Progress.Phase == transfer.Switching, known.Progress.Phase == transfer.Done:
		return fmt.Errorf("%w: the swap has reached its switch", ErrSwap)
	}
	o.adapter.swaps.running()
	return nil
}

func (a *Adapter) stopSwapping() {
	a.swaps.mu.Lock()
	close(a.swaps.closing)
	if a.swaps.running != nil {
		a.swaps.running()
	}
	if a.swaps.backup != nil {
		a.swaps.backup()
	}
	a.swaps.mu.Unlock()
	a.swaps.ended.Wait()
}
