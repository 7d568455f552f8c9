package rpc

// How a client makes a call: its timeout, its retries, and the mapping of its error.

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"github.com/fosite-sessions/sessions/plugin/internal/wire"
	"github.com/fosite-sessions/sessions/plugin/transfer"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// Limits of messages, in bytes. The largest request is a batch of grants with their data, well over 1 MiB;
// the largest answer is a page of 1,000 sessions with all their clients.
const (
	MaxRequest = 16 << 20
	MaxAnswer  = 64 << 20
)

// Backoff between attempts of a call whose outcome is unknown. Attempts end Caller.Timeout after the plugin
// was lost: a plugin that shuts down may take seconds to close its database before the next one starts.
const (
	minBackoff = 10 * time.Millisecond
	maxBackoff = 250 * time.Millisecond
)

// ErrGone marks an ErrUnavailable that is not retried: there is no process and none is being started.
var ErrGone = fmt.Errorf("%w: the plugin process has ended", ticketstore.ErrUnavailable)

// ErrNoAnswer marks an ErrUnavailable of a call that timed out.
var ErrNoAnswer = fmt.Errorf("%w: no answer", ticketstore.ErrUnavailable)

// Caller makes calls with timeouts and retries.
type Caller struct {
	// Conn is the connection to the plugin. It may switch to a new process between two calls.
	Conn grpc.ClientConnInterface
	// Timeout bounds a call whose caller has no earlier deadline, Long a call that may end many sessions.
	Timeout time.Duration
	Long    time.Duration
	// Once disables retries.
	Once bool
	// Tracer creates a span for each call made under a sampled span, and records the spans that the plugin
	// returns. Nil disables tracing.
	Tracer trace.Tracer
	// Durations records the durations of calls. Nil disables it.
	Durations metric.Float64Histogram
}

// method is one call of the protocol.
type method struct {
	path string // full gRPC name
	name string // name used in errors
	// idempotent requests are retried to resolve an unknown outcome (rule 3).
	idempotent bool
	// long: the call may take longer than others.
	long bool
	// ok holds the telemetry attributes of a successful call, created once.
	once sync.Once
	ok   *known
}

// repeatable is a method whose request may be repeated.
func repeatable(path, name string) method { return method{path: path, name: name, idempotent: true} }

// invoke makes a call and returns its answer, or the domain's error.
func invoke[Answer any, Message interface {
	*Answer
	proto.Message
}](ctx context.Context, c *Caller, m *method, request proto.Message) (*Answer, error) {
	answer := new(Answer)
	if err := c.call(ctx, m, request, Message(answer)); err != nil {
		return nil, err
	}
	return answer, nil
}

// ask makes a call, converts the answer with read, and checks the result with check (nil: no check). An error
// of either means that the answer is broken.
func ask[Result, Answer any, Message interface {
	*Answer
	proto.Message
}](
	ctx context.Context, c *Caller, m *method, request proto.Message,
	read func(*Answer) (Result, error), check func(Result) error,
) (none Result, err error) {
	answer, err := invoke[Answer, Message](ctx, c, m, request)
	if err != nil {
		return none, err
	}
	result, err := read(answer)
	if err == nil && check != nil {
		err = check(result)
	}
	if err != nil {
		return none, broken(m, "%v", err)
	}
	return result, nil
}

// attempts makes a call until it returns an answer or a final error, or until its time is up.
func (c *Caller) attempts(
	ctx context.Context, m *method, request, answer proto.Message, options []grpc.CallOption,
) error {
	bound := c.Timeout
	if m.long {
		bound = c.Long
	}
	callCtx, ours, tried := ctx, false, time.Now()
	if deadline, ok := ctx.Deadline(); !ok || deadline.Sub(tried) > bound {
		bounded := &boundedContext{Context: ctx, deadline: tried.Add(bound)}
		defer bounded.release()
		callCtx, ours = bounded, true
	}
	lastTry := tried.Add(c.Timeout)
	for pause := minBackoff; ; pause = min(2*pause, maxBackoff) {
		err := c.Conn.Invoke(callCtx, m.path, request, answer, options...)
		if err == nil {
			return nil
		}
		err = outcome(ctx, wire.Error(err), ours, bound)
		if time.Since(tried) > c.Timeout {
			// A long call was in flight until now: the next attempt joins the operation that it began.
			lastTry, pause = time.Now().Add(c.Timeout), minBackoff
		}
		if m.idempotent && !c.Once && retryable(err) && time.Now().Before(lastTry) && wait(callCtx, pause) {
			proto.Reset(answer)
			tried = time.Now()
			continue
		}
		return &callError{method: m.name, err: err}
	}
}

// retryable reports whether a retry can have a different outcome.
func retryable(err error) bool { return transfer.Retryable(err) && !errors.Is(err, ErrGone) }

// wait waits for d. It returns false if the context was done first.
func wait(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-ctx.Done():
		return false
	}
}

// outcome maps the error of a call. If the caller's own context ended, it returns that context's error. A
// timeout of the call, a plugin that shuts down and a connection that broke during the call become
// ErrUnavailable. Other errors are the plugin's answer and are returned unchanged.
func outcome(ctx context.Context, err error, ours bool, bound time.Duration) error {
	canceled, expired := errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded)
	if !canceled && !expired && !errors.Is(err, ticketstore.ErrUnavailable) {
		return err
	}
	switch own := ctx.Err(); {
	case own != nil:
		return own
	case expired && !ours:
		return context.DeadlineExceeded // the plugin noticed the caller's deadline first
	case expired:
		return fmt.Errorf("%w within %s", ErrNoAnswer, bound)
	case canceled:
		return fmt.Errorf("%w: the plugin gave the call up", ticketstore.ErrUnavailable)
	}
	return err
}

// callError adds the name of the call. It is formatted lazily.
type callError struct {
	method string
	err    error
}

func (e *callError) Error() string { return e.method + ": " + e.err.Error() }

func (e *callError) Unwrap() error { return e.err }

// broken returns the error for an answer that no correct plugin gives. It keeps the text of an error among
// args but not its identity, which would blame the caller.
func broken(m *method, problem string, args ...any) error {
	return &callError{
		method: m.name, err: errors.New("plugin gave a broken answer: " + fmt.Sprintf(problem, args...)),
	}
}

// requestedPage is the requested page.
type requestedPage struct {
	count int
	token string
	prior bool
}

// checkPage checks what all listings have in common: not more rows than requested, and a token if there is a
// next page.
func checkPage(asked requestedPage, rows int, token string, hasNext bool) error {
	switch {
	case rows > asked.count:
		return fmt.Errorf("%d rows where %d were asked for", rows, asked.count)
	case len(token) > ticketstore.MaxResultsToken:
		return fmt.Errorf("a results token of %d bytes", len(token))
	// Without a token the rows behind this page could not be reached (rule 5).
	case token == "" && (rows > 0 || hasNext):
		return errors.New("rows without a results token")
	// Repeating the same token would make a walk endless.
	case hasNext && !asked.prior && token == asked.token:
		return errors.New("a next page that is the same again")
	}
	return nil
}
