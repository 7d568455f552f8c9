package hostadapter

// The swap of the backend while the host serves (rule 12).

import (
	"context"
	"crypto/rand"
	"errors"
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

// ErrSwap means that a swap cannot be: it is to the backend that serves, to one that holds something, to one
// that cannot be moved, other hosts have one of both open, or another swap is under way. The text says which.
var ErrSwap = errors.New("hostadapter: the backend cannot be swapped")

const (
	// openTimeout bounds the start of the backend that is swapped to.
	openTimeout = 45 * time.Second
	// quietTimeout bounds the wait for deliveries under way before a switch: those that are not settled by
	// then are made again.
	quietTimeout = 20 * time.Second
	// leaveTimeout bounds the wait for calls under way on a backend that was replaced.
	leaveTimeout = time.Minute
	// retryInterval is the pause between two questions whether a backend that could not be asked has taken
	// over.
	retryInterval = time.Second
	// keptSwaps is how many swaps are remembered.
	keptSwaps = 100
)

// SwapState is the progress of a swap.
type SwapState struct {
	ID       string
	From, To string
	// Upgrade: another program was to serve the same data.
	Upgrade bool
	Started time.Time
	// Finished is zero while it runs, Err why it failed or was aborted.
	Finished time.Time
	Err      error
	Progress transfer.Progress
	// Rate is how many records were copied a second, so far or in all.
	Rate float64
}

// Left is how many records and changes are still to be copied.
func (s *SwapState) Left() int64 {
	return max(0, s.Progress.Total-s.Progress.Copied) + int64(min(s.Progress.Left, math.MaxInt32))
}

// swaps keeps what is known of swaps, and lets one run at a time, or one backup.
type swaps struct {
	mu      sync.Mutex
	running context.CancelFunc // nil when none runs
	backup  context.CancelFunc // nil when none is taken
	// endCount ends a count of sealed records and waits for that. It is nil before the first.
	endCount func()
	// closing is closed when the host ends.
	closing chan struct{}
	ended   sync.WaitGroup
	known   []*SwapState
	opened  []sessions.Backend // by us, to be closed by us
}

// closed reports whether the host ends.
func (s *swaps) closed() bool {
	select {
	case <-s.closing:
		return true
	default:
		return false
	}
}

// Swap moves everything to another backend, an empty one of Config.Swap.Backends, while the host serves (rule
// 12). It returns the id of the swap, which runs on: SwapByID reports its progress, AbortSwap ends it before
// the switch. ctx bounds the start only. An unknown name is ticketstore.ErrNotFound, a swap that is not
// possible ErrSwap; a backend that does not open is an error of its own.
func (o *Operations) Swap(ctx context.Context, name string) (id string, err error) {
	if err := o.adapter.checkName(name); err != nil {
		return "", err
	}
	if name == o.adapter.backends.name() {
		return "", fmt.Errorf("%w: %q serves already", ErrSwap, name)
	}
	running, state, err := o.adapter.begin(name, false)
	if err != nil {
		return "", err
	}
	defer func() {
		if err != nil {
			o.adapter.finishSwap(state, err)
			o.adapter.swaps.ended.Done()
		}
	}()
	source := moverOf(o.adapter.backends.serving())
	if source == nil {
		return "", fmt.Errorf("%w: %q does not serve transfer", ErrSwap, state.From)
	}
	// Others would not follow. The source looks again when it begins, and in the transaction of its fence.
	status, err := source.Status(ctx)
	if err != nil {
		return "", fmt.Errorf("hostadapter: asking backend %q: %w", state.From, err)
	}
	if err := status.Alone(); err != nil {
		return "", fmt.Errorf("%w: of %q %w: stop them first", ErrSwap, state.From, err)
	}
	target, err := o.adapter.openTarget(ctx, name)
	if err != nil {
		return "", err
	}
	next, err := pinnedAs(ctx, name, target)
	if err != nil {
		return "", errors.Join(fmt.Errorf("hostadapter: %w", err), target.Close())
	}
	move := &transfer.Move{
		Source: source, Target: moverOf(target), ID: state.ID, SourceName: state.From, TargetName: name,
		Report: func(p transfer.Progress) { o.adapter.report(state, p) },
	}
	go func() {
		defer o.adapter.swaps.ended.Done()
		o.adapter.finishSwap(state, o.adapter.runSwap(running, move, target, next))
	}()
	return state.ID, nil
}

// checkName refuses what is no name of Config.Swap.Backends.
func (a *Adapter) checkName(name string) error {
	if err := ticketstore.CheckID("backend", name); err != nil {
		return err
	}
	if _, found := a.config.Swap.Backends[name]; !found {
		return fmt.Errorf("%w: backend %q is not configured", ticketstore.ErrNotFound, name)
	}
	return nil
}

// begin takes the only place of a swap that runs.
func (a *Adapter) begin(name string, upgrade bool) (context.Context, *SwapState, error) {
	s := &a.swaps
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closed():
		return nil, nil, fmt.Errorf("%w: the server ends", ticketstore.ErrUnavailable)
	case s.running != nil:
		return nil, nil, fmt.Errorf("%w: another swap is under way", ErrSwap)
	case s.backup != nil:
		return nil, nil, fmt.Errorf("%w: a backup is being taken", ErrSwap)
	}
	if s.endCount != nil {
		s.endCount()
	}
	running, cancel := context.WithCancel(context.Background())
	s.running = cancel
	s.ended.Add(1)
	state := &SwapState{
		ID: rand.Text(), From: a.backends.name(), To: name, Upgrade: upgrade, Started: a.now(),
	}
	state.Progress.Phase = transfer.Preparing
	s.known = append(s.known, state)
	s.known = s.known[max(0, len(s.known)-keptSwaps):]
	return running, state, nil
}

// openFit opens the backend of a name, and closes it again if it is not fit for what it was opened for.
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

// openTarget opens the backend and looks whether it may become a target, so that the caller hears of it at
// once.
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
		case status.State == transfer.Importing || status.State == transfer.Abandoned:
			return nil // left from a swap that never came to its end
		case status.State != transfer.Active:
			return fmt.Errorf("%w: %q is %s, and what it holds is older: a swap wants an empty one", ErrSwap,
				name, status.State)
		case status.Alone() != nil:
			return fmt.Errorf("%w: of %q %w: stop them first", ErrSwap, name, status.Alone())
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

// runSwap moves everything and switches. On an error the backend that served keeps serving.
func (a *Adapter) runSwap(
	ctx context.Context, move *transfer.Move, target sessions.Backend, next PinnedStore,
) error {
	resume := func() {}
	defer func() { resume() }()
	// A claim would be lost by the switch, and its notification sent twice: let deliveries under way come to
	// their end.
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
	old := a.backends.replace(move.TargetName, target)
	resume()
	a.swaps.mu.Lock() // BackendNames reads it
	a.pinned.left, a.pinned.serving = append(a.pinned.left, a.pinned.serving), next
	a.swaps.mu.Unlock()
	a.pinBestEffort(context.WithoutCancel(ctx))
	a.noteServing(ctx)
	select {
	case <-old.left:
	case <-time.After(leaveTimeout):
	}
	if err := old.Close(); err != nil {
		a.config.Logger.WarnContext(ctx, "the backend that was replaced failed to close",
			"backend", move.SourceName, "error", err)
	}
	return nil
}

// decide asks until it is known whether the target has taken over. Writes are refused meanwhile.
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
		a.config.Logger.ErrorContext(ctx, "it is not known which backend serves, asking again", "error", err)
		select {
		case <-time.After(retryInterval):
		case <-ctx.Done():
			return transfer.ErrUndecided // the next start finds out
		}
	}
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
	if err != nil {
		a.config.Logger.Log(context.Background(), level, "backend was not swapped", "swap", state.ID, "from",
			state.From, "to", state.To,
			"aborted", aborted, "error", err)
	}
}

// SwapByID returns the progress of a swap. Swaps are remembered until the host ends; an unknown one is
// ticketstore.ErrNotFound.
func (o *Operations) SwapByID(id string) (*SwapState, error) {
	o.adapter.swaps.mu.Lock()
	defer o.adapter.swaps.mu.Unlock()
	for _, state := range o.adapter.swaps.known {
		if state.ID == id {
			found := *state
			return &found, nil
		}
	}
	return nil, fmt.Errorf("swap: %w", ticketstore.ErrNotFound)
}

// AbortSwap ends the swap of that id, if it has not come to its switch: the backend that serves stays as it
// is. SwapByID reports the outcome. One that is over is ErrSwap, an unknown one ticketstore.ErrNotFound.
func (o *Operations) AbortSwap(id string) error {
	o.adapter.swaps.mu.Lock()
	defer o.adapter.swaps.mu.Unlock()
	at := slices.IndexFunc(o.adapter.swaps.known, func(s *SwapState) bool { return s.ID == id })
	switch {
	case at < 0:
		return fmt.Errorf("swap: %w", ticketstore.ErrNotFound)
	case !o.adapter.swaps.known[at].Finished.IsZero():
		return fmt.Errorf("%w: the swap is over, and %q serves", ErrSwap, o.adapter.backends.name())
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
