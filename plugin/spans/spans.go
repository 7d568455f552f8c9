// Package spans lets an engine record what it does within a traced call. A plugin opens no connection and has
// no exporter: its spans are returned with the answer of the call, and the host records them.
package spans

// Recorder: the spans of one call.

import (
	"context"
	"sync"
	"time"
)

const (
	// Max is the maximum number of spans per call. Further spans are dropped.
	Max = 64
	// Slow is the minimum duration of a read that gets a span: a span for a shorter read would cost as much
	// as the read.
	Slow = time.Millisecond
	// room is the initial capacity, enough for most writes.
	room = 4
)

// The attributes that a host accepts from a plugin, by OpenTelemetry's semantic conventions for databases.
// The host drops all others, so that no plugin can put personal data into a trace.
const (
	// System is the engine: "badger" or "postgresql".
	System = "db.system.name"
	// Operation is the name of the operation.
	Operation = "db.operation.name"
	// BatchSize is the number of changes that one transaction has committed, in decimal.
	BatchSize = "db.operation.batch.size"
)

// Span is one step of a call, from Start to End.
type Span struct {
	// Name describes the step without naming a person or client: lower-case letters, digits, spaces and
	// "._-".
	Name       string
	Start, End time.Time
	Attributes []Attribute
}

// Attribute is a property of a span.
type Attribute struct{ Key, Value string }

// Recorder collects the spans of one call. It is safe for concurrent use. A nil Recorder collects none.
type Recorder struct {
	mu    sync.Mutex
	spans []Span
}

// AddRead adds the span of a read if the read was Slow. Writes use Add, whatever their duration.
func (r *Recorder) AddRead(span Span) {
	if span.End.Sub(span.Start) >= Slow {
		r.Add(span)
	}
}

// Add adds a span.
func (r *Recorder) Add(span Span) {
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.spans == nil {
		r.spans = make([]Span, 0, room)
	}
	if len(r.spans) < Max {
		r.spans = append(r.spans, span)
	}
}

// Spans returns the spans added so far, in order.
func (r *Recorder) Spans() []Span {
	if r == nil {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]Span(nil), r.spans...)
}

// Key is the context key of a Recorder, for custom Context implementations.
type Key struct{}

// NewContext returns a context with a recorder, for a traced call.
func NewContext(ctx context.Context, r *Recorder) context.Context {
	return context.WithValue(ctx, Key{}, r)
}

// FromContext returns the recorder of a traced call, or nil if the call is not traced. It is the only cost of
// tracing for calls that are not traced.
func FromContext(ctx context.Context) *Recorder {
	r, _ := ctx.Value(Key{}).(*Recorder)
	return r
}
