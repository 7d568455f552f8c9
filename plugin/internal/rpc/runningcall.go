package rpc

// A call that came over a stream, as the engine's context.

import (
	"context"
	"sync"
	"time"

	pb "github.com/fosite-sessions/sessions/plugin/internal/pluginpb"
	"github.com/fosite-sessions/sessions/plugin/spans"
)

// runningCall is a running or queued call. It is its own context: most reads only call Err, and need neither
// a channel nor a timer.
type runningCall struct {
	*pb.Call
	stream   context.Context //nolint:containedctx // only for its values
	deadline time.Time       // zero for none
	position *uint64         // of its answer, see kills.proto
	spans    *spans.Recorder // nil if the call is not traced

	mu    sync.Mutex
	err   error         // why it has ended
	done  chan struct{} // nil until Done is called
	timer *time.Timer   // ends the call, set by Done
}

var _ context.Context = (*runningCall)(nil)

func newRunningCall(stream context.Context, call *pb.Call, now time.Time) *runningCall {
	c := &runningCall{Call: call, stream: stream}
	if timeout := time.Duration(call.GetTimeout()); timeout > 0 {
		c.deadline = now.Add(timeout)
	}
	return c
}

// runningCallKey is the context key of a call.
type runningCallKey struct{}

// runningCallOf returns the call of a context, or nil if it did not come over a stream.
func runningCallOf(ctx context.Context) *runningCall {
	call, _ := ctx.Value(runningCallKey{}).(*runningCall)
	return call
}

// Deadline implements context.Context.
func (c *runningCall) Deadline() (time.Time, bool) { return c.deadline, !c.deadline.IsZero() }

// Value implements context.Context.
func (c *runningCall) Value(key any) any {
	switch key.(type) {
	case runningCallKey:
		return c
	case spans.Key:
		return c.spans
	}
	return c.stream.Value(key)
}

// Err implements context.Context.
func (c *runningCall) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err == nil && !c.deadline.IsZero() && !time.Now().Before(c.deadline) {
		c.endLocked(context.DeadlineExceeded)
	}
	return c.err
}

// Done implements context.Context.
func (c *runningCall) Done() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.done == nil {
		c.done = make(chan struct{})
		switch {
		case c.err != nil:
			close(c.done)
		case !c.deadline.IsZero():
			c.timer = time.AfterFunc(time.Until(c.deadline), func() { c.end(context.DeadlineExceeded) })
		}
	}
	return c.done
}

// end ends the call's context, unless it has ended.
func (c *runningCall) end(why error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.endLocked(why)
}

func (c *runningCall) endLocked(why error) {
	if c.err != nil {
		return
	}
	c.err = why
	if c.done != nil {
		close(c.done)
	}
	if c.timer != nil {
		c.timer.Stop()
	}
}
