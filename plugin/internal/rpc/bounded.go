package rpc

// The deadline of a call, as a context.

import (
	"context"
	"sync"
	"time"
)

// boundedContext is a caller's context with an earlier deadline. It creates a timer and a channel only when
// Done is called; Multiplexer, which makes most calls, does not call it.
type boundedContext struct {
	context.Context // the caller's

	deadline time.Time

	mu     sync.Mutex
	made   context.Context //nolint:containedctx // nil until Done is called
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

// release releases the resources of Done.
func (b *boundedContext) release() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.made != nil {
		b.cancel()
	}
}
