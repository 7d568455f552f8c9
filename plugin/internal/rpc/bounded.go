package rpc

// The bound of a call, as a context.

import (
	"context"
	"sync"
	"time"
)

// boundedContext is a caller's context with an earlier deadline. It makes a timer and a channel only where
// somebody waits for it by Done; Multiplexer, which makes most calls, has cheaper ones of its own.
type boundedContext struct {
	context.Context // the caller's

	deadline time.Time

	mu     sync.Mutex
	made   context.Context //nolint:containedctx // nil until somebody waits for it
	cancel context.CancelFunc
}

var _ context.Context = (*boundedContext)(nil)

// Deadline implements context.Context.
func (b *boundedContext) Deadline() (time.Time, bool) { return b.deadline, true }

// Done implements context.Context.
func (b *boundedContext) Done() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.made == nil {
		b.made, b.cancel = context.WithDeadline(b.Context, b.deadline)
	}
	return b.made.Done()
}

// Err implements context.Context.
func (b *boundedContext) Err() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.made != nil {
		return b.made.Err()
	}
	if err := b.Context.Err(); err != nil {
		return err
	}
	if !time.Now().Before(b.deadline) {
		return context.DeadlineExceeded
	}
	return nil
}

// release lets go of what was made for waiting.
func (b *boundedContext) release() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.made != nil {
		b.cancel()
	}
}
